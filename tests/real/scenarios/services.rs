//! Several services of one environment: they are one deployment, and return together.

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::call::{Call, Ended};
use crate::support::stage::{Fly, PLAIN, QUICK, Stage};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("odd_two_services_good", &[0], |stage| {
        two(stage, "v2", "v2", false)
    })
    .alone(),
    Scenario::new("odd_two_services_one_bad", &[7], |stage| {
        two(stage, "v2", "v2-unhealthy", false)
    })
    .alone(),
    Scenario::new("odd_two_services_the_second_needs_and_is_bad", &[7], |stage| {
        two(stage, "v2", "v2-crash", true)
    })
    .alone(),
    Scenario::new("odd_two_services_the_needed_one_is_bad", &[7], |stage| {
        // The second never ships: its machines have not moved.
        stage.excuse(|excuse| excuse.theirs = true);
        two(stage, "v2-unhealthy", "v2", true)
    })
    .alone(),
    Scenario::new("odd_two_services_the_second_has_no_image", &[7], |stage| {
        stage.excuse(|excuse| excuse.theirs = true);
        two(stage, "v2", "v2-missing", true)
    })
    .alone(),
    Scenario::new("odd_two_services_the_second_app_is_unknown", &[10], |stage| {
        two_files(stage, "v2", "v2", true);
        seed_of(stage, "shop");
        let ended = shipped(stage).wants("v2").run();
        stage.insist(stage.tags() == ["v1"], "nothing has moved");
        ended
    })
    .alone(),
    Scenario::new("odd_two_services_the_first_dies_meanwhile", &[7], |stage| {
        first_dies(stage, &["--bake", "1s"])
    })
    .alone(),
    Scenario::new(
        "odd_two_services_the_first_dies_meanwhile_no_bake",
        &[7],
        |stage| first_dies(stage, &["--bake", "0s"]),
    )
    .alone(),
    Scenario::new("odd_two_services_the_second_takes_long", &[0], |stage| {
        stage.settings(&json!({"slow_health_seconds": 8}));
        two(stage, "v2", "v2-slow", true)
    })
    .alone(),
    Scenario::new("odd_two_services_the_first_stays_as_asked", &[8], |stage| {
        // The one is new, the other old, and nobody puts it right: neither 6 nor 7.
        two_files(stage, "v2", "v2-missing", true);
        seed_of(stage, "shop");
        seed_of(stage, "mind");
        stage.trust();
        let call = shipped(stage).args(&["--no-rollback"]);
        call.wants("v2").wants_of("mind", "v2-missing").run()
    })
    .alone(),
    Scenario::new("odd_two_services_the_first_is_new_and_stays", &[8], |stage| {
        two_files(stage, "v2", "v2-unhealthy", true);
        stage.bare(&["apps", "create", "shop", "-o", "personal"]);
        seed_of(stage, "mind");
        shipped(stage).wants("v2").wants_of("mind", "v2-unhealthy").run()
    })
    .alone(),
    Scenario::new("odd_two_services_then_rollback", &[0], |stage| {
        two(stage, "v2", "v2", true);
        let call = stage.shipctl(&["rollback", "production", "--yes"]);
        call.wants("v1").wants_of("mind", "v1").run()
    })
    .alone(),
];

fn seed_of(stage: &Stage, app: &str) {
    stage.seed(&json!({"app": app, "images": [format!("registry.fly.io/{app}:v1")]}));
}

/// Two services, each with the image that its file names.
fn two_files(stage: &Stage, web: &str, mind: &str, needs: bool) {
    let needs = if needs { "needs = [\"web\"]\n" } else { "" };
    let text = format!("{QUICK}\n[services.web]\n\n[services.mind]\npath = \"mind\"\n{needs}");
    stage.write("shipctl.toml", &text);
    for (app, file, tag) in [
        ("shop", "fly.production.toml", web),
        ("mind", "mind/fly.production.toml", mind),
    ] {
        let top = format!("[build]\n  image = \"registry.fly.io/{app}:{tag}\"\n");
        stage.write(
            file,
            &Fly {
                app,
                top: &top,
                ..PLAIN
            }
            .text(),
        );
    }
}

fn shipped(stage: &Stage) -> Call<'_> {
    stage.shipctl(&["deploy", "production", "--config", "fly.production.toml"])
}

fn two(stage: &Stage, web: &str, mind: &str, needs: bool) -> Ended {
    two_files(stage, web, mind, needs);
    seed_of(stage, "shop");
    seed_of(stage, "mind");
    stage.trust();
    shipped(stage).wants(web).wants_of("mind", mind).run()
}

/// The first service was verified, and one of its machines turns bad while the second is shipped.
fn first_dies(stage: &Stage, args: &[&str]) -> Ended {
    two_files(stage, "v2", "v2-slow", true);
    seed_of(stage, "shop");
    seed_of(stage, "mind");
    stage.trust();
    let call = shipped(stage).args(args).wants("v2").wants_of("mind", "v2-slow");
    call.meanwhile(|running| {
        let second_moves = |stage: &Stage| {
            let state = stage.double.state();
            let machines = state["apps"]["mind"]["machines"].as_array().cloned();
            let tag = "/image_ref/tag";
            machines
                .unwrap_or_default()
                .iter()
                .any(|machine| machine.pointer(tag).is_some_and(|tag| tag == "v2-slow"))
        };
        running.until("the second service moves", second_moves);
        let stage = running.stage;
        let id = &stage.machines()[0];
        let order = json!({"do": "behaviour", "app": "shop", "machine": id, "behaviour": "unhealthy"});
        stage.double.order(&order);
    })
}
