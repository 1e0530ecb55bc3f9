//! The target of a return: what a refuted deployment puts back by itself.

use crate::error::Result;
use crate::release::{Image, Release};
use crate::rollback::candidate::Candidate;
use crate::rollback::listed::Listed;
use crate::rollback::serving::{Running, Serving};
use crate::state::history::History;
use crate::state::keys::{Identity, ImageKey, Key};
use crate::state::record::Configuration;

pub(crate) struct ReturnQuestion<'a> {
    pub(crate) app: &'a str,
    pub(crate) history: &'a History,
    /// flyctl's list, of before the deployment or after it.
    pub(crate) releases: &'a [Release],
    /// What served before; `good` is false where it failed then.
    pub(crate) baseline: &'a [Running],
    /// What was refuted.
    pub(crate) shipped: &'a Image,
    pub(crate) configuration: Option<&'a Configuration>,
}

#[derive(Debug)]
pub(crate) enum ReturnTarget {
    /// What served before.
    Baseline(Box<Candidate>),
    /// The last verified: what served before was mixed or failing.
    Verified(Box<Candidate>),
    /// None; the newest older release, which only a person can choose.
    None { newest_older: Option<Box<Candidate>> },
}

impl ReturnTarget {
    /// The command that ships the newest older release.
    pub(crate) fn command(&self, environment: &str) -> Option<String> {
        let Self::None {
            newest_older: Some(older),
        } = self
        else {
            return None;
        };
        let to = match older.release {
            Some(number) => format!("release:{}", number.0),
            None => format!("image:{}", older.image.reference()),
        };
        Some(format!("shipctl rollback {environment} --to {to}"))
    }
}

pub(crate) fn return_target(question: &ReturnQuestion<'_>) -> Result<ReturnTarget> {
    let ReturnQuestion {
        app,
        history,
        releases,
        baseline,
        shipped,
        configuration,
    } = *question;
    let serving = Serving::of(history, app, baseline)?;
    if let (Some(image), true) = (&serving.image, serving.good) {
        return baseline_target(history, app, image, &serving, baseline)
            .map(|it| ReturnTarget::Baseline(Box::new(it)));
    }
    let refuted = Identity {
        image: ImageKey::of(shipped),
        configuration: configuration.map_or(Key::NONE, Key::of_configuration),
    };
    let standing = history.standing(app);
    let verified = standing
        .vouched(usize::MAX)
        .find(|it| !it.identity.is_same_as(refuted) && !serving.is(it.identity) && standing.vouches_for(it));
    let verified = verified
        .map(|statement| Candidate::vouched(history, app, &statement))
        .transpose()?
        .flatten();
    if let Some(verified) = verified {
        return Ok(ReturnTarget::Verified(Box::new(verified)));
    }
    let failing = serving.identity.map(|it| it.image);
    let without: Vec<ImageKey> = [Some(refuted.image), failing].into_iter().flatten().collect();
    let listed = Listed::new(history, app, &standing, releases);
    let newest_older = listed.besides(&without)?.into_iter().next().map(Box::new);
    Ok(ReturnTarget::None { newest_older })
}

fn baseline_target(
    history: &History,
    app: &str,
    image: &Image,
    serving: &Serving,
    baseline: &[Running],
) -> Result<Candidate> {
    let release = baseline.iter().filter_map(|it| it.release).max();
    let known = serving
        .place
        .map(|at| Candidate::entered(history, app, at, false));
    let mut target = known
        .transpose()?
        .flatten()
        .unwrap_or_else(|| Candidate::as_named(image.clone()));
    target.image = image
        .clone()
        .with_digest(target.image.digest.filter(|_| image.digest.is_none()));
    target.release = release.or(target.release);
    target.verified = serving.place.is_some_and(|at| history.row(at).is_verified());
    Ok(target)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{ReturnQuestion, ReturnTarget, return_target};
    use crate::release::{Image, Release, ReleaseNumber, ReleaseStatus};
    use crate::rollback::Running;
    use crate::state::record::Configuration;
    use crate::state::testing::{APP, Entry, TestLedger, image};

    fn running(tag: &str, release: u64, good: bool) -> Running {
        Running {
            image: image(tag),
            group: "app".to_owned(),
            release: Some(ReleaseNumber(release)),
            config: Value::Null,
            good,
        }
    }

    fn released(number: u64, status: &str, tag: &str) -> Release {
        Release {
            id: number.to_string(),
            number: ReleaseNumber(number),
            status: ReleaseStatus::parse(status),
            description: String::new(),
            image: Image::parse(&image(tag).name),
            user: None,
            created_at: String::new(),
        }
    }

    fn target(entries: &[Entry], baseline: &[Running]) -> ReturnTarget {
        let shipped = Configuration {
            text: "broken".to_owned(),
            ..Configuration::default()
        };
        let releases = [
            released(5, "failed", "v5"),
            released(4, "complete", "v4"),
            released(3, "failed", "v3"),
            released(2, "complete", "v2"),
        ];
        return_target(&ReturnQuestion {
            app: APP,
            history: &TestLedger::of(entries).history(),
            releases: &releases,
            baseline,
            shipped: &image("v5"),
            configuration: Some(&shipped),
        })
        .unwrap()
    }

    fn told(entries: &[Entry], baseline: &[Running]) -> String {
        match target(entries, baseline) {
            ReturnTarget::Baseline(it) => format!("baseline {}", it.name()),
            ReturnTarget::Verified(it) => format!("verified {}", it.image),
            target @ ReturnTarget::None { .. } => target.command("production").unwrap_or_default(),
        }
    }

    #[test]
    fn the_baseline_else_the_last_verified_else_none() {
        let known = [
            Entry::deploy("d1", "v2").verified().release(2),
            Entry::deploy("d2", "v4").verified().release(4),
        ];
        for (entries, baseline, expected) in [
            (&[][..], vec![running("v4", 4, true)], "baseline v4 (shop:v4)"),
            (
                &known[..],
                vec![running("v4", 4, true); 2],
                "baseline v4 (shop:v4)",
            ),
            // Failing already, or mixed: not that again.
            (
                &known,
                vec![running("v4", 4, false)],
                "verified registry.fly.io/shop:v2",
            ),
            (
                &known,
                vec![running("v4", 4, true), running("v3", 3, true)],
                "verified registry.fly.io/shop:v4",
            ),
            (
                &known[..1],
                vec![running("v2", 2, false)],
                "shipctl rollback production --to release:4",
            ),
            (
                &[],
                vec![running("v4", 4, false)],
                "shipctl rollback production --to release:2",
            ),
            (
                &[],
                vec![running("v4", 4, true), running("v2", 2, true)],
                "shipctl rollback production --to release:4",
            ),
            (&[], Vec::new(), "shipctl rollback production --to release:4"),
        ] {
            assert_eq!(told(entries, &baseline), expected, "{baseline:?}");
        }
    }

    #[test]
    fn the_refuted_one_is_told_apart_by_its_configuration() {
        let known = [Entry::deploy("d1", "v5").verified().release(1)];
        let ReturnTarget::Verified(found) = target(&known, &[running("v4", 4, false)]) else {
            panic!("v5 was verified with another configuration");
        };
        assert_eq!(found.configuration.unwrap().text, "plain");
        let broken = [Entry::deploy("d1", "v5")
            .configured("broken")
            .verified()
            .release(1)];
        assert!(matches!(
            target(&broken, &[running("v4", 4, false)]),
            ReturnTarget::None { .. }
        ));
    }

    #[test]
    fn what_is_held_of_the_baseline_comes_along() {
        let known = [Entry::deploy("d1", "v4").verified().release(4).answering("1.4.0")];
        let ReturnTarget::Baseline(found) = target(&known, &[running("v4", 4, true)]) else {
            panic!("it serves and is good");
        };
        assert_eq!(found.image, image("v4"));
        assert_eq!((found.verified, found.version.as_deref()), (true, Some("1.4.0")));
        assert_eq!(found.configuration.unwrap().text, "plain");
    }
}
