//! The provider's list, read with the ledger beside it: which of its releases may be gone back to.

use crate::error::Result;
use crate::release::{Image, Release, ReleaseNumber, ReleaseStatus};
use crate::rollback::candidate::Candidate;
use crate::state::history::{History, Standing};
use crate::state::keys::{Identity, ImageKey, Key};

/// How many are looked up in full: the target, and what comes next if its image is gone.
pub(crate) const CANDIDATES: usize = 6;

/// One release with what the ledger says of it.
struct Line<'a> {
    release: &'a Release,
    /// By name; by digest too where the ledger holds the number.
    image: ImageKey,
    /// The entry with its number; else the newest of its image that stayed, which may have another number.
    place: Option<usize>,
    /// What the ledger judges it by: that entry, else the newest of its image.
    judged: Option<usize>,
    /// Some record names its number.
    is_named: bool,
}

/// The list, newest first, at most 25 releases long.
pub(crate) struct Listed<'a> {
    history: &'a History,
    app: &'a str,
    standing: &'a Standing<'a>,
    lines: Vec<Line<'a>>,
}

impl<'a> Listed<'a> {
    pub(crate) fn new(
        history: &'a History,
        app: &'a str,
        standing: &'a Standing<'a>,
        releases: &'a [Release],
    ) -> Self {
        let mut releases: Vec<&Release> = releases.iter().collect();
        releases.sort_by_key(|release| std::cmp::Reverse(release.number));
        let mut lines: Vec<Line<'_>> = releases.into_iter().map(Line::new).collect();
        find_numbers(history, app, &mut lines);
        find_images(history, app, &mut lines);
        Self {
            history,
            app,
            standing,
            lines,
        }
    }

    /// The first listed release of an image.
    pub(crate) fn first_of(&self, image: ImageKey) -> Option<ReleaseNumber> {
        self.first_place_of(image).map(|at| self.lines[at].release.number)
    }

    fn first_place_of(&self, image: ImageKey) -> Option<usize> {
        self.lines.iter().rposition(|line| line.image.is_same_as(image))
    }

    /// Whether there is a release between two numbers that no record names.
    pub(crate) fn has_unnamed_between(
        &self,
        after: Option<ReleaseNumber>,
        before: Option<ReleaseNumber>,
    ) -> bool {
        self.lines.iter().any(|line| {
            let number = line.release.number;
            after.is_none_or(|after| number > after)
                && before.is_none_or(|before| number < before)
                && !line.is_named
        })
    }

    /// The releases of other images, older than the first listed one of `serving`; newest first, one of each image.
    pub(crate) fn older_than(&self, serving: &Image) -> Result<Vec<Candidate>> {
        let serving = ImageKey::of(serving);
        let Some(first) = self.first_place_of(serving) else {
            return Ok(Vec::new());
        };
        self.candidates(first + 1, &[serving])
    }

    /// The releases of other images than these; newest first, one of each image.
    pub(crate) fn besides(&self, without: &[ImageKey]) -> Result<Vec<Candidate>> {
        self.candidates(0, without)
    }

    /// The same, and of another image than that of the newest release.
    pub(crate) fn besides_newest(&self, without: &[ImageKey]) -> Result<Vec<Candidate>> {
        let mut without = without.to_vec();
        without.extend(self.lines.first().map(|line| line.image));
        self.besides(&without)
    }

    /// The release with this number, and whether the ledger vouches for it.
    pub(crate) fn numbered(&self, number: ReleaseNumber) -> Result<Option<Candidate>> {
        let found = self.lines.iter().position(|line| line.release.number == number);
        found.map(|at| self.candidate(at)).transpose()
    }

    /// The newest release of an image.
    pub(crate) fn newest_of(&self, image: ImageKey) -> Result<Option<Candidate>> {
        let found = self.lines.iter().position(|line| line.image.is_same_as(image));
        found.map(|at| self.candidate(at)).transpose()
    }

    /// flyctl's word for the release with this number.
    pub(crate) fn status_of(&self, number: ReleaseNumber) -> Option<&'a ReleaseStatus> {
        self.lines
            .iter()
            .find(|line| line.release.number == number)
            .map(|line| &line.release.status)
    }

    pub(crate) fn releases(&self) -> impl Iterator<Item = &'a Release> + '_ {
        self.lines.iter().map(|line| line.release)
    }

    fn candidates(&self, from: usize, without: &[ImageKey]) -> Result<Vec<Candidate>> {
        let mut seen = without.to_vec();
        let mut found = Vec::new();
        for (at, line) in self.lines.iter().enumerate().skip(from) {
            if found.len() == CANDIDATES {
                break;
            }
            let is_new = !seen.iter().any(|image| image.is_same_as(line.image));
            if is_new && !self.refutes(line) && (self.is_complete(line) || self.vouches_for(line)) {
                seen.push(line.image);
                found.push(self.candidate(at)?);
            }
        }
        Ok(found)
    }

    fn candidate(&self, at: usize) -> Result<Candidate> {
        let line = &self.lines[at];
        let has_digest = !line.image.digest.is_none();
        Candidate::listed(
            self.history,
            self.app,
            line.release,
            self.vouches_for(line),
            line.place,
            has_digest,
        )
    }

    /// `None` where the ledger holds nothing of its image.
    fn identity(&self, line: &Line<'_>) -> Option<Identity> {
        line.judged.map(|at| self.history.row(at).shipped)
    }

    /// As shipped, or by a return alone.
    fn vouches_for(&self, line: &Line<'_>) -> bool {
        let identity = self.identity(line).unwrap_or(Identity {
            image: line.image,
            configuration: Key::NONE,
        });
        self.standing.has_verified(identity)
    }

    fn refutes(&self, line: &Line<'_>) -> bool {
        self.identity(line)
            .is_some_and(|identity| self.standing.refutes(identity))
    }

    /// Itself `complete`, and the first of its image too: `secrets set` after a failed deploy makes a complete release
    /// of a failed image (`secrets_set_after_failed_deploy`).
    fn is_complete(&self, line: &Line<'_>) -> bool {
        let first = self.first_place_of(line.image).map_or(line, |at| &self.lines[at]);
        [line, first]
            .iter()
            .all(|line| line.release.status == ReleaseStatus::Complete)
    }
}

impl<'a> Line<'a> {
    fn new(release: &'a Release) -> Self {
        Self {
            release,
            image: ImageKey::of(&release.image),
            place: None,
            judged: None,
            is_named: false,
        }
    }
}

/// Finds the records that name a listed number, in one pass: the ledger may hold a hundred thousand others.
fn find_numbers(history: &History, app: &str, lines: &mut [Line<'_>]) {
    let (Some(newest), Some(oldest)) = (lines.first(), lines.last()) else {
        return;
    };
    let range = oldest.release.number..=newest.release.number;
    for (at, row) in history.rows_of(app) {
        for number in row.named_releases().filter(|number| range.contains(number)) {
            let Some(line) = lines.iter_mut().find(|line| line.release.number == number) else {
                continue;
            };
            line.is_named = true;
            if line.place.is_none() && row.release.is(number) && row.shipped.image.is_same_as(line.image) {
                (line.place, line.judged) = (Some(at), Some(at));
                line.image.digest = row.shipped.image.digest;
            }
            for served in [row.serving, row.previous] {
                let is_this = served.release.is(number) && served.image.is_same_as(line.image);
                if is_this && line.image.digest.is_none() {
                    line.image.digest = served.image.digest;
                }
            }
        }
    }
}

/// Finds the newest entry of the image of each release whose number no entry has.
fn find_images(history: &History, app: &str, lines: &mut [Line<'_>]) {
    for line in lines.iter_mut().filter(|line| line.place.is_none()) {
        let newest = history.rows_with(app, line.image).next();
        let stayed = history
            .rows_with(app, line.image)
            .find(|(_, row)| row.has_stayed());
        line.place = stayed.map(|(at, _)| at);
        line.judged = line.place.or(newest.map(|(at, _)| at));
    }
}

#[cfg(test)]
mod tests {
    use super::Listed;
    use crate::release::{Image, Release, ReleaseNumber, ReleaseStatus};
    use crate::state::keys::ImageKey;
    use crate::state::testing::{APP, Entry, TestLedger, image};

    fn release(number: u64, tag: &str) -> Release {
        Release {
            id: format!("r{number}"),
            number: ReleaseNumber(number),
            status: ReleaseStatus::Complete,
            description: String::new(),
            image: Image::parse(&image(tag).name),
            user: None,
            created_at: String::new(),
        }
    }

    /// v1, v2 and v1 once more, and v3; the ledger holds the second and the last.
    fn with_listed(act: impl FnOnce(&Listed<'_>)) {
        let entries = [
            Entry::deploy("d2", "v2").verified().release(2),
            Entry::deploy("d4", "v3").verified().release(4),
        ];
        let history = TestLedger::of(&entries).history();
        let standing = history.standing(APP);
        let releases = [
            release(3, "v1"),
            release(1, "v1"),
            release(4, "v3"),
            release(2, "v2"),
        ];
        act(&Listed::new(&history, APP, &standing, &releases));
    }

    fn key(tag: &str) -> ImageKey {
        ImageKey::of(&Image::parse(&image(tag).name))
    }

    #[test]
    fn an_image_is_found_by_its_first_and_its_newest_release() {
        with_listed(|listed| {
            for (tag, first, newest) in [("v1", 1, 3), ("v2", 2, 2), ("v3", 4, 4)] {
                assert_eq!(listed.first_of(key(tag)), Some(ReleaseNumber(first)), "{tag}");
                let found = listed.newest_of(key(tag)).unwrap().unwrap();
                assert_eq!(found.release, Some(ReleaseNumber(newest)), "{tag}");
            }
            assert_eq!(listed.first_of(key("v9")), None);
            assert_eq!(listed.newest_of(key("v9")).unwrap(), None);
        });
    }

    #[test]
    fn what_no_record_names_is_seen_between_two_numbers_alone() {
        with_listed(|listed| {
            let number = |number: Option<u64>| number.map(ReleaseNumber);
            for (after, before, unnamed) in [
                (None, None, true),
                (Some(2), Some(4), true),
                (Some(3), Some(4), false),
                (Some(2), Some(3), false),
                (Some(1), Some(3), false),
                (Some(1), Some(2), false),
                (None, Some(2), true),
                (None, Some(1), false),
                (Some(3), None, false),
            ] {
                let seen = listed.has_unnamed_between(number(after), number(before));
                assert_eq!(seen, unnamed, "{after:?} {before:?}");
            }
        });
    }

    #[test]
    fn older_is_what_comes_before_the_first_release_of_an_image() {
        with_listed(|listed| {
            for (tag, older) in [("v1", &[][..]), ("v2", &[1]), ("v3", &[3, 2]), ("v9", &[])] {
                let found = listed.older_than(&Image::parse(&image(tag).name)).unwrap();
                let numbers: Vec<u64> = found
                    .iter()
                    .filter_map(|candidate| candidate.release.map(|release| release.0))
                    .collect();
                assert_eq!(numbers, older, "{tag}");
            }
        });
    }
}
