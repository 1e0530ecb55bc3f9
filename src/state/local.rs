//! A folder on this machine as a store: private modes, whole files or none, durable appends.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::state::keys;
use crate::state::store::{Etag, Journal, Object, Store};

/// Folders are for their owner alone, and so are files.
const FOLDER_MODE: u32 = 0o700;
pub(crate) const FILE_MODE: u32 = 0o600;

/// A writer holds a file for the milliseconds of one line; longer means that it hangs.
const WRITER_PATIENCE: Duration = Duration::from_secs(10);
/// A reader that finds a half line waits this long for its writer before it takes it for torn.
const READER_PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(5);

#[derive(Clone, Debug)]
pub(crate) struct Local {
    folder: PathBuf,
}

impl Local {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key)
    }

    /// Small objects are changed one at a time, so that "as seen" can be compared.
    fn exclusive(&self) -> Result<File> {
        create_folder(&self.folder)?;
        let path = self.path(".lock");
        let file = open_for_writing(&path).map_err(|error| cannot("open", &path, &error))?;
        lock_within(&file, WRITER_PATIENCE).map_err(|error| cannot("lock", &path, &error))?;
        Ok(file)
    }
}

impl Store for Local {
    fn get(&self, key: &str) -> Result<Option<Object>> {
        let path = self.path(key);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Object {
                etag: etag(&bytes),
                bytes,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("read", &path, &error)),
        }
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.path(key);
        let _exclusive = self.exclusive()?;
        if path.exists() {
            return Ok(false);
        }
        write_whole(&path, bytes)?;
        Ok(true)
    }

    fn replace(&self, key: &str, bytes: &[u8], seen: &Etag) -> Result<bool> {
        let path = self.path(key);
        let _exclusive = self.exclusive()?;
        if self.get(key)?.is_none_or(|object| object.etag != *seen) {
            return Ok(false);
        }
        write_whole(&path, bytes)?;
        Ok(true)
    }

    fn remove(&self, key: &str) -> Result<bool> {
        let path = self.path(key);
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(cannot("remove", &path, &error)),
        }
    }

    fn list(&self, key: &str) -> Result<Vec<String>> {
        let path = self.path(key);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(cannot("list", &path, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| cannot("list", &path, &error))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, key: &str) -> Result<Option<Journal>> {
        let path = self.path(key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        let found = regular_length(&file, &path)?;
        let whole = end_of_last_line(&file, found).map_err(|error| cannot("read", &path, &error))?;
        let mut journal = Journal {
            file,
            length: whole,
            warnings: Vec::new(),
        };
        if whole < found {
            (journal.length, journal.warnings) = set_torn_line_aside(&path, whole)?;
        }
        Ok(Some(journal))
    }

    fn append(&self, key: &str, length: u64, line: &[u8]) -> Result<bool> {
        let path = self.path(key);
        if let Some(folder) = path.parent() {
            create_folder(folder)?;
        }
        let is_new = length == 0 && !path.exists();
        let mut file = open_for_writing(&path).map_err(|error| cannot("write", &path, &error))?;
        regular_length(&file, &path)?;
        lock_within(&file, WRITER_PATIENCE).map_err(|error| cannot("lock", &path, &error))?;
        if regular_length(&file, &path)? != length {
            return Ok(false);
        }
        let written = file
            .seek(SeekFrom::Start(length))
            .and_then(|_| file.write_all(line))
            .and_then(|()| file.sync_data())
            .and_then(|()| if is_new { sync_folder_of(&path) } else { Ok(()) });
        match written {
            Ok(()) => Ok(true),
            Err(error) => {
                // Half a line would be set aside by the next reader; better it never was.
                let _ = file.set_len(length);
                Err(cannot("write", &path, &error))
            }
        }
    }
}

/// An I/O failure as an error that names the path and what mends it.
pub(crate) fn cannot(action: &str, path: &Path, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "free some space there, or keep the state elsewhere with `SHIPCTL_STATE=FOLDER`"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => {
            "a file stands where a folder is needed, or the other way round: move it away, \
             or keep the state elsewhere with `SHIPCTL_STATE=FOLDER`"
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "another shipctl holds the file and does not go on: look for it with `ps`"
        }
        _ => "make it writable for this user, or keep the state elsewhere with `SHIPCTL_STATE=FOLDER`",
    };
    Error::internal(format!("cannot {action} `{}`", path.display()))
        .cause(error)
        .hint(hint)
}

/// Creates `folder` and what leads to it, for the owner alone.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .map_err(|error| cannot("create the folder", folder, &error))
}

/// Opens for reading and writing, made with a private mode where it is missing.
pub(crate) fn open_for_writing(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
}

/// Takes the OS lock of an open file, or says `WouldBlock` when it is still held after `patience`.
pub(crate) fn lock_within(file: &File, patience: Duration) -> io::Result<()> {
    let until = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(RETRY),
            Err(fs::TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn etag(bytes: &[u8]) -> Etag {
    Etag(keys::hash(bytes))
}

/// Writes beside, then renames: a reader sees the old object or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_folder(folder)?;
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(Permissions::from_mode(FILE_MODE))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        sync_folder_of(path)
    };
    write().map_err(|error| cannot("write", path, &error))
}

/// A new name lasts only once its folder is on disk.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// A journal is a regular file; a device would be read without end.
fn regular_length(file: &File, path: &Path) -> Result<u64> {
    let found = file.metadata().map_err(|error| cannot("read", path, &error))?;
    if found.is_file() {
        return Ok(found.len());
    }
    Err(
        Error::internal(format!("cannot use `{}`: it is no regular file", path.display()))
            .hint("move it away, or keep the state elsewhere with `SHIPCTL_STATE=FOLDER`"),
    )
}

/// Where the last whole line ends; 0 where there is none.
fn end_of_last_line(file: &File, length: u64) -> io::Result<u64> {
    const CHUNK: u64 = 8 * 1024;
    let mut end = length;
    let mut chunk = Vec::new();
    while end > 0 {
        let from = end.saturating_sub(CHUNK);
        chunk.resize(usize::try_from(end - from).unwrap_or_default(), 0);
        file.read_exact_at(&mut chunk, from)?;
        if let Some(at) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

/// Moves what follows the last whole line into a file of its own, unless its writer is still at work.
///
/// Answers with the length that counts, and what to say about it. Where the folder cannot be written, the half
/// line stays and is not read.
fn set_torn_line_aside(path: &Path, whole: u64) -> Result<(u64, Vec<String>)> {
    let said = |what: &str| {
        format!(
            "the last line of `{}` was cut off while it was written; {what}",
            path.display()
        )
    };
    let ignored = || (whole, vec![said("it is not read")]);
    let Ok(mut file) = OpenOptions::new().read(true).write(true).open(path) else {
        return Ok(ignored());
    };
    if lock_within(&file, READER_PATIENCE).is_err() {
        return Ok(ignored());
    }
    let reading = |error: io::Error| cannot("read", path, &error);
    let length = regular_length(&file, path)?;
    let whole = end_of_last_line(&file, length).map_err(reading)?;
    if whole == length {
        return Ok((whole, Vec::new()));
    }
    let mut torn = Vec::new();
    file.seek(SeekFrom::Start(whole)).map_err(reading)?;
    file.read_to_end(&mut torn).map_err(reading)?;
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(format!(".torn-{whole}"));
    let aside = path.with_file_name(name);
    if write_whole(&aside, &torn).is_err() || file.set_len(whole).and_then(|()| file.sync_data()).is_err() {
        return Ok(ignored());
    }
    let what = format!("it is kept in `{}`", aside.display());
    Ok((whole, vec![said(&what)]))
}
