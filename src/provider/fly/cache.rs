//! What was learned of a flyctl, so that it need not be asked again: its version and its flags, for as long as its
//! file stays the same. The cache is never needed: what cannot be read is asked again, what cannot be written is not.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::environment::Variables;
use super::flags::Flags;
use super::output::version::Version;
use super::program::Program;

const FORMAT: u32 = 1;
/// Programs that are remembered; more are hardly in use on one machine.
const REMEMBERED: usize = 8;
const FILE: &str = "flyctl.json";
/// No sane cache is larger.
const LARGEST: u64 = 1 << 20;

/// `$XDG_CACHE_HOME/shipctl`, else `~/.cache/shipctl`.
pub(crate) fn directory(given: &Variables) -> Option<PathBuf> {
    let absolute = |name: &str| {
        given
            .get(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("shipctl"))
}

/// What a flyctl is and can.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Known {
    pub(super) version: Version,
    pub(super) flags: Flags,
}

/// What tells one flyctl's file from another.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Key {
    path: PathBuf,
    arg0: Option<String>,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// A file that was put in its place with the same size and time is another one.
    inode: u64,
}

impl Key {
    fn of(program: &Program) -> Option<Self> {
        let file = fs::metadata(&program.path).ok()?;
        Some(Self {
            path: program.path.clone(),
            arg0: program.arg0.clone(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            inode: file.ino(),
        })
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct File {
    format: u32,
    entries: Vec<(Key, Known)>,
}

impl File {
    fn read(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let readable = fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= LARGEST);
        let file: Option<Self> = readable
            .then(|| fs::read(&path).ok())
            .flatten()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        file.filter(|file| file.format == FORMAT).unwrap_or_default()
    }
}

/// What was learned of this very file before.
pub(super) fn recall(directory: &Path, program: &Program) -> Option<Known> {
    let key = Key::of(program)?;
    let file = File::read(directory);
    file.entries
        .into_iter()
        .find(|(known, _)| *known == key)
        .map(|(_, known)| known)
}

/// Remembers it for the next time. Of two that write at once one is forgotten, and neither sees half a file.
pub(super) fn remember(directory: &Path, program: &Program, known: &Known) {
    let Some(key) = Key::of(program) else { return };
    let mut file = File::read(directory);
    file.format = FORMAT;
    file.entries
        .retain(|(other, _)| other.path != key.path || other.arg0 != key.arg0);
    file.entries.insert(0, (key, known.clone()));
    file.entries.truncate(REMEMBERED);
    let write = || -> std::io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
        temporary.write_all(&serde_json::to_vec(&file)?)?;
        temporary.persist(directory.join(FILE))?;
        Ok(())
    };
    if let Err(error) = write() {
        tracing::debug!(%error, directory = %directory.display(), "flyctl's version is not remembered");
    }
}

/// An empty directory to call flyctl in: in any other it would read a `fly.toml` that has nothing to do with the call,
/// and fail where that is broken.
pub(super) fn empty_directory(directory: Option<&Path>) -> PathBuf {
    directory
        .map(|directory| directory.join("empty"))
        .filter(|empty| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(empty)
                .is_ok()
        })
        .unwrap_or_else(|| PathBuf::from("/"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{FILE, Known, directory, recall, remember};
    use crate::provider::fly::environment::Variables;
    use crate::provider::fly::flags::Flags;
    use crate::provider::fly::output::version::Version;
    use crate::provider::fly::program::Program;

    fn program(path: &Path) -> Program {
        fs::write(path, path.display().to_string()).unwrap();
        Program {
            path: path.to_owned(),
            arg0: None,
            env: Vec::new(),
        }
    }

    fn known(version: &str) -> Known {
        Known {
            version: Version::of(version).unwrap(),
            flags: Flags::parse("  -a, --app string   x\n      --detach   y\n"),
        }
    }

    #[test]
    fn it_is_known_until_its_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache/shipctl");
        let first = program(&dir.path().join("first"));
        let second = program(&dir.path().join("second"));
        assert_eq!(recall(&cache, &first), None);
        remember(&cache, &first, &known("0.2.4"));
        remember(&cache, &second, &known("0.4.87"));
        assert_eq!(recall(&cache, &first), Some(known("0.2.4")));
        assert_eq!(recall(&cache, &second), Some(known("0.4.87")));
        let renamed = Program {
            arg0: Some("flyctl".into()),
            ..first.clone()
        };
        assert_eq!(recall(&cache, &renamed), None);
        fs::write(&first.path, "another size").unwrap();
        assert_eq!(recall(&cache, &first), None);
        assert!(recall(&cache, &second).is_some());
    }

    #[test]
    fn a_broken_or_forbidden_cache_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let program = program(&dir.path().join("flyctl"));
        for text in [
            "",
            "{",
            "[]",
            "{\"format\":99,\"entries\":[]}",
            "{\"format\":1,\"entries\":[[1,2]]}",
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            assert_eq!(recall(dir.path(), &program), None, "{text}");
            remember(dir.path(), &program, &known("0.2.4"));
            assert_eq!(recall(dir.path(), &program), Some(known("0.2.4")), "{text}");
        }
        let file = dir.path().join("a-file");
        fs::write(&file, "").unwrap();
        remember(&file, &program, &known("0.2.4"));
        assert_eq!(recall(&file, &program), None);
    }

    #[test]
    fn writers_side_by_side_leave_a_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let programs: Vec<_> = (0..4)
            .map(|n| program(&dir.path().join(format!("flyctl{n}"))))
            .collect();
        std::thread::scope(|scope| {
            for program in &programs {
                scope.spawn(|| {
                    for _ in 0..50 {
                        remember(dir.path(), program, &known("0.2.4"));
                        recall(dir.path(), program);
                    }
                });
            }
        });
        let whole: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.path().join(FILE)).unwrap()).unwrap();
        assert_eq!(whole["format"], 1);
    }

    #[test]
    fn the_directory_follows_the_variables() {
        let given = |pairs: &[(&str, &str)]| -> Variables {
            pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect()
        };
        let home = ("HOME", "/home/dev");
        assert_eq!(
            directory(&given(&[home])),
            Some(PathBuf::from("/home/dev/.cache/shipctl"))
        );
        assert_eq!(
            directory(&given(&[home, ("XDG_CACHE_HOME", "/c")])),
            Some(PathBuf::from("/c/shipctl"))
        );
        assert_eq!(
            directory(&given(&[home, ("XDG_CACHE_HOME", "relative")])),
            Some(PathBuf::from("/home/dev/.cache/shipctl"))
        );
        assert_eq!(directory(&given(&[])), None);
    }
}
