//! Process groups, also of children that this process did not start: an orphaned flyctl is found by its group's
//! number and start time, which stand in the journal.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(50);
/// After SIGKILL the system still has to clear up.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Whether the group that was recorded with this number and start time still has a living process.
///
/// Numbers are used again: another start time means another process, and 0 (not known) trusts the number alone.
pub(crate) fn group_is_alive(pgid: i32, start_time: u64) -> bool {
    if pgid <= 1 || killpg(Pid::from_raw(pgid), None) == Err(Errno::ESRCH) {
        return false;
    }
    if start_time == 0 {
        return true;
    }
    match Stat::of(pgid) {
        Some(leader) if leader.start_time != start_time => false,
        Some(leader) if leader.is_running() => true,
        // The leader is gone or not yet buried. While one of its group lives, its number is not given away.
        _ => members(pgid).any(|member| member.is_running() && member.start_time >= start_time),
    }
}

/// SIGTERM to a group that is still the recorded one, SIGKILL after `grace`.
pub(crate) async fn end_group(pgid: i32, start_time: u64, grace: Duration) {
    for (signal, patience) in [(Signal::SIGTERM, grace), (Signal::SIGKILL, AFTER_KILL)] {
        if !group_is_alive(pgid, start_time) {
            return;
        }
        signal_group(pgid, signal);
        let until = Instant::now() + patience;
        while group_is_alive(pgid, start_time) && Instant::now() < until {
            sleep(PAUSE).await;
        }
    }
}

pub(super) fn signal_group(pgid: i32, signal: Signal) {
    if pgid > 1 {
        // A group that is gone needs no signal.
        let _ = killpg(Pid::from_raw(pgid), signal);
    }
}

/// When a process started, in clock ticks since boot; 0 where the system does not tell.
pub(crate) fn start_time(pid: i32) -> u64 {
    Stat::of(pid).map_or(0, |stat| stat.start_time)
}

/// The same of a process that still runs; `None` for one that has ended, and where the system does not tell.
pub(crate) fn running_since(pid: i32) -> Option<u64> {
    let stat = Stat::of(pid).filter(Stat::is_running)?;
    Some(stat.start_time)
}

/// What is read of `/proc/PID/stat`.
struct Stat {
    state: u8,
    group: i32,
    start_time: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &[u8]) -> Option<Self> {
        // The second field is the program's name in brackets, and may itself hold blanks and brackets.
        let name_end = stat.iter().rposition(|byte| *byte == b')')?;
        let text = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
        let mut fields = text.split_ascii_whitespace();
        Some(Self {
            state: *fields.next()?.as_bytes().first()?,
            group: fields.nth(1)?.parse().ok()?,
            // Field 22; the group was field 5.
            start_time: fields.nth(16)?.parse().ok()?,
        })
    }

    fn is_running(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

fn members(pgid: i32) -> impl Iterator<Item = Stat> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Stat::of)
        .filter(move |stat| stat.group == pgid)
}

#[cfg(test)]
mod tests {
    use super::{Stat, group_is_alive, running_since, start_time};

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let line = b"12 (a) b (c) S 1 34 34 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 11 12\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.group, stat.start_time), (b'S', 34, 98765));
        assert!(Stat::parse(b"12 (a").is_none());
        assert!(Stat::parse(b"12 (a) S 1").is_none());
        for (state, runs) in [("S", true), ("R", true), ("Z", false), ("X", false)] {
            let line = format!("12 (a) {state} 1 34 34 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 11 12\n");
            assert_eq!(
                Stat::parse(line.as_bytes()).unwrap().is_running(),
                runs,
                "{state}"
            );
        }
    }

    #[test]
    fn nobody_is_taken_for_the_recorded_group() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(start_time(own) > 0);
        assert_eq!(running_since(own), Some(start_time(own)));
        assert_eq!(running_since(i32::MAX), None);
        assert!(!group_is_alive(0, 0));
        assert!(!group_is_alive(1, 0));
        assert!(!group_is_alive(i32::MAX, 0));
        let group = nix::unistd::getpgrp().as_raw();
        assert!(group_is_alive(group, 0));
        assert!(!group_is_alive(group, u64::MAX));
    }
}
