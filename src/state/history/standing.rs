//! Which releases the ledger vouches for: the newest that was said of a release counts.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

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

impl Statement {
    /// A return verifies an image with whatever configuration served before it, which need not be the refuted one.
    fn verifies_again(&self, refuted: Identity) -> bool {
        self.identity.is_same_as(refuted)
            && (self.origin == Origin::Shipped || refuted.configuration.is_none())
    }
}

/// What was refuted, returned from or rolled back from, and whether it was verified again since.
pub(crate) struct Standing {
    refuted: ByImage<Refutation>,
}

#[derive(Clone, Copy)]
struct Refutation {
    identity: Identity,
    /// The newest row that says so.
    at: usize,
    /// The newest row that verified it.
    verified_at: Option<usize>,
}

impl History {
    /// What the rows of an app say of its releases.
    pub(crate) fn standing(&self, app: &str) -> Standing {
        let mut refuted = ByImage::default();
        // A rollback names what it left by image alone; the newest older row that shipped it knows the rest.
        let mut left: ByImage<(ImageKey, usize)> = ByImage::default();
        for (at, row) in self.rows_of(app) {
            if row.has_stayed() && !left.is_empty() {
                for (_, since) in left.take(row.shipped.image) {
                    refute(&mut refuted, row.shipped, since);
                }
            }
            if row.refutes() && !row.shipped.image.is_none() {
                refute(&mut refuted, row.shipped, at);
            }
            if row.leaves_previous() && !row.previous.image.is_none() {
                left.insert(row.previous.image, (row.previous.image, at));
            }
        }
        for (image, at) in left.values() {
            let identity = Identity {
                image,
                configuration: Key::NONE,
            };
            refute(&mut refuted, identity, at);
        }
        if !refuted.is_empty() {
            for (at, row) in self.rows_of(app) {
                for statement in statements(at, row) {
                    refuted.update(statement.identity.image, |known| {
                        if statement.verifies_again(known.identity) {
                            known.verified_at = known.verified_at.max(Some(at));
                        }
                    });
                }
            }
        }
        Standing { refuted }
    }

    /// The releases that were verified and still count, newest first, from the row before `end` backwards (`usize::MAX`: all).
    pub(crate) fn vouched<'h>(
        &'h self,
        app: &str,
        standing: &'h Standing,
        end: usize,
    ) -> impl Iterator<Item = Statement> + 'h {
        let app = Key::of(app);
        self.rows[..end.min(self.rows.len())]
            .iter()
            .enumerate()
            .rev()
            .filter(move |(_, row)| row.app == app)
            .flat_map(|(at, row)| statements(at, row))
            .filter(|statement| standing.vouches_for(statement))
    }
}

impl Standing {
    /// Whether nothing newer speaks against it, or it was verified again since.
    fn vouches_for(&self, statement: &Statement) -> bool {
        self.refuted
            .get(statement.identity.image)
            .filter(|known| known.identity.is_same_as(statement.identity))
            .all(|known| statement.at >= known.at || known.is_outdated())
    }

    /// Whether the last word on a release is that it is bad, or that a person left it.
    pub(crate) fn refutes(&self, identity: Identity) -> bool {
        self.refuted
            .get(identity.image)
            .any(|known| known.identity.is_same_as(identity) && !known.is_outdated())
    }
}

impl Refutation {
    /// A rollback that leaves a release for another configuration of it verifies in the same row.
    fn is_outdated(&self) -> bool {
        self.verified_at.is_some_and(|verified| verified >= self.at)
    }
}

fn refute(refuted: &mut ByImage<Refutation>, identity: Identity, at: usize) {
    let mut is_known = false;
    refuted.update(identity.image, |known| {
        if known.identity == identity {
            known.at = known.at.max(at);
            is_known = true;
        }
    });
    if !is_known {
        refuted.insert(
            identity.image,
            Refutation {
                identity,
                at,
                verified_at: None,
            },
        );
    }
}

/// What a row vouches for.
fn statements(at: usize, row: &Row) -> impl Iterator<Item = Statement> + use<> {
    let shipped = (row.is_verified() && !row.shipped.image.is_none()).then_some(Statement {
        at,
        origin: Origin::Shipped,
        identity: row.shipped,
        release: row.release,
    });
    let returned = row.is_verified_return().then_some(Statement {
        at,
        origin: Origin::Returned,
        identity: Identity {
            image: row.serving.image,
            configuration: Key::NONE,
        },
        release: row.serving.release,
    });
    [shipped, returned].into_iter().flatten()
}

/// Values found by image: by digest where both are known, else by name, as [`ImageKey::is_same_as`].
///
/// Names are kept apart by whether a digest stands beside them: thousands of digests may share `repo:latest`, and
/// none of them is to be looked at for a question that knows its digest.
struct ByImage<T> {
    values: Vec<Option<T>>,
    places: HashMap<Place, Vec<usize>, BuildHasherDefault<AsItIs>>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    Digest(Key),
    NameAlone(Key),
    Name(Key),
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(match self {
            Self::Digest(key) => key.0,
            Self::NameAlone(key) => key.0.rotate_left(1),
            Self::Name(key) => key.0.rotate_left(2),
        });
    }
}

impl<T> Default for ByImage<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            places: HashMap::default(),
        }
    }
}

impl<T: Copy> ByImage<T> {
    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn insert(&mut self, image: ImageKey, value: T) {
        let at = self.values.len();
        self.values.push(Some(value));
        let first = if image.digest.is_none() {
            Place::NameAlone(image.name)
        } else {
            Place::Digest(image.digest)
        };
        for place in [first, Place::Name(image.name)] {
            self.places.entry(place).or_default().push(at);
        }
    }

    fn places_of(&self, image: ImageKey) -> impl Iterator<Item = usize> {
        let (first, second) = if image.digest.is_none() {
            (Place::Name(image.name), None)
        } else {
            (Place::Digest(image.digest), Some(Place::NameAlone(image.name)))
        };
        [Some(first), second]
            .into_iter()
            .flatten()
            .filter(|place| !matches!(place, Place::Name(Key::NONE) | Place::NameAlone(Key::NONE)))
            .filter_map(|place| self.places.get(&place))
            .flatten()
            .copied()
    }

    fn get(&self, image: ImageKey) -> impl Iterator<Item = T> {
        self.places_of(image).filter_map(|at| self.values[at])
    }

    fn update(&mut self, image: ImageKey, mut change: impl FnMut(&mut T)) {
        let places: Vec<usize> = self.places_of(image).collect();
        for at in places {
            if let Some(value) = &mut self.values[at] {
                change(value);
            }
        }
    }

    /// Takes out what is there for `image`.
    fn take(&mut self, image: ImageKey) -> Vec<T> {
        let places: Vec<usize> = self.places_of(image).collect();
        places
            .into_iter()
            .filter_map(|at| self.values[at].take())
            .collect()
    }

    fn values(&self) -> impl Iterator<Item = T> {
        self.values.iter().flatten().copied()
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
