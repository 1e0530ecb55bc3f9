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

/// What the rows of an app say of its releases.
pub(crate) struct Standing<'h> {
    history: &'h History,
    app: String,
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
        Standing {
            history: self,
            app: app.to_owned(),
        }
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
        let mut verified = None;
        let mut refuted = None;
        for (at, row) in self.rows_with(identity.image) {
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
        self.history
            .rows_returning(&self.app, image)
            .map(|(at, _)| at)
            .next()
    }

    /// The newest rollback that left a release, from a place on. It names what it left by image alone: the newest
    /// older row that shipped that image knows the configuration.
    fn newest_leaving(&self, identity: Identity, from: usize) -> Option<Refutation> {
        self.history
            .rows_leaving(&self.app, identity.image)
            .map(|(at, _)| at)
            .take_while(|at| *at >= from)
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

    fn rows_with(&self, image: ImageKey) -> impl Iterator<Item = (usize, &Row)> {
        self.history.rows_with(&self.app, image)
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
