//! Sizes of machines: flyctl leaves them where a file names none.

use super::tools::{holds, raw_machines, warnings};
use crate::support::{FLY_TOML, Scene, Truth};

fn memory(truth: &Truth) -> Vec<u64> {
    raw_machines(truth, "shop")
        .iter()
        .filter_map(|machine| machine["guest"]["memory_mb"].as_u64())
        .collect()
}

fn larger() -> String {
    format!("{FLY_TOML}\n[[vm]]\nmemory = \"512mb\"\n")
}

#[test]
fn fault_84_a_bad_release_has_larger_machines() {
    let scene = Scene::builder().timeout("6s").ready();
    let before = memory(&scene.truth());
    assert_eq!(before, [256, 256]);
    scene.write("fly.staging.toml", &larger());
    let (bare, alone) = scene.bare_deploy("v2-unhealthy", &["--strategy", "immediate"]);
    bare.exits(0);
    assert_eq!(memory(&alone), [512, 512]);

    scene.deploy("v2-unhealthy").run().concludes("rolled_back", 7);
    scene.truth().serves("shop", "v1", 2);
    assert_eq!(memory(&scene.truth()), before);
}

#[test]
fn fault_84_a_rollback_leaves_a_size_that_a_person_may_want() {
    let scene = Scene::builder().timeout("6s").ready();
    scene.write("fly.staging.toml", &larger());
    scene.ship("v2");
    assert_eq!(memory(&scene.truth()), [512, 512]);
    let document = scene.rollback().run().concludes("verified", 0);
    scene.truth().serves("shop", "v1", 2);
    assert_eq!(memory(&scene.truth()), [512, 512]);
    holds(
        &warnings(&document),
        &["the machines keep their size: the configuration of shop:v1 names none, and that of today does"],
    );
}
