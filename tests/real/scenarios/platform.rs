//! The API refuses, fails, stalls or goes away; tokens are wrong; a DNS question finds no answer.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::stage::{PLAIN, Stage};

/// More often than any deployment asks.
const EVERY: u32 = 5000;
const NOWHERE: &str = "http://127.0.0.1:9";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fault_19_final_status_500", &[0], |stage| {
        stage.trusted(PLAIN);
        let order = json!({"do": "fault", "kind": 500, "match": "updateRelease", "after": 1, "count": 1});
        stage.double.order(&order);
        stage.deploy("v2").run()
    })
    .bare(&[1]),
    Scenario::new("fault_20_dns_question", &[0], |stage| {
        stage.settings(&json!({"hide_ips_after_deploy": false}));
        stage.seed(&json!({"shared_ip": true}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage.deploy("v2").run()
    })
    .bare(&[1]),
    Scenario::new("more_dns_question_unhealthy", &[7], |stage| {
        stage.settings(&json!({"hide_ips_after_deploy": false}));
        stage.seed(&json!({"shared_ip": true}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("fault_22_500_viewer", &[10], |stage| {
        faulty(stage, 500, "viewer", EVERY)
    })
    .bare(&[1]),
    Scenario::new("fault_22_500_machine_list", &[10], |stage| {
        faulty(stage, 500, "flaps GET /v1/apps/shop/machines", EVERY)
    })
    .bare(&[1]),
    Scenario::new("fault_22_500_create_release", &[10], |stage| {
        faulty(stage, 500, "createRelease", EVERY)
    })
    .bare(&[1]),
    Scenario::new("fault_22_429_create_release", &[10], |stage| {
        faulty(stage, 429, "createRelease", EVERY)
    })
    .bare(&[1]),
    Scenario::new("fault_22_drop_create_release", &[10], |stage| {
        faulty(stage, "drop", "createRelease", EVERY)
    })
    .bare(&[1]),
    Scenario::new("fault_23_401_create_release", &[10], |stage| {
        faulty(stage, 401, "createRelease", EVERY)
    })
    .bare(&[1]),
    Scenario::new("fault_24_token_none", &[10], |stage| token(stage, None)).bare(&[1]),
    Scenario::new("fault_24_token_wrong", &[10], |stage| {
        token(stage, Some("fo1_wrong"))
    })
    .bare(&[1]),
    Scenario::new("fault_24_token_other_org", &[10], |stage| {
        token(stage, Some("fo1_globex"))
    })
    .bare(&[1]),
    Scenario::new("fault_25_unreachable", &[10], |stage| {
        stage.trusted(PLAIN);
        stage.set("FLY_API_BASE_URL", Some(NOWHERE));
        stage.set("FLY_FLAPS_BASE_URL", Some(NOWHERE));
        stage.deploy("v2").run()
    })
    .bare(&[1]),
    Scenario::new("fault_27_image_missing", &[6], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-missing").run()
    })
    .bare(&[1]),
    Scenario::new("fault_38_unknown_app", &[10], |stage| {
        stage.write("fly.production.toml", &PLAIN.text());
        stage.deploy("v2").run()
    })
    .bare(&[1]),
    Scenario::new("fault_40_a_call_stalls", &[6], |stage| {
        stage.trusted(PLAIN);
        let order = json!({"do": "fault", "kind": "delay", "match": "createRelease", "seconds": 40});
        stage.double.order(&order);
        stage.deploy("v2").args(&["--timeout", "12s"]).run()
    })
    .alone(),
    Scenario::new("fault_51_token_refused_after_the_move", &[7], |stage| {
        away_for(stage, 401, Some(12))
    })
    .alone(),
    Scenario::new("fault_51_api_gone_after_the_move", &[7], |stage| {
        away_for(stage, 500, Some(12))
    })
    .alone(),
    Scenario::new("fault_51_api_stays_away", &[8, 9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        away_for(stage, 500, None)
    })
    .alone(),
    Scenario::new("more_api_away_with_a_good_release", &[9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.trusted(PLAIN);
        let ended = stage
            .deploy("v2")
            .args(&["--timeout", "25s"])
            .meanwhile(|running| {
                if running.until("all are on v2", |stage| stage.tags() == ["v2"]) {
                    stage.double.fault("drop", "", EVERY);
                }
            });
        stage.double.order(&json!({"do": "clear"}));
        ended
    })
    .alone(),
    Scenario::new("more_503_twice", &[0], |stage| {
        faulty(stage, 503, "createRelease", 2)
    })
    .bare(&[0]),
    Scenario::new("more_500_on_an_update", &[6, 7, 10], |stage| {
        stage.trusted(PLAIN);
        let id = stage.machines()[1].clone();
        stage
            .double
            .fault(500, &format!("POST /v1/apps/shop/machines/{id}"), 3);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("more_500_on_a_wait", &[0, 7], |stage| {
        stage.trusted(PLAIN);
        stage.double.fault(500, "/wait", 3);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("more_500_on_a_lease", &[6, 10], |stage| {
        stage.trusted(PLAIN);
        stage.double.fault(500, "/lease", 1);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("more_verify_without_the_api", &[9, 10], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.trusted(PLAIN);
        stage.double.fault(500, "", EVERY);
        let ended = stage.verify("v1").run();
        stage.double.order(&json!({"do": "clear"}));
        ended
    })
    .alone(),
    Scenario::new("fault_62_no_route_to_the_app", &[0], |stage| {
        // The proxy's address is taken away, and no public name of the double resolves anywhere.
        stage.trusted(PLAIN);
        stage.set("SHIPCTL_HEALTH_URL", None);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("more_no_route_and_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.set("SHIPCTL_HEALTH_URL", None);
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
];

fn faulty(stage: &Stage, kind: impl Into<serde_json::Value>, matching: &str, count: u32) -> Ended {
    stage.trusted(PLAIN);
    stage.double.fault(kind, matching, count);
    let ended = stage.deploy("v2").run();
    stage.double.order(&json!({"do": "clear"}));
    ended
}

fn token(stage: &Stage, token: Option<&str>) -> Ended {
    stage.trusted(PLAIN);
    stage.set("FLY_API_TOKEN", token);
    let ended = stage.deploy("v2").run();
    if let (Some(value), false) = (token, stage.is_bare()) {
        stage.insist(!ended.says(value), "a token is never printed");
        stage.insist(ended.says("FLY_API_TOKEN"), "the variable used is named");
    }
    ended
}

/// The API refuses everything once a machine of a bad release has moved; after so many seconds it is back.
fn away_for(stage: &Stage, kind: u16, seconds: Option<u64>) -> Ended {
    stage.trusted(PLAIN);
    let call = stage.deploy("v2-unhealthy").args(&["--timeout", "40s"]);
    let ended = call.meanwhile(|running| {
        if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
            stage.double.fault(kind, "", EVERY);
            if let Some(seconds) = seconds {
                sleep(Duration::from_secs(seconds));
                stage.double.order(&json!({"do": "clear"}));
            }
        }
    });
    stage.double.order(&json!({"do": "clear"}));
    ended
}
