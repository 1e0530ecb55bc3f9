//! What is told besides the verdict: warnings to the word, the evidence, each instance, and what is waited for.

use serde_json::json;

use super::super::moment::Moment;
use crate::effect::http::Answer;
use crate::instance::{Instance, InstanceState};
use crate::project::Identity;
use crate::release::ReleaseNumber;
use crate::verification::expectation::{Kind, Target};
use crate::verification::stage::{
    NEW, OLD, Stage, autostop, check, good, instance, json_body, on_release, response, stopped,
    without_checks,
};
use crate::verification::{Evidence, ProbeReport, Verdict};

const NAMELESS: &str = "the answers name no version: which release it is was judged by the instances";
const NEWER: &str = "instance b: runs the newer release v43 of the same image";

fn answered(stage: Stage, answer: &Answer) -> Moment {
    Moment::of(stage).ended(10).listed(20).all_answer(20, answer)
}

fn live(stage: Stage) -> Stage {
    stage.expecting(|expectation| {
        expectation.kind = Kind::Live;
        expectation.baseline = None;
        expectation.target = Target::default();
    })
}

/// A group besides, which no public port leads to.
fn with_worker(stage: Stage) -> Stage {
    let mut worker = instance("w");
    worker.group = Some("worker".into());
    stage
        .cast(|cast| cast.instances.push(worker))
        .expecting(|expectation| {
            let mut group = expectation.groups["app"].clone();
            (group.public, group.named_before) = (false, false);
            expectation.groups.insert("worker".into(), group);
        })
}

fn failed(one: &mut Instance) {
    one.state = InstanceState::Failed;
}

#[test]
fn whether_the_answers_name_a_version_is_said_where_nothing_else_names_the_release() {
    let versionless = json_body(200, &json!({"status": "ok"}));
    let unnamed = || Stage::new().expecting(|expectation| expectation.identity.named_before = false);
    let off = || Stage::new().expecting(|expectation| expectation.identity.mode = Identity::Off);
    let unasked = || Stage::new().expecting(|expectation| expectation.probe.address = false);
    let unknown = "instances a, b: the version `v9` is neither known";
    let cases: [(&str, Moment, Evidence, &[&str]); 8] = [
        ("its own", Moment::settled(Stage::new()), Evidence::App, &[]),
        (
            "none",
            answered(unnamed(), &versionless),
            Evidence::Http,
            &[NAMELESS],
        ),
        (
            "none, and one of two names an unknown one",
            answered(unnamed(), &versionless).answers(20, "b", &good("v9"), 1),
            Evidence::Http,
            &[],
        ),
        (
            "none, of those that are asked",
            answered(with_worker(unnamed()), &versionless),
            Evidence::Http,
            &[NAMELESS],
        ),
        (
            "none, and nobody asks for it",
            answered(off(), &versionless),
            Evidence::Http,
            &[],
        ),
        (
            "an unknown one",
            answered(Stage::new(), &good("v9")),
            Evidence::Http,
            &[unknown],
        ),
        (
            "nobody is asked",
            Moment::settled(unasked()),
            Evidence::Checks,
            &[],
        ),
        (
            "none, and it is bad besides",
            answered(unnamed().one("b", failed), &versionless),
            Evidence::Http,
            &[],
        ),
    ];
    for (case, moment, evidence, warnings) in cases {
        let judgement = moment.verdict_at(case, 20);
        assert_eq!(judgement.evidence, evidence, "{case}: {:?}", judgement.reasons);
        assert_eq!(
            judgement.warnings.len(),
            warnings.len(),
            "{case}: {:?}",
            judgement.warnings
        );
        for (warning, said) in judgement.warnings.iter().zip(warnings) {
            assert!(warning.starts_with(said), "{case}: {warning}");
        }
    }
}

/// What sleeps again after another service was shipped has nothing to answer, and its answers of before named nothing.
#[test]
fn that_the_answers_named_no_version_is_said_of_sleepers_too() {
    let asleep = |one: &mut Instance| stopped(one, 5, None);
    let stage = Stage::new()
        .each(autostop)
        .expecting(|expectation| expectation.identity.named_before = false);
    let slept = answered(stage, &json_body(200, &json!({"status": "ok"})))
        .looked(20)
        .rested(200)
        .one("a", asleep)
        .one("b", asleep)
        .listed(200);
    let judgement = slept.verdict_at("asleep again", 200);
    assert_eq!(judgement.warnings, [NAMELESS]);
}

#[test]
fn which_releases_run_beside_each_other_is_said() {
    let b_on = |release| Stage::new().one("b", move |b| *b = on_release(b.clone(), release, NEW));
    let named = |stage: Stage| {
        live(stage).expecting(|expectation| expectation.target.release = Some(ReleaseNumber(42)))
    };
    let cases: [(&str, Stage, Verdict, &[&str]); 6] = [
        (
            "all on the one that was shipped",
            Stage::new(),
            Verdict::Verified,
            &[],
        ),
        ("one on a newer one", b_on(43), Verdict::Verified, &[NEWER]),
        ("live, all on one", live(Stage::new()), Verdict::Verified, &[]),
        (
            "live, on two",
            live(b_on(41)),
            Verdict::Verified,
            &["the instances run several releases of one image: v41, v42"],
        ),
        (
            "live, on two, and one is bad",
            live(b_on(41).one("b", failed)),
            Verdict::Refuted,
            &[],
        ),
        (
            "live, and one release is meant",
            named(b_on(43)),
            Verdict::Verified,
            &[NEWER],
        ),
    ];
    for (case, stage, verdict, warnings) in cases {
        let judgement = Moment::settled(stage).verdict_at(case, 20);
        assert_eq!(judgement.verdict, verdict, "{case}: {:?}", judgement.reasons);
        assert_eq!(judgement.warnings, warnings, "{case}");
    }
}

#[test]
fn what_a_return_left_untouched_is_said_where_it_is_good() {
    let back = |stage: Stage| stage.expecting(|expectation| expectation.kind = Kind::Return);
    let untouched = |stage: Stage| stage.one("b", |b| *b = on_release(b.clone(), 41, NEW));
    let cases: [(&str, Stage, Verdict, &[&str]); 4] = [
        ("both were updated", back(Stage::new()), Verdict::Verified, &[]),
        (
            "one was not",
            back(untouched(Stage::new())),
            Verdict::Verified,
            &["instance b: was not updated by the return, but runs the image that was returned to"],
        ),
        (
            "one was not, and is bad",
            back(untouched(Stage::new()).one("b", failed)),
            Verdict::Refuted,
            &[],
        ),
        ("nothing is returned", Stage::new(), Verdict::Verified, &[]),
    ];
    for (case, stage, verdict, warnings) in cases {
        let judgement = Moment::settled(stage).verdict_at(case, 20);
        assert_eq!(judgement.verdict, verdict, "{case}: {:?}", judgement.reasons);
        assert_eq!(judgement.warnings, warnings, "{case}");
    }
}

#[test]
fn a_refuted_release_is_reported_with_the_strongest_witness_that_spoke() {
    let unasked = || {
        Stage::new()
            .one("b", failed)
            .expecting(|expectation| expectation.probe.address = false)
    };
    for (case, stage, evidence) in [
        ("an answer", Stage::new().one("b", failed), Evidence::Http),
        ("a check", unasked(), Evidence::Checks),
        (
            "their states alone",
            unasked().each(without_checks),
            Evidence::State,
        ),
        (
            "nothing of this release",
            Stage::new().each(|one| *one = on_release(one.clone(), 41, OLD)),
            Evidence::State,
        ),
    ] {
        let judgement = Moment::settled(stage).verdict_at(case, 20);
        assert_eq!(judgement.verdict, Verdict::Refuted, "{case}");
        assert_eq!(judgement.evidence, evidence, "{case}");
    }
}

#[test]
fn somebody_elses_release_is_named() {
    let theirs = |one: &mut Instance, release| *one = on_release(one.clone(), release, "sha256:bad");
    let judged = |stage| Moment::settled(stage).verdict_at("superseded", 20).superseded_by;
    assert_eq!(judged(Stage::new()), None);
    let one = Stage::new().one("b", |b| theirs(b, 44));
    assert_eq!(judged(one), Some(ReleaseNumber(44)));
    let two = Stage::new()
        .one("a", |a| theirs(a, 45))
        .one("b", |b| theirs(b, 44))
        .cast(|cast| cast.instances.push(instance("c")));
    assert_eq!(judged(two), Some(ReleaseNumber(45)), "the newest");
}

#[test]
fn instances_on_lost_hosts_are_named() {
    for (case, reachable, lost) in [
        ("this flyctl does not say", None, vec![]),
        ("reachable", Some(true), vec![]),
        ("lost", Some(false), vec!["b".to_owned()]),
    ] {
        let stage = Stage::new().one("b", |b| b.host_reachable = reachable);
        let judgement = Moment::settled(stage).out_of_time().verdict_at(case, 20);
        assert_eq!(judgement.unreachable, lost, "{case}");
    }
}

#[test]
fn the_worst_check_of_an_instance_is_reported() {
    for (checks, reported) in [
        (vec!["passing"], "passing"),
        (vec![], "missing"),
        (vec!["passing", "warning"], "warning"),
        (vec!["warning", "passing"], "warning"),
        (vec!["critical", "warning"], "critical"),
        (vec!["warning", "critical"], "critical"),
        (vec!["passing", "critical", "passing"], "critical"),
    ] {
        let stage = Stage::new().one("b", |b| b.checks = checks.iter().copied().map(check).collect());
        let judgement = Moment::settled(stage).out_of_time().verdict_at("checks", 20);
        assert_eq!(
            judgement.instances[1].checks.as_deref(),
            Some(reported),
            "{checks:?}"
        );
    }
    let none = Moment::settled(Stage::new().each(without_checks)).verdict_at("none is configured", 20);
    assert_eq!(none.instances[1].checks, None);
}

#[test]
fn what_each_instance_answered_is_reported() {
    let moment = Moment::settled(Stage::new()).answers(21, "b", &response(503, &[], ""), 2);
    let judgement = moment.out_of_time().verdict_at("b is bad now", 21);
    let probes = |good, bad, status| ProbeReport {
        good,
        bad,
        last_status: Some(status),
        last_version: Some("v2".into()),
        latency_ms: Some(5),
    };
    let reported: Vec<_> = judgement.instances.into_iter().map(|one| one.probes).collect();
    assert_eq!(reported, [probes(3, 0, 200), probes(3, 2, 503)]);
}

#[test]
fn what_is_waited_for_is_one_line() {
    let stage = || Stage::new();
    let one_good = || Moment::of(stage()).listed(20).answers(20, "a", &good("v2"), 3);
    for (case, moment, line) in [
        (
            "nothing came yet",
            Moment::of(stage()),
            "the first list of the instances",
        ),
        (
            "no list comes any more",
            Moment::of(stage()).listed(20).silent_since(25),
            "the provider to list the instances (status 500)",
        ),
        (
            "flyctl works",
            one_good(),
            "flyctl; 2 of 2 instances on the new release, 1 good; instance b (fra): it has not been asked yet",
        ),
        (
            "flyctl has ended",
            one_good().ended(15),
            "1 of 2 instances good, 0 asleep; instance b (fra): it has not been asked yet",
        ),
        (
            "one is bad",
            one_good().ended(15).answers(21, "b", &response(503, &[], ""), 1),
            "1 of 2 instances good, 0 asleep; instance b (fra): answers 503",
        ),
        (
            "all are good",
            Moment::settled(stage()),
            "2 of 2 instances good, 0 asleep",
        ),
    ] {
        assert_eq!(moment.at(22).waiting, line, "{case}");
    }
}
