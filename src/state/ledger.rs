//! The append-only history of an environment: one JSON record a line, each naming the hash of the line before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::state::history::History;
use crate::state::local::cannot;
use crate::state::record::{FORMAT, Record};
use crate::state::store::Store;
use crate::state::{index, keys, line};

const LEDGER: &str = "ledger.jsonl";
const INDEX: &str = "ledger.index";

/// How often an append begins anew because somebody else's line came first.
const ATTEMPTS: usize = 100;

pub(crate) struct Ledger {
    store: Arc<dyn Store>,
    environment: String,
    folder: PathBuf,
}

impl Ledger {
    /// `folder` is where the index lies, which is rebuilt when it does not fit the ledger.
    pub(crate) fn new(store: Arc<dyn Store>, environment: &str, folder: &Path) -> Self {
        Self {
            store,
            environment: environment.to_owned(),
            folder: folder.to_owned(),
        }
    }

    /// Where the ledger lies, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(LEDGER)
    }

    /// Adds a record, durable once this returns. Answers with what was found wrong on the way.
    ///
    /// # Errors
    /// Of kind `Error`: the place cannot be written, or the ledger is of a newer format.
    pub(crate) fn append(&self, record: &Record) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        for _ in 0..ATTEMPTS {
            let (length, tail) = match self.store.open(LEDGER)? {
                Some(journal) => {
                    warnings.extend(journal.warnings);
                    let tail = self.tail(&journal.file, journal.length)?;
                    (journal.length, tail)
                }
                None => (0, Tail::default()),
            };
            if let Some(newer) = tail.newer_format {
                return Err(Error::internal(format!(
                    "the ledger `{}` has format {newer}",
                    self.path().display()
                ))
                .cause(format!("this shipctl writes format {FORMAT}"))
                .hint("update shipctl; until then the ledger is only read"));
            }
            let line = line::write(record, tail.last.as_deref())?;
            if self.store.append(LEDGER, length, &line)? {
                self.bring_index_up_to_date();
                return Ok(warnings);
            }
        }
        Err(Error::internal(format!(
            "cannot write `{}`: others write to it all the time",
            self.path().display()
        )))
    }

    /// Opens the ledger for questions. What was found wrong is in [`History::warnings`].
    pub(crate) fn read(&self) -> Result<History> {
        let Some(journal) = self.store.open(LEDGER)? else {
            return Ok(History::empty(&self.environment));
        };
        let reading = |error: io::Error| cannot("read", &self.path(), &error);
        let mut warnings = journal.warnings;
        let tail = self.tail(&journal.file, journal.length)?;
        if let Some(newer) = tail.newer_format {
            warnings.push(format!(
                "the ledger of `{}` has format {newer}, this shipctl knows {FORMAT}: it is read as far as it is \
                 understood, and not written",
                self.environment
            ));
        }
        if tail.is_broken {
            warnings.push(format!(
                "the last line of `{}` does not follow the one before it: the ledger was changed by something else",
                self.path().display()
            ));
        }
        let index = index::load(&journal.file, journal.length, &self.folder.join(INDEX)).map_err(reading)?;
        if index.damaged > 0 && tail.newer_format.is_none() {
            warnings.push(format!(
                "{} of the lines of `{}` cannot be read and do not count",
                index.damaged,
                self.path().display()
            ));
        }
        Ok(History::new(&self.environment, index, journal.file, warnings))
    }

    /// An index that cannot be written costs time, not truth.
    fn bring_index_up_to_date(&self) {
        if let Ok(Some(journal)) = self.store.open(LEDGER) {
            let _ = index::update(&journal.file, journal.length, &self.folder.join(INDEX));
        }
    }

    fn tail(&self, file: &File, length: u64) -> Result<Tail> {
        let reading = |error: io::Error| cannot("read", &self.path(), &error);
        let Some(last) = line_before(file, length).map_err(reading)? else {
            return Ok(Tail::default());
        };
        let envelope = line::envelope(&last);
        let before = line_before(file, length - last.len() as u64 - 1).map_err(reading)?;
        let expected = before.map(|before| keys::hash(&before)).unwrap_or_default();
        Ok(Tail {
            newer_format: envelope.as_ref().map(|it| it.format).filter(|it| *it > FORMAT),
            is_broken: envelope.is_none_or(|it| it.after != expected),
            last: Some(last),
        })
    }
}

/// The end of the ledger: what a new line follows, and whether it may.
#[derive(Default)]
struct Tail {
    last: Option<Vec<u8>>,
    newer_format: Option<u32>,
    /// The link between the last two lines does not hold.
    is_broken: bool,
}

/// The line whose newline is at `end - 1`, without it; `None` at the start of the file.
fn line_before(file: &File, end: u64) -> io::Result<Option<Vec<u8>>> {
    const CHUNK: u64 = 8 * 1024;
    if end == 0 {
        return Ok(None);
    }
    let mut line = Vec::new();
    let mut from = end - 1;
    while from > 0 {
        let start = from.saturating_sub(CHUNK);
        let mut chunk = vec![0; usize::try_from(from - start).unwrap_or_default()];
        file.read_exact_at(&mut chunk, start)?;
        let newline = chunk.iter().rposition(|byte| *byte == b'\n');
        let mut found = chunk.split_off(newline.map_or(0, |at| at + 1));
        found.append(&mut line);
        line = found;
        if newline.is_some() {
            break;
        }
        from = start;
    }
    Ok(Some(line))
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
