//! Ended at odd moments: shipctl, its flyctl, or both; and two of them at once.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::{Ended, Running};
use crate::support::stage::{MIGRATING, PLAIN, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("odd_cut_sigterm_in_prepare", &[143], |stage| {
        stage.trusted(PLAIN);
        let order = json!({"do": "fault", "kind": "delay", "match": "machines", "seconds": 6});
        stage.double.order(&order);
        let asked = stage.calls("machines");
        let ended = stage.deploy("v2").meanwhile(|running| {
            running.until("the machines are asked for", |stage| {
                stage.calls("machines") > asked
            });
            running.signal(Signal::SIGTERM);
        });
        stage.insist(stage.tags() == ["v1"], "nothing has moved");
        ended
    })
    .alone(),
    Scenario::new("odd_cut_sighup_while_shipping", &[129], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        stage.trusted(PLAIN);
        let ended = cut(stage, "v2-slow", Signal::SIGHUP);
        // A closed terminal is no reason to leave a mix behind unsaid.
        stage.insist(ended.code == 129, "ended by its signal");
        ended
    })
    .alone(),
    Scenario::new("odd_cut_sigterm_in_the_bake", &[143], |stage| {
        stage.trusted_with("30s");
        let ended = stage.deploy("v2").meanwhile(|running| {
            complete(running);
            running.signal(Signal::SIGTERM);
        });
        stage.insist(stage.tags() == ["v2"], "nothing is returned");
        ended
    })
    .alone(),
    Scenario::new("odd_cut_sigterm_in_the_bake_then_verify", &[0], |stage| {
        stage.trusted_with("30s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            running.signal(Signal::SIGTERM);
        });
        stage.verify("v2").run()
    })
    .alone(),
    Scenario::new("odd_cut_sigterm_in_the_bake_then_rollback", &[0], |stage| {
        stage.trusted_with("30s");
        stage.deploy("v2").meanwhile(|running| {
            complete(running);
            running.signal(Signal::SIGTERM);
        });
        stage.set("SHIPCTL_VERIFY_BAKE", Some("1s"));
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_cut_twice_at_once", &[130], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            running.signal(Signal::SIGINT);
            sleep(Duration::from_millis(60));
            running.signal(Signal::SIGINT);
        })
    })
    .alone(),
    Scenario::new("odd_cut_twice_at_once_then_deploy", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            running.signal(Signal::SIGINT);
            sleep(Duration::from_millis(60));
            running.signal(Signal::SIGINT);
        });
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("odd_cut_return_by_a_second_signal", &[130], |stage| {
        stage.trusted(PLAIN);
        returned_twice(stage)
    })
    .alone(),
    Scenario::new(
        "odd_cut_return_by_a_second_signal_then_rollback",
        &[0, 3],
        |stage| {
            // Where the return had moved everything already, v1 serves and nothing older is known.
            stage.trusted(PLAIN);
            returned_twice(stage);
            stage.rollback("v1").run()
        },
    )
    .alone(),
    Scenario::new("odd_cut_return_killed_then_deploy", &[0], |stage| {
        return_killed(stage);
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("odd_cut_return_killed_then_unhealthy", &[7], |stage| {
        return_killed(stage);
        stage.deploy("v3-unhealthy").old("v1").run()
    })
    .alone(),
    Scenario::new("odd_cut_killed_in_the_bake_then_rollback", &[0], |stage| {
        killed_in_the_bake(stage);
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_cut_killed_in_the_bake_then_verify", &[0], |stage| {
        killed_in_the_bake(stage);
        stage.verify("v2").run()
    })
    .alone(),
    Scenario::new("odd_cut_killed_in_the_bake_then_unhealthy", &[7], |stage| {
        // v2 served and was good when the next began: it is what is returned to.
        killed_in_the_bake(stage);
        stage.deploy("v3-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_cut_killed_in_prepare_then_deploy", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2").meanwhile(|running| {
            sleep(Duration::from_millis(40));
            running.signal(Signal::SIGKILL);
        });
        stage.deploy("v3").run()
    })
    .alone(),
    Scenario::new("odd_cut_killed_while_mixed_then_unhealthy", &[7], |stage| {
        stage.trusted(PLAIN);
        cut(stage, "v2-slow", Signal::SIGKILL);
        stage.deploy("v3-unhealthy").old("v1").run()
    })
    .alone(),
    Scenario::new("odd_cut_killed_while_migrating_then_rollback", &[0, 3], |stage| {
        stage.settings(&json!({"release_seconds": 5}));
        stage.trusted(MIGRATING);
        stage.deployed("v2", 0);
        stage.deploy("v3").meanwhile(|running| {
            running.until("the release command runs", |stage| {
                stage
                    .glance()
                    .aside
                    .iter()
                    .any(|what| what.ends_with("(started)"))
            });
            running.signal(Signal::SIGKILL);
        });
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_cut_rollback_sigterm_then_rollback", &[0], |stage| {
        chain(stage);
        stage.rollback("v1").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v2"]);
            running.signal(Signal::SIGTERM);
        });
        stage.rollback("v1").run()
    })
    .alone(),
    Scenario::new("odd_cut_rollback_killed_then_verify", &[0, 8], |stage| {
        chain(stage);
        stage.rollback("v1").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v2"]);
            running.signal(Signal::SIGKILL);
        });
        stage.verify("v1").run()
    })
    .alone(),
    Scenario::new("odd_cut_flyctl_killed_while_mixed", &[7], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            flyctl(running, Signal::SIGKILL);
        })
    })
    .alone(),
    Scenario::new("odd_cut_flyctl_killed_before_anything_moved", &[6, 10], |stage| {
        stage.trusted(PLAIN);
        let order = json!({"do": "fault", "kind": "delay", "match": "createRelease", "seconds": 6});
        stage.double.order(&order);
        stage.deploy("v2").meanwhile(|running| {
            running.until("the release is asked for", |stage| {
                stage.asked("mutation createRelease")
            });
            flyctl(running, Signal::SIGKILL);
        })
    })
    .alone(),
    Scenario::new("odd_cut_flyctl_killed_when_all_are_new", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2").meanwhile(|running| {
            running.until("all are on v2", |stage| stage.tags() == ["v2"]);
            flyctl(running, Signal::SIGKILL);
        })
    })
    .alone(),
    Scenario::new("odd_cut_flyctl_stands_still", &[7], |stage| {
        stage.trusted(PLAIN);
        stage
            .deploy("v2-slow")
            .args(&["--timeout", "25s"])
            .meanwhile(|running| {
                running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
                flyctl(running, Signal::SIGSTOP);
            })
    })
    .alone(),
    Scenario::new("odd_cut_two_rollbacks_at_once", &[0], |stage| {
        chain(stage);
        beside(stage, &["rollback", "production", "--yes"])
    })
    .alone(),
    Scenario::new("odd_cut_deploy_beside_a_rollback", &[0], |stage| {
        chain(stage);
        let image = "registry.fly.io/shop:v3";
        let args = [
            "deploy",
            "production",
            "--config",
            "fly.production.toml",
            "--image",
            image,
        ];
        beside(stage, &args)
    })
    .alone(),
    Scenario::new("odd_cut_verify_beside_a_deploy", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.deploy("v2-slow").meanwhile(|running| {
            running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
            let second = running
                .stage
                .shipctl(&["verify", "production", "--timeout", "3s"])
                .run();
            running.stage.insist(second.code != 0, "a mix is never verified");
        })
    })
    .alone(),
];

/// A deploy that gets a signal once its first machine is on the new image.
fn cut(stage: &Stage, tag: &str, signal: Signal) -> Ended {
    stage.deploy(tag).meanwhile(|running| {
        running.until("a machine has moved", |stage| stage.tags() != ["v1"]);
        sleep(Duration::from_millis(500));
        running.signal(signal);
    })
}

fn chain(stage: &Stage) {
    stage.trusted(PLAIN);
    stage.deployed("v2", 0);
}

fn complete(running: &mut Running<'_>) {
    running.until("ours is complete", |stage| {
        stage.tags() == ["v2"] && stage.calls("mutation updateRelease") > 1
    });
    sleep(Duration::from_millis(1500));
}

fn killed_in_the_bake(stage: &Stage) {
    stage.trusted_with("60s");
    stage.deploy("v2").meanwhile(|running| {
        complete(running);
        running.signal(Signal::SIGKILL);
    });
    stage.set("SHIPCTL_VERIFY_BAKE", Some("1s"));
}

/// The first signal during a return only says what is being restored; the second ends it.
fn returned_twice(stage: &Stage) -> Ended {
    stage.deploy("v2-unhealthy").meanwhile(|running| {
        running.until("the return makes its release", |stage| {
            stage.calls("mutation createRelease") > 1
        });
        running.signal(Signal::SIGINT);
        sleep(Duration::from_millis(400));
        running.signal(Signal::SIGINT);
    })
}

fn return_killed(stage: &Stage) {
    stage.trusted(PLAIN);
    stage.deploy("v2-unhealthy").meanwhile(|running| {
        running.until("the return makes its release", |stage| {
            stage.calls("mutation createRelease") > 1
        });
        running.signal(Signal::SIGKILL);
    });
}

/// A signal to the `flyctl deploy` that this call started, and to nothing else.
pub(super) fn flyctl(running: &Running<'_>, signal: Signal) {
    let pid = running.pid();
    let mut sent = false;
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            if line.split(|byte| *byte == 0).any(|word| word == b"deploy") {
                let _ = kill(Pid::from_raw(child.parse().unwrap()), signal);
                sent = true;
            }
        }
    }
    running.stage.insist(sent, "a flyctl deploy was found");
}

/// A rollback, and while it moves machines another command that changes something.
fn beside(stage: &Stage, args: &[&str]) -> Ended {
    stage.rollback("v1").meanwhile(|running| {
        running.until("the rollback makes its release", |stage| {
            stage.calls("mutation createRelease") > 1
        });
        let second = running.stage.shipctl(args).run();
        running.stage.insist(
            matches!(second.code, 3 | 5),
            &format!("the second is kept out, not {}", second.code),
        );
    })
}
