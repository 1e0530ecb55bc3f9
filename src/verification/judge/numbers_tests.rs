//! Enough instances, group by group, and what of it is only told.

use super::super::moment::Moment;
use crate::instance::{Instance, InstanceState};
use crate::verification::Verdict;
use crate::verification::expectation::Expectation;
use crate::verification::stage::{OLD, Stage, instance, on_release, stopped};

/// A group besides, named in the file of today, and in that of before where `before`.
fn named(stage: Stage, name: &str, before: bool) -> Stage {
    stage.expecting(|expectation| {
        let mut group = expectation.groups["app"].clone();
        group.named_before = before;
        expectation.groups.insert(name.to_owned(), group);
    })
}

/// An instance that a person had stopped before, and that still lies where it lay.
fn put_away(stage: Stage, id: &str, group: &str) -> Stage {
    let mut one = on_release(instance(id), 41, OLD);
    one.group = Some(group.to_owned());
    stopped(&mut one, 5, None);
    let before = |expectation: &mut Expectation| {
        let baseline = expectation.baseline.as_mut().unwrap();
        baseline.instances.push(one.clone());
    };
    stage.expecting(before).cast(|cast| cast.instances.push(one))
}

fn gone(one: &mut Instance) {
    one.state = InstanceState::Gone("destroyed".into());
}

#[test]
fn a_group_without_instances_is_excused_only_where_a_person_put_them_all_away() {
    let away = "had been stopped on request before, so it is not counted";
    for (case, stage, verdict, said) in [
        (
            "a group that is new has none",
            named(Stage::new(), "worker", false),
            Verdict::Refuted,
            "group `worker` has 0 instances where 1 is needed",
        ),
        (
            "a group that had none has none",
            named(Stage::new(), "worker", true),
            Verdict::Refuted,
            "group `worker` has 0 instances where 1 is needed",
        ),
        (
            "all of a group are put away",
            put_away(named(Stage::new(), "worker", true), "w", "worker"),
            Verdict::Verified,
            "",
        ),
        (
            "those of one group are put away, and another has none",
            put_away(
                named(named(Stage::new(), "worker", true), "cron", false),
                "w",
                "worker",
            ),
            Verdict::Refuted,
            "group `cron` has 0 instances where 1 is needed",
        ),
        (
            "one is put away, and one of the others is lost",
            put_away(Stage::new().one("b", gone), "c", "app"),
            Verdict::Refuted,
            "group `app` has 1 instance where 2 are needed",
        ),
        (
            "one is put away, and the others are there",
            put_away(Stage::new(), "c", "app"),
            Verdict::Verified,
            "",
        ),
    ] {
        let judgement = Moment::settled(stage).verdict_at(case, 20);
        assert_eq!(judgement.verdict, verdict, "{case}: {:?}", judgement.reasons);
        assert_eq!(judgement.reasons.concat(), said, "{case}");
        let named = judgement.warnings.iter().any(|warning| warning.ends_with(away));
        assert_eq!(
            named,
            case.contains("put away"),
            "{case}: {:?}",
            judgement.warnings
        );
    }
}

#[test]
fn what_is_just_enough_needs_no_warning() {
    let counted = |count| Stage::new().expecting(move |expectation| expectation.min_instances = Some(count));
    for (case, stage) in [
        ("as many as `min_instances`", counted(2)),
        ("more than `min_instances`", counted(1)),
        (
            "a group made again with as many as before",
            Stage::new().group(|group| group.recreated = true),
        ),
        (
            "a group made again with as many as it had when it was verified",
            Stage::new()
                .expecting(|expectation| expectation.baseline.as_mut().unwrap().instances.clear())
                .group(|group| (group.recreated, group.named_before, group.had) = (true, false, Some(2))),
        ),
        (
            "an instance in each region",
            Stage::new().expecting(|expectation| expectation.regions = vec!["fra".into()]),
        ),
    ] {
        let judgement = Moment::settled(stage).verdict_at(case, 20);
        assert_eq!(
            judgement.verdict,
            Verdict::Verified,
            "{case}: {:?}",
            judgement.reasons
        );
        assert_eq!(judgement.warnings, [""; 0], "{case}");
    }
}
