//! Days with colleagues: somebody scales, ships, restarts or freezes while one of us does something else.

use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::call::{Ended, Running};
use crate::support::stage::{Fly, PLAIN, SLEEPY, Stage};
use crate::support::truth;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("story_colleague_ships_while_we_go_back_to", &[0, 8], |stage| {
        // Theirs meets our leases and fails, or comes after ours and stays.
        stage.excuse(|excuse| excuse.theirs = true);
        chain(stage, &["v2", "v3"]);
        stage.rollback("v1").args(&["--to", "v1"]).meanwhile(|running| {
            running.until("ours has moved a machine", |stage| stage.tags() != ["v3"]);
            running.stage.bare_deploy("v4", &["--smoke-checks=false"]);
        })
    })
    .alone(),
    Scenario::new("story_we_go_back_while_a_colleague_ships", &[0, 6, 8], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        chain(stage, &["v2"]);
        let image = "registry.fly.io/shop:v3-slow";
        let args = [
            "deploy",
            "-c",
            "fly.production.toml",
            "--image",
            image,
            "--yes",
            "--smoke-checks=false",
        ];
        let mut ours = None;
        stage.flyctl(&args).meanwhile(|running| {
            running.until("theirs has moved a machine", |stage| stage.tags() != ["v2"]);
            ours = Some(stage.rollback("v1").args(&["--to", "v1"]).old("v3-slow").run());
        });
        at_rest(stage, ours.unwrap())
    })
    .alone(),
    Scenario::new(
        "story_colleague_overtakes_a_rollback_in_its_bake",
        &[8],
        |stage| {
            stage.excuse(|excuse| excuse.theirs = true);
            chain(stage, &["v2"]);
            stage.set("SHIPCTL_VERIFY_BAKE", Some("25s"));
            let ended = stage.rollback("v1").meanwhile(|running| {
                running.until("ours is complete", |stage| {
                    stage.tags() == ["v1"] && settled(stage, 4)
                });
                sleep(Duration::from_secs(1));
                let theirs = running.stage.bare_deploy("v3", &["--smoke-checks=false"]);
                running.stage.insist(theirs.code == 0, "their deploy succeeds");
            });
            stage.insist(stage.tags() == ["v3"], "nothing goes over theirs");
            ended
        },
    )
    .alone(),
    Scenario::new("story_colleague_ships_the_same_in_the_bake", &[0], |stage| {
        // Two pipelines for one commit: a newer release of the same image.
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted_with("8s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            let theirs = running.stage.bare_deploy("v2", &["--smoke-checks=false"]);
            running.stage.insist(theirs.code == 0, "their deploy succeeds");
        })
    })
    .alone(),
    Scenario::new(
        "story_colleague_puts_another_image_on_one_in_the_bake",
        &[7, 8],
        |stage| {
            stage.excuse(|excuse| excuse.theirs = true);
            stage.trusted_with("12s");
            stage.deploy("v2").meanwhile(|running| {
                complete(running);
                let id = running.stage.machines()[0].clone();
                let image = "registry.fly.io/shop:v9";
                let update = ["machine", "update", &id, "--image", image, "--yes", "-a", "shop"];
                running.stage.bare(&update);
            })
        },
    )
    .alone(),
    Scenario::new("story_scaled_up_while_it_ships", &[0, 7], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted(PLAIN);
        let mut ended = stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            scale(running.stage, "4");
        });
        for case in &mut ended.cases {
            truth::settle();
            case.after = truth::look(&stage.double, "shop", true);
        }
        ended
    })
    .alone(),
    Scenario::new(
        "story_scaled_up_in_the_bake_and_the_new_one_is_bad",
        &[7],
        |stage| {
            stage.excuse(|excuse| excuse.theirs = true);
            stage.seed(&json!({"per_region": 1}));
            stage.write("fly.production.toml", &PLAIN.text());
            stage.trust();
            stage.set("SHIPCTL_VERIFY_BAKE", Some("20s"));
            stage.deploy("v2-partial").meanwhile(|running| {
                running.until("ours is complete", |stage| {
                    stage.tags() == ["v2-partial"] && settled(stage, 2)
                });
                sleep(Duration::from_secs(1));
                scale(running.stage, "2");
            })
        },
    )
    .alone(),
    Scenario::new("story_scaled_to_none_in_the_bake", &[7, 8], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted_with("12s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            scale(running.stage, "0");
        })
    })
    .alone(),
    Scenario::new("story_one_is_destroyed_in_the_rollout", &[7], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.seed(&json!({"per_region": 3}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            let machines = running.stage.glance().machines;
            let waiting = machines.iter().rev().find(|machine| machine.tag == "v1");
            let id = waiting.unwrap().id.clone();
            running.stage.double.order(&destroy(&id));
        })
    })
    .alone(),
    Scenario::new("story_one_is_replaced_in_the_bake", &[0], |stage| {
        // A clone is made first, then the sick one destroyed: as many as before, all on v2.
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted_with("10s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            let id = running.stage.machines()[0].clone();
            let cloned = running.stage.bare(&["machine", "clone", &id, "-a", "shop"]);
            running.stage.insist(cloned.code == 0, "it is cloned");
            sleep(Duration::from_secs(1));
            running.stage.double.order(&destroy(&id));
        })
    })
    .alone(),
    Scenario::new(
        "story_a_clone_in_another_region_while_it_ships",
        &[0, 7],
        |stage| {
            stage.excuse(|excuse| excuse.theirs = true);
            stage.trusted(PLAIN);
            stage.deploy("v2-slow").meanwhile(|running| {
                running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
                let machines = running.stage.glance().machines;
                let new = machines.iter().find(|machine| machine.tag == "v2-slow");
                let id = new.unwrap().id.clone();
                running
                    .stage
                    .bare(&["machine", "clone", &id, "--region", "ams", "-a", "shop"]);
            })
        },
    )
    .alone(),
    Scenario::new("story_restarted_by_hand_in_the_bake", &[0, 7], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted_with("12s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            let id = running.stage.machines()[0].clone();
            running.stage.bare(&["machine", "restart", &id, "-a", "shop"]);
        })
    })
    .alone(),
    Scenario::new("story_frozen_while_it_ships", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            let freeze = ["freeze", "production", "--reason", "audit"];
            running.stage.shipctl(&freeze).run();
        })
    })
    .alone(),
    Scenario::new("story_frozen_while_it_returns", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            running.until("the return makes its release", |stage| {
                stage.calls("mutation createRelease") > 1
            });
            let freeze = ["freeze", "production", "--reason", "audit"];
            running.stage.shipctl(&freeze).run();
        })
    })
    .alone(),
    Scenario::new(
        "story_a_rollback_waits_behind_a_deploy_that_returns",
        &[7],
        |stage| {
            chain(stage, &["v2"]);
            let mut second = None;
            let ended = stage.deploy("v3-unhealthy").meanwhile(|running| {
                running.until("a machine has moved", |stage| stage.tags() != ["v2"]);
                let rollback = running.stage.rollback("v1").args(&["--lock-wait", "90s"]);
                second = Some(rollback.run());
            });
            let second = second.unwrap();
            let tags = stage.tags();
            let true_now = match second.code {
                0 => tags == ["v1"],
                3 => tags == ["v2"],
                _ => false,
            };
            stage.insist(true_now, &format!("the rollback ends with {}", second.code));
            let mut ended = ended;
            for case in &mut ended.cases {
                // Judged by what the first left behind: the second came after it.
                case.old = Some(if second.code == 0 { "v1" } else { "v2" }.to_owned());
            }
            ended
        },
    )
    .alone(),
    Scenario::new("story_three_wait_for_each_other", &[0], |stage| {
        stage.trusted(PLAIN);
        let ended = stage.deploy("v2").meanwhile(|running| {
            running.until("the first has its release", |stage| {
                stage.asked("mutation createRelease")
            });
            std::thread::scope(|_| {
                let second = running.stage.deploy("v3").args(&["--lock-wait", "90s"]).run();
                running
                    .stage
                    .insist(second.code == 0, "the second ships after it");
            });
        });
        let mut ended = ended;
        for case in &mut ended.cases {
            "v3".clone_into(&mut case.wanted);
        }
        ended
    })
    .alone(),
    Scenario::new("story_two_environments_at_once", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.double.order(&json!({
            "do": "seed", "app": "shop-staging", "images": ["registry.fly.io/shop:v1"], "per_region": 2,
        }));
        let staging = Fly {
            app: "shop-staging",
            ..PLAIN
        };
        stage.write("fly.staging.toml", &staging.text());
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            let image = ["deploy", "staging", "--image", "registry.fly.io/shop:v2"];
            let call = running.stage.shipctl(&image).wants_of("shop-staging", "v2");
            let ended = call.run();
            let good = ended.cases[0].after.all_on("v2") && ended.cases[0].after.all_good();
            running
                .stage
                .insist(ended.code == 0 && good, "staging has v2 meanwhile");
        })
    })
    .alone(),
    Scenario::new("story_staging_first_then_production", &[0], |stage| {
        stage.double.order(&json!({
            "do": "seed", "app": "shop-staging", "images": ["registry.fly.io/shop:v1"], "per_region": 1,
        }));
        stage.write(
            "fly.staging.toml",
            &Fly {
                app: "shop-staging",
                ..PLAIN
            }
            .text(),
        );
        let rule = "\n[environments.production]\nafter = \"staging\"\n";
        stage.write("shipctl.toml", &format!("{}{rule}", crate::support::stage::QUICK));
        stage.usual(PLAIN);
        let image = ["deploy", "staging", "--image", "registry.fly.io/shop:v2"];
        let staging = stage.shipctl(&image).run();
        stage.insist(staging.code == 0, "staging first");
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("story_flyctl_ended_from_outside_in_the_return", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-unhealthy").meanwhile(|running| {
            running.until("the return makes its release", |stage| {
                stage.calls("mutation createRelease") > 1
            });
            sleep(Duration::from_millis(400));
            to_flyctl(running, Signal::SIGKILL);
        })
    })
    .alone(),
    Scenario::new("story_flyctl_told_to_end_from_outside", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            to_flyctl(running, Signal::SIGTERM);
        })
    })
    .alone(),
    Scenario::new("story_flyctl_stands_still_in_the_return", &[7], |stage| {
        stage.trusted(PLAIN);
        let call = stage.deploy("v2-unhealthy").args(&["--timeout", "40s"]);
        call.meanwhile(|running| {
            running.until("the return makes its release", |stage| {
                stage.calls("mutation createRelease") > 1
            });
            sleep(Duration::from_millis(400));
            to_flyctl(running, Signal::SIGSTOP);
        })
    })
    .alone(),
    Scenario::new("story_the_autostop_of_a_colleague_in_the_bake", &[0], |stage| {
        stage.settings(&json!({"idle_seconds": 1.5}));
        stage.write("shipctl.toml", "[verify]\ntimeout = \"10s\"\nbake = \"6s\"\n");
        stage.trusted(PLAIN);
        stage.write("fly.production.toml", &SLEEPY.text());
        stage.deploy("v2").run()
    })
    .alone(),
];

fn chain(stage: &Stage, tags: &[&str]) {
    stage.trusted(PLAIN);
    for tag in tags {
        stage.deployed(tag, 0);
    }
}

/// Whether so many changes of a release's status were written: each deploy writes two.
fn settled(stage: &Stage, writes: usize) -> bool {
    stage.calls("mutation updateRelease") >= writes
}

fn complete(running: &mut Running<'_>) {
    running.until("ours is complete", |stage| {
        stage.tags() == ["v2"] && settled(stage, 2)
    });
    sleep(Duration::from_secs(1));
}

fn scale(stage: &Stage, count: &str) {
    let args = [
        "scale",
        "count",
        count,
        "--yes",
        "-a",
        "shop",
        "-c",
        "fly.production.toml",
    ];
    stage.bare(&args);
}

fn destroy(id: &str) -> Value {
    json!({"do": "machine", "app": "shop", "machine": id, "action": "destroy"})
}

/// Judged once both are at rest, by theirs where ours did not come through.
fn at_rest(stage: &Stage, mut ours: Ended) -> Ended {
    truth::settle();
    for case in &mut ours.cases {
        case.after = truth::look(&stage.double, "shop", true);
        if ours.code != 0 {
            case.before = case.after.clone();
        }
    }
    ours
}

/// A signal to the `flyctl deploy` that this call started, and to nothing else.
fn to_flyctl(running: &Running<'_>, signal: Signal) {
    super::cutoff::flyctl(running, signal);
}
