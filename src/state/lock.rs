//! One deployment at a time for each app: an OS lock on a file, with the holder written inside (DESIGN 8).
//!
//! The system gives the lock of a process back when it ends, however it ends; what it wrote then tells who it was.
//! A person's lock has no process: it is the words in the file alone. Files stay where they are, empty, since taking
//! one away would let two hold "the" lock; only `lock release --force` replaces one, and its holder finds out.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::state::deployer::{self, Liveness};
use crate::state::keys::path_safe;
use crate::state::local::{cannot, create_folder, open_for_writing};
use crate::state::record::Deployer;

/// How often a held lock is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// Somebody who only looks holds the lock for microseconds; so does a holder that has not written its name yet.
const LOOKERS: Duration = Duration::from_millis(300);
const LOOKERS_RETRY: Duration = Duration::from_millis(10);

/// Who asks for a lock, and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim {
    pub(crate) owner: String,
    pub(crate) reason: Option<String>,
    pub(crate) environment: String,
    /// The deployment that needs it.
    pub(crate) deployment: Option<String>,
    pub(crate) deployer: Deployer,
    /// RFC 3339.
    pub(crate) since: String,
}

/// What a lock file says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Words {
    format: u32,
    owner: String,
    reason: Option<String>,
    environment: String,
    deployment: Option<String>,
    since: String,
    manual: bool,
    token: String,
    deployer: Deployer,
}

/// Who holds a lock, or held it when it was left behind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Holder {
    pub(crate) app: String,
    pub(crate) owner: String,
    pub(crate) reason: Option<String>,
    pub(crate) environment: String,
    pub(crate) deployment: Option<String>,
    /// RFC 3339; empty where the holder did not come to write it.
    pub(crate) since: String,
    pub(crate) run_url: Option<String>,
    /// Taken by a person with `lock acquire`; no process stands behind it.
    pub(crate) manual: bool,
    /// A process holds it right now.
    pub(crate) alive: bool,
}

impl Holder {
    fn of(app: &str, words: Option<Words>, alive: bool) -> Self {
        let words = words.unwrap_or_else(|| Words {
            owner: "somebody".to_owned(),
            ..Words::default()
        });
        Self {
            app: app.to_owned(),
            owner: words.owner,
            reason: words.reason,
            environment: words.environment,
            deployment: words.deployment,
            since: words.since,
            run_url: words.deployer.run_url,
            manual: words.manual,
            alive,
        }
    }

    /// Keeps others off: a process holds it, or a person took it.
    pub(crate) fn holds(&self) -> bool {
        self.alive || self.manual
    }

    /// `dev@example.com since 2026-01-28T10:00:00Z (reason) https://…`
    pub(crate) fn sentence(&self) -> String {
        let mut text = self.owner.clone();
        if !self.since.is_empty() {
            text = format!("{text} since {}", self.since);
        }
        if let Some(reason) = &self.reason {
            text = format!("{text}: {reason}");
        }
        if let Some(url) = &self.run_url {
            text = format!("{text} ({url})");
        }
        text
    }

    /// The refusal of a command that needs the lock for `environment` (exit 5); who holds it may call the app otherwise.
    pub(crate) fn error(&self, environment: &str) -> Error {
        let error = Error::new(
            ErrorKind::Locked,
            format!("`{}` is locked by {}", self.app, self.sentence()),
        );
        if self.manual {
            error.hint(format!(
                "run `shipctl lock release {environment}` once that is over"
            ))
        } else {
            error.hint("wait for it with `--lock-wait 10m`").hint(format!(
                "if it hangs, end it, or run `shipctl lock release {environment} --force`"
            ))
        }
    }
}

/// What came of trying once.
pub(crate) enum Attempt {
    Ours(Guard),
    Held(Holder),
}

/// What came of releasing somebody's lock.
#[derive(Debug, PartialEq)]
pub(crate) enum Released {
    /// There was none.
    Free,
    Done(Holder),
    /// A process holds it, and it was not to be forced.
    Alive(Holder),
}

/// The locks of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Locks {
    folder: PathBuf,
}

impl Locks {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Tries once. A lock whose holder is gone is taken over; [`Guard::taken_over`] says from whom.
    pub(crate) fn try_acquire(&self, app: &str, claim: &Claim) -> Result<Attempt> {
        let until = Instant::now() + LOOKERS;
        loop {
            match self.try_file(app)? {
                Tried::Ours(mut file, words) => {
                    if let Some(words) = words.clone().filter(|words| words.manual) {
                        return Ok(Attempt::Held(Holder::of(app, Some(words), false)));
                    }
                    let token = Uuid::now_v7().to_string();
                    let own = claim.words(false, &token);
                    // The lock holds without its words: a full disk must not keep a rollback from running.
                    let is_written = write_words(&mut file, Some(&own)).is_ok();
                    return Ok(Attempt::Ours(Guard {
                        app: app.to_owned(),
                        path: self.path(app),
                        token: is_written.then_some(token),
                        taken_over: words.map(|words| Holder::of(app, Some(words), false)),
                        file: Some(file),
                    }));
                }
                Tried::Busy(words) => {
                    let names_somebody_alive = words
                        .as_ref()
                        .is_some_and(|it| !it.manual && deployer::liveness(&it.deployer) != Liveness::Gone);
                    if names_somebody_alive || Instant::now() >= until {
                        return Ok(Attempt::Held(Holder::of(app, words, true)));
                    }
                    std::thread::sleep(LOOKERS_RETRY);
                }
            }
        }
    }

    /// Takes the locks of all `apps`, in one order for everybody, waiting for `wait` at most.
    ///
    /// `on_wait` is told each time that another holder has to be waited for.
    ///
    /// # Errors
    /// Of kind `Locked` with the holder; nothing is held then.
    pub(crate) async fn acquire(
        &self,
        apps: &[&str],
        claim: &Claim,
        wait: Duration,
        mut on_wait: impl FnMut(&Holder),
    ) -> Result<Guards> {
        let until = tokio::time::Instant::now() + wait;
        let mut names = apps.to_vec();
        names.sort_unstable();
        names.dedup();
        let mut guards = Vec::new();
        for app in names {
            let mut told: Option<Holder> = None;
            loop {
                let holder = match self.try_acquire(app, claim)? {
                    Attempt::Ours(guard) => {
                        guards.push(guard);
                        break;
                    }
                    Attempt::Held(holder) => holder,
                };
                let now = tokio::time::Instant::now();
                if now >= until {
                    return Err(holder.error(&claim.environment));
                }
                if told.as_ref() != Some(&holder) {
                    on_wait(&holder);
                    told = Some(holder);
                }
                tokio::time::sleep(RETRY.min(until - now)).await;
            }
        }
        Ok(Guards { guards })
    }

    /// Takes the lock for a person: it stays until it is released.
    ///
    /// # Errors
    /// Of kind `Locked` with the holder.
    pub(crate) fn acquire_manually(&self, app: &str, claim: &Claim) -> Result<Holder> {
        match self.try_acquire(app, claim)? {
            Attempt::Held(holder) => Err(holder.error(&claim.environment)),
            Attempt::Ours(mut guard) => {
                let words = claim.words(true, &Uuid::now_v7().to_string());
                let file = guard.file.take();
                if let Some(mut file) = file {
                    write_words(&mut file, Some(&words))
                        .map_err(|error| cannot("write the lock", &guard.path, &error))?;
                }
                Ok(Holder::of(app, Some(words), false))
            }
        }
    }

    /// Gives somebody's lock back; that of a living process only when `force`d, which then notices.
    pub(crate) fn release(&self, app: &str, force: bool) -> Result<Released> {
        if !self.path(app).exists() {
            return Ok(Released::Free);
        }
        let until = Instant::now() + LOOKERS;
        loop {
            match self.try_file(app)? {
                Tried::Ours(_, None) => return Ok(Released::Free),
                Tried::Ours(mut file, Some(words)) => {
                    write_words(&mut file, None)
                        .map_err(|error| cannot("write the lock", &self.path(app), &error))?;
                    return Ok(Released::Done(Holder::of(app, Some(words), false)));
                }
                Tried::Busy(None) if Instant::now() < until => std::thread::sleep(LOOKERS_RETRY),
                Tried::Busy(words) => {
                    let holder = Holder::of(app, words, true);
                    if !force {
                        return Ok(Released::Alive(holder));
                    }
                    let path = self.path(app);
                    // Whoever comes next locks a new file; the holder's is no longer at this path.
                    fs::remove_file(&path).map_err(|error| cannot("remove the lock", &path, &error))?;
                    return Ok(Released::Done(holder));
                }
            }
        }
    }

    /// Who holds the lock of an app; also who left it behind, with neither `alive` nor `manual`.
    pub(crate) fn holder(&self, app: &str) -> Result<Option<Holder>> {
        let path = self.path(app);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot("read the lock", &path, &error)),
        };
        let words = read_words(&mut file).map_err(|error| cannot("read the lock", &path, &error))?;
        // Asking the system takes the lock for a moment; not while the words alone settle it.
        let is_known_alive = words
            .as_ref()
            .is_some_and(|it| !it.manual && deployer::liveness(&it.deployer) == Liveness::Alive);
        let is_locked = is_known_alive || matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        if words.is_none() && !is_locked {
            return Ok(None);
        }
        Ok(Some(Holder::of(app, words, is_locked)))
    }

    /// Whether nobody holds any of these locks just now.
    ///
    /// # Errors
    /// Of kind `Locked` with the holder.
    pub(crate) fn unheld(&self, apps: &[String], environment: &str) -> Result<()> {
        for app in apps {
            if let Some(holder) = self.holder(app)?.filter(Holder::holds) {
                return Err(holder.error(environment));
            }
        }
        Ok(())
    }

    fn path(&self, app: &str) -> PathBuf {
        self.folder.join(path_safe(app))
    }

    fn try_file(&self, app: &str) -> Result<Tried> {
        let path = self.path(app);
        create_folder(&self.folder)?;
        let fault = |error: &io::Error| cannot("use the lock", &path, error);
        loop {
            let mut file = open_for_writing(&path).map_err(|error| fault(&error))?;
            let is_ours = match file.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => false,
                Err(TryLockError::Error(error)) => return Err(fault(&error)),
            };
            // Between opening and locking the file may have been replaced by force.
            if is_ours && !is_at(&file, &path) {
                continue;
            }
            let words = read_words(&mut file).map_err(|error| fault(&error))?;
            return Ok(if is_ours {
                Tried::Ours(file, words)
            } else {
                Tried::Busy(words)
            });
        }
    }
}

enum Tried {
    /// Locked, with what the last holder left in it.
    Ours(File, Option<Words>),
    Busy(Option<Words>),
}

impl Claim {
    fn words(&self, manual: bool, token: &str) -> Words {
        Words {
            format: 1,
            owner: self.owner.clone(),
            reason: self.reason.clone(),
            environment: self.environment.clone(),
            deployment: self.deployment.clone(),
            since: self.since.clone(),
            manual,
            token: token.to_owned(),
            deployer: self.deployer.clone(),
        }
    }
}

/// A held lock; given back when dropped, and by the system when the process ends.
#[derive(Debug)]
pub(crate) struct Guard {
    app: String,
    path: PathBuf,
    /// `None` where the words could not be written.
    token: Option<String>,
    taken_over: Option<Holder>,
    file: Option<File>,
}

impl Guard {
    /// Who left the lock behind, if somebody did.
    pub(crate) fn taken_over(&self) -> Option<&Holder> {
        self.taken_over.as_ref()
    }

    /// Whether the lock is still this one; nobody has released it by force. Where the whole folder is gone nobody has:
    /// somebody tidied up, and whoever takes the lock makes the folder first.
    fn is_held(&self) -> bool {
        let Some(file) = &self.file else { return false };
        if self.path.parent().is_some_and(|folder| !folder.exists()) {
            return true;
        }
        is_at(file, &self.path)
            && self.token.as_ref().is_none_or(|token| {
                File::open(&self.path)
                    .and_then(|mut file| read_words(&mut file))
                    .is_ok_and(|words| words.is_some_and(|words| words.token == *token))
            })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut file) = self.file.take() {
            // Words of a holder that is gone are harmless: the next one reads them as left behind.
            let _ = write_words(&mut file, None);
        }
    }
}

/// The locks of all apps of one deployment.
#[derive(Debug)]
pub(crate) struct Guards {
    guards: Vec<Guard>,
}

impl Guards {
    /// Those who left their lock behind.
    pub(crate) fn taken_over(&self) -> impl Iterator<Item = &Holder> {
        self.guards.iter().filter_map(Guard::taken_over)
    }

    /// Asked before every call that changes something.
    ///
    /// # Errors
    /// Of kind `Locked`: somebody released one of the locks by force.
    pub(crate) fn still_held(&self) -> Result<()> {
        match self.guards.iter().find(|guard| !guard.is_held()) {
            None => Ok(()),
            Some(lost) => Err(Error::new(
                ErrorKind::Locked,
                format!("the lock of `{}` was taken away from this deployment", lost.app),
            )
            .hint("look who took it with `shipctl lock status`, and what serves with `shipctl status`")),
        }
    }

    /// Gives all of them back.
    pub(crate) fn release(self) {
        drop(self);
    }
}

fn is_at(file: &File, path: &PathBuf) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(own), Ok(there)) => own.dev() == there.dev() && own.ino() == there.ino(),
        _ => false,
    }
}

/// `None` where the file is empty or was left half written.
fn read_words(file: &mut File) -> io::Result<Option<Words>> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(64 * 1024).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

fn write_words(file: &mut File, words: Option<&Words>) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    if let Some(words) = words {
        file.write_all(&serde_json::to_vec(words)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Attempt, Claim, Guard, Locks, Released};
    use crate::error::ErrorKind;
    use crate::state::deployer::this_process;

    fn claim(owner: &str) -> Claim {
        Claim {
            owner: owner.to_owned(),
            reason: Some("deploy".to_owned()),
            environment: "production".to_owned(),
            deployment: Some("d1".to_owned()),
            deployer: this_process(Some("https://ci/1".to_owned())),
            since: "2026-01-28T10:00:00Z".to_owned(),
        }
    }

    fn locks() -> (tempfile::TempDir, Locks) {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::new(folder.path().join("locks"));
        (folder, locks)
    }

    fn ours(attempt: Attempt) -> Guard {
        match attempt {
            Attempt::Ours(guard) => guard,
            Attempt::Held(holder) => panic!("held by {holder:?}"),
        }
    }

    fn is_held(attempt: &Attempt) -> bool {
        matches!(attempt, Attempt::Held(_))
    }

    #[test]
    fn fault_37_one_of_two_gets_it_and_the_other_learns_from_whom() {
        let (_folder, locks) = locks();
        let guard = ours(locks.try_acquire("shop", &claim("first")).unwrap());
        assert!(guard.is_held() && guard.taken_over().is_none());
        let Attempt::Held(holder) = locks.try_acquire("shop", &claim("second")).unwrap() else {
            panic!("two hold it");
        };
        assert!(holder.alive && !holder.manual);
        let error = holder.error("production");
        assert_eq!(error.kind, ErrorKind::Locked);
        assert_eq!(
            error.message,
            "`shop` is locked by first since 2026-01-28T10:00:00Z: deploy (https://ci/1)"
        );
        assert!(
            !is_held(&locks.try_acquire("other", &claim("second")).unwrap()),
            "another app is free"
        );
        drop(guard);
        assert!(locks.holder("shop").unwrap().is_none());
        ours(locks.try_acquire("shop", &claim("second")).unwrap());
    }

    #[test]
    fn a_lock_left_behind_is_taken_over() {
        let (_folder, locks) = locks();
        let mut guard = ours(locks.try_acquire("shop", &claim("killed")).unwrap());
        // As the system does it when a process is killed: the lock goes, the words stay.
        drop(guard.file.take());
        drop(guard);
        let left = locks.release("other", false).unwrap();
        assert_eq!(left, Released::Free);
        let guard = ours(locks.try_acquire("shop", &claim("second")).unwrap());
        assert_eq!(
            guard.taken_over().map(|holder| holder.owner.as_str()),
            Some("killed")
        );
    }

    #[test]
    fn half_written_words_keep_nobody_off() {
        let (_folder, locks) = locks();
        drop(ours(locks.try_acquire("shop", &claim("first")).unwrap()));
        std::fs::write(locks.path("shop"), "{\"owner\":\"fi").unwrap();
        ours(locks.try_acquire("shop", &claim("second")).unwrap());
    }

    #[test]
    fn a_persons_lock_stays_until_it_is_released() {
        let (_folder, locks) = locks();
        let holder = locks.acquire_manually("shop", &claim("person")).unwrap();
        assert!(holder.manual && holder.holds() && !holder.alive);
        assert!(is_held(&locks.try_acquire("shop", &claim("second")).unwrap()));
        let again = locks.acquire_manually("shop", &claim("person")).unwrap_err();
        assert_eq!(again.kind, ErrorKind::Locked);
        assert_eq!(
            locks.holder("shop").unwrap().map(|it| (it.manual, it.alive)),
            Some((true, false))
        );
        assert!(matches!(locks.release("shop", false).unwrap(), Released::Done(_)));
        assert_eq!(locks.release("shop", false).unwrap(), Released::Free);
        ours(locks.try_acquire("shop", &claim("second")).unwrap());
    }

    #[test]
    fn a_living_lock_is_released_by_force_alone_and_its_holder_finds_out() {
        let (_folder, locks) = locks();
        let guard = ours(locks.try_acquire("shop", &claim("first")).unwrap());
        assert!(matches!(
            locks.release("shop", false).unwrap(),
            Released::Alive(_)
        ));
        assert!(guard.is_held());
        assert!(matches!(locks.release("shop", true).unwrap(), Released::Done(_)));
        assert!(!guard.is_held());
        let second = ours(locks.try_acquire("shop", &claim("second")).unwrap());
        drop(guard);
        assert!(
            second.is_held(),
            "the first one's end does not touch the second one's words"
        );
    }

    #[test]
    fn tidying_up_takes_no_lock_away_until_another_takes_it() {
        let (folder, locks) = locks();
        let guard = ours(locks.try_acquire("shop", &claim("first")).unwrap());
        std::fs::remove_dir_all(folder.path().join("locks")).unwrap();
        assert!(guard.is_held());
        let second = ours(locks.try_acquire("shop", &claim("second")).unwrap());
        assert!(!guard.is_held() && second.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_lock_or_with_the_time() {
        let (_folder, locks) = locks();
        let guard = ours(locks.try_acquire("b", &claim("first")).unwrap());
        let mut told = 0;
        let error = locks
            .acquire(&["b", "a", "b"], &claim("second"), Duration::from_secs(2), |_| {
                told += 1;
            })
            .await
            .unwrap_err();
        assert_eq!((error.kind, told), (ErrorKind::Locked, 1));
        assert!(
            locks.holder("a").unwrap().is_none(),
            "what was taken on the way is given back"
        );
        let waiting = async {
            let mut guard = Some(guard);
            let guards = locks
                .acquire(&["b", "a"], &claim("second"), Duration::from_secs(2), |_| {
                    drop(guard.take());
                })
                .await
                .unwrap();
            guards.still_held().unwrap();
            guards.release();
        };
        waiting.await;
        assert!(locks.holder("a").unwrap().is_none() && locks.holder("b").unwrap().is_none());
    }

    #[test]
    fn looking_at_a_lock_keeps_nobody_from_taking_it() {
        let (_folder, locks) = locks();
        drop(ours(locks.try_acquire("shop", &claim("first")).unwrap()));
        std::thread::scope(|scope| {
            let looker = scope.spawn(|| {
                for _ in 0..2000 {
                    locks.holder("shop").unwrap();
                }
            });
            while !looker.is_finished() {
                drop(ours(locks.try_acquire("shop", &claim("second")).unwrap()));
            }
        });
    }

    #[test]
    fn only_one_of_many_holds_it_at_a_time() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        let (_folder, locks) = locks();
        let inside = AtomicUsize::new(0);
        let entered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        if let Attempt::Ours(guard) = locks.try_acquire("shop", &claim("one")).unwrap() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            entered.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(guard);
                        }
                    }
                });
            }
        });
        assert!(entered.load(Ordering::SeqCst) > 0);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Locks::new(file.join("locks"))
            .try_acquire("shop", &claim("first"))
            .err()
            .unwrap();
        assert_eq!(error.kind, ErrorKind::Error);
        assert!(error.message.contains("file/locks"), "{}", error.message);
    }
}
