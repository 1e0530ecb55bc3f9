//! One service of one attempt in brief: what decisions compare, and where in the ledger the rest stands.

use crate::release::ReleaseNumber;
use crate::state::keys::{Identity, ImageKey, Key};
use crate::state::record::{Kind, Outcome};

/// Words of 64 bits that a row takes on disk, without its check.
pub(crate) const WORDS: usize = 23;

/// Which bytes of the ledger hold a line; a length of zero means that there is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// A release number in four bytes; zero stands for none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Number(u32);

impl Number {
    /// A number that does not fit is none: it names nothing that could be looked up.
    pub(crate) fn of(release: Option<ReleaseNumber>) -> Self {
        Self(release.map_or(0, |number| u32::try_from(number.0).unwrap_or_default()))
    }

    pub(crate) fn get(self) -> Option<ReleaseNumber> {
        (self.0 != 0).then_some(ReleaseNumber(u64::from(self.0)))
    }

    pub(crate) fn is(self, release: ReleaseNumber) -> bool {
        self.get() == Some(release)
    }
}

/// A release that served, with what runs it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ServedKey {
    pub(crate) image: ImageKey,
    pub(crate) release: Number,
}

/// How an attempt stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Ended {
    /// There is no end yet.
    #[default]
    Open,
    As(Outcome),
    /// With a word that this version does not know.
    Otherwise,
}

/// The verdict on the release that was shipped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum VerdictKey {
    #[default]
    None,
    Verified,
    Refuted,
    Inconclusive,
}

/// What is compared, held in memory for the whole ledger: the fewer bytes, the sooner it is there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Row {
    /// What was shipped; of a `verify`, what it looked at.
    pub(crate) shipped: Identity,
    pub(crate) previous: ServedKey,
    pub(crate) serving: ServedKey,
    /// What the answer named as its version.
    pub(crate) version: Key,
    pub(crate) describe: Key,
    pub(crate) release: Number,
    /// The first 28 bits of the commit, plus one; 0 where it is unknown.
    pub(crate) commit: u32,
    /// Places in the list of names that the rows share.
    pub(crate) app: u16,
    pub(crate) service: u16,
    /// `None` where the start was lost.
    pub(crate) kind: Option<Kind>,
    pub(crate) ended: Ended,
    pub(crate) verdict: VerdictKey,
    /// shipctl built the image in this attempt.
    pub(crate) built: bool,
    /// An instance was seen on the new release.
    pub(crate) moved: bool,
    /// What serves at the end was verified, other than what was shipped.
    pub(crate) serving_verified: bool,
}

/// A row as it is kept on disk, with what is looked up of single ones.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct WholeRow {
    /// The attempt; an id that is no UUID is hashed.
    pub(crate) id: u128,
    pub(crate) app: Key,
    pub(crate) service: Key,
    pub(crate) start: Span,
    /// The last mark of this service.
    pub(crate) mark: Span,
    pub(crate) end: Span,
    /// Without the places of its names.
    pub(crate) row: Row,
}

impl Row {
    pub(crate) fn is_open(&self) -> bool {
        self.ended == Ended::Open
    }

    pub(crate) fn has_outcome(&self, outcome: Outcome) -> bool {
        self.ended == Ended::As(outcome)
    }

    /// What it shipped, or looked at, was judged good and stayed.
    pub(crate) fn is_verified(&self) -> bool {
        self.has_outcome(Outcome::Verified) && self.verdict == VerdictKey::Verified
    }

    /// What it shipped may have served after it: it was neither refused, nor without effect, nor returned from.
    pub(crate) fn has_stayed(&self) -> bool {
        !matches!(
            self.ended,
            Ended::As(Outcome::Failed | Outcome::Refused | Outcome::RolledBack)
        ) && !self.shipped.image.is_none()
    }

    /// It returned to what served before, and that was verified.
    pub(crate) fn is_verified_return(&self) -> bool {
        self.serving_verified && !self.is_verified() && !self.serving.image.is_none()
    }

    /// It judged what it shipped, or looked at, bad. An attempt without effect says nothing of the release.
    pub(crate) fn refutes(&self) -> bool {
        match self.ended {
            Ended::As(Outcome::RolledBack) => true,
            Ended::Open | Ended::As(Outcome::Failed | Outcome::Refused) => false,
            Ended::As(_) | Ended::Otherwise => self.verdict == VerdictKey::Refuted,
        }
    }

    /// A rollback that left the release from before.
    pub(crate) fn leaves_previous(&self) -> bool {
        self.kind == Some(Kind::Rollback)
            && match self.ended {
                Ended::As(Outcome::Verified | Outcome::Broken | Outcome::Inconclusive) => true,
                Ended::As(Outcome::Failed | Outcome::Refused | Outcome::RolledBack) => false,
                Ended::Open | Ended::As(_) | Ended::Otherwise => self.moved,
            }
    }

    /// The releases that this row names, as its own or as those it found and left.
    pub(crate) fn named_releases(&self) -> impl Iterator<Item = ReleaseNumber> {
        [self.release, self.previous.release, self.serving.release]
            .into_iter()
            .filter_map(Number::get)
    }
}

impl WholeRow {
    pub(crate) fn to_words(self) -> [u64; WORDS] {
        let row = self.row;
        let [high, low] = [self.id >> 64, self.id].map(low_half);
        let release = |number: Number| u64::from(number.0);
        [
            high,
            low,
            self.app.0,
            self.service.0,
            row.codes(),
            row.shipped.image.name.0,
            row.shipped.image.digest.0,
            row.shipped.configuration.0,
            release(row.release),
            row.previous.image.name.0,
            row.previous.image.digest.0,
            release(row.previous.release),
            row.serving.image.name.0,
            row.serving.image.digest.0,
            release(row.serving.release),
            row.version.0,
            row.describe.0,
            self.start.offset,
            self.start.length,
            self.mark.offset,
            self.mark.length,
            self.end.offset,
            self.end.length,
        ]
    }

    pub(crate) fn from_words(words: &[u64; WORDS]) -> Self {
        let span = |at: usize| Span {
            offset: words[at],
            length: words[at + 1],
        };
        Self {
            id: (u128::from(words[0]) << 64) | u128::from(words[1]),
            app: Key(words[2]),
            service: Key(words[3]),
            start: span(17),
            mark: span(19),
            end: span(21),
            row: Row::from_words(words),
        }
    }
}

impl Row {
    fn from_words(words: &[u64; WORDS]) -> Self {
        let image = |at: usize| ImageKey {
            name: Key(words[at]),
            digest: Key(words[at + 1]),
        };
        let release = |at: usize| Number(u32::try_from(words[at]).unwrap_or_default());
        let byte = |number: u32| (words[4] >> (8 * number)) & 0xff;
        let flags = byte(3);
        Self {
            shipped: Identity {
                image: image(5),
                configuration: Key(words[7]),
            },
            previous: ServedKey {
                image: image(9),
                release: release(11),
            },
            serving: ServedKey {
                image: image(12),
                release: release(14),
            },
            version: Key(words[15]),
            describe: Key(words[16]),
            release: release(8),
            commit: u32::try_from(words[4] >> 32).unwrap_or_default(),
            app: 0,
            service: 0,
            kind: code_of(&KINDS, byte(0)),
            ended: match byte(1) {
                0 => Ended::Open,
                code => code_of(&OUTCOMES, code).map_or(Ended::Otherwise, Ended::As),
            },
            verdict: code_of(&VERDICTS, byte(2)).unwrap_or_default(),
            built: flags & 1 != 0,
            moved: flags & 2 != 0,
            serving_verified: flags & 4 != 0,
        }
    }

    /// Kind, outcome, verdict and flags in a byte each, then the commit.
    fn codes(&self) -> u64 {
        let ended = match self.ended {
            Ended::Open => 0,
            Ended::As(outcome) => code(&OUTCOMES, &outcome),
            Ended::Otherwise => 0xff,
        };
        let flags =
            u64::from(self.built) | u64::from(self.moved) << 1 | u64::from(self.serving_verified) << 2;
        self.kind.map_or(0, |kind| code(&KINDS, &kind))
            | ended << 8
            | code(&VERDICTS, &self.verdict) << 16
            | flags << 24
            | u64::from(self.commit) << 32
    }
}

const KINDS: [Kind; 3] = [Kind::Deploy, Kind::Rollback, Kind::Verify];
const OUTCOMES: [Outcome; 8] = [
    Outcome::Verified,
    Outcome::Failed,
    Outcome::RolledBack,
    Outcome::Broken,
    Outcome::Inconclusive,
    Outcome::Interrupted,
    Outcome::Refused,
    Outcome::Abandoned,
];
const VERDICTS: [VerdictKey; 4] = [
    VerdictKey::None,
    VerdictKey::Verified,
    VerdictKey::Refuted,
    VerdictKey::Inconclusive,
];

/// The place in the list, counted from one; 0 where it is not in it.
fn code<T: PartialEq>(list: &[T], value: &T) -> u64 {
    list.iter()
        .position(|known| known == value)
        .map_or(0, |at| at as u64 + 1)
}

#[inline]
fn code_of<T: Copy>(list: &[T], code: u64) -> Option<T> {
    list.get(usize::try_from(code.checked_sub(1)?).ok()?).copied()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is what is asked for"
)]
fn low_half(number: u128) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::{Ended, KINDS, Number, OUTCOMES, Row, ServedKey, Span, VERDICTS, WholeRow};
    use crate::release::ReleaseNumber;
    use crate::state::keys::{Identity, ImageKey, Key};

    #[test]
    fn a_row_comes_back_as_it_went() {
        let image = |from: u64| ImageKey {
            name: Key(from),
            digest: Key(from + 1),
        };
        let mut row = Row {
            built: true,
            shipped: Identity {
                image: image(3),
                configuration: Key(5),
            },
            release: Number::of(Some(ReleaseNumber(6))),
            previous: ServedKey {
                image: image(7),
                release: Number::of(None),
            },
            serving: ServedKey {
                image: image(9),
                release: Number::of(Some(ReleaseNumber(11))),
            },
            version: Key(12),
            describe: Key(13),
            commit: u32::MAX,
            ..Row::default()
        };
        let endings = OUTCOMES
            .map(Ended::As)
            .into_iter()
            .chain([Ended::Open, Ended::Otherwise]);
        for ended in endings {
            for kind in KINDS.map(Some).into_iter().chain([None]) {
                for verdict in VERDICTS {
                    (row.ended, row.kind, row.verdict) = (ended, kind, verdict);
                    row.moved = !row.moved;
                    let whole = WholeRow {
                        id: u128::MAX - 5,
                        app: Key(1),
                        service: Key(2),
                        start: Span {
                            offset: 14,
                            length: 15,
                        },
                        mark: Span {
                            offset: 16,
                            length: 17,
                        },
                        end: Span {
                            offset: 18,
                            length: 19,
                        },
                        row,
                    };
                    assert_eq!(WholeRow::from_words(&whole.to_words()), whole);
                }
            }
        }
    }

    #[test]
    fn rows_are_small() {
        assert!(size_of::<Row>() <= 112, "{} bytes", size_of::<Row>());
    }
}
