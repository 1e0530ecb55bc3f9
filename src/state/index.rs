//! A summary of the ledger in rows of fixed size, kept beside it, so that a question reads megabytes and not all of it.
//!
//! The index is a cache: it names how much of the ledger it covers and the key of its last line, each row carries a
//! check, and whatever does not fit is built anew. Lines added since are read and added.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::state::keys::Key;
use crate::state::row::{Row, Span, WORDS};
use crate::state::summary;

const MAGIC: u64 = u64::from_le_bytes(*b"shipctl\x01");
const HEADER_WORDS: usize = 8;
const HEADER: usize = HEADER_WORDS * 8;
/// A row on disk: its words and their check.
const ROW_WORDS: usize = WORDS + 1;
const ROW: usize = ROW_WORDS * 8;

/// Somebody else's update takes milliseconds. A rebuild takes longer and is not waited for: it is made here too.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the ledger holds in brief: one row for each service of each attempt, oldest first.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) rows: Vec<Row>,
    /// Lines that are no record this version knows.
    pub(crate) damaged: u64,
    /// How far into the ledger the rows reach.
    covered: u64,
    /// The last line that they cover.
    last: Span,
    last_key: u64,
}

/// Reads the index of a ledger of `length` bytes, bringing it up to date on disk where that is possible.
pub(crate) fn load(ledger: &File, length: u64, path: &Path) -> io::Result<Index> {
    let mut opened = open(path);
    let mut index = match &mut opened {
        Some((file, _)) => read(file, ledger, length).unwrap_or_default(),
        None => Index::default(),
    };
    if index.covered < length {
        let is_new = index.covered == 0;
        let first_changed = index.catch_up(ledger, length)?;
        if let Some((file, true)) = &mut opened {
            // What fails here is found out by the next reader: the header comes last.
            let _ = index.write(file, if is_new { 0 } else { first_changed });
        }
    }
    Ok(index)
}

/// The rows of ledger lines that are at hand.
pub(crate) fn of_lines(lines: &[u8]) -> Index {
    let mut index = Index::default();
    let mut offset = 0;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        index.take(line, offset);
        offset += line.len() as u64;
    }
    index
}

/// Opens and locks the index; `true` where it may be written. `None` where it can neither be read nor made.
fn open(path: &Path) -> Option<(File, bool)> {
    let writable = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let (file, writable) = match writable {
        Ok(file) => (file, true),
        Err(_) => (File::open(path).ok()?, false),
    };
    let until = Instant::now() + PATIENCE;
    loop {
        let tried = if writable {
            file.try_lock()
        } else {
            file.try_lock_shared()
        };
        match tried {
            Ok(()) => return Some((file, writable)),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(_) => return None,
        }
    }
}

/// `None` where the file is no index of this ledger.
fn read(file: &mut File, ledger: &File, length: u64) -> Option<Index> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).ok()?;
    let words: [u64; HEADER_WORDS] = from_bytes(&header);
    let [
        magic,
        rows,
        covered,
        last_offset,
        last_length,
        last_key,
        damaged,
        check,
    ] = words;
    let held = file.metadata().ok()?.len().saturating_sub(HEADER as u64) / ROW as u64;
    let fits = magic == MAGIC + WORDS as u64
        && check == fold(&words[..HEADER_WORDS - 1])
        && covered <= length
        && last_offset.checked_add(last_length) == Some(covered)
        && rows <= held;
    if !fits || last_length > covered {
        return None;
    }
    let mut last = vec![0; usize::try_from(last_length).ok()?];
    ledger.read_exact_at(&mut last, last_offset).ok()?;
    if line_key(&last) != last_key {
        return None;
    }
    file.seek(SeekFrom::Start(HEADER as u64)).ok()?;
    Some(Index {
        rows: read_rows(file, usize::try_from(rows).ok()?)?,
        damaged,
        covered,
        last: Span {
            offset: last_offset,
            length: last_length,
        },
        last_key,
    })
}

fn read_rows(file: &mut File, count: usize) -> Option<Vec<Row>> {
    const AT_ONCE: usize = 1024;
    let mut rows = Vec::with_capacity(count);
    let mut chunk = vec![0; AT_ONCE * ROW];
    while rows.len() < count {
        let bytes = &mut chunk[..AT_ONCE.min(count - rows.len()) * ROW];
        file.read_exact(bytes).ok()?;
        for row in bytes.chunks_exact(ROW) {
            let words: [u64; ROW_WORDS] = from_bytes(row);
            let (check, own) = words.split_last()?;
            if fold(own) != *check {
                return None;
            }
            rows.push(Row::from_words(own.try_into().ok()?));
        }
    }
    Some(rows)
}

impl Index {
    /// Reads the lines from where the rows end; answers with the first row that changed.
    fn catch_up(&mut self, ledger: &File, length: u64) -> io::Result<usize> {
        let mut reader = BufReader::with_capacity(256 * 1024, ledger);
        reader.seek(SeekFrom::Start(self.covered))?;
        let mut first_changed = self.rows.len();
        let mut line = Vec::new();
        while self.covered < length {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            first_changed = first_changed.min(self.take(&line, self.covered));
        }
        self.last_key = line_key(&line);
        Ok(first_changed)
    }

    /// Takes one line with its newline; answers with the first row that changed.
    fn take(&mut self, line: &[u8], offset: u64) -> usize {
        let span = Span {
            offset,
            length: line.len() as u64,
        };
        let changed = summary::take(&mut self.rows, line, span);
        if changed.is_none() {
            self.damaged += 1;
        }
        self.last = span;
        self.covered = offset + span.length;
        changed.unwrap_or(self.rows.len())
    }

    fn write(&self, file: &mut File, first_changed: usize) -> io::Result<()> {
        // Until the new header is written nothing may take the file for an index of this ledger.
        file.write_all_at(&[0; HEADER], 0)?;
        file.seek(SeekFrom::Start((HEADER + first_changed * ROW) as u64))?;
        let mut bytes = Vec::with_capacity(ROW * 1024);
        for chunk in self.rows[first_changed..].chunks(1024) {
            bytes.clear();
            for row in chunk {
                let words = row.to_words();
                for word in words.iter().chain([&fold(&words)]) {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
            }
            file.write_all(&bytes)?;
        }
        file.set_len((HEADER + self.rows.len() * ROW) as u64)?;
        let own = [
            MAGIC + WORDS as u64,
            self.rows.len() as u64,
            self.covered,
            self.last.offset,
            self.last.length,
            self.last_key,
            self.damaged,
        ];
        let header: Vec<u8> = own
            .iter()
            .chain([&fold(&own)])
            .flat_map(|word| word.to_le_bytes())
            .collect();
        file.write_all_at(&header, 0)
    }
}

fn line_key(line: &[u8]) -> u64 {
    Key::of_bytes(line).0
}

fn from_bytes<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(bytes);
        *word = u64::from_le_bytes(eight);
    }
    words
}

/// A check against rows that never reached the disk or only in part; not against ill will.
fn fold(words: &[u64]) -> u64 {
    words.iter().fold(0x9e37_79b9_7f4a_7c15, |sum, word| {
        (sum ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29)
    })
}
