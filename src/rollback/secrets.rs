//! Secrets that were set since the release that is gone back to: a rollback brings back image and configuration, and
//! the app of then meets the secrets of now (DESIGN 7).

use jiff::Timestamp;

use crate::release::{AppSecret, Release, ReleaseNumber};
use crate::rollback::candidate::Candidate;

/// A handful is read; the rest is counted.
const NAMED: usize = 5;

/// What a person should know of the app's secrets; `None` for them where they could not be listed.
///
/// One that was removed since is in no list, and nothing is said of it.
pub(crate) fn secrets_since(
    secrets: Option<&[AppSecret]>,
    target: &Candidate,
    releases: &[Release],
) -> Option<String> {
    let then = target.name();
    let unknown = |why: &str| {
        Some(format!(
            "whether secrets were set after {then} is not known, for {why}: a rollback leaves them as they are"
        ))
    };
    let Some(secrets) = secrets else {
        return unknown("they could not be listed");
    };
    if secrets.is_empty() {
        return None;
    }
    let Some(shipped) = shipped_at(target, releases) else {
        return unknown("nothing says when that was shipped");
    };
    match set_after(secrets, shipped).as_slice() {
        [] if secrets.iter().any(|secret| secret.set_at.is_none()) => {
            unknown("this flyctl does not say when they were")
        }
        since => named(since, &then, "a rollback"),
    }
}

/// What a return leaves as it is, where that is known: a release that was good before may fail by a secret of now.
pub(crate) fn secrets_left_by_a_return(
    secrets: &[AppSecret],
    number: ReleaseNumber,
    then: &str,
    releases: &[Release],
) -> Option<String> {
    let listed = releases.iter().find(|release| release.number == number)?;
    let shipped = listed.created_at.parse().ok()?;
    named(&set_after(secrets, shipped), then, "a return")
}

fn set_after(secrets: &[AppSecret], shipped: Timestamp) -> Vec<&AppSecret> {
    let is_later = |secret: &&AppSecret| secret.set_at.is_some_and(|at| at > shipped);
    secrets.iter().filter(is_later).collect()
}

fn named(since: &[&AppSecret], then: &str, way_back: &str) -> Option<String> {
    match since {
        [] => None,
        [secret] => Some(format!(
            "the secret `{}` was set after {then}: {way_back} leaves it as it is",
            secret.name
        )),
        several => Some(format!(
            "the secrets {} were set after {then}: {way_back} leaves them as they are",
            names(several)
        )),
    }
}

/// By the provider's list, whose clock dated the secrets too; where it no longer reaches so far back, by the ledger.
fn shipped_at(target: &Candidate, releases: &[Release]) -> Option<Timestamp> {
    let listed = releases
        .iter()
        .find(|release| Some(release.number) == target.release && release.image.is_same_as(&target.image));
    let listed = listed.and_then(|release| release.created_at.parse().ok());
    listed.or_else(|| target.entry.as_ref()?.at.parse().ok())
}

/// `A`, `B` and 3 more.
fn names(secrets: &[&AppSecret]) -> String {
    let quoted: Vec<String> = secrets
        .iter()
        .map(|secret| format!("`{}`", secret.name))
        .collect();
    let (shown, more) = quoted.split_at(NAMED.min(quoted.len()));
    match (shown, more) {
        ([first @ .., last], []) => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", shown.join(", "), more.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::{secrets_left_by_a_return, secrets_since};
    use crate::release::{AppSecret, Image, Release, ReleaseNumber, ReleaseStatus};
    use crate::rollback::Candidate;
    use crate::state::testing::{APP, Entry, TestLedger, image};

    const BEFORE: Option<&str> = Some("2026-01-28T09:59:59Z");
    const THEN: &str = "2026-01-28T10:00:00Z";
    const SINCE: Option<&str> = Some("2026-01-28T10:00:00.001Z");

    fn secrets(set: &[(&str, Option<&str>)]) -> Vec<AppSecret> {
        let secret = |(name, at): &(&str, Option<&str>)| AppSecret {
            name: (*name).to_owned(),
            set_at: at.map(|at| at.parse().unwrap()),
        };
        set.iter().map(secret).collect()
    }

    fn first(created_at: &str) -> Release {
        Release {
            id: "r1".to_owned(),
            number: ReleaseNumber(1),
            status: ReleaseStatus::Complete,
            description: String::new(),
            image: Image::parse(&image("v1").name),
            user: None,
            created_at: created_at.to_owned(),
        }
    }

    fn target() -> Candidate {
        Candidate {
            release: Some(ReleaseNumber(1)),
            ..Candidate::as_named(image("v1"))
        }
    }

    /// What is said, without the words that all of it shares.
    fn said(secrets: Option<&[AppSecret]>, target: &Candidate, releases: &[Release]) -> String {
        let said = secrets_since(secrets, target, releases).unwrap_or_default();
        said.replace(&target.name(), "then")
            .replace(": a rollback leaves", ";")
    }

    #[test]
    fn what_was_set_since_is_named() {
        for (set, wanted) in [
            (vec![], ""),
            (vec![("A", BEFORE), ("B", Some(THEN))], ""),
            (
                vec![("A", BEFORE), ("B", SINCE)],
                "the secret `B` was set after then; it as it is",
            ),
            (
                vec![("A", SINCE), ("B", BEFORE), ("C", SINCE)],
                "the secrets `A` and `C` were set after then; them as they are",
            ),
            (
                ["A", "B", "C", "D", "E"].map(|name| (name, SINCE)).to_vec(),
                "the secrets `A`, `B`, `C`, `D` and `E` were set after then; them as they are",
            ),
            (
                ["A", "B", "C", "D", "E", "F", "G"]
                    .map(|name| (name, SINCE))
                    .to_vec(),
                "the secrets `A`, `B`, `C`, `D`, `E` and 2 more were set after then; them as they are",
            ),
            (
                vec![("A", None), ("B", SINCE)],
                "the secret `B` was set after then; it as it is",
            ),
            (
                vec![("A", None), ("B", BEFORE)],
                "whether secrets were set after then is not known, for this flyctl does not say when they were; \
                 them as they are",
            ),
        ] {
            let told = said(Some(&secrets(&set)), &target(), &[first(THEN)]);
            assert_eq!(told, wanted, "{set:?}");
        }
    }

    #[test]
    fn a_return_names_what_is_known_alone() {
        for (set, number, wanted) in [
            (
                vec![("A", BEFORE), ("B", SINCE)],
                1,
                Some("the secret `B` was set after v1: a return leaves it as it is"),
            ),
            (vec![("A", BEFORE), ("B", None)], 1, None),
            (vec![("B", SINCE)], 9, None),
        ] {
            let secrets = secrets(&set);
            let said = secrets_left_by_a_return(&secrets, ReleaseNumber(number), "v1", &[first(THEN)]);
            assert_eq!(said.as_deref(), wanted, "{set:?}");
        }
    }

    #[test]
    fn where_it_cannot_be_told_nothing_is_claimed() {
        let some = secrets(&[("A", SINCE)]);
        let other = Release {
            image: Image::parse(&image("v9").name),
            ..first(THEN)
        };
        for (secrets, releases, why) in [
            (None, vec![first(THEN)], "they could not be listed"),
            (Some(&some), vec![], "nothing says when that was shipped"),
            (
                Some(&some),
                vec![first("?")],
                "nothing says when that was shipped",
            ),
            // An app that was made anew begins at 1 again.
            (Some(&some), vec![other], "nothing says when that was shipped"),
        ] {
            let told = said(secrets.map(Vec::as_slice), &target(), &releases);
            let wanted =
                format!("whether secrets were set after then is not known, for {why}; them as they are");
            assert_eq!(told, wanted, "{releases:?}");
        }
        assert_eq!(said(Some(&[]), &target(), &[]), "", "there is nothing to be told");
    }

    #[test]
    fn what_flyctl_no_longer_lists_is_dated_by_the_ledger() {
        let ledger = TestLedger::of(&[Entry::deploy("d1", "v1").verified().release(1)]);
        let target = Candidate::entered(&ledger.history(), APP, 0, true)
            .unwrap()
            .unwrap();
        let ended: jiff::Timestamp = target.entry.as_ref().unwrap().at.parse().unwrap();
        let later = (ended + jiff::SignedDuration::from_secs(1)).to_string();
        let before = (ended - jiff::SignedDuration::from_secs(1)).to_string();
        let told = |at: &str| said(Some(&secrets(&[("A", Some(at))])), &target, &[]);
        assert_eq!(told(&later), "the secret `A` was set after then; it as it is");
        assert_eq!(told(&before), "");
    }
}
