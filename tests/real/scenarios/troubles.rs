//! Nights on call: the platform half away, signals at bad moments, rollbacks after what went wrong before.

use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::call::{Ended, Running};
use crate::support::mask::Face;
use crate::support::stage::{Fly, MIGRATING, PLAIN, Stage};

const EVERY: u32 = 100_000;
const GROUPS: Fly<'static> = Fly {
    top: "[processes]\n  web = \"serve\"\n  worker = \"work\"\n",
    service: "  processes = [\"web\"]\n",
    ..PLAIN
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("story_writes_fail_from_the_second_on", &[8], |stage| {
        stage.trusted(PLAIN);
        writes_fail(stage)
    })
    .alone(),
    Scenario::new("story_writes_failed_and_are_mended_then_rollback", &[0], |stage| {
        stage.trusted(PLAIN);
        writes_fail(stage);
        stage.double.order(&json!({"do": "clear"}));
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("story_writes_failed_and_are_mended_then_deploy", &[0], |stage| {
        stage.trusted(PLAIN);
        writes_fail(stage);
        stage.double.order(&json!({"do": "clear"}));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_the_list_fails_for_a_while_in_the_bake", &[0], |stage| {
        stage.trusted_with("8s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            running.stage.double.fault(500, "GET /v1/apps/shop/machines", 8);
        })
    })
    .alone(),
    // 0: flyctl may have been past the call that is refused.
    Scenario::new("story_the_token_is_refused_and_renewed", &[0, 7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            running.stage.double.fault(401, "", EVERY);
            sleep(Duration::from_secs(8));
            running.stage.double.order(&json!({"do": "clear"}));
        })
    })
    .alone(),
    Scenario::new("story_leases_cannot_be_given_back", &[0], |stage| {
        kept_leases(stage, "v2")
    })
    .alone(),
    Scenario::new("story_leases_cannot_be_given_back_and_it_is_bad", &[7], |stage| {
        kept_leases(stage, "v2-unhealthy")
    })
    .alone(),
    Scenario::new("story_leases_cannot_be_given_back_then_deploy", &[0, 6], |stage| {
        kept_leases(stage, "v2");
        stage.double.order(&json!({"do": "clear"}));
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("story_one_update_meets_a_conflict", &[0, 6, 7], |stage| {
        stage.trusted(PLAIN);
        let id = stage.machines()[1].clone();
        let order = json!({
            "do": "fault", "kind": 409, "match": format!("POST /v1/apps/shop/machines/{id}"), "count": 1, "after": 1,
        });
        stage.double.order(&order);
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_the_list_is_slow_in_the_bake", &[0], |stage| {
        stage.trusted_with("6s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            let order = json!({
                "do": "fault", "kind": "delay", "match": "GET /v1/apps/shop/machines", "count": EVERY, "seconds": 4,
            });
            running.stage.double.order(&order);
        })
    })
    .alone(),
    Scenario::new("story_immediate_and_one_update_fails", &[0, 7], |stage| {
        stage.seed(&json!({"per_region": 4}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        let id = stage.machines()[2].clone();
        let order = json!({
            "do": "fault", "kind": 500, "match": format!("POST /v1/apps/shop/machines/{id}"), "count": 3, "after": 1,
        });
        stage.double.order(&order);
        stage.deploy("v2").both(&["--strategy", "immediate"]).run()
    })
    .alone(),
    Scenario::new("story_bluegreen_cannot_destroy_the_blue", &[0, 7], |stage| {
        stage.trusted(PLAIN);
        stage.double.fault(500, "DELETE /v1/apps/shop/machines/", EVERY);
        let call = stage.deploy("v2").both(&["--strategy", "bluegreen"]).old("v1");
        call.meanwhile(|running| {
            running.until("two are green", |stage| stage.machines().len() > 3);
            sleep(Duration::from_secs(14));
            running.stage.double.order(&json!({"do": "clear"}));
        })
    })
    .alone(),
    Scenario::new("story_bluegreen_flyctl_killed_from_outside", &[7], |stage| {
        stage.trusted(PLAIN);
        let call = stage.deploy("v2-slow").both(&["--strategy", "bluegreen"]);
        call.meanwhile(|running| {
            running.until("all are green", |stage| stage.machines().len() > 3);
            super::cutoff::flyctl(running, Signal::SIGKILL);
        })
    })
    .alone(),
    Scenario::new("story_canary_sigterm_then_good", &[0], |stage| {
        stage.trusted(PLAIN);
        let call = stage.deploy("v2-slow").both(&["--strategy", "canary"]);
        call.meanwhile(|running| {
            running.until("the canary is there", |stage| !stage.glance().aside.is_empty());
            running.signal(Signal::SIGTERM);
        });
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("story_canary_of_two_groups", &[0], |stage| {
        first(stage, GROUPS, "v1");
        stage.deploy("v2").both(&["--strategy", "canary"]).run()
    })
    .alone(),
    Scenario::new("story_canary_of_two_groups_crashes", &[6, 7], |stage| {
        first(stage, GROUPS, "v1");
        stage.deploy("v2-crash").both(&["--strategy", "canary"]).run()
    })
    .alone(),
    Scenario::new("story_bluegreen_of_two_groups_is_bad", &[6, 7], |stage| {
        first(stage, GROUPS, "v1");
        stage.deploy("v2-unhealthy").both(&["--strategy", "bluegreen"]).run()
    })
    .alone(),
    Scenario::new("story_sigterm_twice_in_the_bake", &[143], |stage| {
        stage.trusted_with("30s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            running.signal(Signal::SIGTERM);
            running.signal(Signal::SIGTERM);
        })
    })
    .alone(),
    Scenario::new("story_sigint_in_a_verify", &[130], |stage| {
        stage.trusted(PLAIN);
        stage.set("SHIPCTL_VERIFY_SUCCESSES", Some("200"));
        stage.verify("v1").meanwhile(|running| {
            sleep(Duration::from_millis(1500));
            running.signal(Signal::SIGINT);
        })
    })
    .alone(),
    Scenario::new("story_sighup_in_prepare", &[129], |stage| {
        stage.trusted(PLAIN);
        let order = json!({"do": "fault", "kind": "delay", "match": "machines", "seconds": 6});
        stage.double.order(&order);
        let asked = stage.calls("machines");
        stage.deploy("v2").meanwhile(|running| {
            running.until("the machines are asked for", |stage| stage.calls("machines") > asked);
            running.signal(Signal::SIGHUP);
        })
    })
    .alone(),
    Scenario::new("story_sigint_once_while_a_crash_returns", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-crash").meanwhile(|running| {
            returning(running);
            running.signal(Signal::SIGINT);
        })
    })
    .alone(),
    Scenario::new("story_sighup_while_it_returns", &[7], |stage| {
        // The laptop is closed while it is being restored.
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            returning(running);
            running.signal(Signal::SIGHUP);
        })
    })
    .alone(),
    Scenario::new("story_killed_while_mixed_then_verify", &[8], |stage| {
        mixed(stage);
        stage.verify("v2-slow").run()
    })
    .alone(),
    Scenario::new("story_killed_while_mixed_then_the_same_again", &[0], |stage| {
        mixed(stage);
        stage.deploy("v2-slow").run()
    })
    .alone(),
    Scenario::new("story_killed_while_mixed_twice_then_rollback", &[0], |stage| {
        mixed(stage);
        stage.deploy("v3-slow").meanwhile(|running| {
            running.until("a machine is on v3", |stage| {
                stage.tags().contains(&"v3-slow".to_owned())
            });
            running.signal(Signal::SIGKILL);
        });
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("story_sigint_while_it_waits_for_the_lock", &[130], |stage| {
        stage.trusted(PLAIN);
        let held = ["lock", "acquire", "production", "--reason", "a demo"];
        let held = stage.shipctl(&held).run();
        stage.insist(held.code == 0, "it is locked");
        let call = stage.deploy("v2").args(&["--lock-wait", "60s"]);
        call.meanwhile(|running| {
            sleep(Duration::from_secs(2));
            running.signal(Signal::SIGINT);
        })
    })
    .alone(),
    Scenario::new("story_a_colleague_gives_the_lock_back", &[0], |stage| {
        stage.trusted(PLAIN);
        stage
            .shipctl(&["lock", "acquire", "production", "--reason", "a demo"])
            .run();
        let call = stage.deploy("v2").args(&["--lock-wait", "60s"]);
        call.meanwhile(|running| {
            sleep(Duration::from_secs(2));
            running.stage.shipctl(&["lock", "release", "production"]).run();
        })
    })
    .alone(),
    Scenario::new("story_first_deploy_is_told_to_end_then_rollback", &[3], |stage| {
        stage.bare(&["apps", "create", "shop", "-o", "personal"]);
        stage.write("fly.production.toml", &PLAIN.text());
        let first = stage.deploy("v1-slow").meanwhile(|running| {
            running.until("a machine is there", |stage| !stage.machines().is_empty());
            running.signal(Signal::SIGTERM);
        });
        stage.insist(first.code == 143, "it ended by its signal");
        stage.rollback("v1-slow").run()
    })
    .alone(),
    Scenario::new("story_first_deploy_and_the_api_is_gone", &[8, 9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.bare(&["apps", "create", "shop", "-o", "personal"]);
        stage.write("fly.production.toml", &PLAIN.text());
        let call = stage.deploy("v1").args(&["--timeout", "30s"]);
        let ended = call.meanwhile(|running| {
            running.until("a machine is there", |stage| !stage.machines().is_empty());
            running.stage.double.fault(500, "", EVERY);
        });
        stage.double.order(&json!({"do": "clear"}));
        ended
    })
    .alone(),
    Scenario::new("story_two_rollbacks_after_a_return", &[0], |stage| {
        chain(stage, &["v2", "v3"]);
        stage.deployed("v4-unhealthy", 7);
        let first = stage.rollback("v2").run();
        stage.insist(first.code == 0 && stage.tags() == ["v2"], "v2 first");
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("story_back_from_what_a_bare_deploy_left_mixed", &[0], |stage| {
        chain(stage, &["v2"]);
        let failed = stage.bare_deploy("v3-unhealthy", &["--wait-timeout", "3s"]);
        stage.insist(failed.code != 0, "the bare deploy fails");
        stage.rollback("v2").run()
    })
    .alone(),
    Scenario::new("story_back_to_the_number_of_a_bare_release", &[0], |stage| {
        chain(stage, &["v2"]);
        stage.bare_deploy("v3", &["--smoke-checks=false"]);
        stage.deployed("v4", 0);
        stage.rollback("v3").args(&["--to", "3"]).run()
    })
    .alone(),
    Scenario::new("story_back_to_what_serves", &[0], |stage| {
        chain(stage, &["v2"]);
        stage.rollback("v2").args(&["--to", "v2"]).run()
    })
    .alone(),
    Scenario::new("story_many_secrets_then_rollback", &[0], |stage| {
        // Each makes a release of the same image: what was before is no longer among the 25 that flyctl lists.
        chain(stage, &["v2"]);
        let image = "registry.fly.io/shop:v2";
        for number in 0..26 {
            let name = format!("A{number}=1");
            stage.bare(&["secrets", "set", "--stage", &name, "-a", "shop"]);
            if number % 9 == 0 {
                stage.bare(&["secrets", "deploy", "-a", "shop"]);
            }
        }
        stage.insist(stage.glance().machines.iter().all(|machine| image.ends_with(&machine.tag)), "v2");
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("story_thirty_of_others_then_a_bad_one", &[7], |stage| {
        let images: Vec<String> = (1..=30)
            .map(|number| format!("registry.fly.io/shop:v{number}"))
            .collect();
        stage.seed(&json!({"images": images}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.deploy("v31-unhealthy").run()
    })
    .alone(),
    Scenario::new("story_the_other_region_answers_the_old_version", &[7], |stage| {
        regions(stage);
        let _mask = stage.masked(|asked| {
            if asked.tag == "v2" && asked.place == 1 {
                Face::version("\"v1\"")
            } else {
                Face::Own
            }
        });
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_the_other_region_names_no_version", &[7], |stage| {
        regions(stage);
        let _mask = stage.masked(|asked| {
            if asked.tag == "v2" && asked.place == 1 {
                Face::says(200, "{\"status\":\"healthy\"}")
            } else {
                Face::Own
            }
        });
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_the_other_region_has_no_database", &[7], |stage| {
        stage.seed(&json!({"regions": ["fra", "ams", "iad"], "per_region": 2}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        let _mask = stage.masked(|asked| {
            if asked.tag == "v2" && asked.place >= 4 {
                Face::says(503, "{\"status\":\"unhealthy\"}")
            } else {
                Face::Own
            }
        });
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_slower_and_slower_but_good", &[0], |stage| {
        let _mask = stage.masked(|asked| {
            if asked.tag == "v2" {
                Face::Late(300 * u64::try_from(asked.before.min(10)).unwrap_or(0))
            } else {
                Face::Own
            }
        });
        stage.trusted_with("6s");
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_one_blip_in_the_bake", &[0], |stage| {
        let _mask = stage.masked(|asked| {
            if asked.tag == "v2" && asked.place == 0 && asked.before == 8 {
                Face::says(502, "")
            } else {
                Face::Own
            }
        });
        stage.trusted_with("10s");
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_a_standby_stepped_in", &[0], |stage| {
        // The worker is gone, and the machine that stood by for it works in its place.
        first(stage, GROUPS, "v1");
        let state = stage.double.state();
        let machines = state["apps"]["shop"]["machines"].as_array().cloned().unwrap_or_default();
        let of_worker = machines
            .iter()
            .filter(|machine| machine.pointer("/config/metadata/fly_process_group") == Some(&json!("worker")));
        for machine in of_worker {
            let stands_by = machine.pointer("/config/standbys").is_some_and(Value::is_array);
            let action = if stands_by { "start" } else { "stop" };
            stage.double.order(&json!({
                "do": "machine", "app": "shop", "machine": machine["id"], "action": action,
            }));
        }
        let mut ended = stage.deploy("v2").run();
        for case in &mut ended.cases {
            // One stopped on request before is named, not counted.
            case.after.machines.retain(|machine| machine.state == "started");
        }
        ended
    })
    .alone(),
    Scenario::new("story_the_migration_is_killed_with_its_flyctl", &[6, 8], |stage| {
        stage.settings(&json!({"release_seconds": 15}));
        stage.trusted(MIGRATING);
        stage.deploy("v2").meanwhile(|running| {
            running.until("the release command runs", |stage| {
                stage.glance().aside.iter().any(|what| what.ends_with("(started)"))
            });
            super::cutoff::flyctl(running, Signal::SIGKILL);
        })
    })
    .alone(),
    Scenario::new("story_a_bad_one_stays_as_asked_then_rollback", &[0], |stage| {
        stage.trusted(PLAIN);
        let stays = stage.deploy("v2-unhealthy").args(&["--no-rollback"]).run();
        stage.insist(stays.code == 8, "it stays");
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("story_a_bad_one_stays_as_asked_then_worse", &[7, 8], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").args(&["--no-rollback"]).run();
        stage.deploy("v3-crash").old("v1").run()
    })
    .alone(),
    Scenario::new("story_frozen_by_a_rollback_then_unfrozen_and_bad", &[7], |stage| {
        chain(stage, &["v2"]);
        stage.rollback("v1").run();
        stage.deploy("v3-unhealthy").args(&["--unfreeze"]).run()
    })
    .alone(),
    Scenario::new("story_one_is_stopped_by_hand_while_it_ships", &[0, 7, 8], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted(PLAIN);
        let mut who = String::new();
        let mut ended = stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            let machines = running.stage.glance().machines;
            let waiting = machines.iter().find(|machine| machine.tag == "v1").unwrap();
            who.clone_from(&waiting.id);
            let order = json!({"do": "machine", "app": "shop", "machine": who, "action": "stop"});
            running.stage.double.order(&order);
        });
        for case in &mut ended.cases {
            case.after.machines.retain(|machine| machine.id != who || machine.trouble.is_none());
        }
        ended
    })
    .alone(),
    Scenario::new("story_nobody_knows_the_addresses_any_more", &[0, 7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            let order = json!({"do": "fault", "kind": 500, "match": "query app", "count": 6});
            running.stage.double.order(&order);
        })
    })
    .alone(),
];

fn chain(stage: &Stage, tags: &[&str]) {
    stage.trusted(PLAIN);
    for tag in tags {
        stage.deployed(tag, 0);
    }
}

fn complete(running: &mut Running<'_>) {
    running.until("ours is complete", |stage| {
        stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
    });
    sleep(Duration::from_secs(1));
}

fn returning(running: &mut Running<'_>) {
    running.until("the return makes its release", |stage| {
        stage.calls("mutation createRelease") > 1
    });
    sleep(Duration::from_millis(400));
}

/// One machine gets the new image; no other can be updated from then on.
fn writes_fail(stage: &Stage) -> Ended {
    let call = stage.deploy("v2-slow").args(&["--timeout", "35s"]);
    call.meanwhile(|running| {
        running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
        for id in running.stage.machines() {
            let matching = format!("POST /v1/apps/shop/machines/{id}");
            running.stage.double.fault(500, &matching, EVERY);
        }
    })
}

/// No lease is given back: each lives until it ends by itself.
fn kept_leases(stage: &Stage, tag: &str) -> Ended {
    stage.trusted(PLAIN);
    for id in stage.machines() {
        let matching = format!("DELETE /v1/apps/shop/machines/{id}/lease");
        stage.double.fault(500, &matching, EVERY);
    }
    stage.deploy(tag).run()
}

/// shipctl was killed when the first machine was on v2.
fn mixed(stage: &Stage) {
    stage.trusted(PLAIN);
    stage.deploy("v2-slow").meanwhile(|running| {
        running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
        sleep(Duration::from_millis(500));
        running.signal(Signal::SIGKILL);
    });
}

fn first(stage: &Stage, fly: Fly<'_>, tag: &str) -> Ended {
    stage.bare(&["apps", "create", "shop", "-o", "personal"]);
    stage.write("fly.production.toml", &fly.text());
    stage.deploy(tag).run()
}

fn regions(stage: &Stage) {
    stage.seed(&json!({"regions": ["fra", "ams"], "per_region": 1}));
    stage.write("fly.production.toml", &PLAIN.text());
    stage.trust();
}
