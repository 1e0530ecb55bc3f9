//! Where no list comes any more: when that is a verdict, and what may still refute.

use super::moment::Moment;
use crate::effect::http::Answer;
use crate::instance::Instance;
use crate::verification::Verdict;
use crate::verification::stage::{OLD, Stage, autostop, good, on_release, response, stopped};

/// Lists fail since 25 s; the last one that came was good.
fn silent(stage: Stage) -> Moment {
    Moment::of(stage).ended(10).listed(20).silent_since(25)
}

fn asleep(one: &mut Instance) {
    autostop(one);
    stopped(one, 5, None);
}

#[test]
fn an_api_that_is_silent_is_waited_for_as_long_as_an_instance() {
    for (case, since, ended, timeout, verdict_at) in [
        ("from its silence", 25, 10, 30, 55),
        ("from the end of flyctl where that came later", 5, 10, 30, 40),
        ("no shorter than a state can be seen in", 25, 10, 5, 40),
    ] {
        let moment = Moment::of(
            Stage::new()
                .expecting(|expectation| expectation.timeout = std::time::Duration::from_secs(timeout)),
        )
        .silent_since(since)
        .ended(ended);
        let before = moment.at(verdict_at - 1);
        assert!(before.decided.is_none(), "{case}");
        assert_eq!(before.next, Some(moment.instant(verdict_at)), "{case}");
        let judgement = moment.verdict_at(case, verdict_at);
        assert_eq!(judgement.verdict, Verdict::Inconclusive, "{case}");
        let silence = format!("the API has been silent for {} s", verdict_at - since);
        assert!(
            judgement.reasons[0].contains(&silence),
            "{case}: {:?}",
            judgement.reasons
        );
    }
    let running = Moment::of(Stage::new()).silent_since(5);
    assert!(running.at(300).decided.is_none(), "flyctl still works");
}

#[test]
fn what_an_instance_answered_before_the_silence_can_refute() {
    let bad = response(503, &[], "");
    let gave = |stage: Stage, times| silent(stage).answers(24, "b", &bad, times);
    let refuted = Some("instance b (fra): answers 503");
    for (case, moment, said) in [
        ("badly, as often as is needed", gave(Stage::new(), 3), refuted),
        ("badly, and not yet often enough", gave(Stage::new(), 2), None),
        (
            "badly, for it lies down",
            gave(Stage::new().one("b", asleep), 3),
            None,
        ),
        (
            "badly, on what was there before",
            gave(Stage::new().one("b", |b| *b = on_release(b.clone(), 41, OLD)), 3),
            None,
        ),
        (
            "badly, and well since",
            gave(Stage::new(), 3).answers(24, "b", &good("v2"), 1),
            None,
        ),
        ("nothing", silent(Stage::new()), None),
    ] {
        let judgement = moment.verdict_at(case, 60);
        let verdict = if said.is_some() {
            Verdict::Refuted
        } else {
            Verdict::Inconclusive
        };
        assert_eq!(judgement.verdict, verdict, "{case}: {:?}", judgement.reasons);
        if let Some(said) = said {
            assert_eq!(judgement.reasons[0], said, "{case}");
        }
    }
}

/// Where all that is known of slept, nobody may have been there to answer: the proxy's own word says nothing then.
#[test]
fn what_the_shared_address_answers_in_the_silence_can_refute() {
    let cut = || Answer::Cut("reset".into());
    let own = || response(500, &[], "");
    let first =
        || Stage::new().expecting(|expectation| expectation.baseline.as_mut().unwrap().instances.clear());
    let never_listed = |stage: Stage| Moment::of(stage).ended(10).silent_since(25);
    for (case, moment, answer, times, refuted) in [
        ("its own bad word", silent(Stage::new()), own(), 3, true),
        ("not often enough", silent(Stage::new()), own(), 2, false),
        ("cut, while instances ran", silent(Stage::new()), cut(), 3, true),
        (
            "cut, while one of them ran",
            silent(Stage::new().one("b", asleep)),
            cut(),
            3,
            true,
        ),
        (
            "cut, while all slept",
            silent(Stage::new().each(asleep)),
            cut(),
            3,
            false,
        ),
        (
            "its own bad word, though all slept",
            silent(Stage::new().each(asleep)),
            own(),
            3,
            true,
        ),
        (
            "cut, and no instance is known of",
            never_listed(first()),
            cut(),
            3,
            true,
        ),
        (
            "cut, and only the baseline is known",
            never_listed(Stage::new()),
            cut(),
            3,
            true,
        ),
    ] {
        let judgement = moment.answers(50, "*", &answer, times).verdict_at(case, 60);
        let verdict = if refuted {
            Verdict::Refuted
        } else {
            Verdict::Inconclusive
        };
        assert_eq!(judgement.verdict, verdict, "{case}: {:?}", judgement.reasons);
        assert_eq!(
            judgement.reasons[0].starts_with("the app's address: "),
            refuted,
            "{case}: {:?}",
            judgement.reasons
        );
    }
}
