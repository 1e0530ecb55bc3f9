//! What is asked for and decided when: by which list, at which moment, and by what of what is bad.

use super::moment::Moment;
use crate::instance::{Instance, InstanceState};
use crate::project::Identity;
use crate::release::ReleaseNumber;
use crate::verification::expectation::Kind;
use crate::verification::stage::{NEW, OLD, Stage, check, event, exit, good, on_release, response};
use crate::verification::{Evidence, Verdict};

fn gone(one: &mut Instance) {
    one.state = InstanceState::Gone("destroyed".into());
}

#[test]
fn a_missed_deadline_is_judged_by_a_list_from_after_it() {
    // First seen on this release at 20 s, it has 30 s.
    let sick = Moment::settled(Stage::new().one("b", |b| b.checks = vec![check("critical")]));
    for (at, needs_list) in [(49, false), (50, true), (51, true)] {
        let step = sick.at(at);
        assert!(step.decided.is_none(), "{at}");
        assert_eq!(step.needs_list, needs_list, "{at}");
    }
    assert_eq!(sick.at(49).next, Some(sick.instant(50)));
    let judgement = sick.listed(50).verdict_at("still sick", 50);
    assert_eq!(judgement.verdict, Verdict::Refuted);
}

#[test]
fn too_few_instances_are_judged_by_a_list_two_seconds_after_flyctl() {
    let lagging = Moment::of(Stage::new().one("b", gone)).ended(10).listed(11);
    let soon = lagging.at(11);
    assert!(soon.decided.is_none() && !soon.needs_list && !soon.good);
    assert_eq!(soon.next, Some(lagging.instant(12)));
    let due = lagging.at(12);
    assert!(due.decided.is_none() && due.needs_list);
    assert!(
        due.next > Some(lagging.instant(12)),
        "what has come is not what comes next"
    );
    let judgement = lagging.listed(12).verdict_at("still too few", 12);
    assert_eq!(judgement.verdict, Verdict::Refuted);
}

#[test]
fn a_bake_ends_with_a_list_from_after_it() {
    let good = Moment::settled(Stage::new()).looked(20);
    for (at, needs_list) in [(29, false), (30, true), (31, true)] {
        let step = good.baking_at(Some(30), at);
        assert!(step.decided.is_none() && step.good, "{at}");
        assert_eq!(step.needs_list, needs_list, "{at}");
    }
    let decided = good.listed(30).baking_at(Some(30), 30).decided;
    assert_eq!(decided.unwrap().verdict, Verdict::Verified);
}

#[test]
fn which_bad_answer_in_a_bake_refutes() {
    let bad = response(503, &[], "");
    let baking = || Moment::settled(Stage::new()).looked(20);
    let once = |at| baking().answers(at, "b", &bad, 1);
    let again = || once(22).listed(23).answers(24, "b", &good("v2"), 3).looked(24);
    for (case, moment, refuted) in [
        ("the first may be the network's", once(22).listed(23), false),
        (
            "the second in a row",
            once(22).answers(23, "b", &bad, 1).listed(24),
            true,
        ),
        (
            "the second in a row, and nobody has listed what it runs since",
            once(22).answers(23, "b", &bad, 1),
            false,
        ),
        (
            "the second, after good ones",
            again().answers(26, "b", &bad, 1).listed(27),
            true,
        ),
        ("good ones after the first", again().listed(27), false),
    ] {
        let decided = moment.baking_at(None, 30).decided;
        assert_eq!(
            decided.as_ref().map(|judgement| judgement.verdict),
            refuted.then_some(Verdict::Refuted),
            "{case}: {decided:?}"
        );
        if let Some(judgement) = decided {
            assert_eq!(
                judgement.reasons,
                ["instance b (fra): answers 503, after it had been good"],
                "{case}"
            );
        }
    }
}

#[test]
fn a_crash_before_it_was_good_is_not_held_against_it_in_the_bake() {
    let crashed_once = |b: &mut Instance| b.events = vec![event("launch", 100), exit(110, 1, false)];
    let came_up = Moment::settled(Stage::new().one("b", crashed_once)).looked(20);
    let step = came_up.baking_at(Some(30), 25);
    assert!(step.decided.is_none() && step.good, "{:?}", step.decided);

    let crashes = Moment::settled(Stage::new())
        .looked(20)
        .one("b", |b| b.events = vec![exit(110, 1, false)])
        .listed(25)
        .baking_at(Some(30), 25)
        .decided
        .expect("a crash in the bake is a verdict");
    assert_eq!(
        crashes.reasons,
        ["instance b (fra): it crashed (exit code 1), after it had been good"]
    );
}

#[test]
fn what_is_bad_of_what_was_shipped_is_said_first() {
    let stage = Stage::new().one("a", |a| *a = on_release(a.clone(), 41, OLD));
    let moment = Moment::settled(stage).answers(21, "b", &response(503, &[], ""), 3);
    let judgement = moment.verdict_at("one behind and one bad", 22);
    assert_eq!(judgement.verdict, Verdict::Refuted);
    let [first, second] = judgement.reasons.as_slice() else {
        panic!("{:?}", judgement.reasons)
    };
    assert_eq!(first, "instance b (fra): answers 503");
    assert!(second.starts_with("instance a (fra): it still runs"), "{second}");
}

/// DESIGN 6: identity is not judged when both digests are equal.
#[test]
fn a_required_identity_is_content_with_an_answer_where_the_image_is_the_same() {
    let stage = Stage::new().expecting(|expectation| {
        expectation.identity.mode = Identity::Required;
        for old in &mut expectation.baseline.as_mut().unwrap().instances {
            *old = on_release(old.clone(), 41, NEW);
        }
    });
    let judgement = Moment::of(stage)
        .ended(10)
        .listed(20)
        .all_answer(20, &good("v1"))
        .verdict_at("the same image", 20);
    assert_eq!(judgement.verdict, Verdict::Verified, "{:?}", judgement.reasons);
    assert_eq!(judgement.evidence, Evidence::Http);
}

#[test]
fn what_was_on_the_target_before_has_not_moved() {
    let back = |also: u64, b: u64| {
        Stage::new()
            .one("b", |one| *one = on_release(one.clone(), b, NEW))
            .expecting(|expectation| {
                expectation.kind = Kind::Return;
                expectation.target.release = Some(ReleaseNumber(42));
                expectation.target.also = [ReleaseNumber(also)].into();
            })
    };
    for (case, stage, moved) in [
        ("both were updated", Stage::new(), 2),
        (
            "one keeps the old image",
            Stage::new().one("b", |b| *b = on_release(b.clone(), 41, OLD)),
            1,
        ),
        (
            "one has another digest",
            Stage::new().one("b", |b| *b = on_release(b.clone(), 42, "sha256:bad")),
            1,
        ),
        ("a return that left one where it was", back(40, 40), 1),
        ("the newest before is where it goes", back(41, 41), 1),
        ("a return that updated both", back(40, 42), 2),
        (
            "no metadata, and both are updated",
            Stage::new().each(|one| one.release = None),
            2,
        ),
    ] {
        assert_eq!(Moment::settled(stage).at(20).moved, moved, "{case}");
    }
}
