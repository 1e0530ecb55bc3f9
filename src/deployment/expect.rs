//! From settings, file, baseline and ledger to what must be true. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::deployment::baseline::Baseline;
use crate::deployment::job::{Destination, Heard, Shipment};
use crate::deployment::prepare::public_groups;
use crate::project::fly_toml::FlyToml;
use crate::project::{Environment, Identity, PathRule, VerifySettings};
use crate::release::{Image, ReleaseNumber};
use crate::state::record::GitFacts;
use crate::verification::Evidence;
use crate::verification::expectation::{
    Baseline as Before, Expectation, GroupExpectation, Kind, PathAuthority, ProbePlan, Reach, Target,
    is_set_aside,
};
use crate::verification::identity::{IdentityRule, Names};

/// What an expectation is built from.
pub(crate) struct Ground<'a> {
    pub(crate) kind: Kind,
    pub(crate) app: &'a str,
    pub(crate) environment: &'a Environment,
    pub(crate) verify: &'a VerifySettings,
    pub(crate) file: &'a FlyToml,
    pub(crate) baseline: &'a Baseline,
    /// Something public leads to the app, or a URL was given.
    pub(crate) address: bool,
    /// `SHIPCTL_HEALTH_URL` is set: the first group is asked whatever its file says.
    pub(crate) forced: bool,
    pub(crate) target: Target,
    pub(crate) names: Naming,
    /// How the target of a way back, or what serves, answered when it served.
    pub(crate) heard: &'a Heard,
}

/// Which words name the target, and which name others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    pub(crate) expected: Names,
    pub(crate) others: Names,
    pub(crate) named_before: bool,
    pub(crate) both: BTreeSet<String>,
}

/// Everything that must be true of the release.
pub(crate) fn expectation(ground: Ground<'_>) -> Expectation {
    let Ground {
        kind,
        environment,
        verify,
        file,
        baseline,
        ..
    } = ground;
    let authority = authority(kind, &verify.path, ground.heard);
    let known = kind != Kind::Live && !baseline.is_first();
    let groups = groups(file, baseline, kind, ground.forced);
    let names: Vec<String> = groups.keys().cloned().collect();
    let mut counted = baseline
        .instances
        .iter()
        .filter(|instance| instance.counts(&names));
    let none_ran = counted.all(|instance| is_set_aside(instance, &groups));
    Expectation {
        kind,
        app: ground.app.to_owned(),
        target: ground.target,
        groups,
        primary_region: file.primary_region.clone(),
        regions: environment.regions.clone(),
        min_instances: environment.min_instances.map(|count| count as usize),
        baseline: known.then(|| Before {
            instances: baseline.instances.clone(),
            none_ran,
        }),
        probe: ProbePlan {
            path: verify.path.path().to_owned(),
            address: ground.address,
            authority,
            successes: verify.successes,
            reach: reach(baseline, ground.address),
        },
        identity: IdentityRule {
            mode: verify.identity,
            field: verify.version_field.clone(),
            expected: ground.names.expected,
            others: ground.names.others,
            named_before: ground.names.named_before,
            both: ground.names.both,
        },
        min_evidence: verify.min_evidence,
        timeout: verify.timeout,
    }
}

/// What a redirect or 4xx on the path is worth. On a way back, what the target did not answer well is no witness now;
/// forward, what `[verify]` names must be answered.
fn authority(kind: Kind, rule: &PathRule, heard: &Heard) -> PathAuthority {
    let answered_before = heard.answered(rule.path());
    let way_back = matches!(kind, Kind::Return | Kind::Rollback);
    match rule {
        PathRule::Root => PathAuthority::Root,
        PathRule::Named(_) if !way_back || answered_before || *heard == Heard::Unknown => {
            PathAuthority::Named
        }
        PathRule::Named(_) | PathRule::Check { .. } => PathAuthority::Check { answered_before },
    }
}

fn reach(baseline: &Baseline, address: bool) -> Reach {
    match baseline.reach {
        Some(reach) => reach,
        None if !address || baseline.is_first() => Reach::New,
        None => Reach::NotAsked,
    }
}

fn groups(
    file: &FlyToml,
    baseline: &Baseline,
    kind: Kind,
    forced: bool,
) -> BTreeMap<String, GroupExpectation> {
    let names = file.groups();
    let public = public_groups(file, forced, &baseline.instances);
    let group = |name: &String| {
        let config = file.group(name);
        let named_before = baseline.groups.contains(name);
        let present = baseline
            .instances
            .iter()
            .any(|instance| instance.group.as_ref() == Some(name));
        let expectation = GroupExpectation {
            public: public.contains(name),
            autostop: config.autostop,
            min_machines_running: config.min_machines_running as usize,
            checks: config.checks.len(),
            named_before,
            recreated: matches!(kind, Kind::Return | Kind::Rollback) && !present,
            had: None,
        };
        (name.clone(), expectation)
    };
    names.iter().map(group).collect()
}

/// The words that name an image: its tag, itself, and the commit it was built from.
pub(crate) fn names_of(
    image: Option<&Image>,
    label: Option<&str>,
    git: Option<&GitFacts>,
    said: Option<&str>,
) -> Names {
    let mut names = Names::default();
    if let Some(image) = image {
        names.words.extend(image.tag().map(str::to_owned));
        names.images.push(image.clone());
    }
    names.words.extend(label.map(str::to_owned));
    names.words.extend(said.map(str::to_owned));
    if let Some(git) = git {
        names.words.extend(git.describe.clone());
        names.shas.extend(git.sha.clone());
    }
    names
}

/// The nearest tag of `git describe`: `v1.4.0` of `v1.4.0-3-g7f3a9c0-dirty`.
pub(crate) fn nearest_tag(describe: &str) -> Option<&str> {
    let describe = describe.strip_suffix("-dirty").unwrap_or(describe);
    let (rest, hash) = describe.rsplit_once('-')?;
    let (tag, count) = rest.rsplit_once('-')?;
    let is_hash = hash
        .strip_prefix('g')
        .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (is_hash && count.bytes().all(|byte| byte.is_ascii_digit())).then_some(tag)
}

/// Names that stand for both releases: the nearest tag, where it is the same before and after.
pub(crate) fn both(before: Option<&str>, after: Option<&str>) -> BTreeSet<String> {
    let tag = |describe: Option<&str>| describe.map(|text| nearest_tag(text).unwrap_or(text).to_owned());
    match (tag(before), tag(after)) {
        (Some(before), Some(after)) if before == after => BTreeSet::from([before]),
        _ => BTreeSet::new(),
    }
}

/// The release that served before, as a target to be looked at again in its place.
pub(crate) fn before_as_target(baseline: &Baseline) -> Target {
    Target {
        newest_before: None,
        left: None,
        release: None,
        also: baseline.releases.clone(),
        image: baseline.image.clone(),
    }
}

/// The target of a shipment.
pub(crate) fn shipped_target(
    newest: Option<ReleaseNumber>,
    image: Option<Image>,
    also: BTreeSet<ReleaseNumber>,
) -> Target {
    Target {
        newest_before: newest,
        left: None,
        release: None,
        also,
        image,
    }
}

/// What must be true after a return: the destination in all groups of its own configuration, judged by what it
/// answered when it served. `verify` asks as its file says; `left` is the release that was refuted.
pub(crate) fn of_return(
    forward: &Expectation,
    shipment: &Shipment,
    destination: &Destination,
    baseline: &Baseline,
    verify: &VerifySettings,
    (newest, left): (Option<ReleaseNumber>, Option<ReleaseNumber>),
    forced: bool,
) -> Expectation {
    let mut expectation = forward.clone();
    expectation.kind = Kind::Return;
    verify.path.path().clone_into(&mut expectation.probe.path);
    expectation.probe.authority = authority(Kind::Return, &verify.path, &destination.heard);
    let served = baseline
        .image
        .as_ref()
        .is_some_and(|image| image.is_same_as(&destination.image));
    let also = if served {
        baseline.releases.clone()
    } else {
        BTreeSet::new()
    };
    expectation.target = shipped_target(newest, Some(destination.image.clone()), also);
    expectation.target.left = left;
    expectation.groups = groups(&shipment.file, baseline, Kind::Return, forced);
    for (name, group) in &mut expectation.groups {
        // What the refuted release removed is made again; flyctl decides with how many.
        group.recreated |= !forward.groups.contains_key(name);
    }
    expectation
        .primary_region
        .clone_from(&shipment.file.primary_region);
    let mut others = forward.identity.others.clone();
    others
        .words
        .extend(forward.identity.expected.words.iter().cloned());
    others
        .images
        .extend(forward.identity.expected.images.iter().cloned());
    others.shas.extend(forward.identity.expected.shas.iter().cloned());
    let names = as_it_answered(destination, others);
    if names.expected.is_empty() {
        // A target that named nothing is not judged by its name (DESIGN 6).
        expectation.identity.mode = Identity::Off;
    }
    expectation.identity.expected = names.expected;
    expectation.identity.others = names.others;
    expectation.identity.named_before = names.named_before && destination.heard.answered(verify.path.path());
    expectation.identity.both = BTreeSet::new();
    expectation
}

/// What must be true where nothing moved: what served before, in its own groups and as many as they were. It is asked
/// what it was asked before; its name was judged when it was shipped.
pub(crate) fn of_baseline(
    forward: &Expectation,
    baseline: &Baseline,
    file: &FlyToml,
    forced: bool,
) -> Expectation {
    let mut expectation = forward.clone();
    expectation.kind = Kind::Return;
    expectation.target = before_as_target(baseline);
    expectation.identity.mode = Identity::Off;
    expectation.min_evidence = Evidence::State;
    if expectation.probe.authority != PathAuthority::Root {
        expectation.probe.authority = PathAuthority::Check {
            answered_before: baseline.answered,
        };
    }
    expectation.groups = present_groups(file, baseline, &forward.groups, forced);
    if let Some(before) = &mut expectation.baseline {
        // Nothing was shipped, so nothing is started that a person had stopped.
        before.none_ran = false;
    }
    expectation
}

/// The groups that instances are in, each as the file of what serves has it, else as `other` does.
fn present_groups(
    file: &FlyToml,
    baseline: &Baseline,
    other: &BTreeMap<String, GroupExpectation>,
    forced: bool,
) -> BTreeMap<String, GroupExpectation> {
    let own = groups(file, baseline, Kind::Return, forced);
    let present = baseline
        .instances
        .iter()
        .filter_map(|instance| instance.group.as_ref());
    let group = |name: &String| GroupExpectation {
        named_before: true,
        recreated: false,
        ..own.get(name).or(other.get(name)).cloned().unwrap_or_default()
    };
    present.map(|name| (name.clone(), group(name))).collect()
}

/// A target that is gone back to is expected to answer what it answered when it served, unless others answered that,
/// too; what named others does not name it.
pub(crate) fn as_it_answered(destination: &Destination, mut others: Names) -> Naming {
    let mut expected = Names::default();
    let own = destination.version.as_ref();
    expected.words.extend(
        own.filter(|version| destination.named || !others.matches(version))
            .cloned(),
    );
    others
        .images
        .retain(|image| !image.is_same_as(&destination.image));
    if let Some(version) = own {
        others.words.retain(|word| !Names::word(word).matches(version));
        let alone = |names: Names| !names.matches(version);
        others.shas.retain(|sha| {
            alone(Names {
                shas: BTreeSet::from([sha.clone()]),
                ..Names::default()
            })
        });
        others.images.retain(|image| {
            alone(Names {
                images: vec![image.clone()],
                ..Names::default()
            })
        });
    }
    Naming {
        // What nobody else answered is known to tell releases apart.
        named_before: !expected.is_empty(),
        expected,
        others,
        both: BTreeSet::new(),
    }
}

/// What flyctl may wait for one machine: that of shipctl for an instance, in whole seconds.
pub(crate) fn wait_timeout(timeout: Duration) -> Duration {
    Duration::from_secs(timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0)).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::{both, nearest_tag, present_groups};
    use crate::deployment::baseline::Baseline;
    use crate::project::fly_toml::FlyToml;
    use crate::provider::fly::output::machines;

    /// Two instances of one group are judged by its file as one is.
    #[test]
    fn what_serves_is_judged_by_its_own_file() {
        let machine = |id: &str| json!({"id": id, "state": "started", "config": {"metadata": {"fly_process_group": "app"}}});
        for count in [1, 2] {
            let machines: Vec<_> = ["a", "b"][..count].iter().map(|id| machine(id)).collect();
            let baseline = Baseline {
                instances: machines::parse(json!(machines).to_string().as_bytes()).unwrap(),
                ..Baseline::default()
            };
            let file = FlyToml::parse(
                "app = \"a\"\n[http_service]\ninternal_port = 8080\n[[http_service.checks]]\npath = \"/\"\n",
            );
            let groups = present_groups(&file, &baseline, &BTreeMap::new(), false);
            let [(name, group)] = &groups.iter().collect::<Vec<_>>()[..] else {
                panic!("{groups:?}");
            };
            assert_eq!(
                (name.as_str(), group.public, group.checks),
                ("app", true, 1),
                "{count}"
            );
            assert!(group.named_before && !group.recreated);
        }
    }

    #[test]
    fn the_nearest_tag_is_what_describe_counts_from() {
        for (describe, tag) in [
            ("v1.4.0-3-g7f3a9c0", Some("v1.4.0")),
            ("v1.4.0-3-g7f3a9c0-dirty", Some("v1.4.0")),
            ("release-2-1-gabcdef1", Some("release-2")),
            ("v1.4.0", None),
            ("7f3a9c0", None),
        ] {
            assert_eq!(nearest_tag(describe), tag, "{describe}");
        }
    }

    #[test]
    fn a_tag_names_both_only_where_it_is_the_same() {
        assert_eq!(
            both(Some("v1-1-gaaaaaaa"), Some("v1-2-gbbbbbbb")),
            BTreeSet::from(["v1".to_owned()])
        );
        assert_eq!(
            both(Some("v1"), Some("v1-2-gbbbbbbb")),
            BTreeSet::from(["v1".to_owned()])
        );
        assert!(both(Some("v1"), Some("v2")).is_empty());
        assert!(both(None, Some("v2")).is_empty());
    }
}
