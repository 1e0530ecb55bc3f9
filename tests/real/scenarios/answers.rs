//! What the app answers is odd: other statuses, other bodies, late, cut off, or as another release.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::mask::{Asked, Face, Mask};
use crate::support::stage::{Fly, PLAIN, QUICK, Stage, UNCHECKED};

/// Enough for slow answers, three in a row.
const PATIENT: &str = "[verify]\ntimeout = \"30s\"\nbake = \"1s\"\n";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("odd_answer_204_loses_the_name", &[7], |stage| {
        from_v2(stage, |_| Face::says(204, ""))
    })
    .alone(),
    Scenario::new("odd_answer_204_identity_off", &[0], |stage| {
        stage.write("shipctl.toml", &format!("{QUICK}identity = \"off\"\n"));
        from_v2(stage, |_| Face::says(204, ""))
    })
    .alone(),
    Scenario::new("odd_answer_204_always", &[0], |stage| {
        always(stage, PLAIN, |_| Face::says(204, ""))
    })
    .alone(),
    Scenario::new("odd_answer_empty_200", &[7], |stage| {
        from_v2(stage, |_| Face::says(200, ""))
    })
    .alone(),
    Scenario::new("odd_answer_broken_json", &[7], |stage| {
        from_v2(stage, |_| Face::says(200, "{\"status\":\"healthy\",\"vers"))
    })
    .alone(),
    Scenario::new("odd_answer_array_as_version", &[7], |stage| {
        from_v2(stage, |_| Face::version("[\"v2\"]"))
    })
    .alone(),
    Scenario::new("odd_answer_version_missing", &[7], |stage| {
        from_v2(stage, |_| Face::says(200, "{\"status\":\"healthy\"}"))
    })
    .alone(),
    Scenario::new("odd_answer_version_null", &[7], |stage| {
        from_v2(stage, |_| Face::version("null"))
    })
    .alone(),
    Scenario::new("odd_answer_numbers_as_versions", &[0], |stage| {
        always(stage, PLAIN, |asked| {
            Face::version(asked.tag.trim_start_matches('v'))
        })
    })
    .alone(),
    Scenario::new("odd_answer_301_on_the_checks_path", &[7], |stage| {
        from_v2(stage, |_| Face::leads_to(301, "/login"))
    })
    .alone(),
    Scenario::new("odd_answer_307_on_the_root_always", &[0], |stage| {
        stage.write("shipctl.toml", PATIENT);
        always(stage, UNCHECKED, |_| Face::leads_to(307, "https://shop.example/"))
    })
    .alone(),
    Scenario::new("odd_answer_404_on_the_checks_path", &[7], |stage| {
        from_v2(stage, |_| Face::says(404, "no"))
    })
    .alone(),
    Scenario::new("odd_answer_401_always", &[0], |stage| {
        always(stage, PLAIN, |_| Face::says(401, ""))
    })
    .alone(),
    Scenario::new("odd_answer_401_where_http_is_wanted", &[9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.usual(PLAIN);
        stage.write("shipctl.toml", &format!("{QUICK}min_evidence = \"http\"\n"));
        let _mask = stage.masked(|_| Face::says(401, ""));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_answer_401_on_a_named_path", &[7], |stage| {
        stage.write("shipctl.toml", &format!("{QUICK}path = \"/health\"\n"));
        from_v2(stage, |_| Face::says(401, ""))
    })
    .alone(),
    Scenario::new("odd_answer_named_path_never_was", &[7], |stage| {
        // What was refuted answers so on a path that is named; what it is returned to did so before.
        stage.usual(PLAIN);
        stage.write("shipctl.toml", &format!("{QUICK}path = \"/nowhere\"\n"));
        let _mask = stage.masked(|_| Face::says(404, ""));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_answer_500_every_second", &[7], |stage| {
        from_v2(stage, |asked| {
            if asked.before % 2 == 1 {
                Face::says(500, "")
            } else {
                Face::Own
            }
        })
    })
    .alone(),
    Scenario::new("odd_answer_502_at_first", &[0], |stage| {
        from_v2(stage, |asked| {
            if asked.before < 4 {
                Face::says(502, "")
            } else {
                Face::Own
            }
        })
    })
    .alone(),
    Scenario::new("odd_answer_cut_off", &[7], |stage| from_v2(stage, |_| Face::Cut)).alone(),
    Scenario::new("odd_answer_cut_off_at_first", &[0], |stage| {
        from_v2(
            stage,
            |asked| if asked.before < 3 { Face::Cut } else { Face::Own },
        )
    })
    .alone(),
    Scenario::new("odd_answer_just_in_time", &[0], |stage| {
        stage.write("shipctl.toml", PATIENT);
        from_v2(stage, |_| Face::Late(4000))
    })
    .alone(),
    Scenario::new("odd_answer_too_late", &[7], |stage| {
        from_v2(stage, |_| Face::Late(6000))
    })
    .alone(),
    Scenario::new("odd_answer_too_large", &[7], |stage| {
        from_v2(stage, |_| Face::says(200, &"x".repeat(2 << 20)))
    })
    .alone(),
    Scenario::new("odd_answer_degraded", &[0], |stage| {
        from_v2(stage, |_| {
            Face::says(200, "{\"status\":\"degraded\",\"version\":\"v2\"}")
        })
    })
    .alone(),
    Scenario::new("odd_answer_fail", &[7], |stage| {
        from_v2(stage, |_| {
            Face::says(200, "{\"status\":\"fail\",\"version\":\"v2\"}")
        })
    })
    .alone(),
    Scenario::new("odd_answer_one_of_two_is_bad", &[7], |stage| {
        from_v2(stage, |asked| {
            if asked.place == 1 {
                Face::says(500, "")
            } else {
                Face::Own
            }
        })
    })
    .alone(),
    Scenario::new("odd_answer_one_of_two_is_old", &[7], |stage| {
        from_v2(stage, |asked| {
            if asked.place == 1 {
                Face::version("\"v1\"")
            } else {
                Face::Own
            }
        })
    })
    .alone(),
    Scenario::new("odd_answer_nested_version", &[0], |stage| {
        nested(stage, "{\"status\":\"healthy\",\"build\":{\"commit\":\"v2\"}}")
    })
    .alone(),
    Scenario::new("odd_answer_nested_version_old", &[7], |stage| {
        nested(stage, "{\"status\":\"healthy\",\"build\":{\"commit\":\"v1\"}}")
    })
    .alone(),
    Scenario::new("odd_answer_header_version", &[0], |stage| {
        headed(stage, |asked| Face::With(format!("X-Release: {}", asked.tag)))
    })
    .alone(),
    Scenario::new("odd_answer_header_version_old", &[7], |stage| {
        headed(stage, |_| Face::With("X-Release: v1".to_owned()))
    })
    .alone(),
    Scenario::new("odd_answer_header_version_gone", &[7], |stage| {
        headed(stage, |asked| {
            if asked.tag == "v1" {
                Face::With("X-Release: v1".to_owned())
            } else {
                Face::Own
            }
        })
    })
    .alone(),
    Scenario::new("odd_answer_needs_a_header", &[0], |stage| {
        stage.set("PROBE_KEY", Some("open"));
        let text = format!("{QUICK}path = \"/health\"\nheaders = {{ X-Key = \"env:PROBE_KEY\" }}\n");
        stage.write("shipctl.toml", &text);
        always(stage, PLAIN, |asked| {
            let open = asked.head.to_lowercase().contains("x-key: open");
            if open { Face::Own } else { Face::says(403, "") }
        })
    })
    .alone(),
    Scenario::new("odd_answer_needs_a_host", &[0], |stage| {
        let text = format!("{QUICK}path = \"/health\"\nhost = \"www.shop.example\"\n");
        stage.write("shipctl.toml", &text);
        always(stage, PLAIN, |asked| {
            let host = asked.head.to_lowercase().contains("host: www.shop.example");
            if host { Face::Own } else { Face::says(421, "") }
        })
    })
    .alone(),
    Scenario::new("odd_answer_head_only", &[0], |stage| {
        let text = PLAIN.text().replace("\"GET\"", "\"HEAD\"");
        stage.seed(&json!({}));
        stage.write("fly.production.toml", &text);
        stage.trust();
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_answer_min_evidence_app", &[0], |stage| {
        stage.write("shipctl.toml", &format!("{QUICK}min_evidence = \"app\"\n"));
        from_v2(stage, |_| Face::Own)
    })
    .alone(),
    Scenario::new("odd_answer_min_evidence_app_never_named", &[9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        stage.usual(PLAIN);
        stage.write("shipctl.toml", &format!("{QUICK}min_evidence = \"app\"\n"));
        let _mask = stage.masked(|_| Face::Body("fine".to_owned()));
        let ended = stage.deploy("v2").run();
        stage.insist(stage.tags() == ["v2"], "nothing is returned");
        ended
    })
    .alone(),
    Scenario::new("odd_answer_required_and_never_named", &[7], |stage| {
        stage.usual(PLAIN);
        stage.write("shipctl.toml", &format!("{QUICK}identity = \"required\"\n"));
        let _mask = stage.masked(|_| Face::Body("fine".to_owned()));
        stage.deploy("v2").run()
    })
    .alone(),
    Scenario::new("odd_answer_same_image_names_nothing", &[0], |stage| {
        stage.trusted(PLAIN);
        let _mask = stage.masked(|_| Face::says(200, "{\"status\":\"healthy\"}"));
        stage.deploy("v1").run()
    })
    .alone(),
    Scenario::new("odd_answer_app_version_of_the_caller", &[0], |stage| {
        stage.trusted(PLAIN);
        stage.set("SHIPCTL_VERSION", Some("2.0.1"));
        let flags = ["-e", "APP_VERSION=2.0.1"];
        stage.deploy("v2").flyctl_flags(&flags).run()
    })
    .alone(),
    Scenario::new("odd_answer_a_blip_before_ours", &[7], |stage| {
        // One bad answer at the first look does not make what serves a thing that nobody may return to.
        stage.usual(PLAIN);
        let _mask = stage.masked(|asked| {
            let blip = asked.tag == "v1" && asked.before == 0;
            if blip { Face::says(503, "") } else { Face::Own }
        });
        stage.deploy("v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_answer_no_address_any_more", &[9], |stage| {
        stage.excuse(|excuse| excuse.witness_away = true);
        let ended = address_goes(stage, PLAIN, None);
        stage.insist(stage.tags() == ["v2"], "nothing is returned");
        ended
    })
    .alone(),
    Scenario::new("odd_answer_no_address_for_a_while", &[0], |stage| {
        address_goes(stage, PLAIN, Some(4))
    })
    .alone(),
    Scenario::new(
        "odd_answer_no_address_any_more_without_checks",
        &[8, 9],
        |stage| {
            stage.excuse(|excuse| {
                excuse.witness_away = true;
                excuse.theirs = true;
            });
            address_goes(stage, UNCHECKED, None)
        },
    )
    .alone(),
];

/// v1 is verified as it is; from v2 on the app has this face.
fn from_v2(stage: &Stage, face: impl Fn(&Asked) -> Face + Send + Sync + 'static) -> Ended {
    always(stage, PLAIN, move |asked| {
        if asked.tag == "v2" { face(asked) } else { Face::Own }
    })
}

/// The app has this face from the first look on.
fn always(stage: &Stage, fly: Fly<'_>, face: impl Fn(&Asked) -> Face + Send + Sync + 'static) -> Ended {
    stage.usual(fly);
    let _mask = stage.masked(face);
    stage.trust();
    stage.deploy("v2").run()
}

fn nested(stage: &Stage, then: &'static str) -> Ended {
    stage.write(
        "shipctl.toml",
        &format!("{QUICK}version_field = \"/build/commit\"\n"),
    );
    always(stage, PLAIN, move |asked| {
        let before = "{\"status\":\"healthy\",\"build\":{\"commit\":\"v1\"}}";
        Face::Body(if asked.tag == "v1" { before } else { then }.to_owned())
    })
}

fn headed(stage: &Stage, face: impl Fn(&Asked) -> Face + Send + Sync + 'static) -> Ended {
    stage.write(
        "shipctl.toml",
        &format!("{QUICK}version_field = \"header:x-release\"\n"),
    );
    always(stage, PLAIN, face)
}

/// Nobody listens at the app's address any more once a machine has moved, for so many seconds.
fn address_goes(stage: &Stage, fly: Fly<'_>, seconds: Option<u64>) -> Ended {
    stage.usual(fly);
    let mut mask = Some(stage.masked(|_| Face::Own));
    stage.trust();
    let address = mask.as_ref().map(Mask::address).unwrap();
    let ended = stage.deploy("v2").meanwhile(|running| {
        if running.until("a machine has moved", |stage| stage.tags() != ["v1"]) {
            mask = None;
            if let Some(seconds) = seconds {
                sleep(Duration::from_secs(seconds));
                mask = Some(running.stage.masked_at(address, |_| Face::Own));
            }
        }
    });
    drop(mask);
    ended
}
