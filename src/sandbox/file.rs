//! The world file: read, advanced and written under an OS file lock by whoever looks; no process owns it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::world::{Millis, World, stamp};

/// What the file of command lines ends in.
const COMMANDS: &str = ".commands";

/// Where a world lies.
#[derive(Clone, Debug)]
pub(super) struct WorldFile {
    path: PathBuf,
}

/// The real time, in milliseconds since 1970.
///
/// Not `effect::clock`: a test may move shipctl's clock by hours, and the platform's does not move with it.
#[expect(
    clippy::disallowed_methods,
    reason = "the platform's clock is another one than shipctl's"
)]
pub(super) fn now() -> Millis {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

impl WorldFile {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    }

    /// Opens the file that is locked; the lock goes with it, also from a process that is killed.
    fn lock_file(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.beside(".lock"))
    }

    fn load(&self) -> io::Result<World> {
        match fs::read(&self.path) {
            Ok(text) => World::parse(&text).map_err(|why| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{}: {why}", self.path.display()),
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(World::default()),
            Err(error) => Err(error),
        }
    }

    /// Written beside and renamed: whoever is killed meanwhile leaves the old world or the new one.
    fn save(&self, world: &World) -> io::Result<()> {
        let next = self.beside(".new");
        fs::write(&next, serde_json::to_vec(world)?)?;
        fs::rename(&next, &self.path)
    }

    /// Looks at the world as it is now; what was due has happened.
    pub(super) fn look<T>(&self, look: impl FnOnce(&World, Millis) -> T) -> io::Result<T> {
        self.touch_if(|_| false, |world, now| (look(world, now), false))
    }

    /// Changes the world as it is now.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut World, Millis) -> T) -> io::Result<T> {
        self.touch(|world, now| (change(world, now), true))
    }

    /// The same, where `act` says whether it changed anything.
    pub(super) fn touch<T>(&self, act: impl FnOnce(&mut World, Millis) -> (T, bool)) -> io::Result<T> {
        self.touch_if(|_| true, act)
    }

    /// The same for an act that can only change the world where `writes` says so: else many may look side by side,
    /// unless something was due.
    pub(super) fn touch_if<T>(
        &self,
        writes: impl FnOnce(&World) -> bool,
        act: impl FnOnce(&mut World, Millis) -> (T, bool),
    ) -> io::Result<T> {
        let lock = self.lock_file()?;
        lock.lock_shared()?;
        let mut world = self.load()?;
        if !writes(&world) {
            let now = now();
            if !world.is_due(now) {
                return Ok(act(&mut world, now).0);
            }
        }
        lock.unlock()?;
        lock.lock()?;
        let mut world = self.load()?;
        let now = now();
        let advanced = world.advance(now);
        let (found, changed) = act(&mut world, now);
        if advanced || changed {
            self.save(&world)?;
        }
        Ok(found)
    }

    /// Notes a command line, beside the world: reading is no reason to write it.
    pub(super) fn note_command(&self, args: &[String]) -> io::Result<()> {
        let mut line = serde_json::to_vec(&json!({"at": stamp(now()), "command": args}))?;
        line.push(b'\n');
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.beside(COMMANDS))?
            .write_all(&line)
    }

    /// The command lines noted so far, oldest first.
    pub(super) fn commands(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.beside(COMMANDS)).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Begins the notes anew; where there are none, that is done already.
    pub(super) fn forget_commands(&self) {
        let _ = fs::remove_file(self.beside(COMMANDS));
    }

    /// Every file that a world consists of.
    pub(super) fn parts(&self) -> [PathBuf; 4] {
        [
            self.path.clone(),
            self.beside(".new"),
            self.beside(".lock"),
            self.beside(COMMANDS),
        ]
    }
}
