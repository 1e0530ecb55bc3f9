//! The same release again after it was returned from.

use serde_json::json;

use super::tools::{holds, warnings};
use crate::support::{Call, FLY_TOML, Scene, image};

const BAD: &str = "v2-unhealthy";

/// v2 was refuted and returned from; answers with its reference by digest.
fn returned_from(scene: &Scene) -> String {
    let (bare, truth) = scene.bare_deploy(BAD, &["--strategy", "immediate"]);
    bare.exits(0);
    let digest = truth.machines("shop").first().expect("a machine").digest.clone();
    let reference = format!("{}@{digest}", image(BAD));
    deploy(scene, &reference).run().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
    reference
}

fn deploy<'s>(scene: &'s Scene, reference: &str) -> Call<'s> {
    scene.shipctl(["deploy", "staging", "--json", "--image", reference])
}

fn scene() -> Scene {
    Scene::builder().timeout("5s").ready()
}

#[test]
fn fault_53_the_same_release_again() {
    let scene = scene();
    let reference = returned_from(&scene);
    let deploys = scene.deploys();
    let refusal = deploy(&scene, &reference).run().refuses("refused", 3);
    holds(&refusal.to_string(), &["--unfreeze"]);
    assert_eq!(scene.deploys(), deploys);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_53_with_unfreeze_it_is_tried_again() {
    let scene = scene();
    let reference = returned_from(&scene);
    let deploys = scene.deploys();
    deploy(&scene, &reference)
        .args(["--unfreeze"])
        .run()
        .concludes("rolled_back", 7);
    assert!(scene.deploys() > deploys);
    scene.truth().serves("shop", "v1", 2);
}

#[test]
fn fault_53_verified_since() {
    let scene = scene();
    let reference = returned_from(&scene);
    scene.order(json!({"do": "behaviour", "app": "shop", "behaviour": "mended"}));
    deploy(&scene, &reference)
        .args(["--unfreeze"])
        .run()
        .concludes("verified", 0);
    scene.ship("v3");
    deploy(&scene, &reference).run().concludes("verified", 0);
    scene.truth().serves("shop", BAD, 2);
}

#[test]
fn fault_53_with_a_mended_configuration() {
    let scene = scene();
    let reference = returned_from(&scene);
    scene.write(
        "fly.staging.toml",
        &format!("{FLY_TOML}\n[env]\nSANDBOX_BEHAVIOUR = \"mended\"\n"),
    );
    let document = deploy(&scene, &reference).run().concludes("verified", 0);
    holds(&warnings(&document), &["returned"]);
    scene.truth().serves("shop", BAD, 2);
}

#[test]
fn fault_53_by_a_tag_that_may_have_moved() {
    let scene = scene();
    returned_from(&scene);
    scene.order(json!({"do": "behaviour", "app": "shop", "behaviour": "mended"}));
    let document = scene.deploy(BAD).run().concludes("verified", 0);
    holds(&warnings(&document), &["returned"]);
    scene.truth().serves("shop", BAD, 2);
}
