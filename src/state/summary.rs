//! From lines of the ledger to rows: what an attempt started with, how far it got, how it ended.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::release::{Digest, Image, ReleaseNumber};
use crate::state::keys::{Identity, ImageKey, Key, plain_version};
use crate::state::record::{Configuration, GitFacts, Kind, Outcome, Served};
use crate::state::row::{Ended, Row, ServedKey, Span, VerdictKey};

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
    #[serde(borrow)]
    service: Cow<'a, str>,
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

/// Takes one line, found at `span`, into the rows. Answers with the first row that changed; `None` where the line
/// is no record.
pub(crate) fn take(rows: &mut Vec<Row>, text: &[u8], span: Span) -> Option<usize> {
    let line: Line<'_> = serde_json::from_slice(text).ok()?;
    let id = id_key(&line.id);
    match &*line.record {
        "start" => Some(start(rows, &line, id, span)),
        "mark" => Some(mark(rows, &line, id, span)),
        "end" => Some(end(rows, &line, id, span)),
        _ => None,
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

fn start(rows: &mut Vec<Row>, line: &Line<'_>, id: u128, span: Span) -> usize {
    let first = rows.len();
    let git = line.git.as_ref();
    let row = Row {
        id,
        kind: line.kind.as_deref().and_then(kind),
        describe: git
            .and_then(|git| git.describe.as_deref())
            .map_or(Key::NONE, Key::of_version),
        commit: git.and_then(|git| git.sha.as_deref()).map_or(0, commit_key),
        start: span,
        ..Row::default()
    };
    rows.extend(line.services.iter().map(|service| {
        Row {
            app: Key::of(&service.app),
            service: Key::of(&service.service),
            built: service.built,
            shipped: Identity {
                image: image(service),
                configuration: service
                    .configuration
                    .as_ref()
                    .map_or(Key::NONE, Key::of_configuration),
            },
            release: numbered(service.release),
            previous: served(service.previous.as_ref()),
            ..row
        }
    }));
    if rows.len() == first {
        rows.push(row);
    }
    first
}

fn mark(rows: &mut [Row], line: &Line<'_>, id: u128, span: Span) -> usize {
    let service = line.service.as_deref().map_or(Key::NONE, Key::of);
    let mut first = rows.len();
    for at in of_attempt(rows, id) {
        let row = &mut rows[at];
        if row.service == service {
            row.mark = span;
            row.moved |= line.moved;
            first = at;
        }
    }
    first
}

fn end(rows: &mut Vec<Row>, line: &Line<'_>, id: u128, span: Span) -> usize {
    let ended = line
        .outcome
        .as_deref()
        .and_then(outcome)
        .map_or(Ended::Otherwise, Ended::As);
    let known = of_attempt(rows, id);
    let mut first = known.iter().copied().min().unwrap_or(rows.len());
    for at in &known {
        rows[*at].ended = ended;
        rows[*at].end = span;
    }
    let template = known.first().map_or(
        Row {
            id,
            ended,
            end: span,
            ..Row::default()
        },
        |at| rows[*at],
    );
    for service in &line.services {
        let (app, name) = (Key::of(&service.app), Key::of(&service.service));
        let at = known
            .iter()
            .copied()
            .find(|at| rows[*at].app == app && rows[*at].service == name)
            .unwrap_or_else(|| {
                // The start was lost, or could not be written.
                rows.push(Row {
                    app,
                    service: name,
                    ..template
                });
                rows.len() - 1
            });
        first = first.min(at);
        end_service(&mut rows[at], service);
    }
    first
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
    row.release = numbered(service.release).or(row.release);
    row.version = service.version.as_deref().map_or(Key::NONE, Key::of_version);
    row.serving = served(service.serving.as_ref());
    row.serving_verified = service.serving_verified;
}

/// The rows of an attempt; new lines belong to new attempts, so the search begins at the end.
fn of_attempt(rows: &[Row], id: u128) -> Vec<usize> {
    let Some(last) = rows.iter().rposition(|row| row.id == id) else {
        return Vec::new();
    };
    let first = rows[..last]
        .iter()
        .rposition(|row| row.id != id)
        .map_or(0, |at| at + 1);
    (first..=last).collect()
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
        release: numbered(served.release),
    })
}

/// Releases are counted from one; a row holds zero for none.
fn numbered(release: Option<ReleaseNumber>) -> Option<ReleaseNumber> {
    release.filter(|number| number.0 != 0)
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
