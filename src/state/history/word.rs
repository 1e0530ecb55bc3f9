//! What the ledger says of one release by its number: an image that was good once says nothing of a later release of it.

use crate::release::{Image, ReleaseNumber};
use crate::state::history::History;
use crate::state::keys::ImageKey;
use crate::state::record::{Kind, Outcome};
use crate::state::row::{Ended, Row, VerdictKey};

/// The last word on a release.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    Verified,
    Refuted,
    Inconclusive,
    /// It was shipped, and the attempt ended before a verdict.
    CutOff,
}

impl Word {
    /// `verified`, `refuted` or `inconclusive`; `None` where there is no verdict.
    pub(crate) fn verdict(self) -> Option<&'static str> {
        match self {
            Self::Verified => Some("verified"),
            Self::Refuted => Some("refuted"),
            Self::Inconclusive => Some("inconclusive"),
            Self::CutOff => None,
        }
    }

    /// The weaker of two: instances on several releases are as good as the least of them.
    pub(crate) fn weaker(self, other: Self) -> Self {
        let order = [Self::Refuted, Self::CutOff, Self::Inconclusive, Self::Verified];
        let is_one = |word: &Self| *word == self || *word == other;
        order.into_iter().find(is_one).unwrap_or(self)
    }
}

impl History {
    /// The last word on the release with this number and image. One that came to no conclusion leaves an older one
    /// standing. `None` where no record judged the release or shipped it.
    pub(crate) fn word_on(&self, app: &str, number: ReleaseNumber, image: &Image) -> Option<Word> {
        let image = ImageKey::of(image);
        let mut last = None;
        for (_, row) in self.rows_about(app, image) {
            match word(row, number, image) {
                Some(word @ (Word::Verified | Word::Refuted)) => return Some(word),
                Some(word) => last = last.or(Some(word)),
                None => {}
            }
        }
        last
    }
}

/// What one row says of a release.
fn word(row: &Row, number: ReleaseNumber, image: ImageKey) -> Option<Word> {
    if row.release.is(number) && row.shipped.image.is_same_as(image) {
        let was_cut_off = matches!(
            row.ended,
            Ended::Open | Ended::As(Outcome::Interrupted | Outcome::Abandoned)
        );
        return Some(match row.verdict {
            VerdictKey::Refuted => Word::Refuted,
            _ if was_cut_off => Word::CutOff,
            VerdictKey::Verified => Word::Verified,
            VerdictKey::Inconclusive => Word::Inconclusive,
            VerdictKey::None => return None,
        });
    }
    // Whoever looked then saw every instance, those on an older number of the same image, too.
    let looked_at = row.kind == Some(Kind::Verify) && row.is_verified();
    let is_newer = row.release.get().is_some_and(|looked| looked > number);
    if looked_at && is_newer && row.shipped.image.is_same_as(image) {
        return Some(Word::Verified);
    }
    let returned_to = row.is_verified_return() && row.serving.release.is(number);
    (returned_to && row.serving.image.is_same_as(image)).then_some(Word::Verified)
}

#[cfg(test)]
mod tests {
    use crate::release::ReleaseNumber;
    use crate::state::history::word::Word;
    use crate::state::record::Outcome;
    use crate::state::testing::{APP, Entry, TestLedger, image, served};

    /// A case, its entries, the release that is asked about, and the word on it.
    type Case = (&'static str, Vec<Entry>, u64, &'static str, Option<Word>);

    fn returned(entry: Entry, release: u64, tag: &str) -> Entry {
        let mut entry = entry.rolled_back_to(tag);
        entry.end.as_mut().unwrap().services[0].serving = Some(served(release, tag));
        entry
    }

    #[track_caller]
    fn expect(cases: Vec<Case>) {
        for (name, entries, number, tag, expected) in cases {
            let history = TestLedger::of(&entries).history();
            let word = history.word_on(APP, ReleaseNumber(number), &image(tag));
            assert_eq!(word, expected, "{name}");
        }
    }

    #[test]
    fn a_release_is_judged_by_its_own_number() {
        let good = || Entry::deploy("d1", "v1").verified().release(1);
        expect(vec![
            ("verified", vec![good()], 1, "v1", Some(Word::Verified)),
            ("another number of its image", vec![good()], 2, "v1", None),
            ("its number with another image", vec![good()], 1, "v2", None),
            (
                "shipped again, and interrupted",
                vec![good(), Entry::deploy("d2", "v1").interrupted().release(2)],
                2,
                "v1",
                Some(Word::CutOff),
            ),
            (
                "interrupted, then looked at",
                vec![
                    Entry::deploy("d2", "v1").interrupted().release(2),
                    Entry::verify("l1", "v1").verified().release(2),
                ],
                2,
                "v1",
                Some(Word::Verified),
            ),
            (
                "interrupted once it was refuted",
                vec![
                    Entry::deploy("d2", "v2")
                        .ended(Outcome::Interrupted, "refuted")
                        .release(2),
                ],
                2,
                "v2",
                Some(Word::Refuted),
            ),
            (
                "left behind as abandoned",
                vec![
                    Entry::deploy("d2", "v2")
                        .ended(Outcome::Abandoned, "inconclusive")
                        .release(2),
                ],
                2,
                "v2",
                Some(Word::CutOff),
            ),
        ]);
    }

    #[test]
    fn the_last_conclusion_counts() {
        let good = || Entry::deploy("d1", "v1").verified().release(1);
        expect(vec![
            (
                "a look without a conclusion takes nothing away",
                vec![
                    good(),
                    Entry::verify("l1", "v1")
                        .ended(Outcome::Inconclusive, "inconclusive")
                        .release(1),
                ],
                1,
                "v1",
                Some(Word::Verified),
            ),
            (
                "verified beside a newer number of its image",
                vec![
                    Entry::deploy("d2", "v1").interrupted().release(2),
                    Entry::verify("l1", "v1").verified().release(4),
                ],
                2,
                "v1",
                Some(Word::Verified),
            ),
            (
                "a newer number of its image was shipped",
                vec![
                    Entry::deploy("d2", "v1").interrupted().release(2),
                    Entry::deploy("d3", "v1").verified().release(4),
                ],
                2,
                "v1",
                Some(Word::CutOff),
            ),
            (
                "no conclusion",
                vec![
                    Entry::deploy("d1", "v1")
                        .ended(Outcome::Inconclusive, "inconclusive")
                        .release(1),
                ],
                1,
                "v1",
                Some(Word::Inconclusive),
            ),
            (
                "refuted by a later look",
                vec![good(), Entry::verify("l1", "v1").broken().release(1)],
                1,
                "v1",
                Some(Word::Refuted),
            ),
            (
                "a return",
                vec![
                    good(),
                    returned(Entry::deploy("d2", "v2").over(1, "v1"), 3, "v1").release(2),
                ],
                3,
                "v1",
                Some(Word::Verified),
            ),
            (
                "a return, and what was found there by the next deploy",
                vec![
                    returned(Entry::deploy("d2", "v2").over(1, "v1"), 3, "v1").release(2),
                    Entry::deploy("d3", "v3").over(3, "v1").verified().release(4),
                ],
                3,
                "v1",
                Some(Word::Verified),
            ),
            (
                "what a return went away from",
                vec![returned(Entry::deploy("d2", "v2").over(1, "v1"), 3, "v1").release(2)],
                2,
                "v2",
                Some(Word::Refuted),
            ),
        ]);
    }

    #[test]
    fn the_weaker_word_counts() {
        use Word::{CutOff, Inconclusive, Refuted, Verified};
        for (one, other, expected) in [
            (Verified, Verified, Verified),
            (Verified, Inconclusive, Inconclusive),
            (Inconclusive, CutOff, CutOff),
            (CutOff, Refuted, Refuted),
            (Refuted, Verified, Refuted),
        ] {
            assert_eq!(one.weaker(other), expected);
            assert_eq!(other.weaker(one), expected);
        }
    }
}
