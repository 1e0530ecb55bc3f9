//! A summary of the ledger in rows of fixed size, kept beside it, so that a question reads megabytes and not all of it.
//!
//! The index is a cache: it names how much of the ledger it covers and the key of its last line, each row carries a
//! check, and whatever does not fit is built anew. Lines added since are read and added.
//!
//! Reading is about memory: the first touch of a page costs more than reading what fills it. So rows pass through a
//! small buffer, only what is compared stays, and a long index is read by as many threads as there are cores.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::iter;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::state::keys::Key;
use crate::state::row::{Row, Span, WORDS, WholeRow};
use crate::state::rows::{PIECE, Rows};
use crate::state::summary::{self, Gathered, Taken};

const MAGIC: u64 = u64::from_le_bytes(*b"shipctl\x01");
const HEADER_WORDS: usize = 8;
const HEADER: usize = HEADER_WORDS * 8;
/// A row on disk: its words and their check.
const ROW_WORDS: usize = WORDS + 1;
const ROW: usize = ROW_WORDS * 8;
/// Rows that pass through the buffer at once.
const AT_ONCE: usize = 1024;
/// The fewest rows that are worth a thread, and the most threads.
const SHARE: usize = 16 * PIECE;
const THREADS: usize = 4;
/// A new line nearly always belongs to one of the last attempts: so many rows are looked at for it.
const TAIL: usize = 1024;

/// Somebody else's update takes milliseconds. A rebuild takes longer and is not waited for: it is made here too.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the ledger holds in brief, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// One for each service of each attempt.
    pub(crate) rows: Rows,
    /// The apps and services that rows name by their place here.
    pub(crate) names: Vec<Key>,
    /// Lines that are no record this version knows.
    pub(crate) damaged: u64,
    /// The attempt of the last row.
    pub(crate) newest_id: Option<u128>,
    /// The file, where whole rows are looked up, up to those of `tail`.
    file: Option<File>,
    /// The last rows, where they are newer than the file.
    tail: Tail,
}

/// Rows at the end, held whole while lines are added to them.
#[derive(Debug, Default)]
struct Tail {
    /// The place of its first row.
    from: usize,
    rows: Gathered,
}

/// How far an index reaches into the ledger.
#[derive(Clone, Copy, Debug, Default)]
struct Coverage {
    rows: usize,
    bytes: u64,
    last: Span,
    last_key: u64,
    damaged: u64,
}

/// Reads the index of a ledger of `length` bytes, bringing it up to date on disk where that is possible.
pub(crate) fn load(ledger: &File, length: u64, path: &Path) -> io::Result<Index> {
    load_or_update(ledger, length, path, true)
}

/// Brings the index up to date without reading more of it than that takes.
pub(crate) fn update(ledger: &File, length: u64, path: &Path) -> io::Result<()> {
    load_or_update(ledger, length, path, false).map(|_| ())
}

fn load_or_update(ledger: &File, length: u64, path: &Path, wants_rows: bool) -> io::Result<Index> {
    let mut opened = open(path);
    let mut coverage = match &opened {
        Some((file, _)) => read_coverage(file, ledger, length).unwrap_or_default(),
        None => Coverage::default(),
    };
    let mut tail = Tail {
        from: coverage.rows,
        rows: Gathered::default(),
    };
    if coverage.bytes < length {
        let file = opened.as_ref().map(|(file, _)| file);
        (coverage, tail) = catch_up(file, coverage, ledger, length)?;
        if let Some((file, true)) = &mut opened {
            // What fails here is found out by the next reader: the header comes last.
            if write(file, &coverage, &tail).is_ok() {
                tail = Tail {
                    from: coverage.rows,
                    rows: Gathered::default(),
                };
            }
        }
    }
    let mut index = Index {
        damaged: coverage.damaged,
        ..Index::default()
    };
    if !wants_rows {
        return Ok(index);
    }
    if let Some((file, _)) = opened {
        for part in read_rows(&file, tail.from, threads_for(tail.from))? {
            let Some(part) = part else {
                // Rows that never reached the disk, or only in part.
                return from_nothing(ledger, length, &file);
            };
            index.append(part);
        }
        let _ = file.unlock();
        index.file = Some(file);
    }
    for whole in tail.rows.iter() {
        index.add(whole);
    }
    index.tail = tail;
    Ok(index)
}

/// A short index is read before another thread has begun.
fn threads_for(rows: usize) -> usize {
    match rows / SHARE {
        0 | 1 => 1,
        shares => shares
            .min(THREADS)
            .min(thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// Reads the first rows of the file, in parts that follow each other; `None` for one that is not as it was written.
fn read_rows(file: &File, rows: usize, threads: usize) -> io::Result<Vec<Option<Index>>> {
    let share = rows.div_ceil(threads).next_multiple_of(PIECE);
    let part = |number: usize| {
        let mut part = Index::default();
        let places = (number * share).min(rows)..((number + 1) * share).min(rows);
        let is_read = each_row(file, places, &mut |whole| part.add(whole))?;
        Ok(is_read.then_some(part))
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|number| scope.spawn(move || part(number)))
            .collect();
        let first = part(0);
        let others = others.into_iter().map(|other| {
            other
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a reader of the index panicked")))
        });
        iter::once(first).chain(others).collect()
    })
}

/// Reads the whole ledger, since the rows on disk are damaged, and writes them anew where that is possible.
fn from_nothing(ledger: &File, length: u64, file: &File) -> io::Result<Index> {
    let (coverage, tail) = catch_up(None, Coverage::default(), ledger, length)?;
    let _ = write(file, &coverage, &tail);
    let mut index = Index {
        damaged: coverage.damaged,
        ..Index::default()
    };
    for whole in tail.rows.iter() {
        index.add(whole);
    }
    index.tail = tail;
    Ok(index)
}

impl Index {
    fn add(&mut self, whole: &WholeRow) {
        let [app, service] = [whole.app, whole.service].map(|name| self.place_of(name));
        self.newest_id = Some(whole.id);
        self.rows.push(Row {
            app,
            service,
            ..whole.row
        });
    }

    /// Adds the rows of another, which names its apps and services by places of its own.
    fn append(&mut self, mut other: Self) {
        let places: Vec<u16> = other.names.iter().map(|name| self.place_of(*name)).collect();
        let here = |there: u16| places.get(usize::from(there)).copied().unwrap_or(u16::MAX);
        if places.iter().zip(0..).any(|(here, there)| *here != there) {
            for row in other.rows.iter_mut() {
                (row.app, row.service) = (here(row.app), here(row.service));
            }
        }
        self.newest_id = other.newest_id.or(self.newest_id);
        self.rows.append(other.rows);
    }

    /// An environment has a few names. Those beyond what a place can tell share one that nothing is looked up by.
    fn place_of(&mut self, name: Key) -> u16 {
        let at = self
            .names
            .iter()
            .position(|known| *known == name)
            .unwrap_or_else(|| {
                self.names.push(name);
                self.names.len() - 1
            });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// The whole row at a place.
    pub(crate) fn whole(&self, at: usize) -> io::Result<WholeRow> {
        let in_tail = at.checked_sub(self.tail.from);
        if let Some(whole) = in_tail.and_then(|at| self.tail.rows.get(at)) {
            return Ok(*whole);
        }
        let mut found = None;
        if let Some(file) = &self.file {
            each_row(file, at..at + 1, &mut |whole| found = Some(*whole))?;
        }
        found.ok_or_else(|| io::Error::other("the index beside the ledger has changed meanwhile"))
    }

    /// All whole rows, oldest first.
    pub(crate) fn each_whole(&self, mut tell: impl FnMut(usize, &WholeRow)) -> io::Result<()> {
        let mut at = 0;
        if let Some(file) = &self.file {
            let is_read = each_row(file, 0..self.tail.from.min(self.rows.len()), &mut |whole| {
                tell(at, whole);
                at += 1;
            })?;
            if !is_read {
                return Err(io::Error::other(
                    "the index beside the ledger has changed meanwhile",
                ));
            }
        }
        for (tail, whole) in self.tail.rows.iter().enumerate() {
            tell(self.tail.from + tail, whole);
        }
        Ok(())
    }
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
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return None;
    }
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
fn read_coverage(file: &File, ledger: &File, length: u64) -> Option<Coverage> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).ok()?;
    let words: [u64; HEADER_WORDS] = from_bytes(&header);
    let [magic, rows, bytes, offset, last_length, last_key, damaged, check] = words;
    let held = file.metadata().ok()?.len().saturating_sub(HEADER as u64) / ROW as u64;
    let fits = magic == MAGIC + WORDS as u64
        && check == fold(&words[..HEADER_WORDS - 1])
        && bytes <= length
        && offset.checked_add(last_length) == Some(bytes)
        && rows <= held;
    if !fits {
        return None;
    }
    let mut last = vec![0; usize::try_from(last_length).ok()?];
    ledger.read_exact_at(&mut last, offset).ok()?;
    (line_key(&last) == last_key).then_some(Coverage {
        rows: usize::try_from(rows).ok()?,
        bytes,
        last: Span {
            offset,
            length: last_length,
        },
        last_key,
        damaged,
    })
}

/// Passes rows of the file; `false` if one of them is not as it was written.
fn each_row(
    file: &File,
    places: std::ops::Range<usize>,
    tell: &mut impl FnMut(&WholeRow),
) -> io::Result<bool> {
    let mut buffer = vec![0; places.len().min(AT_ONCE) * ROW];
    let mut at = places.start;
    while at < places.end {
        let bytes = &mut buffer[..AT_ONCE.min(places.end - at) * ROW];
        file.read_exact_at(bytes, (HEADER + at * ROW) as u64)?;
        for row in bytes.chunks_exact(ROW) {
            let words: [u64; ROW_WORDS] = from_bytes(row);
            let [own @ .., check] = words;
            if fold(&own) != check {
                return Ok(false);
            }
            tell(&WholeRow::from_words(&own));
        }
        at += AT_ONCE;
    }
    Ok(true)
}

/// Reads the lines from where the rows end. Only the last rows are taken into memory for it, unless a line belongs to
/// an attempt from before those.
fn catch_up(
    file: Option<&File>,
    known: Coverage,
    ledger: &File,
    length: u64,
) -> io::Result<(Coverage, Tail)> {
    let mut from = known.rows.saturating_sub(TAIL);
    loop {
        let mut tail = Tail {
            from,
            rows: Gathered::default(),
        };
        let is_read = match file {
            Some(file) => each_row(file, from..known.rows, &mut |whole| tail.rows.push(*whole))?,
            None => known.rows == 0,
        };
        if !is_read {
            return catch_up(None, Coverage::default(), ledger, length);
        }
        if let Some(coverage) = take_lines(known, &mut tail, ledger, length)? {
            return Ok((coverage, tail));
        }
        from = 0;
    }
}

/// `None` where a line belongs to an attempt from before the tail.
fn take_lines(known: Coverage, tail: &mut Tail, ledger: &File, length: u64) -> io::Result<Option<Coverage>> {
    let mut coverage = known;
    let mut reader = BufReader::with_capacity(256 * 1024, ledger);
    reader.seek(SeekFrom::Start(coverage.bytes))?;
    let mut line = Vec::new();
    while coverage.bytes < length {
        line.clear();
        let left = length - coverage.bytes;
        if reader.by_ref().take(left).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let span = Span {
            offset: coverage.bytes,
            length: line.len() as u64,
        };
        match summary::take(&mut tail.rows, &line, span) {
            Taken::Orphan if tail.from > 0 => return Ok(None),
            Taken::Known | Taken::Orphan => {}
            Taken::Nothing => coverage.damaged += 1,
        }
        coverage.last = span;
        coverage.bytes += span.length;
    }
    if !line.is_empty() {
        coverage.last_key = line_key(&line);
    }
    coverage.rows = tail.from + tail.rows.len();
    Ok(Some(coverage))
}

fn write(file: &File, coverage: &Coverage, tail: &Tail) -> io::Result<()> {
    // Until the new header is written nothing may take the file for an index of this ledger.
    file.write_all_at(&[0; HEADER], 0)?;
    let mut at = (HEADER + tail.from * ROW) as u64;
    let mut bytes = Vec::with_capacity(ROW * AT_ONCE.min(tail.rows.len()));
    for chunk in tail.rows.chunks(AT_ONCE) {
        bytes.clear();
        for whole in chunk {
            let words = whole.to_words();
            for word in words.iter().chain([&fold(&words)]) {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
        }
        file.write_all_at(&bytes, at)?;
        at += bytes.len() as u64;
    }
    file.set_len((HEADER + coverage.rows * ROW) as u64)?;
    let own = [
        MAGIC + WORDS as u64,
        coverage.rows as u64,
        coverage.bytes,
        coverage.last.offset,
        coverage.last.length,
        coverage.last_key,
        coverage.damaged,
    ];
    let header: Vec<u8> = own
        .iter()
        .chain([&fold(&own)])
        .flat_map(|word| word.to_le_bytes())
        .collect();
    file.write_all_at(&header, 0)
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

/// A check against rows that never reached the disk or only in part; not against ill will. In lanes, so that one
/// multiplication need not wait for the other.
fn fold(words: &[u64]) -> u64 {
    const SEEDS: [u64; 4] = [
        0x9e37_79b9_7f4a_7c15,
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
        0xd6e8_feb8_6659_fd93,
    ];
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    let mut lanes = SEEDS;
    for words in words.chunks(4) {
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = mix(*lane, *word);
        }
    }
    lanes.into_iter().fold(words.len() as u64, mix)
}

#[cfg(test)]
mod tests {
    use super::{Coverage, Index, PIECE, Tail, read_rows, write};
    use crate::state::keys::Key;
    use crate::state::row::{Row, WholeRow};

    /// As many rows, of which each third of a piece names an app and a service of its own.
    fn written(rows: usize) -> (std::fs::File, Vec<WholeRow>) {
        let whole = |at: usize| WholeRow {
            id: at as u128,
            app: Key(1 + (at / (PIECE / 3)) as u64 % 7),
            service: Key(100 + (at / (PIECE / 3)) as u64 % 5),
            row: Row {
                commit: u32::try_from(at).unwrap(),
                ..Row::default()
            },
            ..WholeRow::default()
        };
        let tail = Tail {
            from: 0,
            rows: (0..rows).map(whole).collect(),
        };
        let coverage = Coverage {
            rows,
            ..Coverage::default()
        };
        let file = tempfile::tempfile().unwrap();
        write(&file, &coverage, &tail).unwrap();
        (file, tail.rows.to_vec())
    }

    fn joined(file: &std::fs::File, rows: usize, threads: usize) -> Option<Index> {
        let mut index = Index::default();
        for part in read_rows(file, rows, threads).unwrap() {
            index.append(part?);
        }
        Some(index)
    }

    #[test]
    fn however_many_threads_read_it_it_is_the_same_index() {
        for rows in [0, 1, PIECE, 3 * PIECE + 5, 9 * PIECE] {
            let (file, written) = written(rows);
            for threads in [1, 2, 3, 4] {
                let index = joined(&file, rows, threads).unwrap();
                assert_eq!(index.rows.len(), rows);
                assert_eq!(index.newest_id, written.last().map(|whole| whole.id));
                for (whole, (at, row)) in written.iter().zip(index.rows.iter()) {
                    let names = [row.app, row.service].map(|place| index.names[usize::from(place)]);
                    assert_eq!(names, [whole.app, whole.service], "{at} of {rows} by {threads}");
                    assert_eq!(row.commit, whole.row.commit);
                }
            }
        }
    }

    #[test]
    fn a_row_that_is_not_as_it_was_written_is_seen_in_every_part() {
        use std::os::unix::fs::FileExt;

        for at in [0, PIECE + 1, 3 * PIECE - 1] {
            let (file, _) = written(3 * PIECE);
            file.write_all_at(b"?", (super::HEADER + at * super::ROW) as u64)
                .unwrap();
            for threads in [1, 3] {
                assert!(joined(&file, 3 * PIECE, threads).is_none(), "{at} {threads}");
            }
        }
    }
}
