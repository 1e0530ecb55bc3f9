//! Who deploys from this process, and whether a recorded deployer still does.

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, gethostname};

use crate::effect::process::running_since;
use crate::state::record::Deployer;

/// What can be known about a process from here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Liveness {
    Alive,
    Gone,
    /// On another machine.
    Unknown,
}

/// This process, as records and locks name it.
pub(crate) fn this_process(run_url: Option<String>) -> Deployer {
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    Deployer {
        host: host(),
        pid,
        start_time: running_since(pid).unwrap_or_default(),
        run_url,
    }
}

/// Whether the process that `deployer` names is still the same and running.
pub(crate) fn liveness(deployer: &Deployer) -> Liveness {
    if deployer.host != host() || deployer.pid <= 0 {
        return Liveness::Unknown;
    }
    match running_since(deployer.pid) {
        Some(started) if deployer.start_time == 0 || started == deployer.start_time => Liveness::Alive,
        Some(_) => Liveness::Gone,
        // No `/proc` here, or the process is gone: the kernel tells which.
        None => match kill(Pid::from_raw(deployer.pid), None) {
            Err(Errno::ESRCH) => Liveness::Gone,
            _ if fs::exists("/proc/self/stat").unwrap_or(false) => Liveness::Gone,
            _ => Liveness::Alive,
        },
    }
}

fn host() -> String {
    gethostname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::{Liveness, liveness, this_process};

    #[test]
    fn this_process_is_alive_and_a_reused_number_is_not() {
        let mut deployer = this_process(None);
        assert_eq!(liveness(&deployer), Liveness::Alive);
        if deployer.start_time != 0 {
            deployer.start_time += 1;
            assert_eq!(liveness(&deployer), Liveness::Gone);
        }
    }

    #[test]
    fn a_number_that_nothing_has_is_gone_and_another_machine_unknown() {
        let mut deployer = this_process(None);
        deployer.pid = i32::MAX;
        assert_eq!(liveness(&deployer), Liveness::Gone);
        deployer.host = "elsewhere".to_owned();
        assert_eq!(liveness(&deployer), Liveness::Unknown);
    }
}
