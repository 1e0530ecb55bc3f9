//! What must be true for a release to be verified: plain data, built from settings, files, baseline and ledger.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::instance::{Instance, InstanceState};
use crate::release::{Digest, Image, ReleaseNumber};
use crate::verification::Evidence;
use crate::verification::identity::IdentityRule;

/// The shortest time in which ten quiet seconds can be seen (DESIGN 6).
pub(crate) const SHORTEST_FOR_STATE: Duration = Duration::from_secs(15);

/// What a verification is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A deployment of something new.
    Forward,
    /// What a refuted deployment does by itself; also what served before, looked at again in its place.
    Return,
    /// A return that a person asked for.
    Rollback,
    /// `verify`: what is live now.
    Live,
}

/// Everything that must be true.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    pub(crate) kind: Kind,
    /// For the commands that a message names.
    pub(crate) app: String,
    pub(crate) target: Target,
    /// The configured process groups.
    pub(crate) groups: BTreeMap<String, GroupExpectation>,
    /// Where `min_machines_running` applies; without it, everywhere.
    pub(crate) primary_region: Option<String>,
    /// Regions that need an instance each.
    pub(crate) regions: Vec<String>,
    pub(crate) min_instances: Option<usize>,
    /// What the provider listed before anything was changed; `None` for `verify` and a first deploy.
    pub(crate) baseline: Option<Baseline>,
    pub(crate) probe: ProbePlan,
    pub(crate) identity: IdentityRule,
    pub(crate) min_evidence: Evidence,
    /// For an instance to turn good after its own update.
    pub(crate) timeout: Duration,
}

/// The release that every counted instance has to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// The newest release before flyctl was started; what runs a newer one has been updated since.
    /// `None` where there was none, and for `verify`.
    pub(crate) newest_before: Option<ReleaseNumber>,
    /// Its own number, once that is known; for `verify` that of `--release`.
    pub(crate) release: Option<ReleaseNumber>,
    /// Older releases that are the same one: where a return goes, what served before (same file, same digest).
    pub(crate) also: BTreeSet<ReleaseNumber>,
    /// Of a return: the release that is left. What runs it was not returned, whatever its digest.
    pub(crate) left: Option<ReleaseNumber>,
    /// Name and digest, as far as known; what an instance shows completes it.
    pub(crate) image: Option<Image>,
}

/// What a process group must come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupExpectation {
    /// An HTTP handler in its file leads to it.
    pub(crate) public: bool,
    /// By the file; the instance's own `config` decides where it is listed.
    pub(crate) autostop: bool,
    pub(crate) min_machines_running: usize,
    /// How many checks its file configures; the instance's own `config` decides where it is listed.
    pub(crate) checks: usize,
    /// The file of what served before names it as well, so it must keep its number of instances.
    pub(crate) named_before: bool,
    /// A return makes it again, with flyctl's count.
    pub(crate) recreated: bool,
    /// How many instances it had when the target was last verified, where the baseline has none.
    pub(crate) had: Option<usize>,
}

/// What ran before anything was changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Baseline {
    pub(crate) instances: Vec<Instance>,
    /// A person had stopped every single one, so no part was put away: what is shipped is to serve.
    pub(crate) none_ran: bool,
}

/// Where a health path comes from, which decides what a redirect or 4xx on it is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PathAuthority {
    /// `[verify] path`.
    Named,
    /// A check in the file; `answered_before`: 2xx at the baseline or when last verified.
    Check { answered_before: bool },
    /// Nothing: `/`.
    Root,
}

/// What is known of the way to the app.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    ReachableBefore,
    UnreachableBefore,
    NotAsked,
    /// A first deploy, or addresses that were made during it: DNS may need up to a minute.
    New,
}

/// How instances are asked.
#[derive(Clone, Debug)]
pub(crate) struct ProbePlan {
    /// For messages.
    pub(crate) path: String,
    /// A public address, or `SHIPCTL_HEALTH_URL`; without one nothing is asked.
    pub(crate) address: bool,
    pub(crate) authority: PathAuthority,
    /// Good answers in a row.
    pub(crate) successes: u32,
    pub(crate) reach: Reach,
}

/// Where an instance stands in regard to the target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// It runs the target.
    On,
    /// It runs a newer release of the same digest.
    Newer(ReleaseNumber),
    /// It runs what was there before.
    Before,
    /// It runs this release with another digest.
    OtherDigest,
    /// It runs a newer release with another image, somebody else's.
    Superseded(ReleaseNumber),
}

impl Place {
    pub(crate) fn is_on_target(&self) -> bool {
        matches!(self, Self::On | Self::Newer(_))
    }
}

impl Target {
    /// Whether `instance` has not been updated since, and runs what may stay: `updated` counts where no release is named.
    pub(crate) fn is_untouched(&self, instance: &Instance, updated: bool) -> bool {
        match instance.release {
            Some(release) => Some(release) <= self.newest_before && Some(release) != self.left,
            None => !updated,
        }
    }

    /// Where `instance` stands; `digest` is that of the target as far as instances have shown it.
    pub(crate) fn place(&self, kind: Kind, instance: &Instance, digest: Option<&Digest>) -> Place {
        let agrees = self.agrees(instance, digest);
        let Some(running) = instance.release else {
            // Without metadata the digest alone decides (DESIGN 6).
            return if agrees == Some(true) {
                Place::On
            } else {
                Place::Before
            };
        };
        let agrees = agrees.unwrap_or(true);
        let Some(own) = self.release else {
            if kind == Kind::Live {
                return if agrees { Place::On } else { Place::OtherDigest };
            }
            return match self.newest_before {
                Some(before) if running <= before => self.older(running, agrees),
                _ if agrees => Place::On,
                _ => Place::Superseded(running),
            };
        };
        match running.cmp(&own) {
            Ordering::Less => self.older(running, agrees),
            Ordering::Equal => {
                let known = digest.or_else(|| self.image.as_ref()?.digest.as_ref());
                match (known, &instance.image.digest) {
                    (Some(ours), Some(theirs)) if ours != theirs => Place::OtherDigest,
                    _ => Place::On,
                }
            }
            Ordering::Greater if agrees => Place::Newer(running),
            Ordering::Greater => Place::Superseded(running),
        }
    }

    fn older(&self, running: ReleaseNumber, agrees: bool) -> Place {
        if agrees && self.also.contains(&running) {
            Place::On
        } else {
            Place::Before
        }
    }

    /// Whether the instance runs the target's image; `None` where the target's is not known at all.
    pub(crate) fn agrees(&self, instance: &Instance, digest: Option<&Digest>) -> Option<bool> {
        let known = digest.or_else(|| self.image.as_ref()?.digest.as_ref());
        match (known, &instance.image.digest) {
            (Some(ours), Some(theirs)) => Some(ours == theirs),
            _ => self
                .image
                .as_ref()
                .map(|image| names_agree(image, &instance.image)),
        }
    }
}

/// Whether two images without a common digest can be the same: mirrors spell registry and repository differently.
fn names_agree(one: &Image, other: &Image) -> bool {
    let last = |image: &Image| {
        image
            .repository()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    one.name == other.name
        || (last(one) == last(other) && one.tag().unwrap_or("latest") == other.tag().unwrap_or("latest"))
}

impl Expectation {
    /// The names of the configured groups.
    pub(crate) fn group_names(&self) -> Vec<String> {
        self.groups.keys().cloned().collect()
    }

    /// Whether instances of `group` are asked over HTTP.
    pub(crate) fn asks(&self, group: &GroupExpectation) -> bool {
        self.probe.address && group.public
    }

    /// Whether shipctl may start what does not run: `verify` only looks.
    pub(crate) fn may_start(&self) -> bool {
        self.kind != Kind::Live
    }
}

impl GroupExpectation {
    /// Whether the proxy may stop `instance`: its own configuration decides, else the file.
    pub(crate) fn sleeps(&self, instance: &Instance) -> bool {
        if instance.config["services"].is_array() {
            instance.has_autostop()
        } else {
            self.autostop
        }
    }

    /// How many checks `instance` must pass: its own configuration decides, else the file.
    pub(crate) fn checks_of(&self, instance: &Instance) -> usize {
        let config = &instance.config;
        if config["services"].is_array() || config["checks"].is_object() {
            let own = config["checks"].as_object().map_or(0, serde_json::Map::len);
            let services = config["services"].as_array().into_iter().flatten();
            own + services
                .map(|service| service["checks"].as_array().map_or(0, Vec::len))
                .sum::<usize>()
        } else {
            self.checks
        }
    }
}

/// Stopped on request in a group where nothing but a person stops instances: named, not counted (DESIGN 6).
pub(crate) fn is_set_aside(instance: &Instance, groups: &BTreeMap<String, GroupExpectation>) -> bool {
    instance.state == InstanceState::Stopped
        && instance.last_exit().is_some_and(|(_, exit)| exit.requested_stop)
        && instance
            .group
            .as_ref()
            .and_then(|group| groups.get(group))
            .is_some_and(|group| !group.sleeps(instance))
}
