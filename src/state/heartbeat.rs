//! When the last deployer of an environment was seen alive: how long its flyctl may still hold leases follows from it.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::state::local::{FILE_MODE, create_folder};

const NAME: &str = "heartbeat";

/// A file that holds a time. Nothing depends on a single touch, so it need not outlive a power cut; but a reader never
/// meets half a time.
pub(crate) struct Heartbeat {
    folder: PathBuf,
}

impl Heartbeat {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn touch(&self, now: Timestamp) {
        let write = || {
            create_folder(&self.folder).ok()?;
            let mut file = tempfile::Builder::new()
                .prefix(".new-")
                .permissions(Permissions::from_mode(FILE_MODE))
                .tempfile_in(&self.folder)
                .ok()?;
            file.write_all(now.to_string().as_bytes()).ok()?;
            file.persist(self.folder.join(NAME)).ok()
        };
        // The next one comes in a moment.
        let _ = write();
    }

    /// How long ago the last touch was; `None` where there was none, and where the clock was set back since.
    pub(crate) fn age(&self, now: Timestamp) -> Option<Duration> {
        let text = fs::read_to_string(self.folder.join(NAME)).ok()?;
        let then: Timestamp = text.trim().parse().ok()?;
        Duration::try_from(now.duration_since(then)).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    use crate::state::EnvironmentState;

    #[test]
    fn the_last_touch_counts_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let heartbeat = EnvironmentState::at(folder.path().join("p"), "p").heartbeat();
        let then: Timestamp = "2026-01-28T10:00:00Z".parse().unwrap();
        let later = |seconds| then + SignedDuration::from_secs(seconds);
        assert_eq!(heartbeat.age(then), None);
        heartbeat.touch(then);
        heartbeat.touch(later(5));
        assert_eq!(heartbeat.age(later(65)), Some(Duration::from_secs(60)));
        assert_eq!(
            heartbeat.age(then),
            None,
            "a clock that was set back says nothing"
        );
        let entries: Vec<_> = fs::read_dir(folder.path().join("p")).unwrap().collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        let mode = |name: &str| {
            let found = fs::metadata(folder.path().join(name)).unwrap();
            found.permissions().mode() & 0o777
        };
        assert_eq!((mode("p"), mode("p/heartbeat")), (0o700, 0o600));
        fs::write(folder.path().join("p/heartbeat"), "2026-01").unwrap();
        assert_eq!(heartbeat.age(later(65)), None);
    }
}
