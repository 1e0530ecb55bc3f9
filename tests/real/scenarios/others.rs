//! Somebody else is at it, too: leases, locks, releases that are not ours.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{PLAIN, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_21_lease_held", &[6], |stage| {
        stage.trusted(PLAIN);
        stage
            .double
            .order(&json!({"do": "lease", "app": "shop", "seconds": 90}));
        let ended = stage.deploy("v2").run();
        if !stage.is_bare() {
            stage.insist(ended.says("someone-else@example.com"), "names the holder");
        }
        ended
    })
    .bare(&[1]),
    Scenario::new("fault_36_superseded_in_the_bake", &[8], superseded).alone(),
    Scenario::new("fault_36_somebody_deploys_first", &[6, 8], somebody_first).alone(),
    Scenario::new("fault_37_two_at_once", &[0], two_at_once).alone(),
    Scenario::new("fault_56_lease_while_returning", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                sleep(Duration::from_secs(5));
                stage
                    .double
                    .order(&json!({"do": "lease", "app": "shop", "seconds": 20}));
            }
        })
    })
    .alone(),
    Scenario::new("fault_59_secrets_set_in_the_bake", &[0], secrets_in_the_bake).alone(),
    Scenario::new("fault_66_a_colleague_fails_on_our_lease", &[7], colleague_fails).alone(),
    Scenario::new("more_rollback_while_a_deploy_runs", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            let second = stage.rollback("v1").run();
            stage.insist(
                second.code == 5,
                &format!("the rollback is locked out, not {}", second.code),
            );
        })
    })
    .alone(),
    Scenario::new("more_deploy_while_a_colleague_rolls_out", &[0, 6, 8], |stage| {
        // The bare deploy holds the leases; ours fails on them or comes after it.
        stage.excuse(|excuse| excuse.theirs = true);
        somebody_first_with(stage, "v3")
    })
    .alone(),
];

/// Someone ships over ours after it is complete, while it is baked.
fn superseded(stage: &Stage) -> Ended {
    stage.excuse(|excuse| excuse.theirs = true);
    stage.trusted_with("30s");
    let ended = stage.deploy("v2").meanwhile(|running| {
        running.until("ours is complete", |stage| {
            stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
        });
        sleep(Duration::from_secs(1));
        let theirs = stage.bare_deploy("v3", &["--smoke-checks=false"]);
        stage.insist(theirs.code == 0, "their deploy succeeds");
    });
    stage.insist(stage.tags() == ["v3"], "nothing is returned over theirs");
    ended
}

fn somebody_first(stage: &Stage) -> Ended {
    stage.excuse(|excuse| excuse.theirs = true);
    somebody_first_with(stage, "v3-slow")
}

/// A colleague's bare deploy is under way when ours begins.
fn somebody_first_with(stage: &Stage, tag: &str) -> Ended {
    stage.trusted(PLAIN);
    let image = format!("registry.fly.io/shop:{tag}");
    let args = [
        "deploy",
        "-c",
        "fly.production.toml",
        "--image",
        &image,
        "--yes",
        "--smoke-checks=false",
    ];
    let mut ours = None;
    stage.flyctl(&args).meanwhile(|running| {
        running.until("theirs has moved a machine", |stage| stage.tags() != ["v1"]);
        ours = Some(stage.deploy("v2").old(tag).run());
    });
    // Judged once both are at rest, by theirs: what serves then is what was there before ours came to anything.
    let mut ours = ours.unwrap();
    for case in &mut ours.cases {
        case.after = crate::support::truth::look(&stage.double, "shop", true);
        if ours.code != 0 {
            case.before = case.after.clone();
        }
    }
    stage.insist(
        ours.code == 0 || stage.tags() == [tag],
        "nothing goes over theirs",
    );
    ours
}

/// Exactly one of two ships; the other is locked out.
fn two_at_once(stage: &Stage) -> Ended {
    stage.trusted(PLAIN);
    stage.deploy("v2-slow").meanwhile(|running| {
        running.until("the first has its release", |stage| {
            stage.asked("mutation createRelease")
        });
        let second = stage.shipctl(&[
            "deploy",
            "production",
            "--config",
            "fly.production.toml",
            "--image",
            "registry.fly.io/shop:v3",
        ]);
        let second = second.run();
        stage.insist(
            second.code == 5,
            &format!("the second is locked out, not {}", second.code),
        );
    })
}

fn secrets_in_the_bake(stage: &Stage) -> Ended {
    stage.excuse(|excuse| excuse.theirs = true);
    stage.trusted_with("6s");
    stage.deploy("v2").meanwhile(|running| {
        running.until("ours is complete", |stage| {
            stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
        });
        let set = stage.bare(&["secrets", "set", "A=1", "-a", "shop"]);
        stage.insist(set.code == 0, "the secret is set");
    })
}

/// Theirs makes a release, fails on our leases and leaves a failed release behind.
fn colleague_fails(stage: &Stage) -> Ended {
    stage.excuse(|excuse| excuse.theirs = true);
    stage.trusted(PLAIN);
    stage.deploy("v2-unhealthy").meanwhile(|running| {
        running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
        let theirs = stage.bare_deploy("v3", &["--smoke-checks=false"]);
        stage.insist(theirs.code != 0, "their deploy fails on our lease");
    })
}
