//! One double, one project folder, one machine's state of shipctl; calls of shipctl or of the bare flyctl in it.

use std::cell::{Cell, RefCell};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::call::{Call, Ended};
use crate::support::double::Double;
use crate::support::mask::{Asked, Face, Mask};
use crate::support::oracle::Excuse;
use crate::support::truth::{self, Look};

/// Who plays: the same scenario is played with shipctl and with the bare flyctl.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Player {
    Shipctl,
    Bare,
}

pub(crate) struct Stage {
    folder: tempfile::TempDir,
    pub(crate) double: Double,
    pub(crate) flyctl: PathBuf,
    pub(crate) player: Player,
    /// Variables of this scenario; none removes one.
    env: RefCell<Vec<(String, Option<String>)>>,
    pub(crate) complaints: RefCell<Vec<String>>,
    pub(crate) log: RefCell<String>,
    pub(crate) excuse: Cell<Excuse>,
    /// Whether an answer must name the tag that runs.
    pub(crate) named: Cell<bool>,
}

/// A `fly.toml`: what stands before the service, in it, and whether it has a check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fly<'t> {
    pub(crate) app: &'t str,
    pub(crate) top: &'t str,
    pub(crate) service: &'t str,
    pub(crate) checked: bool,
}

pub(crate) const PLAIN: Fly<'static> = Fly {
    app: "shop",
    top: "",
    service: "",
    checked: true,
};
pub(crate) const UNCHECKED: Fly<'static> = Fly {
    checked: false,
    ..PLAIN
};
pub(crate) const MIGRATING: Fly<'static> = Fly {
    top: "[deploy]\n  release_command = \"bin/migrate up\"\n",
    ..PLAIN
};
pub(crate) const SLEEPY: Fly<'static> = Fly {
    service: "  auto_stop_machines = true\n  min_machines_running = 0\n",
    ..PLAIN
};

impl Fly<'_> {
    pub(crate) fn text(&self) -> String {
        let check = "  [[http_service.checks]]\n    interval = \"10s\"\n    timeout = \"2s\"\n    grace_period = \"1s\"\n    \
                     method = \"GET\"\n    path = \"/health\"\n";
        format!(
            "app = \"{}\"\nprimary_region = \"fra\"\n{}\n[http_service]\n  internal_port = 8080\n  \
             auto_start_machines = true\n{}{}",
            self.app,
            self.top,
            self.service,
            if self.checked { check } else { "" }
        )
    }
}

/// What shipctl.toml says unless a scenario writes its own: short times, so that the whole is played in minutes.
pub(crate) const QUICK: &str = "[verify]\ntimeout = \"10s\"\nbake = \"1s\"\n";

impl Stage {
    pub(crate) fn new(line: &str, flyctl: PathBuf, player: Player) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("shipctl-real-")
            .tempdir()
            .unwrap();
        for name in ["double", "work", "state", "cache"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let double = Double::start(line, &folder.path().join("double"));
        double.order(&json!({
            "do": "settings", "start_seconds": 0.2, "health_seconds": 0.6, "release_seconds": 0.5,
            "backdate_start_seconds": 11,
        }));
        let stage = Self {
            folder,
            double,
            flyctl,
            player,
            env: RefCell::default(),
            complaints: RefCell::default(),
            log: RefCell::default(),
            excuse: Cell::default(),
            named: Cell::new(true),
        };
        stage.write("shipctl.toml", QUICK);
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.path("work")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The usual beginning: two machines on `v1`, and its file.
    pub(crate) fn usual(&self, fly: Fly<'_>) {
        self.seed(&json!({}));
        self.write("fly.production.toml", &fly.text());
    }

    /// The usual beginning, `v1` verified by a ledger that knows it.
    pub(crate) fn trusted(&self, fly: Fly<'_>) {
        self.usual(fly);
        self.trust();
    }

    /// Releases of these tags that only flyctl knows, the last of them running and verified.
    pub(crate) fn trusted_on(&self, tags: &[&str]) {
        let image = |tag: &&str| format!("registry.fly.io/shop:{tag}");
        let images: Vec<String> = tags.iter().map(image).collect();
        self.seed(&json!({"images": images}));
        self.write("fly.production.toml", &PLAIN.text());
        self.trust();
    }

    /// The usual beginning, and so long a bake for what comes after it.
    pub(crate) fn trusted_with(&self, bake: &str) {
        self.usual(PLAIN);
        self.set("SHIPCTL_VERIFY_BAKE", Some("0s"));
        self.trust();
        self.set("SHIPCTL_VERIFY_BAKE", Some(bake));
    }

    /// An app that runs already; what `changes` names stands over the defaults.
    pub(crate) fn seed(&self, changes: &Value) {
        let mut order = json!({
            "do": "seed", "app": "shop", "images": ["registry.fly.io/shop:v1"], "per_region": 2,
        });
        for (name, value) in changes.as_object().unwrap() {
            order[name] = value.clone();
        }
        self.double.order(&order);
        // A seeded machine passes its checks as late as any other.
        sleep(Duration::from_millis(700));
    }

    pub(crate) fn settings(&self, settings: &Value) {
        let mut order = settings.clone();
        order["do"] = json!("settings");
        self.double.order(&order);
    }

    pub(crate) fn set(&self, name: &str, value: Option<&str>) {
        let pair = (name.to_owned(), value.map(str::to_owned));
        self.env.borrow_mut().push(pair);
    }

    /// What a child of this stage gets.
    pub(crate) fn variables(&self, player: Player) -> Vec<(String, String)> {
        let mut all = self.double.env.clone();
        // An empty or other FLY_ACCESS_TOKEN hides FLY_API_TOKEN: one of them is enough.
        all.retain(|(name, _)| name != "FLY_ACCESS_TOKEN");
        all.push(("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()));
        if player == Player::Shipctl {
            let text = |name: &str| self.path(name).display().to_string();
            all.extend([
                ("XDG_STATE_HOME".to_owned(), text("state")),
                ("XDG_CACHE_HOME".to_owned(), text("cache")),
                ("SHIPCTL_FLYCTL".to_owned(), self.flyctl.display().to_string()),
                (
                    "SHIPCTL_HEALTH_URL".to_owned(),
                    format!("{}/__app/{{app}}", self.double.proxy_url),
                ),
            ]);
        }
        for (name, value) in self.env.borrow().iter() {
            all.retain(|(known, _)| known != name);
            all.extend(value.clone().map(|value| (name.clone(), value)));
        }
        all
    }

    /// Puts a face in front of the app, as long as what is given back lives.
    pub(crate) fn masked(&self, face: impl Fn(&Asked) -> Face + Send + Sync + 'static) -> Mask {
        self.masked_at(([127, 0, 0, 1], 0).into(), face)
    }

    pub(crate) fn masked_at(
        &self,
        at: SocketAddr,
        face: impl Fn(&Asked) -> Face + Send + Sync + 'static,
    ) -> Mask {
        let mask = Mask::of(&self.double, "shop", at, face);
        self.set("SHIPCTL_HEALTH_URL", Some(&mask.url));
        mask
    }

    pub(crate) fn is_bare(&self) -> bool {
        self.player == Player::Bare
    }

    /// `shipctl verify` where shipctl plays: what serves becomes a verified release of its ledger.
    pub(crate) fn trust(&self) {
        if !self.is_bare() {
            let ended = self.shipctl(&["verify", "production"]).run();
            self.insist(
                ended.code == 0,
                &format!("v1 is verified first, not {}", ended.code),
            );
        }
    }

    /// The deploy of `shop:TAG` that is judged, by whoever plays.
    pub(crate) fn deploy(&self, tag: &str) -> Call<'_> {
        Call::deploy(self, tag)
    }

    /// A deploy that a scenario begins with, by whoever plays; it must end with this code where that is shipctl's.
    pub(crate) fn deployed(&self, tag: &str, code: i32) {
        let ended = self.deploy(tag).run();
        if !self.is_bare() {
            self.insist(
                ended.code == code,
                &format!("{tag} ends with {code}, not {}", ended.code),
            );
        }
    }

    /// The same where flyctl v0.2.4 now and then meets its own lease, as it destroys a machine: shipctl may need a second
    /// try, and a third, once that lease has ended.
    pub(crate) fn deployed_at_last(&self, tag: &str) {
        for _ in 0..2 {
            if self.deploy(tag).run().code == 0 {
                return;
            }
            sleep(Duration::from_secs(14));
        }
        self.deployed(tag, 0);
    }

    pub(crate) fn rollback(&self, wanted: &str) -> Call<'_> {
        self.shipctl(&["rollback", "production", "--yes"]).wants(wanted)
    }

    pub(crate) fn verify(&self, wanted: &str) -> Call<'_> {
        self.excuse(|excuse| excuse.read_only = true);
        self.shipctl(&["verify", "production"]).wants(wanted)
    }

    pub(crate) fn flyctl(&self, args: &[&str]) -> Call<'_> {
        Call::flyctl(self, args)
    }

    pub(crate) fn shipctl(&self, args: &[&str]) -> Call<'_> {
        Call::shipctl(self, args)
    }

    /// A call of the real flyctl by somebody else.
    pub(crate) fn bare(&self, args: &[&str]) -> Ended {
        self.flyctl(args).run()
    }

    /// Somebody deploys with the bare flyctl.
    pub(crate) fn bare_deploy(&self, tag: &str, flags: &[&str]) -> Ended {
        let image = format!("registry.fly.io/shop:{tag}");
        let mut args = vec!["deploy", "-c", "fly.production.toml", "--image", &image, "--yes"];
        args.extend(flags);
        self.bare(&args)
    }

    pub(crate) fn glance(&self) -> Look {
        truth::glance(&self.double, "shop")
    }

    /// The tags that machines have now, each once.
    pub(crate) fn tags(&self) -> Vec<String> {
        self.glance().tags().into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn machines(&self) -> Vec<String> {
        self.glance()
            .machines
            .into_iter()
            .map(|machine| machine.id)
            .collect()
    }

    pub(crate) fn stop_all(&self) {
        self.each_machine("stop");
    }

    pub(crate) fn each_machine(&self, action: &str) {
        for id in self.machines() {
            self.double
                .order(&json!({"do": "machine", "app": "shop", "machine": id, "action": action}));
        }
    }

    /// Whether the API was asked for something whose label contains `label`, so far.
    pub(crate) fn asked(&self, label: &str) -> bool {
        self.calls(label) > 0
    }

    pub(crate) fn calls(&self, label: &str) -> usize {
        let journal = self.double.journal();
        journal
            .iter()
            .filter(|entry| entry["op"].as_str().is_some_and(|op| op.contains(label)))
            .count()
    }

    /// A condition of the scenario beside the exit code.
    pub(crate) fn insist(&self, holds: bool, what: &str) {
        if !holds {
            self.complaints.borrow_mut().push(what.to_owned());
        }
    }

    pub(crate) fn excuse(&self, change: impl FnOnce(&mut Excuse)) {
        let mut excuse = self.excuse.get();
        change(&mut excuse);
        self.excuse.set(excuse);
    }

    /// Waits for a condition of the world; false when it did not come true in time.
    pub(crate) fn until(&self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if holds(self) {
                return true;
            }
            sleep(Duration::from_millis(60));
        }
        false
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A deploy with a release command leaves an agent of flyctl behind, which serves this folder alone.
        if self.path("double/home/.fly/fly-agent.sock").exists() {
            self.bare(&["agent", "stop"]);
        }
    }
}
