//! From lines of the ledger to rows: what an attempt started with, how far it got, how it ended.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::{Deref, Range};

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::release::{Digest, Image, ReleaseNumber};
use crate::state::keys::{Identity, ImageKey, Key, plain_version};
use crate::state::record::{Configuration, GitFacts, Kind, Outcome, Served};
use crate::state::row::{Ended, Number, Row, ServedKey, Span, VerdictKey, WholeRow};

/// The part of a line that rows are made of. Lenient, so that a newer format is understood as far as it goes.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    record: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    git: Option<GitFacts>,
    #[serde(borrow, default)]
    outcome: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    services: Vec<Service<'a>>,
    #[serde(borrow, default)]
    service: Option<Cow<'a, str>>,
    #[serde(default)]
    moved: bool,
}

#[derive(Deserialize)]
struct Service<'a> {
    #[serde(borrow, rename = "service")]
    name: Cow<'a, str>,
    #[serde(borrow)]
    app: Cow<'a, str>,
    /// An object in a start, a string in an end.
    #[serde(default)]
    image: Option<Value>,
    #[serde(default)]
    digest: Option<Digest>,
    #[serde(default)]
    configuration: Option<Configuration>,
    #[serde(default)]
    previous: Option<Served>,
    #[serde(default)]
    built: bool,
    #[serde(borrow, default)]
    verdict: Option<Cow<'a, str>>,
    #[serde(default)]
    release: Option<ReleaseNumber>,
    #[serde(borrow, default)]
    version: Option<Cow<'a, str>>,
    #[serde(default)]
    serving: Option<Served>,
    #[serde(default)]
    serving_verified: bool,
}

/// The rows that lines were taken into, with the places of each attempt: a ledger that is read anew has a hundred
/// thousand of them.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    rows: Vec<WholeRow>,
    places: HashMap<u128, Range<usize>>,
}

impl Gathered {
    pub(crate) fn push(&mut self, whole: WholeRow) {
        let at = self.rows.len();
        let places = self.places.entry(whole.id).or_insert(at..at);
        if places.end == at {
            places.end += 1;
        } else {
            *places = at..at + 1;
        }
        self.rows.push(whole);
    }

    /// The rows of an attempt, which follow each other. Empty, at the end of the rows, where it has none.
    fn of_attempt(&self, id: u128) -> Range<usize> {
        let end = self.rows.len();
        self.places.get(&id).cloned().unwrap_or(end..end)
    }
}

impl Deref for Gathered {
    type Target = [WholeRow];

    fn deref(&self) -> &[WholeRow] {
        &self.rows
    }
}

impl FromIterator<WholeRow> for Gathered {
    fn from_iter<I: IntoIterator<Item = WholeRow>>(rows: I) -> Self {
        let mut gathered = Self::default();
        rows.into_iter().for_each(|whole| gathered.push(whole));
        gathered
    }
}

/// What a line did to the rows.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// It belongs to an attempt that has rows here, or begins one.
    Known,
    /// It belongs to an attempt that has no rows here; it got some of its own if it was an end.
    Orphan,
    /// It is no record.
    Nothing,
}

/// Takes one line, found at `span`, into the rows.
pub(crate) fn take(rows: &mut Gathered, text: &[u8], span: Span) -> Taken {
    let Ok(line) = serde_json::from_slice::<Line<'_>>(text) else {
        return Taken::Nothing;
    };
    let id = id_key(&line.id);
    match &*line.record {
        "start" => {
            start(rows, &line, id, span);
            Taken::Known
        }
        "mark" => mark(rows, &line, id, span),
        "end" => end(rows, &line, id, span),
        _ => Taken::Nothing,
    }
}

/// A UUID as its number; anything else by its hash.
pub(crate) fn id_key(id: &str) -> u128 {
    Uuid::parse_str(id).map_or_else(|_| u128::from(Key::of(id).0), |uuid| uuid.as_u128())
}

/// 28 bits of a commit, plus one: seven characters, the fewest by which a commit is known. 0 if it is none.
pub(crate) fn commit_key(sha: &str) -> u32 {
    sha.get(..7)
        .and_then(|first| u32::from_str_radix(first, 16).ok())
        .map_or(0, |bits| bits + 1)
}

/// A second start of one attempt takes the place of the first: a rollback whose image is gone begins again with the
/// next one.
fn start(rows: &mut Gathered, line: &Line<'_>, id: u128, span: Span) {
    let known = rows.of_attempt(id);
    let first = rows.len();
    let git = line.git.as_ref();
    let row = Row {
        kind: line.kind.as_deref().and_then(kind),
        describe: git
            .and_then(|git| git.describe.as_deref())
            .map_or(Key::NONE, Key::of_version),
        commit: git.and_then(|git| git.sha.as_deref()).map_or(0, commit_key),
        ..Row::default()
    };
    let whole = WholeRow {
        id,
        start: span,
        row,
        ..WholeRow::default()
    };
    for service in &line.services {
        let begun = WholeRow {
            app: Key::of(&service.app),
            service: Key::of(&service.name),
            row: Row {
                built: service.built,
                shipped: Identity {
                    image: image(service),
                    configuration: service
                        .configuration
                        .as_ref()
                        .map_or(Key::NONE, Key::of_configuration),
                },
                release: Number::of(service.release),
                previous: served(service.previous.as_ref()),
                ..row
            },
            ..whole
        };
        match known.clone().find(|at| rows[*at].app == begun.app) {
            Some(at) => rows.rows[at] = begun,
            None => rows.push(begun),
        }
    }
    if rows.len() == first && known.is_empty() {
        rows.push(whole);
    }
}

fn mark(rows: &mut Gathered, line: &Line<'_>, id: u128, span: Span) -> Taken {
    let service = line.service.as_deref().map_or(Key::NONE, Key::of);
    let known = rows.of_attempt(id);
    let Some(at) = known.clone().find(|at| rows[*at].service == service) else {
        return Taken::Orphan;
    };
    let whole = &mut rows.rows[at];
    whole.mark = span;
    whole.row.moved |= line.moved;
    Taken::Known
}

fn end(rows: &mut Gathered, line: &Line<'_>, id: u128, span: Span) -> Taken {
    let ended = line
        .outcome
        .as_deref()
        .and_then(outcome)
        .map_or(Ended::Otherwise, Ended::As);
    let known = rows.of_attempt(id);
    for whole in &mut rows.rows[known.clone()] {
        whole.row.ended = ended;
        whole.end = span;
    }
    let mut orphan = WholeRow {
        id,
        end: span,
        ..WholeRow::default()
    };
    orphan.row.ended = ended;
    for service in &line.services {
        let (app, name) = (Key::of(&service.app), Key::of(&service.name));
        let at = known
            .clone()
            .find(|at| rows[*at].app == app && rows[*at].service == name);
        let at = at.unwrap_or_else(|| {
            // The start was lost, or could not be written.
            let template = known.clone().next().map_or(orphan, |at| rows[at]);
            rows.push(WholeRow {
                app,
                service: name,
                ..template
            });
            rows.len() - 1
        });
        end_service(&mut rows.rows[at].row, service);
    }
    if known.is_empty() {
        Taken::Orphan
    } else {
        Taken::Known
    }
}

fn end_service(row: &mut Row, service: &Service<'_>) {
    row.verdict = match service.verdict.as_deref() {
        Some("verified") => VerdictKey::Verified,
        Some("refuted") => VerdictKey::Refuted,
        Some("inconclusive") => VerdictKey::Inconclusive,
        _ => VerdictKey::None,
    };
    let shipped = image(service);
    if !shipped.name.is_none() {
        row.shipped.image.name = shipped.name;
    }
    if !shipped.digest.is_none() {
        row.shipped.image.digest = shipped.digest;
    }
    if service.release.is_some() {
        row.release = Number::of(service.release);
    }
    row.version = service.version.as_deref().map_or(Key::NONE, Key::of_version);
    row.serving = served(service.serving.as_ref());
    row.serving_verified = service.serving_verified;
}

fn image(service: &Service<'_>) -> ImageKey {
    let mut image = match &service.image {
        Some(Value::String(reference)) => Image::parse(reference),
        Some(object) => match Image::deserialize(object) {
            Ok(image) => image,
            Err(_) => return ImageKey::default(),
        },
        None => return ImageKey::from_parts(None, service.digest.as_ref()),
    };
    image = image.with_digest(service.digest.clone());
    ImageKey::of(&image)
}

fn served(served: Option<&Served>) -> ServedKey {
    served.map_or_else(ServedKey::default, |served| ServedKey {
        image: ImageKey::of(&Image::parse(&served.image).with_digest(served.digest.clone())),
        release: Number::of(served.release),
    })
}

fn kind(word: &str) -> Option<Kind> {
    Kind::deserialize(&Value::from(word)).ok()
}

fn outcome(word: &str) -> Option<Outcome> {
    Outcome::deserialize(&Value::from(word)).ok()
}

/// Whether an answered version is `sha` or begins it, from seven characters on.
pub(crate) fn names_commit(version: &str, sha: &str) -> bool {
    let version = plain_version(version);
    version.len() >= 7 && sha.len() >= version.len() && sha[..version.len()].eq_ignore_ascii_case(version)
}
