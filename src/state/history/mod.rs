//! The past of an environment, as decisions ask about it: newest first, per app, read from disk only where needed.

mod known;
mod repetition;
mod standing;
mod unfinished;

pub(crate) use known::{Known, ReleaseFacts, machine_config};
pub(crate) use repetition::{Before, Repetition};
pub(crate) use standing::{Origin, Standing, Statement};
pub(crate) use unfinished::Unfinished;

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::error::{Error, Result};
use crate::release::ReleaseNumber;
use crate::state::keys::Key;
use crate::state::record::{End, Mark, Record, Start};
use crate::state::row::{Row, Span};
use crate::state::{line, summary};

/// The fewest characters by which an attempt may be named.
const SHORTEST_ID: usize = 4;

pub(crate) struct History {
    environment: String,
    /// Oldest first.
    rows: Vec<Row>,
    ledger: Option<File>,
    warnings: Vec<String>,
}

/// One attempt with its whole lines.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// `None` where the line was lost or could not be written.
    pub(crate) start: Option<Start>,
    pub(crate) end: Option<End>,
}

/// What a part of an id stands for.
#[derive(Debug)]
pub(crate) enum Lookup {
    One(Box<Attempt>),
    None,
    /// The whole ids that it fits.
    Several(Vec<String>),
}

impl History {
    pub(crate) fn new(environment: &str, rows: Vec<Row>, ledger: File, warnings: Vec<String>) -> Self {
        Self {
            environment: environment.to_owned(),
            rows,
            ledger: Some(ledger),
            warnings,
        }
    }

    pub(crate) fn empty(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            rows: Vec::new(),
            ledger: None,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn environment(&self) -> &str {
        &self.environment
    }

    /// The id of the attempt that was begun last, as a number.
    pub(crate) fn newest_id(&self) -> Option<u128> {
        self.rows.last().map(|row| row.id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What was found wrong with the ledger, for people.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The rows of an app with their places, newest first.
    pub(crate) fn rows_of(&self, app: &str) -> impl DoubleEndedIterator<Item = (usize, &Row)> {
        let app = Key::of(app);
        self.rows
            .iter()
            .enumerate()
            .rev()
            .filter(move |(_, row)| row.app == app)
    }

    pub(crate) fn row(&self, at: usize) -> &Row {
        &self.rows[at]
    }

    /// The attempts, newest first, each read when it is asked for.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = Result<Attempt>> {
        let mut seen = HashSet::new();
        self.rows
            .iter()
            .rev()
            .filter(move |row| seen.insert(row.id))
            .map(|row| self.attempt(row))
    }

    /// The attempt that the beginning or the end of an id names; both are shown to people.
    pub(crate) fn find(&self, part: &str) -> Result<Lookup> {
        let part = part.to_ascii_lowercase();
        if part.len() < SHORTEST_ID {
            return Ok(Lookup::None);
        }
        let mut found: Vec<&Row> = Vec::new();
        for row in self.rows.iter().rev() {
            let id = uuid::Uuid::from_u128(row.id).to_string();
            let fits = id.starts_with(&part) || id.ends_with(&part) || row.id == summary::id_key(&part);
            if fits && found.iter().all(|known| known.id != row.id) {
                found.push(row);
            }
        }
        Ok(match found[..] {
            [] => Lookup::None,
            [row] => Lookup::One(Box::new(self.attempt(row)?)),
            _ => Lookup::Several(
                found
                    .iter()
                    .map(|row| uuid::Uuid::from_u128(row.id).to_string())
                    .collect(),
            ),
        })
    }

    /// The app that the last record names for a service (DESIGN 4).
    pub(crate) fn bound_app(&self, service: &str) -> Result<Option<String>> {
        let service = Key::of(service);
        let Some(row) = self
            .rows
            .iter()
            .rev()
            .find(|row| row.service == service && !row.app.is_none())
        else {
            return Ok(None);
        };
        let attempt = self.attempt(row)?;
        let started = attempt.start.into_iter().flat_map(|start| start.services);
        let ended = attempt.end.into_iter().flat_map(|end| end.services);
        Ok(started
            .map(|it| it.app)
            .chain(ended.map(|it| it.app))
            .find(|app| Key::of(app) == row.app))
    }

    /// Whether the last record of some service names `app`.
    pub(crate) fn is_bound_to(&self, app: &str) -> Result<bool> {
        let app = Key::of(app);
        let mut seen = HashSet::new();
        Ok(self
            .rows
            .iter()
            .rev()
            .filter(|row| !row.app.is_none() && seen.insert(row.service.0))
            .any(|row| row.app == app))
    }

    /// The releases that any record of the app names, as its own or as what it found or left serving.
    pub(crate) fn named_releases(&self, app: &str) -> HashSet<ReleaseNumber> {
        self.rows_of(app)
            .flat_map(|(_, row)| row.named_releases())
            .collect()
    }

    /// Start and end of the attempt that a row belongs to.
    pub(crate) fn attempt(&self, row: &Row) -> Result<Attempt> {
        Ok(Attempt {
            start: match self.record(row.start)? {
                Some(Record::Start(start)) => Some(*start),
                _ => None,
            },
            end: match self.record(row.end)? {
                Some(Record::End(end)) => Some(*end),
                _ => None,
            },
        })
    }

    /// The last mark of a row's service.
    pub(crate) fn mark(&self, row: &Row) -> Result<Option<Mark>> {
        Ok(match self.record(row.mark)? {
            Some(Record::Mark(mark)) => Some(mark),
            _ => None,
        })
    }

    /// Reads one line; `None` where there is none, or where only a newer version understands it.
    fn record(&self, span: Span) -> Result<Option<Record>> {
        let (Some(ledger), true) = (&self.ledger, span.length > 0) else {
            return Ok(None);
        };
        let mut bytes = vec![0; usize::try_from(span.length).unwrap_or_default()];
        ledger.read_exact_at(&mut bytes, span.offset).map_err(|error| {
            Error::internal(format!("cannot read the ledger of `{}`", self.environment)).cause(error)
        })?;
        Ok(line::read(&bytes))
    }
}
