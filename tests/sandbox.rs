//! The platform of the sandbox as several processes see it: one world, whoever looks and whoever is killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const FLY_TOML: &str = r#"
app = "shop"
primary_region = "fra"
[http_service]
  internal_port = 8080
  auto_start_machines = true
  [[http_service.checks]]
    interval = "10s"
    timeout = "2s"
    path = "/health"
"#;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    folder: tempfile::TempDir,
    world: PathBuf,
}

impl Stage {
    /// An app with two machines on `v1`, in a world this many times as fast.
    fn new(speed: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join("world.json");
        let stage = Self { folder, world };
        stage.order(json!({"do": "settings", "speed": speed}));
        stage.order(json!({
            "do": "seed", "app": "shop", "images": ["registry.fly.io/shop:v1"], "fly_toml": FLY_TOML,
        }));
        fs::write(stage.folder.path().join("fly.toml"), FLY_TOML).unwrap();
        stage
    }

    fn order(&self, order: Value) -> Value {
        let answer = shipctl::sandbox_order(&self.world, order);
        assert!(answer["error"].is_null(), "{answer}");
        answer
    }

    fn shop(&self) -> Value {
        self.order(json!({"do": "state"}))["apps"]["shop"].clone()
    }

    fn tags(&self) -> Vec<String> {
        let shop = self.shop();
        let machines = shop["machines"].as_array().unwrap();
        machines
            .iter()
            .map(|machine| machine["tag"].as_str().unwrap().to_owned())
            .collect()
    }

    fn statuses(&self) -> Vec<String> {
        let shop = self.shop();
        let releases = shop["releases"].as_array().unwrap();
        releases
            .iter()
            .map(|release| release["status"].as_str().unwrap().to_owned())
            .collect()
    }

    #[expect(clippy::disallowed_methods, reason = "a test starts what it tests")]
    fn flyctl(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipctl"));
        command
            .arg0("flyctl")
            .args(line.split_whitespace())
            .env_clear()
            .env("SHIPCTL_SANDBOX_WORLD", &self.world)
            .env("FLY_API_TOKEN", "fo1_all")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.flyctl(line).output().unwrap()
    }

    fn succeeds(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a call and waits until the world says that it has come somewhere.
    fn started(&self, line: &str, until: impl Fn(&Value) -> bool) -> Child {
        let child = self.flyctl(line).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !until(&self.shop()) {
            assert!(Instant::now() < deadline, "{}", self.shop());
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }
}

fn moved(shop: &Value) -> bool {
    shop["machines"][0]["tag"] == "v2" || shop["machines"][1]["tag"] == "v2"
}

#[test]
fn two_deployments_at_once_see_one_world() {
    let stage = Stage::new(10);
    let first = stage.started("deploy --image registry.fly.io/shop:v2 --yes", moved);
    let second = stage.run("deploy --image registry.fly.io/shop:v3 --yes");
    assert_eq!(second.status.code(), Some(1));
    let words = String::from_utf8_lossy(&second.stdout).into_owned();
    assert!(
        words.contains("lease currently held by dev@example.com"),
        "{words}"
    );
    let first = first.wait_with_output().unwrap();
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    assert_eq!(stage.tags(), ["v2", "v2"]);
    assert_eq!(stage.statuses(), ["complete", "complete", "failed"]);
    assert_eq!(stage.shop()["leases"], json!({}));
}

#[test]
fn a_killed_deployment_leaves_a_readable_world_and_leases_that_run_out() {
    let stage = Stage::new(5);
    let mut killed = stage.started("deploy --image registry.fly.io/shop:v2 --yes", moved);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(stage.statuses(), ["complete", "running"]);
    assert_eq!(stage.shop()["leases"].as_object().unwrap().len(), 2);
    let tags = stage.tags();
    assert!(
        tags.contains(&"v1".to_owned()) && tags.contains(&"v2".to_owned()),
        "{tags:?}"
    );
    let refused = stage.run("deploy --image registry.fly.io/shop:v1 --yes --smoke-checks=false");
    assert_eq!(refused.status.code(), Some(1));
    let deadline = Instant::now() + PATIENCE;
    while stage.shop()["leases"] != json!({}) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
    stage.succeeds("deploy --image registry.fly.io/shop:v1 --yes --smoke-checks=false");
    assert_eq!(stage.tags(), ["v1", "v1"]);
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let stage = Stage::new(1);
    std::thread::scope(|threads| {
        for writer in 0..4 {
            let stage = &stage;
            threads.spawn(move || {
                for number in 0..15 {
                    stage.order(json!({
                        "do": "new_release", "app": "shop", "image": format!("registry.fly.io/shop:w{writer}-{number}"),
                        "moves": false,
                    }));
                }
            });
        }
        for _ in 0..2 {
            threads.spawn(|| {
                for _ in 0..5 {
                    stage.succeeds("releases -a shop --json");
                }
            });
        }
    });
    let shop = stage.shop();
    let releases = shop["releases"].as_array().unwrap();
    assert_eq!(releases.len(), 61);
    let numbers: Vec<_> = releases
        .iter()
        .map(|release| release["version"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=61).collect::<Vec<_>>());
    let shown: Vec<Value> = serde_json::from_str(&stage.succeeds("releases -a shop --json")).unwrap();
    assert_eq!((shown.len(), shown[0]["Version"].as_u64()), (25, Some(61)));
}

#[test]
fn time_passes_by_whoever_looks() {
    let stage = Stage::new(1);
    stage.order(json!({"do": "machine", "app": "shop", "action": "stop"}));
    stage.order(json!({"do": "rule", "app": "shop", "start_seconds": 0.2, "health_seconds": 0.2}));
    let id = stage.shop()["machines"][0]["id"].as_str().unwrap().to_owned();
    let words = stage.succeeds(&format!("machine start {id} -a shop"));
    assert_eq!(words, format!("{id} has been started\n"));
    assert_eq!(stage.shop()["machines"][0]["state"], "starting");
    // Nobody runs meanwhile; what was due has happened when somebody looks.
    let deadline = Instant::now() + PATIENCE;
    while stage.shop()["machines"][0]["healthy"] != true {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(stage.shop()["machines"][1]["state"], "stopped");
}

#[test]
fn a_machine_on_a_lost_host_is_passed_over() {
    let stage = Stage::new(50);
    let id = stage.shop()["machines"][1]["id"].clone();
    stage.order(json!({"do": "host", "app": "shop", "machine": id, "reachable": false}));
    stage.succeeds("deploy --image registry.fly.io/shop:v2 --yes --smoke-checks=false");
    assert_eq!(stage.tags(), ["v2", "v1"]);
    assert_eq!(stage.statuses(), ["complete", "complete"]);
}

#[test]
fn an_order_on_a_call_happens_in_the_middle_of_a_deployment() {
    let stage = Stage::new(50);
    stage.order(json!({
        "do": "new_release", "app": "shop", "image": "registry.fly.io/shop:v9", "user": "other@example.com",
        "on_call": "mutation updateRelease", "moves": false,
    }));
    stage.succeeds("deploy --image registry.fly.io/shop:v2 --yes --smoke-checks=false");
    let shop = stage.shop();
    assert_eq!(shop["releases"][2]["user"], "other@example.com");
    assert_eq!(shop["releases"][1]["status"], "complete");
    assert_eq!(stage.tags(), ["v2", "v2"]);
}

#[test]
fn a_token_refused_midway_leaves_mixed_machines_and_a_running_release() {
    let stage = Stage::new(50);
    let second = {
        let shop = stage.shop();
        let mut ids: Vec<_> = shop["machines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids.remove(1)
    };
    // From the update of the second machine on, nothing is allowed for twelve seconds of the world.
    stage.order(json!({
        "do": "fault", "kind": "401", "for_seconds": 12,
        "on_call": "flaps GET /v1/apps/shop/machines/", "skip": 2, "match": "",
    }));
    let output = stage.run("deploy --image registry.fly.io/shop:v2 --yes --smoke-checks=false");
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("unauthorized"), "{words}");
    let machines = stage.shop()["machines"].clone();
    let untouched = machines
        .as_array()
        .unwrap()
        .iter()
        .find(|machine| machine["id"] == second.as_str())
        .unwrap();
    assert_eq!(untouched["tag"], "v1");
    assert_eq!(stage.statuses(), ["complete", "running"]);
    let deadline = Instant::now() + PATIENCE;
    while !stage.run("status -a shop --json").status.success() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_build_is_labelled_and_can_be_deployed_again() {
    let stage = Stage::new(50);
    let without = stage.run("deploy --yes");
    assert_eq!(without.status.code(), Some(1));
    fs::write(stage.folder.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    let output = stage.run("deploy --yes --smoke-checks=false --image-label v1.2.0-ab12cd34");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}");
    assert!(
        words.contains("image: registry.fly.io/shop:v1.2.0-ab12cd34"),
        "{words}"
    );
    let shop = stage.shop();
    assert_eq!(
        shop["releases"][1]["image"],
        "registry.fly.io/shop:v1.2.0-ab12cd34"
    );
    let digest = shop["machines"][0]["digest"].as_str().unwrap().to_owned();
    let image = format!("registry.fly.io/shop:v1.2.0-ab12cd34@{digest}");
    stage.succeeds(&format!("deploy --yes --smoke-checks=false --image {image}"));
    assert_eq!(stage.shop()["machines"][0]["digest"], digest.as_str());
    stage.order(json!({"do": "image", "image": "registry.fly.io/shop:v1.2.0-ab12cd34", "gone": true}));
    assert_eq!(
        stage.run(&format!("deploy --yes --image {image}")).status.code(),
        Some(1)
    );
}

#[test]
fn groups_are_added_removed_and_filled_again() {
    let stage = Stage::new(50);
    let with_worker = FLY_TOML.replace(
        "[http_service]",
        "[processes]\n  app = \"serve\"\n  worker = \"work\"\n[http_service]\n  processes = [\"app\"]",
    );
    fs::write(stage.folder.path().join("fly.toml"), with_worker).unwrap();
    let groups = || -> Vec<(String, bool)> {
        let shop = stage.shop();
        let machines = shop["machines"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|machine| machine["state"] != "destroyed");
        machines
            .map(|one| (one["group"].as_str().unwrap().to_owned(), one["standby"] == true))
            .collect()
    };
    let words = stage.succeeds("deploy --image registry.fly.io/shop:v2 --yes --smoke-checks=false");
    assert!(
        words.contains(" * create 1 \"worker\" machine and 1 standby machine for it"),
        "{words}"
    );
    let worker = |standby| ("worker".to_owned(), standby);
    let app = ("app".to_owned(), false);
    assert_eq!(groups(), [app.clone(), app.clone(), worker(false), worker(true)]);
    fs::write(stage.folder.path().join("fly.toml"), FLY_TOML).unwrap();
    stage.succeeds("deploy --image registry.fly.io/shop:v2 --yes --smoke-checks=false");
    assert_eq!(groups(), [app.clone(), app.clone()]);
    stage.order(json!({"do": "scale", "app": "shop", "count": 0}));
    assert_eq!(groups(), []);
    stage.succeeds("deploy --image registry.fly.io/shop:v3 --yes --smoke-checks=false");
    assert_eq!(groups(), [app.clone(), app]);
}

#[test]
fn an_unreadable_world_is_an_error_and_is_not_overwritten() {
    let stage = Stage::new(1);
    fs::write(&stage.world, "{\"format\": 1, \"cut").unwrap();
    let output = stage.run("status -a shop");
    assert_eq!(output.status.code(), Some(1));
    assert!(shipctl::sandbox_order(&stage.world, json!({"do": "state"}))["error"].is_string());
    assert_eq!(fs::read_to_string(&stage.world).unwrap(), "{\"format\": 1, \"cut");
}

#[test]
fn the_journal_tells_command_lines_and_mutating_calls_in_order() {
    let stage = Stage::new(50);
    stage.succeeds("status -a shop --json");
    stage.succeeds("deploy --image registry.fly.io/shop:v2 --yes --detach");
    let journal = stage.order(json!({"do": "journal"}));
    let told: Vec<&str> = journal
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["call"].as_str().or(entry["command"][0].as_str()).unwrap())
        .collect();
    assert_eq!(told[..2], ["status", "deploy"]);
    assert!(told.contains(&"graphql mutation createRelease"), "{told:?}");
    assert!(!told.iter().any(|call| call.contains("GET")), "{told:?}");
}

#[test]
fn a_read_only_command_leaves_the_file_alone() {
    let stage = Stage::new(1);
    let before = fs::read(&stage.world).unwrap();
    for line in [
        "status -a shop --json",
        "machine list -a shop --json",
        "releases -a shop --json",
        "ips list -a shop",
    ] {
        stage.succeeds(line);
    }
    assert_eq!(fs::read(&stage.world).unwrap(), before);
}
