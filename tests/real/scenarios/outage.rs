//! The API fails now and then, for a while, or at an awkward moment: during a return, in the bake, slowly.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{PLAIN, Stage};

/// More often than any deployment asks.
const EVERY: u32 = 5000;
/// What an API may do and the machines need not show: held against what serves by the judge.
const ANY: &[i32] = &[0, 6, 7, 10];

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("odd_api_each_fifth_call_fails", ANY, |stage| {
        now_and_then(stage, "v2", &json!(500), "", 5)
    })
    .alone(),
    Scenario::new("odd_api_each_seventh_call_drops", ANY, |stage| {
        now_and_then(stage, "v2", &json!("drop"), "", 7)
    })
    .alone(),
    Scenario::new("odd_api_each_third_list_fails", ANY, |stage| {
        now_and_then(stage, "v2", &json!(500), "GET /v1/apps/shop/machines", 3)
    })
    .alone(),
    Scenario::new("odd_api_each_fifth_call_fails_unhealthy", &[6, 7, 10], |stage| {
        now_and_then(stage, "v2-unhealthy", &json!(500), "", 5)
    })
    .alone(),
    Scenario::new("odd_api_429_now_and_then_unhealthy", &[6, 7, 10], |stage| {
        now_and_then(stage, "v2-unhealthy", &json!(429), "", 6)
    })
    .alone(),
    Scenario::new("odd_api_slow_good", &[0], |stage| slow(stage, "v2", 700)).alone(),
    Scenario::new("odd_api_slow_unhealthy", &[7], |stage| {
        slow(stage, "v2-unhealthy", 700)
    })
    .alone(),
    Scenario::new("odd_api_slow_crash", &[7], |stage| slow(stage, "v2-crash", 500)).alone(),
    Scenario::new("odd_api_429_in_the_bake", &[0], |stage| {
        in_the_bake(stage, json!(429), "", 8, None)
    })
    .alone(),
    Scenario::new("odd_api_token_revoked_in_the_bake", &[9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        let ended = in_the_bake(stage, json!(401), "", EVERY, None);
        stage.insist(stage.tags() == ["v2"], "nothing is returned");
        ended
    })
    .alone(),
    Scenario::new("odd_api_away_and_back_in_the_bake", &[0], |stage| {
        in_the_bake(stage, json!(503), "", EVERY, Some(4))
    })
    .alone(),
    Scenario::new("odd_api_list_stalls_in_the_bake", &[0], |stage| {
        let order = json!({"do": "fault", "kind": "delay", "match": "GET /v1/apps/shop/machines", "seconds": 4, "count": 1});
        stage.trusted_with("8s");
        stage.deploy("v2").meanwhile(|running| {
            running.until("ours is complete", complete);
            running.stage.double.order(&order);
        })
    })
    .alone(),
    Scenario::new("odd_api_releases_gone_good", &[0, 9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        moved(stage, "v2", json!(500), "graphql", None)
    })
    .alone(),
    Scenario::new("odd_api_machines_gone_and_back_unhealthy", &[7], |stage| {
        moved(stage, "v2-unhealthy", json!(500), "flaps", Some(10))
    })
    .alone(),
    Scenario::new("odd_api_machines_gone_and_back_good", &[0, 7], |stage| {
        moved(stage, "v2", json!(500), "flaps", Some(3))
    })
    .alone(),
    Scenario::new("odd_api_no_status_is_ever_written", &[6], |stage| {
        // flyctl gives up at the first one, before it touches a machine.
        stage.trusted(PLAIN);
        stage.double.fault(500, "updateRelease", EVERY);
        stage.deploy("v2").run()
    })
    .bare(&[1]),
    Scenario::new("odd_api_logs_gone_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.double.fault(500, "logs", EVERY);
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_api_return_has_no_release_twice", &[7], |stage| {
        return_meets(stage, json!(500), "createRelease", 2)
    })
    .alone(),
    Scenario::new("odd_api_return_is_refused_for_a_while", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                running.stage.double.fault(401, "createRelease", EVERY);
                sleep(Duration::from_secs(20));
                running.stage.double.order(&json!({"do": "clear"}));
            }
        })
    })
    .alone(),
    Scenario::new("odd_api_return_has_no_release_at_all", &[8], |stage| {
        stage.trusted(PLAIN);
        let ended = stage
            .deploy("v2-unhealthy")
            .args(&["--timeout", "25s"])
            .meanwhile(|running| {
                if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                    running.stage.double.fault(500, "createRelease", EVERY);
                }
            });
        stage.double.order(&json!({"do": "clear"}));
        ended
    })
    .alone(),
    Scenario::new("odd_api_return_cannot_update_once", &[7], |stage| {
        return_meets(stage, json!(500), "POST /v1/apps/shop/machines", 2)
    })
    .alone(),
    Scenario::new("odd_api_return_meets_a_dropped_lease", &[7], |stage| {
        return_meets(stage, json!("drop"), "/lease", 2)
    })
    .alone(),
    Scenario::new("odd_api_return_meets_a_lease_for_good", &[8], |stage| {
        stage.trusted(PLAIN);
        stage
            .deploy("v2-unhealthy")
            .args(&["--timeout", "25s"])
            .meanwhile(|running| {
                if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                    sleep(Duration::from_secs(5));
                    let order = json!({"do": "lease", "app": "shop", "seconds": 600});
                    running.stage.double.order(&order);
                }
            })
    })
    .alone(),
    Scenario::new("odd_api_lease_taken_between_two_machines", &[6, 7], |stage| {
        stage.trusted(PLAIN);
        stage.double.fault(409, "POST /v1/apps/shop/machines", 1);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_api_second_update_is_404", &[7], |stage| {
        stage.trusted(PLAIN);
        let id = stage.machines()[1].clone();
        let label = format!("POST /v1/apps/shop/machines/{id}");
        let order = json!({"do": "fault", "kind": 404, "match": label, "count": 2, "after": 1});
        stage.double.order(&order);
        stage.deploy("v2").run()
    })
    .bare(&[1]),
    Scenario::new("odd_api_one_500_in_prepare", &[0, 10], |stage| {
        stage.trusted(PLAIN);
        stage.double.fault(500, "query app", 1);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_api_no_config_in_prepare_unhealthy", &[7, 10], |stage| {
        stage.usual(PLAIN);
        let order = json!({"do": "fault", "kind": 500, "match": "query app", "count": 1, "after": 3});
        stage.double.order(&order);
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_api_first_deploy_refused", &[10], |stage| {
        stage.bare(&["apps", "create", "shop", "-o", "personal"]);
        stage.write("fly.production.toml", &PLAIN.text());
        stage.double.fault(401, "createRelease", EVERY);
        stage.deploy("v1").run()
    })
    .bare(&[1]),
    Scenario::new("odd_api_no_return_wanted_and_away", &[8, 9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.trusted(PLAIN);
        let call = stage.deploy("v2-unhealthy").args(&["--no-rollback", "--timeout", "25s"]);
        let ended = call.meanwhile(|running| {
            if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
                running.stage.double.fault(500, "", EVERY);
            }
        });
        stage.double.order(&json!({"do": "clear"}));
        ended
    })
    .alone(),
    Scenario::new("odd_api_rollback_each_fifth_call_fails", &[0, 6, 7, 10], |stage| {
        stage.trusted(PLAIN);
        stage.deployed("v2", 0);
        faults(stage, &json!(500), "", 5);
        let ended = stage.rollback("v1").run();
        stage.double.order(&json!({"do": "clear"}));
        ended
    })
    .alone(),
    Scenario::new("odd_api_rollback_without_the_api", &[9, 10], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.trusted(PLAIN);
        stage.deployed("v2", 0);
        stage.double.fault(500, "", EVERY);
        let ended = stage.rollback("v1").run();
        stage.double.order(&json!({"do": "clear"}));
        ended
    })
    .alone(),
    Scenario::new("odd_api_verify_with_a_few_500", &[0], |stage| {
        stage.trusted(PLAIN);
        faults(stage, &json!(500), "GET /v1/apps/shop/machines", 3);
        let ended = stage.verify("v1").run();
        stage.double.order(&json!({"do": "clear"}));
        ended
    })
    .alone(),
];

fn complete(stage: &Stage) -> bool {
    stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
}

/// Each nth call of these goes wrong, from the next one on.
fn faults(stage: &Stage, kind: &Value, matching: &str, nth: u32) {
    let orders: Vec<Value> = (0..40)
        .map(|turn| {
            let after = if turn == 0 {
                nth - 1
            } else {
                turn * (nth - 1) + nth - 1
            };
            json!({"do": "fault", "kind": kind, "match": matching, "count": 1, "after": after})
        })
        .collect();
    stage.double.order(&Value::from(orders));
}

fn now_and_then(stage: &Stage, tag: &str, kind: &Value, matching: &str, nth: u32) -> Ended {
    stage.trusted(PLAIN);
    faults(stage, kind, matching, nth);
    let ended = stage.deploy(tag).run();
    stage.double.order(&json!({"do": "clear"}));
    ended
}

/// Each call of the API takes so many milliseconds more.
fn slow(stage: &Stage, tag: &str, milliseconds: u32) -> Ended {
    stage.write("shipctl.toml", "[verify]\ntimeout = \"20s\"\nbake = \"1s\"\n");
    stage.trusted(PLAIN);
    let seconds = f64::from(milliseconds) / 1000.0;
    let order = json!({"do": "fault", "kind": "delay", "match": "", "count": EVERY, "seconds": seconds});
    stage.double.order(&order);
    stage.deploy(tag).run()
}

/// A good release, and the API fails while it is baked; after so many seconds it is back.
fn in_the_bake(stage: &Stage, kind: Value, matching: &str, count: u32, seconds: Option<u64>) -> Ended {
    stage.trusted_with("10s");
    let ended = stage.deploy("v2").meanwhile(|running| {
        if running.until("ours is complete", complete) {
            sleep(Duration::from_secs(1));
            running.stage.double.fault(kind, matching, count);
            if let Some(seconds) = seconds {
                sleep(Duration::from_secs(seconds));
                running.stage.double.order(&json!({"do": "clear"}));
            }
        }
    });
    stage.double.order(&json!({"do": "clear"}));
    ended
}

/// These calls fail once a machine has moved; after so many seconds they are answered again.
fn moved(stage: &Stage, tag: &str, kind: Value, matching: &str, seconds: Option<u64>) -> Ended {
    stage.trusted(PLAIN);
    let call = stage.deploy(tag).args(&["--timeout", "40s"]);
    let ended = call.meanwhile(|running| {
        if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
            running.stage.double.fault(kind, matching, EVERY);
            if let Some(seconds) = seconds {
                sleep(Duration::from_secs(seconds));
                running.stage.double.order(&json!({"do": "clear"}));
            }
        }
    });
    stage.double.order(&json!({"do": "clear"}));
    ended
}

/// The return meets this, so often; what was shipped did not.
fn return_meets(stage: &Stage, kind: Value, matching: &str, count: u32) -> Ended {
    stage.trusted(PLAIN);
    stage.deploy("v2-unhealthy").meanwhile(|running| {
        if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
            // What is shipped asks for nothing more of this kind while it waits for health.
            sleep(Duration::from_secs(3));
            running.stage.double.fault(kind, matching, count);
        }
    })
}
