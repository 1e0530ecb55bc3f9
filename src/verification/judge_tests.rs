//! The rules of DESIGN 6, one table or test each, from what is listed and answered to the verdict.

use std::time::Duration;

use serde_json::json;

use super::expectation::{Kind, PathAuthority, Reach};
use super::stage::{
    MINUTE, NEW, OLD, Stage, autostop, check, event, exit, good, instance, json_body, on_release, response,
    stopped, without_checks,
};
use super::{Evidence, Judgement, Verdict};
use crate::effect::http::Answer;
use crate::instance::{Instance, InstanceState};
use crate::project::Identity;
use crate::release::ReleaseNumber;

/// Fails unless the verdict is `verdict` and every word of `said` stands in its reasons or warnings.
#[track_caller]
fn expect(case: &str, judgement: &Judgement, verdict: Verdict, said: &str) {
    let all = [judgement.reasons.clone(), judgement.warnings.clone()]
        .concat()
        .join("\n");
    assert_eq!(judgement.verdict, verdict, "{case}: {all}");
    assert!(all.contains(said), "{case}: {said:?} is not in {all:?}");
    assert_eq!(
        judgement.reasons.is_empty(),
        verdict == Verdict::Verified,
        "{case}: {all}"
    );
}

const V: Verdict = Verdict::Verified;
const R: Verdict = Verdict::Refuted;
const I: Verdict = Verdict::Inconclusive;

#[tokio::test(start_paused = true)]
async fn what_is_good_is_verified_by_the_strongest_witness() {
    let versionless = json_body(200, &json!({"status": "ok"}));
    let plain = |stage: Stage| stage.expecting(|expectation| expectation.probe.address = false);
    for (case, stage, evidence) in [
        ("names its release", Stage::new(), Evidence::App),
        (
            "names nothing",
            Stage::new()
                .answers(versionless)
                .expecting(|expectation| expectation.identity.named_before = false),
            Evidence::Http,
        ),
        ("is not asked", plain(Stage::new()), Evidence::Checks),
        (
            "has no checks",
            plain(Stage::new().each(without_checks)),
            Evidence::State,
        ),
    ] {
        let came = stage.play(Duration::ZERO).await;
        expect(case, &came.judgement, V, "");
        assert_eq!(came.judgement.evidence, evidence, "{case}");
        assert_eq!((came.judgement.moved, came.judgement.counted), (2, 2), "{case}");
        assert_eq!(came.judgement.release, Some(ReleaseNumber(42)), "{case}");
        assert_eq!(came.judgement.digest.unwrap().as_str(), NEW, "{case}");
        let patient = came.after >= Duration::from_secs(10);
        assert_eq!(patient, evidence == Evidence::State, "{case}: {:?}", came.after);
    }
}

#[tokio::test(start_paused = true)]
async fn every_counted_instance_has_to_run_this_release() {
    let old = |instance: &mut Instance| *instance = on_release(instance.clone(), 41, OLD);
    let gone = |instance: &mut Instance| instance.state = InstanceState::Gone("destroyed".into());
    for (case, stage, verdict, said) in [
        (
            "a newer release of the same digest",
            Stage::new().one("b", |b| *b = on_release(b.clone(), 43, NEW)),
            V,
            "v43",
        ),
        (
            "no metadata, the digest agrees",
            Stage::new().each(|one| one.release = None),
            V,
            "",
        ),
        (
            "one keeps the old image",
            Stage::new().one("b", |b| {
                b.region = "sjc".into();
                old(b);
            }),
            R,
            "b (sjc): it still runs release v41",
        ),
        (
            "one has another digest",
            Stage::new().one("b", |b| *b = on_release(b.clone(), 42, "sha256:bad")),
            R,
            "it runs another image",
        ),
        (
            "somebody else's release",
            Stage::new().one("b", |b| *b = on_release(b.clone(), 44, "sha256:bad")),
            R,
            "release v44",
        ),
        ("none was updated", Stage::new().each(old), R, "still runs"),
        (
            "one is gone",
            Stage::new().one("b", gone),
            R,
            "1 instance where 2 are needed",
        ),
        (
            "all are gone",
            Stage::new().each(gone),
            R,
            "no instance of a configured group",
        ),
        (
            "its host is lost",
            Stage::new().one("b", |b| b.host_reachable = Some(false)),
            R,
            "its host cannot be reached",
        ),
        (
            "it is cordoned",
            Stage::new().one("b", |b| b.cordoned = Some(true)),
            R,
            "cordoned",
        ),
        (
            "a flyctl that says so",
            Stage::new().each(|one| {
                one.host_reachable = Some(true);
                one.cordoned = Some(false);
            }),
            V,
            "",
        ),
        (
            "an unknown state",
            Stage::new().one("b", |b| b.state = InstanceState::Other("dreaming".into())),
            R,
            "dreaming",
        ),
        (
            "a failed state",
            Stage::new().one("b", |b| b.state = InstanceState::Failed),
            R,
            "`failed`",
        ),
    ] {
        expect(case, &stage.verdict().await, verdict, said);
    }
}

#[tokio::test(start_paused = true)]
async fn others_do_not_count() {
    let stranger = |change: fn(&mut Instance)| {
        let mut stranger = on_release(instance("z"), 41, OLD);
        stranger.state = InstanceState::Failed;
        change(&mut stranger);
        Stage::new().cast(|cast| cast.instances.push(stranger))
    };
    for (case, stage) in [
        (
            "release command",
            stranger(|one| one.group = Some("fly_app_release_command".into())),
        ),
        (
            "console",
            stranger(|one| one.group = Some("fly_app_console".into())),
        ),
        ("canary", stranger(|one| one.canary = true)),
        ("standby", stranger(|one| one.standbys = vec!["a".into()])),
        ("no group", stranger(|one| one.group = None)),
        (
            "another group",
            stranger(|one| one.group = Some("elsewhere".into())),
        ),
    ] {
        let judgement = stage.verdict().await;
        expect(case, &judgement, V, "");
        assert_eq!(judgement.counted, 2, "{case}");
    }
    expect("one of ours", &stranger(|_| ()).verdict().await, R, "instance z");
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_without_its_configuration_is_not_left_out() {
    let stage = Stage::new().cast(|cast| {
        let mut lost = on_release(instance("z"), 41, OLD);
        (lost.group, lost.release, lost.config) = (None, None, serde_json::Value::Null);
        cast.instances.push(lost);
    });
    expect("config lost", &stage.verdict().await, R, "instance z");
}

#[tokio::test(start_paused = true)]
async fn configured_checks_have_to_pass_by_the_deadline() {
    for (case, checks, verdict, said) in [
        (
            "critical",
            vec![check("critical")],
            R,
            "check `servicecheck-00-http-8080` is critical: connect: refused",
        ),
        ("warning", vec![check("warning")], R, "is warning"),
        ("absent", vec![], R, "0 of its 1 checks"),
        ("passing", vec![check("passing")], V, ""),
    ] {
        let came = Stage::new()
            .one("b", |b| b.checks = checks)
            .play(Duration::ZERO)
            .await;
        expect(case, &came.judgement, verdict, said);
        if verdict == R {
            assert!(came.after >= Duration::from_secs(30), "{case}: {:?}", came.after);
            assert!(came.after < Duration::from_secs(31), "{case}: {:?}", came.after);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_instances() {
    let new_group = |stage: Stage| stage.group(|group| group.named_before = false);
    let only_a = |stage: Stage| stage.cast(|cast| cast.instances.retain(|one| one.id == "a"));
    let recreated = |group: &mut super::expectation::GroupExpectation| group.recreated = true;
    let empty_before = |stage: Stage| {
        stage.expecting(|expectation| expectation.baseline.as_mut().unwrap().instances.clear())
    };
    let live = |stage: Stage| {
        stage.expecting(|expectation| {
            expectation.kind = Kind::Live;
            expectation.baseline = None;
            expectation.target = super::expectation::Target::default();
        })
    };
    let returned = |stage: Stage| stage.expecting(|expectation| expectation.kind = Kind::Return);
    let needs = |stage: Stage, count| stage.expecting(|expectation| expectation.min_instances = Some(count));
    let regions = |stage: Stage| stage.expecting(|expectation| expectation.regions = vec!["sjc".into()]);
    for (case, stage, verdict, said) in [
        (
            "fewer than before",
            only_a(Stage::new()),
            R,
            "has 1 instance where 2 are needed",
        ),
        ("a new group", only_a(new_group(Stage::new())), V, ""),
        (
            "made again by a return",
            only_a(Stage::new().group(recreated)),
            V,
            "fly scale count app=2 -a shop",
        ),
        (
            "one destroyed while it returned",
            only_a(returned(Stage::new())),
            V,
            "has 1 instance of the 2 from before; `fly scale count app=2 -a shop`",
        ),
        (
            "all destroyed while it returned",
            returned(Stage::new()).cast(|cast| cast.instances.clear()),
            R,
            "no instance",
        ),
        (
            "empty before",
            only_a(empty_before(Stage::new())),
            V,
            "was empty before",
        ),
        (
            "too few",
            needs(new_group(only_a(Stage::new())), 2),
            R,
            "`min_instances` 2",
        ),
        ("too few already", needs(Stage::new(), 3), V, "already so before"),
        (
            "too few, live",
            needs(live(Stage::new()), 3),
            R,
            "`min_instances` 3",
        ),
        (
            "region empty already",
            regions(Stage::new()),
            V,
            "no instance in region `sjc`; already so before",
        ),
        (
            "region empty, live",
            regions(live(Stage::new())),
            R,
            "no instance in region `sjc`",
        ),
        ("live", live(Stage::new()), V, ""),
        (
            "nothing lives",
            live(Stage::new()).cast(|cast| cast.instances.clear()),
            R,
            "no instance",
        ),
    ] {
        expect(case, &stage.verdict().await, verdict, said);
    }
    let lost = regions(Stage::new().expecting(|expectation| {
        expectation.baseline.as_mut().unwrap().instances[0].region = "sjc".into();
    }));
    expect("region lost", &lost.verdict().await, R, "`sjc`");
}

#[tokio::test(start_paused = true)]
async fn only_groups_that_a_public_port_leads_to_are_asked() {
    let worker = |stage: Stage| {
        stage
            .cast(|cast| {
                let mut worker = instance("w");
                worker.group = Some("worker".into());
                cast.instances.push(worker);
                cast.answers = vec![("*", good("v2")), ("w", response(503, &[], ""))];
            })
            .expecting(|expectation| {
                let mut group = expectation.groups["app"].clone();
                group.public = false;
                expectation.groups.insert("worker".into(), group);
            })
    };
    let stage = worker(Stage::new());
    let judgement = stage.verdict().await;
    expect("worker", &judgement, V, "");
    assert_eq!(judgement.evidence, Evidence::App);
    assert!(!stage.cast.lock().unwrap().asked.contains(&"w".to_owned()));
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test(start_paused = true)]
async fn what_a_bad_answer_is_worth() {
    let redirect = || response(302, &[("location", "/login")], "");
    let unanswered = PathAuthority::Check {
        answered_before: false,
    };
    let answered = PathAuthority::Check {
        answered_before: true,
    };
    let sick = json_body(
        200,
        &json!({"status": "unhealthy", "version": "v2", "checks": {"db": "error: down", "cache": "ok"}}),
    );
    let degraded = json_body(200, &json!({"status": "degraded", "version": "v2"}));
    for (case, authority, named, answer, verdict, said) in [
        (
            "503",
            PathAuthority::Named,
            true,
            response(503, &[], ""),
            R,
            "answers 503",
        ),
        (
            "503 at the root",
            PathAuthority::Root,
            false,
            response(503, &[], ""),
            R,
            "answers 503",
        ),
        (
            "redirect, named",
            PathAuthority::Named,
            false,
            redirect(),
            R,
            "a redirect to `/login`",
        ),
        (
            "redirect, answered before",
            answered,
            false,
            redirect(),
            R,
            "a redirect to `/login`",
        ),
        (
            "redirect, never answered",
            unanswered,
            false,
            redirect(),
            V,
            "no witness",
        ),
        (
            "redirect at the root",
            PathAuthority::Root,
            false,
            redirect(),
            V,
            "no witness",
        ),
        (
            "404, named",
            PathAuthority::Named,
            false,
            response(404, &[], ""),
            R,
            "answers 404",
        ),
        (
            "404 at the root",
            PathAuthority::Root,
            false,
            response(404, &[], ""),
            V,
            "answers 404; that is no witness",
        ),
        (
            "404 at the root, where it named its release",
            PathAuthority::Root,
            true,
            response(404, &[], ""),
            R,
            "a version was named before",
        ),
        (
            "slow",
            PathAuthority::Root,
            false,
            Answer::Slow,
            R,
            "no full answer within 5s",
        ),
        (
            "endless",
            PathAuthority::Named,
            false,
            Answer::TooLarge,
            R,
            "larger than 1 MiB",
        ),
        (
            "cut",
            PathAuthority::Named,
            false,
            Answer::Cut("reset".into()),
            R,
            "cut",
        ),
        (
            "says unhealthy",
            PathAuthority::Named,
            true,
            sick,
            R,
            "failing: db: error: down",
        ),
        (
            "says degraded",
            PathAuthority::Named,
            true,
            degraded,
            V,
            "its answer says `degraded`",
        ),
    ] {
        let judgement = Stage::new()
            .answers(answer)
            .expecting(|expectation| {
                expectation.probe.authority = authority;
                expectation.identity.named_before = named;
            })
            .verdict()
            .await;
        expect(case, &judgement, verdict, said);
        if said.contains("no witness") {
            assert_eq!(judgement.evidence, Evidence::Checks, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_connection_is_made() {
    let gone = || Answer::NoConnection("dns error".into());
    for (case, reach, with_checks, verdict, said) in [
        (
            "reachable before, checks pass: the way is lost",
            Reach::ReachableBefore,
            true,
            I,
            "could be reached before",
        ),
        (
            "reachable before, nothing else speaks",
            Reach::ReachableBefore,
            false,
            R,
            "could be reached before",
        ),
        (
            "never reachable",
            Reach::UnreachableBefore,
            true,
            V,
            "no connection (dns error), already so before; that is no witness",
        ),
        (
            "never reachable, no checks",
            Reach::UnreachableBefore,
            false,
            V,
            "no witness",
        ),
        ("not asked before", Reach::NotAsked, true, V, "no witness"),
        (
            "not asked before, no checks",
            Reach::NotAsked,
            false,
            I,
            "no connection",
        ),
        ("new", Reach::New, true, V, "no witness"),
    ] {
        let mut stage = Stage::new()
            .answers(gone())
            .expecting(|expectation| expectation.probe.reach = reach);
        if !with_checks {
            stage = stage.each(without_checks);
        }
        if reach == Reach::New {
            stage = stage.expecting(|expectation| expectation.timeout = 2 * MINUTE);
        }
        let came = stage.play(Duration::ZERO).await;
        expect(case, &came.judgement, verdict, said);
        assert_eq!(
            came.after >= MINUTE,
            reach == Reach::New,
            "{case}: {:?}",
            came.after
        );
    }
    for with_checks in [true, false] {
        let mut hasty = Stage::new().answers(gone()).expecting(|expectation| {
            expectation.probe.reach = Reach::New;
            expectation.timeout = Duration::from_secs(20);
        });
        if !with_checks {
            hasty = hasty.each(without_checks);
        }
        let verdict = if with_checks { V } else { I };
        expect(
            "new, and a short deadline",
            &hasty.verdict().await,
            verdict,
            "no connection",
        );
    }
    let one = Stage::new().cast(|cast| cast.answers.push(("b", gone())));
    expect("one of two", &one.verdict().await, R, "instance b");
    let failing = Stage::new()
        .answers(gone())
        .one("b", |b| b.checks = vec![check("critical")]);
    expect(
        "a check fails besides",
        &failing.verdict().await,
        R,
        "is critical",
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_new_in_dns_is_asked_again() {
    let stage = Stage::new()
        .answers(Answer::NoConnection("dns error".into()))
        .each(without_checks)
        .expecting(|expectation| {
            expectation.probe.reach = Reach::New;
            expectation.timeout = 2 * MINUTE;
        })
        .at(Duration::from_secs(40), |cast| {
            cast.answers = vec![("*", good("v2"))];
        });
    let judgement = stage.verdict().await;
    expect("dns came", &judgement, V, "");
    assert_eq!(judgement.evidence, Evidence::App);
}

#[tokio::test(start_paused = true)]
async fn which_release_the_answer_names() {
    let page = || response(200, &[("content-type", "text/html")], "<h1>It works</h1>");
    for (case, mode, answer, verdict, said, evidence) in [
        ("its own", Identity::Auto, good("v2"), V, "", Evidence::App),
        (
            "the one from before",
            Identity::Auto,
            good("v1"),
            R,
            "`v1`, that of another release",
            Evidence::Http,
        ),
        (
            "nothing any more",
            Identity::Auto,
            page(),
            R,
            "an HTML page where a version was named before",
            Evidence::Http,
        ),
        (
            "nothing, and need not",
            Identity::Off,
            page(),
            V,
            "",
            Evidence::Http,
        ),
        (
            "an unknown one",
            Identity::Auto,
            good("v9"),
            V,
            "`v9` is neither known",
            Evidence::Http,
        ),
        (
            "an unknown one, required",
            Identity::Required,
            good("v9"),
            R,
            "`v9`, which is not this release",
            Evidence::Http,
        ),
    ] {
        let judgement = Stage::new()
            .answers(answer)
            .expecting(|expectation| expectation.identity.mode = mode)
            .verdict()
            .await;
        expect(case, &judgement, verdict, said);
        assert_eq!(judgement.evidence, evidence, "{case}");
    }
    let never = Stage::new()
        .answers(good("1.0"))
        .expecting(|expectation| expectation.identity.named_before = false);
    expect("never named its own", &never.verdict().await, V, "");
    let unheard = Stage::new()
        .answers(Answer::NoConnection("dns error".into()))
        .expecting(|expectation| {
            expectation.identity.mode = Identity::Required;
            expectation.probe.reach = Reach::UnreachableBefore;
        });
    expect(
        "required, and never heard",
        &unheard.verdict().await,
        I,
        "`identity` requires",
    );
    let same = Stage::new().answers(good("v1")).expecting(|expectation| {
        for old in &mut expectation.baseline.as_mut().unwrap().instances {
            *old = on_release(old.clone(), 41, NEW);
        }
    });
    expect("the same image as before", &same.verdict().await, V, "");
}

#[tokio::test(start_paused = true)]
async fn good_but_too_little_of_it() {
    for (min, verdict) in [(Evidence::Http, V), (Evidence::App, I)] {
        let stage = Stage::new()
            .answers(good("v9"))
            .expecting(|expectation| expectation.min_evidence = min);
        let came = stage.play(Duration::ZERO).await;
        expect("unknown version", &came.judgement, verdict, "");
        assert!(came.after < Duration::from_secs(5), "at once: {:?}", came.after);
    }
}

#[tokio::test(start_paused = true)]
async fn sleepers_are_woken_once() {
    let asleep = |stage: Stage| {
        stage
            .each(|one| {
                autostop(one);
                stopped(one, 5, None);
            })
            .at(Duration::from_secs(1), |cast| {
                for one in &mut cast.instances {
                    if one.state == InstanceState::Started {
                        one.checks = vec![check("passing")];
                    }
                }
            })
    };
    let passing = |cast: &mut super::stage::Cast| {
        for one in &mut cast.instances {
            if one.state == InstanceState::Started {
                one.checks = vec![check("passing")];
            }
        }
    };
    let stage = asleep(Stage::new()).at(Duration::from_secs(8), passing);
    expect("by a request", &stage.verdict().await, V, "");
    assert_eq!(stage.cast.lock().unwrap().started, ["a"], "one is enough");

    let stage = asleep(Stage::new().cast(|cast| cast.wakes = false)).at(Duration::from_secs(8), passing);
    expect("by a command", &stage.verdict().await, V, "");
    assert_eq!(stage.cast.lock().unwrap().started, ["a"]);

    let stage = asleep(Stage::new().group(|group| group.min_machines_running = 2))
        .at(Duration::from_secs(8), passing);
    expect("as many as have to be awake", &stage.verdict().await, V, "");
    assert_eq!(stage.cast.lock().unwrap().started, ["a", "b"]);

    let stage = asleep(Stage::new().answers(response(503, &[], "")));
    expect("the new image is bad", &stage.verdict().await, R, "answers 503");

    let awake = Stage::new().each(autostop).one("b", |b| stopped(b, 5, None));
    expect("one is awake", &awake.verdict().await, V, "");
    assert!(
        awake.cast.lock().unwrap().started.is_empty(),
        "nothing is woken without need"
    );

    let suspended = Stage::new()
        .each(autostop)
        .one("b", |b| b.state = InstanceState::Suspended);
    expect("suspended", &suspended.verdict().await, V, "");
}

#[tokio::test(start_paused = true)]
async fn what_lies_down_without_right_is_started() {
    let recover = |cast: &mut super::stage::Cast| {
        cast.instances
            .iter_mut()
            .for_each(|one| one.checks = vec![check("passing")]);
    };
    for (case, sleeps) in [
        ("in a group that never sleeps", false),
        ("in one that does", true),
    ] {
        let stage = Stage::new()
            .each(|one| {
                stopped(one, 5, Some(1));
                if sleeps {
                    autostop(one);
                }
            })
            .at(Duration::from_secs(6), recover);
        expect(case, &stage.verdict().await, V, "");
        let mut started = stage.cast.lock().unwrap().started.clone();
        started.sort();
        assert_eq!(started, ["a", "b"], "{case}");
    }
    let live = Stage::new()
        .one("b", |b| stopped(b, 5, Some(1)))
        .expecting(|expectation| {
            expectation.kind = Kind::Live;
            expectation.baseline = None;
        });
    expect(
        "verify changes nothing",
        &live.verdict().await,
        R,
        "`stopped` (exit code 1)",
    );
    assert!(live.cast.lock().unwrap().started.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_person_had_stopped_is_named_and_not_counted() {
    let put_away = |one: &mut Instance| stopped(one, 5, None);
    let stage = Stage::new()
        .one("b", |b| *b = on_release(b.clone(), 41, OLD))
        .one("b", put_away)
        .expecting(|expectation| put_away(&mut expectation.baseline.as_mut().unwrap().instances[1]));
    let judgement = stage.verdict().await;
    expect(
        "put away",
        &judgement,
        V,
        "instance b (fra) had been stopped on request before",
    );
    assert_eq!(judgement.counted, 1);
    let stage = Stage::new()
        .one("b", |b| *b = on_release(b.clone(), 41, OLD))
        .expecting(|expectation| put_away(&mut expectation.baseline.as_mut().unwrap().instances[1]));
    expect(
        "it runs again, on the old image",
        &stage.verdict().await,
        R,
        "instance b",
    );
}

/// A deploy over an app that a person had stopped altogether is to bring it up.
#[tokio::test(start_paused = true)]
async fn where_nothing_ran_before_everything_is_started() {
    let put_away = |one: &mut Instance| stopped(one, 5, None);
    let recover = |cast: &mut super::stage::Cast| {
        for instance in &mut cast.instances {
            instance.state = InstanceState::Started;
            instance.checks = vec![check("passing")];
        }
    };
    let stage = Stage::new()
        .each(put_away)
        .expecting(|expectation| {
            let baseline = expectation.baseline.as_mut().unwrap();
            baseline.instances.iter_mut().for_each(put_away);
            baseline.none_ran = true;
        })
        .at(Duration::from_secs(6), recover);
    let judgement = stage.verdict().await;
    expect("all put away", &judgement, V, "");
    assert_eq!(judgement.counted, 2);
    let mut started = stage.cast.lock().unwrap().started.clone();
    started.sort();
    assert_eq!(started, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn crashes_after_the_update_are_counted_by_time() {
    let crashes = |events: &[i64]| {
        let events: Vec<_> = events.iter().map(|at| exit(*at, 1, false)).collect();
        Stage::new()
            .shipping_for(5 * MINUTE)
            .expecting(|expectation| {
                expectation.timeout = 3 * MINUTE;
                expectation.baseline.as_mut().unwrap().instances[1].events =
                    vec![event("launch", 10), exit(20, 1, false)];
            })
            .one("b", |b| {
                b.events = events;
                b.events.extend([
                    event("launch", 100),
                    exit(20, 1, false),
                    exit(30, 2, false),
                    exit(140, 0, false),
                    exit(150, 9, true),
                ]);
                b.checks = vec![check("critical")];
            })
    };
    let came = crashes(&[120, 110]).play(Duration::ZERO).await;
    expect(
        "two",
        &came.judgement,
        R,
        "instance b (fra): it crashed 2 times after its update",
    );
    assert!(
        came.judgement.early && came.after < Duration::from_secs(3),
        "{:?}",
        came.after
    );
    let came = crashes(&[120]).play(Duration::ZERO).await;
    expect("one, and it stays bad", &came.judgement, R, "is critical");
    assert!(
        came.after >= 3 * MINUTE && came.judgement.early,
        "{:?}",
        came.after
    );
}

#[tokio::test(start_paused = true)]
async fn a_return_goes_on_without_a_host_that_is_lost() {
    let back = |stage: Stage| {
        stage.expecting(|expectation| {
            expectation.kind = Kind::Return;
            expectation.target.also = [ReleaseNumber(40)].into();
        })
    };
    let untouched = |one: &mut Instance| *one = on_release(one.clone(), 40, NEW);
    let lost = |one: &mut Instance| one.host_reachable = Some(false);
    let deaf = |stage: Stage| stage.cast(|cast| cast.answers.push(("b", response(502, &[], "bad gateway"))));
    for (case, stage, verdict, said) in [
        (
            "said by flyctl",
            deaf(back(Stage::new()).one("b", untouched).one("b", lost)),
            V,
            "host cannot be reached",
        ),
        (
            "not said by flyctl",
            deaf(back(Stage::new()).one("b", untouched)),
            I,
            "nothing reaches it",
        ),
        (
            "untouched and well",
            back(Stage::new()).one("b", untouched),
            V,
            "",
        ),
        (
            "on the refuted image",
            back(Stage::new())
                .one("b", |b| *b = on_release(b.clone(), 41, OLD))
                .one("b", lost),
            R,
            "still runs",
        ),
        ("updated and deaf", deaf(back(Stage::new())), R, "answers 502"),
        (
            "all lost",
            back(Stage::new()).each(untouched).each(lost),
            I,
            "no instance was seen good",
        ),
    ] {
        expect(case, &stage.verdict().await, verdict, said);
    }
}

#[tokio::test(start_paused = true)]
async fn what_still_runs_the_release_that_was_left_has_not_returned() {
    // The same image with another configuration: the return shipped v43, and `b` stayed behind.
    for (case, behind, verdict, said) in [
        ("on what is left", 42, R, "b (fra): it still runs release v42"),
        ("on what served before", 41, V, ""),
    ] {
        let stage = Stage::new()
            .each(|one| *one = on_release(one.clone(), 43, NEW))
            .one("b", |b| *b = on_release(b.clone(), behind, NEW))
            .expecting(|expectation| {
                expectation.kind = Kind::Return;
                expectation.target.newest_before = Some(ReleaseNumber(42));
                expectation.target.left = Some(ReleaseNumber(42));
                expectation.target.also = [ReleaseNumber(41)].into();
            });
        expect(case, &stage.play(Duration::ZERO).await.judgement, verdict, said);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_was_moved_meanwhile_is_another_image() {
    let theirs = |cast: &mut super::stage::Cast| {
        for id in ["a", "b"] {
            *cast.get(id) = on_release(instance(id), 43, "sha256:theirs");
        }
    };
    let stage = Stage::new()
        .expecting(|expectation| {
            let image = expectation.target.image.take();
            expectation.target.image = image.map(|image| crate::release::Image {
                digest: None,
                ..image
            });
        })
        .shipping_for(Duration::from_secs(5))
        .at(Duration::from_secs(3), theirs);
    expect(
        "moved",
        &stage.play(Duration::ZERO).await.judgement,
        R,
        "release v43",
    );
}
