//! What happens while time passes: own deadlines, the bake, a silent API, and how soon a verdict comes.

use std::time::Duration;

use super::expectation::{Baseline, Kind};
use super::stage::{MINUTE, NEW, OLD, Stage, check, good, instance, on_release, response};
use super::watch::{Change, Shipping, Watch};
use super::{Evidence, Verdict};
use crate::effect::http::Answer;
use crate::instance::InstanceState;
use crate::release::ReleaseNumber;

const BAKE: Duration = Duration::from_secs(10);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn each_instance_has_its_own_deadline() {
    let old = ["a", "b", "c"]
        .map(|id| on_release(instance(id), 41, OLD))
        .to_vec();
    let mut stage = Stage::new()
        .cast(|cast| cast.instances.clone_from(&old))
        .expecting(|expectation| {
            expectation.timeout = 5 * MINUTE;
            expectation.baseline = Some(Baseline {
                instances: old.clone(),
                none_ran: false,
            });
        })
        .shipping_for(13 * MINUTE);
    stage.timeout = 30 * MINUTE;
    for (turn, id) in ["a", "b", "c"].into_iter().enumerate() {
        let begins = u32::try_from(turn).unwrap() * 4 * MINUTE + seconds(5);
        stage = stage
            .at(begins, move |cast| {
                let one = cast.get(id);
                *one = on_release(one.clone(), 42, NEW);
                one.checks = vec![check("critical")];
                cast.answers.push((id, response(503, &[], "")));
            })
            .at(begins + seconds(230), move |cast| {
                cast.get(id).checks = vec![check("passing")];
                cast.answers.retain(|(of, _)| *of != id);
            });
    }
    let came = stage.play(BAKE).await;
    assert_eq!(
        came.judgement.verdict,
        Verdict::Verified,
        "{:?}",
        came.judgement.reasons
    );
    assert!(came.after >= 13 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_first_that_misses_its_deadline_ends_it_while_flyctl_runs() {
    let old = ["a", "b"].map(|id| on_release(instance(id), 41, OLD)).to_vec();
    let stage = Stage::new()
        .cast(|cast| cast.instances = old)
        .at(seconds(20), |cast| {
            *cast.get("a") = on_release(instance("a"), 42, NEW);
            cast.answers.push(("a", response(503, &[], "")));
        })
        .shipping_for(8 * MINUTE);
    let came = stage.play(BAKE).await;
    assert_eq!(came.judgement.verdict, Verdict::Refuted);
    assert!(came.judgement.early);
    assert_eq!((came.judgement.moved, came.judgement.counted), (1, 2));
    assert!(came.judgement.mixed);
    assert!(
        came.after >= seconds(50) && came.after < seconds(54),
        "{:?}",
        came.after
    );
}

#[tokio::test(start_paused = true)]
async fn the_verdict_follows_the_last_witness_at_once() {
    for _ in 0..20 {
        let came = Stage::new().play(Duration::ZERO).await;
        assert_eq!(came.judgement.verdict, Verdict::Verified);
        // A list takes 40 ms here, and one may be under way when the last answer comes.
        assert!(came.lag.unwrap() <= Duration::from_millis(90), "{:?}", came.lag);
        assert!(came.after < seconds(1), "{:?}", came.after);
    }
}

/// Only a list that was asked for after flyctl had ended counts, and that one waits for none from before.
#[tokio::test(start_paused = true)]
async fn the_end_of_flyctl_is_looked_at_at_once() {
    for ended in [3.5, 4.0, 5.0, 5.9] {
        let ended = Duration::from_secs_f64(ended);
        let stage = Stage::new()
            .cast(|cast| cast.lists_take = seconds(3))
            .shipping_for(ended);
        let came = stage.play(Duration::ZERO).await;
        assert_eq!(came.judgement.verdict, Verdict::Verified);
        assert!(
            came.after < ended + Duration::from_millis(3_100),
            "{:?}",
            came.after
        );
        assert!(came.after >= ended + seconds(3), "{:?}", came.after);
    }
}

#[tokio::test(start_paused = true)]
async fn anything_bad_in_the_bake_refutes() {
    let at = seconds(6);
    for (case, stage, said) in [
        (
            "an answer",
            Stage::new().at(at, |cast| cast.answers = vec![("*", response(503, &[], ""))]),
            "answers 503",
        ),
        (
            "a check",
            Stage::new().at(at, |cast| cast.get("b").checks = vec![check("critical")]),
            "is critical",
        ),
        (
            "a death",
            Stage::new().at(at, |cast| super::stage::stopped(cast.get("b"), 1_000, Some(1))),
            "exit code 1",
        ),
        (
            "a crash between two looks",
            Stage::new().at(at, |cast| {
                cast.get("b").events.push(super::stage::exit(1_000, 1, false));
            }),
            "it crashed",
        ),
        (
            "another release",
            Stage::new().at(at, |cast| {
                *cast.get("b") = on_release(instance("b"), 43, "sha256:bad");
            }),
            "release v43",
        ),
        (
            "one is gone",
            Stage::new().at(at, |cast| cast.instances.truncate(1)),
            "1 instance where 2 are needed",
        ),
    ] {
        let came = stage.play(BAKE).await;
        let reasons = came.judgement.reasons.join("\n");
        assert_eq!(came.judgement.verdict, Verdict::Refuted, "{case}");
        assert!(reasons.contains(said), "{case}: {reasons}");
        assert!(
            came.after >= at && came.after < at + seconds(5),
            "{case}: {:?}",
            came.after
        );
    }
}

/// A single cut or 502 on the way says nothing of the app; the bake begins anew after it.
#[tokio::test(start_paused = true)]
async fn one_bad_answer_in_the_bake_is_asked_again() {
    for answer in [response(502, &[], ""), Answer::Cut("reset".into())] {
        let stage = Stage::new().at(seconds(6), move |cast| cast.once = Some(answer.clone()));
        let came = stage.play(BAKE).await;
        assert_eq!(
            came.judgement.verdict,
            Verdict::Verified,
            "{:?}",
            came.judgement.reasons
        );
        assert!(came.after >= seconds(6) + BAKE, "{:?}", came.after);
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_release_of_the_same_image_is_baked_anew() {
    let stage = Stage::new()
        .at(seconds(6), |cast| {
            let one = cast.get("b");
            *one = on_release(one.clone(), 43, NEW);
            one.state = InstanceState::Changing("starting".into());
            one.checks = vec![check("critical")];
            cast.answers.push(("b", response(503, &[], "")));
        })
        .at(seconds(12), |cast| {
            *cast.get("b") = on_release(instance("b"), 43, NEW);
            cast.answers.truncate(1);
        });
    let came = stage.play(BAKE).await;
    assert_eq!(
        came.judgement.verdict,
        Verdict::Verified,
        "{:?}",
        came.judgement.reasons
    );
    assert!(came.judgement.warnings.join("\n").contains("newer release v43"));
    assert!(came.after >= seconds(22), "{:?}", came.after);
}

#[tokio::test(start_paused = true)]
async fn every_second_answer_is_bad() {
    let stage = Stage::new().cast(|cast| cast.in_turn = vec![response(503, &[], ""), good("v2")]);
    let came = stage.play(BAKE).await;
    assert_eq!(came.judgement.verdict, Verdict::Refuted);
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_is_no_verdict_and_the_app_can_only_refute() {
    let refused = || Answer::NoConnection("dns error".into());
    for (case, answer, verdict, said) in [
        (
            "the app is good",
            good("v2"),
            Verdict::Inconclusive,
            "names this release",
        ),
        (
            "the app says nothing certain",
            good("v9"),
            Verdict::Inconclusive,
            "answers on its shared address",
        ),
        (
            "neither is reached",
            refused(),
            Verdict::Inconclusive,
            "could not be reached either",
        ),
        (
            "the app is bad",
            response(500, &[], ""),
            Verdict::Refuted,
            "the app's address: answers 500",
        ),
    ] {
        let stage = Stage::new().answers(answer).cast(|cast| cast.silent = true);
        let came = stage.play(BAKE).await;
        let reasons = came.judgement.reasons.join("\n");
        assert_eq!(came.judgement.verdict, verdict, "{case}: {reasons}");
        assert!(
            reasons.contains(said) && reasons.contains("status 500"),
            "{case}: {reasons}"
        );
        assert!(
            came.after >= seconds(30) && came.after < seconds(40),
            "{case}: {:?}",
            came.after
        );
    }
    let back = Stage::new()
        .cast(|cast| cast.silent = true)
        .at(seconds(12), |cast| cast.silent = false);
    assert_eq!(back.verdict().await.verdict, Verdict::Verified);
}

#[tokio::test(start_paused = true)]
async fn when_time_runs_out_what_is_there_is_judged() {
    let mut hanging = Stage::new().shipping_for(5 * MINUTE);
    hanging.timeout = MINUTE;
    let came = hanging.play(Duration::ZERO).await;
    assert_eq!(
        came.judgement.verdict,
        Verdict::Verified,
        "all is good, though flyctl took too long"
    );
    let mut mixed = Stage::new()
        .one("b", |b| *b = on_release(b.clone(), 41, OLD))
        .shipping_for(5 * MINUTE);
    mixed.timeout = MINUTE;
    let came = mixed.play(Duration::ZERO).await;
    assert_eq!(came.judgement.verdict, Verdict::Refuted);
    let mut slow = Stage::new().answers(response(503, &[], ""));
    slow.timeout = seconds(9);
    let came = slow.play(Duration::ZERO).await;
    assert_eq!(came.judgement.verdict, Verdict::Refuted);
    assert!(came.judgement.reasons.join("\n").contains("time ran out"));
    assert!(came.after < seconds(10), "{:?}", came.after);
}

#[tokio::test(start_paused = true)]
async fn a_shipping_side_that_is_gone_ships_nothing_more() {
    let stage = Stage::new();
    let (told, shipping) = tokio::sync::watch::channel(Shipping::default());
    drop(told);
    let deadline = tokio::time::Instant::now() + MINUTE;
    let mut watch = Watch::new(&stage, stage.expectation.clone(), deadline, |_| ());
    assert_eq!(watch.verify(shipping).await.verdict, Verdict::Verified);
}

#[tokio::test(start_paused = true)]
async fn addresses_that_were_made_meanwhile_are_asked() {
    let stage = Stage::new()
        .answers(response(503, &[], ""))
        .expecting(|expectation| expectation.probe.address = false);
    let (told, shipping) = tokio::sync::watch::channel(Shipping::default());
    let deadline = tokio::time::Instant::now() + 10 * MINUTE;
    let mut watch = Watch::new(&stage, stage.expectation.clone(), deadline, |_| ());
    let waiting = watch.waiting();
    let ship = async {
        tokio::time::sleep(seconds(5)).await;
        assert!(
            waiting
                .text()
                .contains("flyctl; 2 of 2 instances on the new release, 2 good"),
            "{}",
            waiting.text()
        );
        told.send_modify(|shipping| {
            shipping.ended = true;
            shipping.address = Some(true);
            shipping.release = Some(ReleaseNumber(42));
        });
    };
    let (judgement, ()) = tokio::join!(watch.verify(shipping), ship);
    assert_eq!(judgement.verdict, Verdict::Refuted);
    assert!(
        judgement.reasons.join("\n").contains("answers 503"),
        "{:?}",
        judgement.reasons
    );
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_once() {
    let stage = Stage::new()
        .shipping_for(seconds(3))
        .each(|one| *one = on_release(one.clone(), 41, OLD))
        .at(seconds(1), |cast| {
            cast.instances = ["a", "b"].map(instance).to_vec();
        });
    assert_eq!(stage.verdict().await.verdict, Verdict::Verified);
    let changes = stage.changes.lock().unwrap();
    let of_a: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Instance { id, standing, .. } if id == "a" => Some(*standing),
            _ => None,
        })
        .collect();
    assert_eq!(of_a, ["waiting", "pending", "good"]);
    assert!(changes.contains(&Change::Moved(2)));
}

/// flyctl has ended, and the list of machines still lacks the one that it made last.
#[tokio::test(start_paused = true)]
async fn a_list_that_lags_behind_flyctl_gets_a_moment() {
    let gone = |cast: &mut super::stage::Cast| cast.get("b").state = InstanceState::Gone("destroyed".into());
    for (back, verdict) in [(seconds(1), Verdict::Verified), (seconds(5), Verdict::Refuted)] {
        let stage = Stage::new().cast(gone).at(back, |cast| {
            *cast.get("b") = instance("b");
        });
        let judgement = stage.verdict().await;
        assert_eq!(judgement.verdict, verdict, "{back:?}: {:?}", judgement.reasons);
    }
}

/// It counts at the deadline alone, and a person should not have to wait so long to read it.
#[tokio::test(start_paused = true)]
async fn what_is_bad_is_told_when_it_is_first_seen() {
    let stage = Stage::new()
        .each(|one| one.state = InstanceState::Changing("starting".into()))
        .at(seconds(2), |cast| {
            cast.instances = ["a", "b"].map(instance).to_vec();
            cast.answers = vec![("*", response(503, &[], ""))];
        });
    assert_eq!(stage.verdict().await.verdict, Verdict::Refuted);
    let changes = stage.changes.lock().unwrap();
    let of_a: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Instance {
                id, standing, reason, ..
            } if id == "a" => Some((
                *standing,
                reason.as_deref().is_some_and(|why| why.contains("503")),
            )),
            _ => None,
        })
        .collect();
    assert_eq!(of_a, [("pending", false), ("pending", true), ("failed", true)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_live_is_judged_by_itself() {
    let live = |stage: Stage| {
        stage.expecting(|expectation| {
            expectation.kind = Kind::Live;
            expectation.baseline = None;
            expectation.target = super::expectation::Target::default();
        })
    };
    let judgement = live(Stage::new()).verdict().await;
    assert_eq!(
        (judgement.verdict, judgement.evidence),
        (Verdict::Verified, Evidence::App)
    );
    assert_eq!(judgement.release, Some(ReleaseNumber(42)));
    let mixed = live(Stage::new().one("b", |b| *b = on_release(b.clone(), 41, OLD)))
        .verdict()
        .await;
    assert_eq!(mixed.verdict, Verdict::Refuted);
    assert!(mixed.mixed);
    let several = live(Stage::new().one("b", |b| *b = on_release(b.clone(), 41, NEW)))
        .verdict()
        .await;
    assert_eq!(several.verdict, Verdict::Verified);
    assert!(
        several.warnings.join("\n").contains("v41, v42"),
        "{:?}",
        several.warnings
    );
    let named = live(Stage::new().one("b", |b| *b = on_release(b.clone(), 41, NEW)))
        .expecting(|expectation| expectation.target.release = Some(ReleaseNumber(42)))
        .verdict()
        .await;
    assert_eq!(named.verdict, Verdict::Refuted, "`--release` is meant");
}

/// The deadline bounds what leads to the verdict; the bake that follows is kept whole, and held to nothing shorter.
#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_deployment_cuts_no_bake_short() {
    let late = |mut stage: Stage| {
        stage.timeout = seconds(4);
        stage
    };
    let dies = Stage::new().at(seconds(8), |cast| {
        cast.answers = vec![("*", response(503, &[], ""))];
    });
    let came = late(dies).play(BAKE).await;
    assert_eq!(came.judgement.verdict, Verdict::Refuted, "{:?}", came.judgement);
    let blinks = Stage::new()
        .at(seconds(5), |cast| {
            cast.answers = vec![("b", Answer::NoConnection("refused".into())), ("*", good("v2"))];
        })
        .at(seconds(7), |cast| cast.answers = vec![("*", good("v2"))]);
    let came = late(blinks).play(BAKE).await;
    assert_eq!(came.judgement.verdict, Verdict::Verified, "{:?}", came.judgement);
    assert!(came.after >= BAKE, "{:?}", came.after);
}

/// An update that is good at the very next look was never seen to be anything else.
#[tokio::test(start_paused = true)]
async fn an_update_between_two_looks_starts_the_bake_anew() {
    let stage = Stage::new()
        .expecting(|expectation| expectation.probe.address = false)
        .at(seconds(6), |cast| {
            let one = cast.get("b");
            *one = on_release(one.clone(), 43, NEW);
            one.version = "updated".into();
        });
    let came = stage.play(BAKE).await;
    assert_eq!(came.judgement.verdict, Verdict::Verified, "{:?}", came.judgement);
    assert!(came.after >= seconds(6) + BAKE, "{:?}", came.after);
}

#[tokio::test(start_paused = true)]
async fn what_was_good_before_another_service_shipped_is_asked_again() {
    // Longer than an instance has to turn good.
    let resting = || {
        let mut stage = Stage::new();
        stage.rests_for = 3 * MINUTE;
        stage
    };
    let bad = |cast: &mut super::stage::Cast| cast.answers = vec![("*", response(503, &[], ""))];
    for bake in [Duration::ZERO, BAKE] {
        for (case, stage, verdict) in [
            ("good still", resting(), Verdict::Verified),
            (
                "bad and well again",
                resting()
                    .at(MINUTE, bad)
                    .at(2 * MINUTE, |cast| cast.answers = vec![("*", good("v2"))]),
                Verdict::Verified,
            ),
            ("an answer", resting().at(MINUTE, bad), Verdict::Refuted),
            (
                "a check",
                resting().at(MINUTE, |cast| cast.get("b").checks = vec![check("critical")]),
                Verdict::Refuted,
            ),
            (
                "gone",
                resting().at(MINUTE, |cast| drop(cast.instances.pop())),
                Verdict::Refuted,
            ),
        ] {
            let came = stage.play(bake).await;
            assert_eq!(
                came.judgement.verdict, verdict,
                "{case} {bake:?} {:?}",
                came.judgement.reasons
            );
        }
    }
}
