//! Sleepers, and what lies down without right: who counts as seen, who is woken, and who is started when.

use std::time::Duration;

use super::super::moment::Moment;
use crate::instance::{Instance, InstanceState};
use crate::verification::expectation::Kind;
use crate::verification::stage::{Stage, autostop, check, event, good, instance, response, stopped};
use crate::verification::{Evidence, Verdict};

fn asleep(one: &mut Instance) {
    autostop(one);
    stopped(one, 5, None);
}

/// `awake`, then `asleep`, all in a group that may sleep and of which `running` have to be awake.
fn group(awake: &[&str], sleepers: &[&str], running: usize) -> Stage {
    let mut instances: Vec<Instance> = awake.iter().chain(sleepers).map(|id| instance(id)).collect();
    instances.iter_mut().for_each(autostop);
    instances[awake.len()..].iter_mut().for_each(asleep);
    Stage::new()
        .cast(|cast| cast.instances = instances)
        .expecting(|expectation| expectation.baseline.as_mut().unwrap().instances.truncate(1))
        .group(|group| group.min_machines_running = running)
}

#[test]
fn who_may_sleep_on_when_everything_else_is_good() {
    for (case, moment, verdict, said) in [
        (
            "one is awake, and good at this very look",
            Moment::settled(group(&["a"], &["b"], 0)),
            Verdict::Verified,
            "",
        ),
        (
            "all sleep, and one of them was good",
            Moment::settled(group(&["a"], &["b"], 0))
                .looked(20)
                .one("a", asleep)
                .listed(25),
            Verdict::Verified,
            "",
        ),
        (
            "as many are awake as have to be",
            Moment::settled(group(&["a", "b"], &["c"], 2)),
            Verdict::Verified,
            "",
        ),
        (
            "more have to be awake than there are",
            Moment::settled(group(&["a", "b"], &[], 3)),
            Verdict::Verified,
            "",
        ),
        (
            "too few are awake",
            Moment::settled(group(&["a"], &["b", "c"], 2)),
            Verdict::Refuted,
            "1 of the 2 instances that `min_machines_running` wants in group `app` are awake",
        ),
        (
            "none was seen awake",
            Moment::settled(group(&[], &["a", "b"], 0)),
            Verdict::Refuted,
            "all instances of group `app` sleep, and none was seen on this release",
        ),
    ] {
        let waits = verdict == Verdict::Refuted;
        assert_eq!(moment.at(26).decided.is_none(), waits, "{case}");
        let judgement = moment.out_of_time().verdict_at(case, 26);
        assert_eq!(judgement.verdict, verdict, "{case}: {:?}", judgement.reasons);
        assert_eq!(judgement.reasons.concat(), said, "{case}");
    }
}

#[test]
fn a_sleeper_is_worth_what_was_seen_of_it_when_it_was_awake() {
    let slept = |answer| {
        Moment::of(group(&["a"], &[], 0))
            .ended(10)
            .listed(20)
            .all_answer(20, &answer)
            .looked(20)
            .one("a", asleep)
            .listed(25)
            .verdict_at("asleep again", 25)
    };
    assert_eq!(slept(good("v2")).evidence, Evidence::App);
    assert_eq!(slept(good("v9")).evidence, Evidence::Http);
}

#[test]
fn how_many_sleepers_are_woken() {
    let elsewhere = |stage: Stage, id| stage.one(id, |one| one.region = "sjc".into());
    let worker = |stage: Stage| {
        stage
            .cast(|cast| {
                let mut worker = instance("w");
                worker.group = Some("worker".into());
                asleep(&mut worker);
                cast.instances.push(worker);
            })
            .expecting(|expectation| {
                let mut group = expectation.groups["app"].clone();
                group.min_machines_running = 0;
                expectation.groups.insert("worker".into(), group);
            })
    };
    let cases: [(&str, Stage, &[&str]); 11] = [
        ("one stands for all", group(&[], &["a", "b", "c"], 0), &["a"]),
        (
            "it is the one that has to run",
            group(&[], &["a", "b", "c"], 1),
            &["a"],
        ),
        ("two have to run", group(&[], &["a", "b", "c"], 2), &["a", "b"]),
        ("there is only one", group(&[], &["a"], 1), &["a"]),
        ("one is awake", group(&["a"], &["b", "c"], 0), &[]),
        ("enough are awake", group(&["a"], &["b", "c"], 1), &[]),
        ("one more has to run", group(&["a"], &["b", "c"], 2), &["b"]),
        (
            "one of each group",
            worker(group(&[], &["a", "b"], 1)),
            &["a", "w"],
        ),
        (
            "rather in the primary region",
            elsewhere(group(&[], &["a", "b"], 0), "a"),
            &["b"],
        ),
        (
            "elsewhere, where nobody else is",
            elsewhere(group(&[], &["a"], 1), "a"),
            &["a"],
        ),
        (
            "who runs elsewhere does not stand for the primary region",
            elsewhere(group(&["a"], &["b"], 1), "a"),
            &["b"],
        ),
    ];
    for (case, stage, woken) in cases {
        assert_eq!(Moment::settled(stage).at(20).rouse, woken, "{case}");
    }
    let sleepers = || Moment::of(group(&[], &["a"], 0));
    assert!(sleepers().listed(20).at(20).rouse.is_empty(), "flyctl works");
    let stale = sleepers().listed(20).ended(21);
    assert!(stale.at(22).rouse.is_empty(), "listed before flyctl ended");
}

/// DESIGN 6: sleepers are started until as many are awake as have to be, also one that was good before it slept.
#[tokio::test(start_paused = true)]
async fn what_has_to_be_awake_and_sleeps_in_the_bake_is_woken_again() {
    let bake = Duration::from_secs(10);
    let sleeps = || {
        group(&["a"], &[], 1)
            .cast(|cast| cast.wakes = false)
            .at(Duration::from_secs(3), |cast| asleep(cast.get("a")))
    };
    let well = sleeps().at(Duration::from_secs(12), |cast| {
        cast.get("a").checks = vec![check("passing")];
    });
    let came = well.play(bake).await;
    assert_eq!(
        came.judgement.verdict,
        Verdict::Verified,
        "{:?}",
        came.judgement.reasons
    );
    assert_eq!(well.cast.lock().unwrap().started, ["a"]);
    assert!(
        came.after >= Duration::from_secs(12) + bake,
        "baked anew: {:?}",
        came.after
    );

    let sick = sleeps().at(Duration::from_secs(7), |cast| {
        cast.answers = vec![("*", response(503, &[], ""))];
    });
    let came = sick.play(bake).await;
    assert_eq!(came.judgement.verdict, Verdict::Refuted);
    assert!(
        came.judgement.reasons[0].starts_with("instance a (fra): answers 503"),
        "{:?}",
        came.judgement.reasons
    );
}

/// A request wakes it where one can be sent; only what that does not wake in three seconds is started by command.
#[test]
fn a_sleeper_that_no_request_wakes_is_started() {
    let deaf = response(503, &[], "");
    let woken = || Moment::settled(group(&[], &["a", "b"], 0)).looked(20);
    let unasked = || group(&[], &["a", "b"], 0).expecting(|expectation| expectation.probe.address = false);
    let cases: [(&str, Moment, u64, &[&str]); 6] = [
        ("no answer has come yet", woken(), 25, &[]),
        (
            "the request may still wake it",
            woken().answers(21, "a", &deaf, 1),
            22,
            &[],
        ),
        (
            "the request has not woken it",
            woken().answers(21, "a", &deaf, 1),
            23,
            &["a"],
        ),
        ("nobody wants it awake", Moment::settled(unasked()), 20, &[]),
        (
            "no request can be sent",
            Moment::settled(unasked()).looked(20),
            20,
            &["a"],
        ),
        (
            "it was good, and sleeps again",
            woken()
                .one("a", |a| a.state = InstanceState::Started)
                .one("a", |a| a.checks[0].status = "passing".into())
                .listed(22)
                .answers(22, "a", &good("v2"), 3)
                .looked(22)
                .one("a", asleep)
                .listed(30),
            30,
            &[],
        ),
    ];
    for (case, moment, at, started) in cases {
        assert_eq!(moment.at(at).start, started, "{case}");
    }
}

/// The platform gets a moment to bring up by itself what crashed or was only made; what flyctl left stopped nobody starts.
#[test]
fn how_long_something_may_lie_down_by_itself() {
    let left = |b: &mut Instance| stopped(b, 5, None);
    let crashed = |b: &mut Instance| {
        b.events.push(event("launch", 100));
        stopped(b, 110, Some(1));
    };
    let made = |b: &mut Instance| b.state = InstanceState::Created;
    for (case, lies_down, patience) in [
        ("left stopped by flyctl", left as fn(&mut Instance), 0),
        ("crashed", crashed, 3),
        ("made, and not launched", made, 5),
    ] {
        for kind in [Kind::Forward, Kind::Return, Kind::Rollback, Kind::Live] {
            for lay in 0..8 {
                let stage = Stage::new()
                    .one("b", lies_down)
                    .expecting(|expectation| expectation.kind = kind);
                let moment = Moment::settled(stage).listed(20 + lay);
                let due = kind != Kind::Live && lay >= patience;
                let started = moment.at(20 + lay).start;
                assert_eq!(started, vec!["b"; due.into()], "{case} for {lay} s, {kind:?}");
            }
        }
    }
}

#[test]
fn a_start_is_tried_again_after_a_pause_and_a_look_and_three_times_in_all() {
    let stage = || {
        Stage::new()
            .one("b", |b| stopped(b, 5, None))
            .expecting(|expectation| expectation.timeout = Duration::from_secs(300))
    };
    let tried = || Moment::settled(stage()).looked(21);
    let cases: [(&str, Moment, u64, &[&str]); 4] = [
        ("nobody has looked since", tried(), 30, &[]),
        ("too soon", tried().listed(23), 23, &[]),
        ("after three seconds", tried().listed(23), 24, &["b"]),
        ("later", tried().listed(25), 30, &["b"]),
    ];
    for (case, moment, at, started) in cases {
        assert_eq!(moment.at(at).start, started, "{case}");
    }
    let mut moment = Moment::settled(stage());
    let mut starts = 0;
    for turn in 1..10 {
        moment = moment.listed(20 + 5 * turn);
        starts += moment.at(20 + 5 * turn).start.len();
        moment = moment.looked(20 + 5 * turn);
    }
    assert_eq!(starts, 3);
}
