//! Which releases the ledger vouches for: the newest word on a release counts.

use crate::release::ReleaseNumber;
use crate::state::history::History;
use crate::state::keys::{Identity, ImageKey, Key};
use crate::state::row::Row;

/// How the ledger came to vouch for a release.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// It was shipped, or looked at, and verified.
    Shipped,
    /// It was returned to, and verified then.
    Returned,
}

/// A release that was verified at a place of the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    /// The row's place; higher is newer.
    pub(crate) at: usize,
    pub(crate) origin: Origin,
    pub(crate) identity: Identity,
    pub(crate) release: Option<ReleaseNumber>,
}

/// The rows of an app by the images that they name, so that the word on one of a hundred thousand is found at once.
pub(crate) struct Standing<'h> {
    history: &'h History,
    app: String,
    shipped: ByImage,
    /// Rollbacks that left a release, by what they left.
    left: ByImage,
    /// Returns that verified what they went back to.
    returned: ByImage,
}

/// The newest that speaks against a release.
#[derive(Clone, Copy)]
struct Refutation {
    at: usize,
    /// The configuration that it speaks of is known.
    is_exact: bool,
}

impl History {
    /// What the rows of an app say of its releases.
    pub(crate) fn standing(&self, app: &str) -> Standing<'_> {
        let mut standing = Standing {
            history: self,
            app: app.to_owned(),
            shipped: ByImage::with_capacity(self.len()),
            left: ByImage::with_capacity(self.len() / 4),
            returned: ByImage::with_capacity(self.len() / 4),
        };
        for (at, row) in self.rows_of(app).rev() {
            standing.shipped.push(at, row.shipped.image);
            if row.leaves_previous() {
                standing.left.push(at, row.previous.image);
            }
            if row.is_verified_return() {
                standing.returned.push(at, row.serving.image);
            }
        }
        standing
    }
}

impl Standing<'_> {
    /// The releases that were verified, newest first, from the row before `end` backwards
    /// (`usize::MAX`: all).
    pub(crate) fn vouched(&self, end: usize) -> impl Iterator<Item = Statement> {
        self.history
            .rows_before(&self.app, end)
            .flat_map(|(at, row)| statements(at, row))
    }

    /// Whether nothing newer speaks against a statement, or the release was verified again since.
    pub(crate) fn vouches_for(&self, statement: &Statement) -> bool {
        self.refutation(statement.identity)
            .is_none_or(|refuted| statement.at >= refuted.at)
    }

    /// Whether the last word on a release is that it is bad, or that a person left it.
    pub(crate) fn refutes(&self, identity: Identity) -> bool {
        self.refutation(identity).is_some()
    }

    /// Whether the last word on a release is that it is good.
    pub(crate) fn has_verified(&self, identity: Identity) -> bool {
        self.refutation(identity).is_none()
            && (self.newest_verified(identity).is_some() || self.newest_return(identity.image).is_some())
    }

    /// The newest that speaks against a release and was not outdated by verifying it again.
    fn refutation(&self, identity: Identity) -> Option<Refutation> {
        let rows = self.rows_with(identity.image);
        let mut verified = None;
        let mut refuted = None;
        for (at, row) in rows {
            if !row.shipped.is_same_as(identity) {
                continue;
            }
            if row.is_verified() {
                verified = Some(at);
                break;
            }
            if row.refutes() {
                refuted = Some(Refutation {
                    at,
                    is_exact: !row.shipped.configuration.is_none(),
                });
                break;
            }
        }
        // A rollback that leaves a release for another configuration of it verifies that one in the same row.
        let newer_than = verified
            .map_or(0, |at| at + 1)
            .max(refuted.map_or(0, |it| it.at + 1));
        let left = self.newest_leaving(identity, newer_than).or(refuted)?;
        // A return verifies an image with whatever configuration served before it, which need not be the refuted one.
        let is_outdated = !left.is_exact
            && self
                .newest_return(identity.image)
                .is_some_and(|returned| returned >= left.at);
        (!is_outdated).then_some(left)
    }

    fn newest_verified(&self, identity: Identity) -> Option<usize> {
        self.rows_with(identity.image)
            .find(|(_, row)| row.is_verified() && row.shipped.is_same_as(identity))
            .map(|(at, _)| at)
    }

    fn newest_return(&self, image: ImageKey) -> Option<usize> {
        self.returned
            .places(image)
            .find(|at| self.history.row(*at).serving.image.is_same_as(image))
    }

    /// The newest rollback that left a release, from a place on. It names what it left by image alone: the newest
    /// older row that shipped that image knows the configuration.
    fn newest_leaving(&self, identity: Identity, from: usize) -> Option<Refutation> {
        self.left
            .places(identity.image)
            .take_while(|at| *at >= from)
            .filter(|at| self.history.row(*at).previous.image.is_same_as(identity.image))
            .find_map(|at| {
                let shipping = self
                    .rows_with(identity.image)
                    .find(|(other, row)| *other < at && row.has_stayed());
                let left = shipping.map_or(Key::NONE, |(_, row)| row.shipped.configuration);
                let is_this = Identity {
                    image: identity.image,
                    configuration: left,
                }
                .is_same_as(identity);
                is_this.then_some(Refutation {
                    at,
                    is_exact: !left.is_none(),
                })
            })
    }

    /// The rows that shipped an image, newest first.
    pub(crate) fn rows_with(&self, image: ImageKey) -> impl Iterator<Item = (usize, &Row)> {
        self.shipped
            .places(image)
            .map(|at| (at, self.history.row(at)))
            .filter(move |(_, row)| row.shipped.image.is_same_as(image))
    }
}

/// What a row vouches for.
fn statements(at: usize, row: &Row) -> impl Iterator<Item = Statement> + use<> {
    let shipped = (row.is_verified() && !row.shipped.image.is_none()).then_some(Statement {
        at,
        origin: Origin::Shipped,
        identity: row.shipped,
        release: row.release.get(),
    });
    let returned = row.is_verified_return().then_some(Statement {
        at,
        origin: Origin::Returned,
        identity: Identity {
            image: row.serving.image,
            configuration: Key::NONE,
        },
        release: row.serving.release.get(),
    });
    [shipped, returned].into_iter().flatten()
}

/// Places by the digest of their image. What has no digest is compared by name and stands in a list of its own.
///
/// A hash table made for being filled once, in two allocations: it is built for every question.
struct ByImage {
    /// The newest place of each bucket, plus one.
    heads: Vec<u32>,
    /// Each place with the entry before it in its bucket, plus one.
    entries: Vec<(u32, u32)>,
    digestless: Vec<u32>,
}

impl ByImage {
    /// Filled with more than this it gets slower, not wrong.
    fn with_capacity(places: usize) -> Self {
        Self {
            heads: vec![0; places.next_power_of_two().max(1024)],
            entries: Vec::new(),
            digestless: Vec::new(),
        }
    }

    /// Takes places from the oldest to the newest.
    fn push(&mut self, at: usize, image: ImageKey) {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        if image.digest.is_none() {
            self.digestless.push(at);
        } else {
            let bucket = self.bucket(image.digest);
            self.entries.push((at, self.heads[bucket]));
            self.heads[bucket] = u32::try_from(self.entries.len()).unwrap_or_default();
        }
    }

    /// The places that may hold an image, newest first; to be compared.
    fn places(&self, image: ImageKey) -> impl Iterator<Item = usize> {
        let mut next = if image.digest.is_none() {
            0
        } else {
            self.heads[self.bucket(image.digest)]
        };
        let chained = std::iter::from_fn(move || {
            let (at, before) = *self.entries.get(usize::try_from(next.checked_sub(1)?).ok()?)?;
            next = before;
            Some(at)
        });
        // Without a digest of its own it may be any of those that have one.
        let others = if image.digest.is_none() {
            &self.entries[..]
        } else {
            &[]
        };
        let all = others.iter().rev().map(|(at, _)| *at);
        merged(chained.chain(all), self.digestless.iter().rev().copied())
            .map(|at| usize::try_from(at).unwrap_or_default())
    }

    fn bucket(&self, digest: Key) -> usize {
        usize::try_from(digest.0).unwrap_or_default() & (self.heads.len() - 1)
    }
}

/// Two descending sequences as one.
fn merged(one: impl Iterator<Item = u32>, other: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(left), Some(right)) if left < right => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}
