//! Several services of one environment: what is said of them is true of all of them at the end.

use serde_json::{Value, json};

use super::tools::{holds, reasons};
use crate::support::{Builder, FLY_TOML, Scene};

fn file(app: &str, tag: &str) -> String {
    let own = FLY_TOML.replace("app = \"shop\"", &format!("app = \"{app}\""));
    format!("{own}\n[build]\nimage = \"registry.fly.io/{app}:{tag}\"\n")
}

/// `mind` needs `web`, whose app is `shop`; each file names the image that it ships.
fn two(web: &str, mind: &str) -> Builder {
    Scene::builder()
        .shipctl_toml("[services.web]\n\n[services.mind]\npath = \"mind\"\nneeds = [\"web\"]\n")
        .fly_toml(&file("shop", web))
        .file("mind/fly.staging.toml", &file("mind", mind))
        .seed(json!({"fly_toml": FLY_TOML}))
        .order(
            json!({"do": "seed", "app": "mind", "images": ["registry.fly.io/mind:v1"], "regions": ["iad"],
                      "per_region": 2, "shared_ip": true, "fly_toml": file("mind", "v1")}),
        )
}

const DEPLOY: [&str; 3] = ["deploy", "staging", "--json"];

#[test]
fn fault_78_services_that_are_good_together() {
    let scene = two("v2", "v2").timeout("20s").ready();
    scene.shipctl(DEPLOY).run().concludes("verified", 0);
    scene.truth().serves("shop", "v2", 2).serves("mind", "v2", 2);
}

#[test]
fn fault_78_the_first_turns_bad_while_the_second_ships() {
    for bake in ["0s", "1s"] {
        let scene = two("v2", "v2").timeout("20s").bake(bake).ready();
        let mut running = scene.shipctl(DEPLOY).start();
        running.wait_until("the second service moves", || {
            scene.truth().tags("mind").contains(&"v2".to_owned())
        });
        scene.order(json!({"do": "rule", "app": "shop", "image": "v2", "status": 503}));
        let document = running.wait().concludes("rolled_back", 7);
        holds(&reasons(&document), &["503"]);
        scene.truth().serves("shop", "v1", 2).serves("mind", "v1", 2);
    }
}

#[test]
fn fault_78_one_that_stays_without_the_other_is_broken() {
    let scene = two("v2", "v2-missing").timeout("20s").ready();
    let call = scene.shipctl(DEPLOY).args(["--no-rollback"]);
    let document = call.run().concludes("broken", 8);
    let warnings: Vec<&Value> = document["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| &service["warnings"])
        .collect();
    holds(&json!(warnings).to_string(), &["not returned with the others"]);
    scene.truth().serves("shop", "v2", 2).serves("mind", "v1", 2);
}

/// That nothing has changed, verified, is said of all of them.
#[test]
fn fault_78_one_whose_turn_never_comes_is_looked_at_too() {
    let scene = two("v2-missing", "v2").timeout("8s").ready();
    let document = scene.shipctl(DEPLOY).run().concludes("failed", 6);
    let mind = document["services"]
        .as_array()
        .unwrap()
        .iter()
        .find(|service| service["service"] == "mind")
        .unwrap();
    assert_eq!(mind["serving"]["verdict"], "verified", "{mind:#}");
    assert_eq!(mind["serving"]["image"], "registry.fly.io/mind:v1", "{mind:#}");

    scene.order(json!({"do": "rule", "app": "mind", "image": "v1", "status": 503}));
    scene.shipctl(DEPLOY).run().concludes("broken", 8);
    scene
        .truth()
        .tags("mind")
        .iter()
        .for_each(|tag| assert_eq!(tag, "v1"));
}
