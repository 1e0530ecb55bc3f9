//! The past of an environment, as decisions ask about it: newest first, per app, read from disk only where needed.

mod by_image;
mod known;
mod repetition;
mod standing;
mod unfinished;
mod word;

pub(crate) use known::{Known, machine_config};
#[cfg(test)]
pub(crate) use repetition::Before;
pub(crate) use repetition::Repetition;
pub(crate) use standing::{Origin, Standing, Statement};
pub(crate) use unfinished::Unfinished;
pub(crate) use word::Word;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::state::history::by_image::Images;
use crate::state::index::Index;
use crate::state::keys::Key;
use crate::state::record::{End, Mark, Record, Start};
use crate::state::row::{Row, Span, WholeRow};
use crate::state::rows::Rows;
use crate::state::{line, summary};

/// The fewest characters by which an attempt may be named.
const SHORTEST_ID: usize = 4;

pub(crate) struct History {
    environment: String,
    index: Index,
    /// Made when the first asks for it.
    images: OnceLock<Images>,
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
    pub(crate) fn new(environment: &str, index: Index, ledger: File, warnings: Vec<String>) -> Self {
        Self {
            environment: environment.to_owned(),
            index,
            images: OnceLock::new(),
            ledger: Some(ledger),
            warnings,
        }
    }

    pub(crate) fn empty(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            index: Index::default(),
            images: OnceLock::new(),
            ledger: None,
            warnings: Vec::new(),
        }
    }

    /// The id of the attempt that was begun last, as a number.
    pub(crate) fn newest_id(&self) -> Option<u128> {
        self.index.newest_id
    }

    /// What was found wrong with the ledger, for people.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many rows there are: one for each service of each attempt.
    pub(crate) fn len(&self) -> usize {
        self.rows().len()
    }

    /// All rows, oldest first.
    fn rows(&self) -> &Rows {
        &self.index.rows
    }

    fn images(&self) -> &Images {
        self.images.get_or_init(|| Images::of(self.rows()))
    }

    /// The place of a name in the list that rows share; one that no row has where it is unknown.
    fn place_of_name(&self, name: &str) -> Option<u16> {
        let name = Key::of(name);
        let at = self.index.names.iter().position(|known| *known == name)?;
        u16::try_from(at).ok()
    }

    fn name_at(&self, place: u16) -> Key {
        self.index
            .names
            .get(usize::from(place))
            .copied()
            .unwrap_or_default()
    }

    /// The rows of an app with their places, newest first.
    pub(crate) fn rows_of(&self, app: &str) -> impl DoubleEndedIterator<Item = (usize, &Row)> {
        self.rows_before(app, self.len())
    }

    /// Those of them before a place.
    pub(crate) fn rows_before(
        &self,
        app: &str,
        end: usize,
    ) -> impl DoubleEndedIterator<Item = (usize, &Row)> {
        let app = self.place_of_name(app);
        self.rows()
            .before(end)
            .rev()
            .filter(move |(_, row)| Some(row.app) == app)
    }

    pub(crate) fn row(&self, at: usize) -> &Row {
        &self.rows()[at]
    }

    /// The attempts, newest first, each read when it is asked for.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = Result<Attempt>> {
        let mut seen = HashSet::new();
        (0..self.len()).rev().filter_map(move |at| {
            let whole = match self.whole(at) {
                Ok(whole) => whole,
                Err(error) => return Some(Err(error)),
            };
            seen.insert(whole.id).then(|| self.attempt_of(&whole))
        })
    }

    /// The attempt that the beginning or the end of an id names; both are shown to people.
    pub(crate) fn find(&self, part: &str) -> Result<Lookup> {
        let part = part.to_ascii_lowercase();
        if part.len() < SHORTEST_ID {
            return Ok(Lookup::None);
        }
        let wanted = summary::id_key(&part);
        let mut found: Vec<WholeRow> = Vec::new();
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let search = self.index.each_whole(|_, whole| {
            let id = uuid::Uuid::from_u128(whole.id)
                .hyphenated()
                .encode_lower(&mut text);
            let fits = whole.id == wanted || id.starts_with(&part) || id.ends_with(&part);
            if fits && found.iter().all(|known| known.id != whole.id) {
                found.push(*whole);
            }
        });
        search.map_err(|error| self.unreadable(&error))?;
        Ok(match found[..] {
            [] => Lookup::None,
            [ref whole] => Lookup::One(Box::new(self.attempt_of(whole)?)),
            _ => Lookup::Several(
                found
                    .iter()
                    .map(|whole| uuid::Uuid::from_u128(whole.id).to_string())
                    .collect(),
            ),
        })
    }

    /// The app that the last record names for a service (DESIGN 4).
    pub(crate) fn bound_app(&self, service: &str) -> Result<Option<String>> {
        let Some(service) = self.place_of_name(service) else {
            return Ok(None);
        };
        let last = self
            .rows()
            .iter()
            .rfind(|(_, row)| row.service == service && !self.name_at(row.app).is_none());
        let Some((at, row)) = last else {
            return Ok(None);
        };
        let app = self.name_at(row.app);
        let attempt = self.attempt(at)?;
        let started = attempt.start.into_iter().flat_map(|start| start.services);
        let ended = attempt.end.into_iter().flat_map(|end| end.services);
        Ok(started
            .map(|it| it.app)
            .chain(ended.map(|it| it.app))
            .find(|name| Key::of(name) == app))
    }

    /// Whether the last record of some service names `app`.
    pub(crate) fn is_bound_to(&self, app: &str) -> bool {
        let Some(app) = self.place_of_name(app) else {
            return false;
        };
        let mut seen = HashSet::new();
        self.rows()
            .iter()
            .rev()
            .filter(|(_, row)| !self.name_at(row.app).is_none() && seen.insert(row.service))
            .any(|(_, row)| row.app == app)
    }

    /// Start and end of the attempt that a row belongs to.
    pub(crate) fn attempt(&self, at: usize) -> Result<Attempt> {
        self.attempt_of(&self.whole(at)?)
    }

    fn attempt_of(&self, whole: &WholeRow) -> Result<Attempt> {
        Ok(Attempt {
            start: match self.record(whole.start)? {
                Some(Record::Start(start)) => Some(*start),
                _ => None,
            },
            end: match self.record(whole.end)? {
                Some(Record::End(end)) => Some(*end),
                _ => None,
            },
        })
    }

    fn whole(&self, at: usize) -> Result<WholeRow> {
        self.index.whole(at).map_err(|error| self.unreadable(&error))
    }

    /// The last mark of a row's service.
    fn mark(&self, at: usize) -> Result<Option<Mark>> {
        Ok(match self.record(self.whole(at)?.mark)? {
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
        ledger
            .read_exact_at(&mut bytes, span.offset)
            .map_err(|error| self.unreadable(&error))?;
        Ok(line::read(&bytes))
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        Error::internal(format!("cannot read the ledger of `{}`", self.environment)).cause(error)
    }
}
