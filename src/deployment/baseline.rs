//! What served, and how it answered, before the deployment changed anything. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::deployment::prepare::Facts;
use crate::effect::http::Answer;
use crate::instance::{Instance, InstanceState};
use crate::project::{PathRule, VerifySettings};
use crate::release::{Image, ReleaseNumber};
use crate::state::record::{Configuration, Served};
use crate::verification::expectation::{PathAuthority, Reach};
use crate::verification::identity::VersionSeen;
use crate::verification::probe::{self, Word};

/// The state before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Baseline {
    /// The newest release that the provider lists, whatever became of it.
    pub(crate) newest: Option<ReleaseNumber>,
    /// Counted in the groups of today's file or of the one that serves.
    pub(crate) instances: Vec<Instance>,
    /// What all of them run; `None` where they differ, or there are none.
    pub(crate) image: Option<Image>,
    /// The newest release that an instance runs.
    pub(crate) release: Option<ReleaseNumber>,
    /// All releases that instances run.
    pub(crate) releases: BTreeSet<ReleaseNumber>,
    /// Why what served is nothing to return to.
    pub(crate) failing: Vec<String>,
    /// A check of an instance that nobody could ask did not pass.
    pub(crate) has_failing_checks: bool,
    /// What was no witness before, and is none afterwards.
    pub(crate) already: Vec<String>,
    pub(crate) reach: Option<Reach>,
    /// The version that the answers named, where they agree.
    pub(crate) version: Option<String>,
    /// An instance answered 2xx.
    pub(crate) answered: bool,
    /// Process groups of the configuration that serves.
    pub(crate) groups: Vec<String>,
    pub(crate) configuration: Option<Configuration>,
}

impl Baseline {
    /// Draws the conclusion from what was seen; `groups` are those of the configuration that serves.
    pub(crate) fn of(facts: &Facts, today: &[String], groups: Vec<String>, verify: &VerifySettings) -> Self {
        let all: Vec<String> = today.iter().chain(&groups).cloned().collect();
        let instances: Vec<Instance> = facts
            .machines
            .iter()
            .filter(|machine| machine.counts(&all))
            .cloned()
            .collect();
        let mut baseline = Self {
            newest: facts.releases.iter().map(|release| release.number).max(),
            image: common_image(&instances),
            release: instances.iter().filter_map(|instance| instance.release).max(),
            releases: instances.iter().filter_map(|instance| instance.release).collect(),
            groups,
            ..Self::default()
        };
        for instance in &instances {
            if instance.has_crashed() {
                baseline.failing.push(format!(
                    "instance {} in {} has crashed",
                    instance.id, instance.region
                ));
            }
        }
        baseline.has_failing_checks = instances.iter().any(|instance| {
            instance.state == InstanceState::Started
                && !facts.answers.contains_key(&instance.id)
                && instance.checks.iter().any(|check| !check.is_passing())
        });
        baseline.instances = instances;
        baseline.read_answers(&facts.answers, verify);
        baseline
    }

    fn read_answers(&mut self, answers: &BTreeMap<String, Answer>, verify: &VerifySettings) {
        let mut versions = BTreeSet::new();
        let mut reached = false;
        // What stood in the way of an answer before is held against nobody: only a 5xx and silence are bad here.
        let authority = match verify.path {
            PathRule::Root => PathAuthority::Root,
            PathRule::Named(_) | PathRule::Check { .. } => PathAuthority::Check {
                answered_before: false,
            },
        };
        for (id, answer) in answers {
            reached |= !matches!(answer, Answer::NoConnection(_));
            let read = probe::read(answer, authority, &verify.version_field);
            self.answered |= read.answered();
            versions.extend(
                read.version
                    .as_ref()
                    .and_then(VersionSeen::name)
                    .map(str::to_owned),
            );
            match read.word {
                Word::Bad(reason) => self.failing.push(format!("instance {id}: {reason}")),
                Word::NoWitness(reason) => self
                    .already
                    .push(format!("instance {id}: {reason}; already so before")),
                Word::Good { .. } | Word::NoConnection(_) => {}
            }
        }
        self.reach = (!answers.is_empty()).then_some(if reached {
            Reach::ReachableBefore
        } else {
            Reach::UnreachableBefore
        });
        if versions.len() == 1 {
            self.version = versions.pop_first();
        }
    }

    /// No instance at all: nothing serves.
    pub(crate) fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// Nothing was ever released here.
    pub(crate) fn is_first(&self) -> bool {
        self.instances.is_empty() && self.newest.is_none()
    }

    pub(crate) fn is_mixed(&self) -> bool {
        !self.instances.is_empty() && self.image.is_none()
    }

    /// One image, and nothing held against it.
    pub(crate) fn can_be_returned_to(&self) -> bool {
        self.image.is_some() && self.failing.is_empty()
    }

    pub(crate) fn served(&self) -> Option<Served> {
        let image = self.image.clone()?;
        Some(Served {
            release: self.release,
            image: image.name,
            digest: image.digest,
        })
    }

    /// Whether an image is what served.
    pub(crate) fn is_served_by(&self, image: &Image) -> bool {
        self.image.as_ref().is_some_and(|own| own.is_same_as(image))
    }

    /// How many instances were awake.
    pub(crate) fn awake(&self) -> usize {
        self.instances
            .iter()
            .filter(|instance| instance.state == InstanceState::Started)
            .count()
    }

    /// Whether `now` shows every instance as it was: the same ones, none of them updated since.
    pub(crate) fn is_untouched(&self, now: &[Instance]) -> bool {
        self.instances.iter().all(|before| {
            now.iter()
                .any(|after| after.id == before.id && !was_updated(before, after))
        })
    }

    /// Instances of `now` that run something else than before, or are new.
    pub(crate) fn moved<'n>(&self, now: &'n [Instance]) -> Vec<&'n Instance> {
        now.iter()
            .filter(|after| {
                self.instances
                    .iter()
                    .find(|before| before.id == after.id)
                    .is_none_or(|before| was_updated(before, after))
            })
            .collect()
    }

    /// The release, listed at the baseline already, by which alone instances have moved since; none where one is gone
    /// or new, or runs a release of later.
    pub(crate) fn overtaken_by(&self, now: &[Instance]) -> Option<ReleaseNumber> {
        let all_there = self.instances.len() == now.len()
            && (self.instances.iter()).all(|before| now.iter().any(|after| after.id == before.id));
        let moved = self.moved(now);
        let listed = |instance: &&Instance| instance.release.is_some() && instance.release <= self.newest;
        if !all_there || !moved.iter().all(listed) {
            return None;
        }
        moved.iter().filter_map(|instance| instance.release).max()
    }

    /// Takes what instances run now for what served before.
    pub(crate) fn see_again(&mut self, now: Vec<Instance>) {
        self.image = common_image(&now);
        self.release = now.iter().filter_map(|instance| instance.release).max();
        self.releases = now.iter().filter_map(|instance| instance.release).collect();
        self.instances = now;
    }
}

/// Whether an update of the machine lies between the two looks: another release, or another image. The platform's
/// own version of a machine also changes when somebody restarts it with new secrets.
fn was_updated(before: &Instance, after: &Instance) -> bool {
    before.release != after.release || !before.image.is_same_as(&after.image)
}

/// The image that all of them run; by digest where each names one.
pub(crate) fn common_image(instances: &[Instance]) -> Option<Image> {
    let first = instances.first()?;
    instances
        .iter()
        .all(|instance| instance.image.is_same_as(&first.image))
        .then(|| {
            let newest = instances
                .iter()
                .max_by_key(|instance| instance.release)
                .unwrap_or(first);
            newest.image.clone()
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::deployment::baseline::Baseline;
    use crate::instance::Instance;
    use crate::provider::fly::output::machines;
    use crate::release::ReleaseNumber;

    /// Instances by id, release and tag.
    fn instances(of: &[(&str, u64, &str)]) -> Vec<Instance> {
        let machine = |&(id, release, tag): &(&str, u64, &str)| {
            json!({
                "id": id, "state": "started", "region": "fra",
                "config": {"metadata": {"fly_process_group": "app", "fly_release_version": release.to_string()}},
                "image_ref": {"registry": "registry.fly.io", "repository": "shop", "tag": tag, "digest": format!("sha256:{tag}")},
            })
        };
        let list: Vec<_> = of.iter().map(machine).collect();
        machines::parse(json!(list).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_was_under_way_before_and_went_on_is_nobody_elses_fault() {
        let before = [("a", 2, "v2"), ("b", 1, "v1")];
        let baseline = Baseline {
            newest: Some(ReleaseNumber(2)),
            instances: instances(&before),
            ..Baseline::default()
        };
        for (now, overtaken) in [
            (&[("a", 2, "v2"), ("b", 2, "v2")][..], Some(2)),
            (&[("b", 2, "v2"), ("a", 2, "v2")], Some(2)),
            // A later release may be ours.
            (&[("a", 2, "v2"), ("b", 3, "v3")], None),
            (&[("a", 3, "v3"), ("b", 2, "v2")], None),
            // One is gone, or new.
            (&[("a", 2, "v2")], None),
            (&[("a", 2, "v2"), ("c", 2, "v2")], None),
            // Nothing moved at all.
            (&before, None),
        ] {
            assert_eq!(
                baseline.overtaken_by(&instances(now)),
                overtaken.map(ReleaseNumber),
                "{now:?}"
            );
        }
    }
}
