//! What really serves: read from the double's own state and asked of each machine over its proxy.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::double::Double;
use crate::support::http;

/// Groups whose machines serve nobody.
const ASIDE: [&str; 3] = [
    "fly_app_release_command",
    "fly_app_console",
    "fly_app_test_machine_command",
];
/// How long a machine that sleeps may take to answer well.
const COLD_START: Duration = Duration::from_secs(9);
const LIMIT: Duration = Duration::from_secs(3);

/// One app at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// How many releases the platform knows.
    pub(crate) releases: usize,
    pub(crate) machines: Vec<Machine>,
    /// Machines that belong to no group that serves, and canaries: `group or canary (state)`.
    pub(crate) aside: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) tag: String,
    pub(crate) state: String,
    /// Changes with every update.
    pub(crate) instance: String,
    pub(crate) env: BTreeMap<String, String>,
    /// Why it is not good; none after a look that asked it and found it good.
    pub(crate) trouble: Option<String>,
}

/// The state alone; wakes and asks nobody.
pub(crate) fn glance(double: &Double, app: &str) -> Look {
    read(&double.state()["apps"][app])
}

/// The state, and what each machine answers. `named` says whether a good answer must name the tag that runs.
pub(crate) fn look(double: &Double, app: &str, named: bool) -> Look {
    let mut look = glance(double, app);
    for machine in &mut look.machines {
        machine.trouble = ask(double, app, &machine.id, named);
    }
    look
}

fn read(state: &Value) -> Look {
    let list = |name: &str| state[name].as_array().cloned().unwrap_or_default();
    let mut look = Look {
        releases: list("releases").len(),
        ..Look::default()
    };
    for machine in list("machines") {
        let text = |pointer: &str| {
            machine
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let now = text("/state");
        if now == "destroyed" || now == "destroying" {
            continue;
        }
        let group = text("/config/metadata/fly_process_group");
        let canary = machine.pointer("/config/metadata/fly_canary").is_some();
        let standby = machine
            .pointer("/config/standbys")
            .and_then(Value::as_array)
            .is_some_and(|names| !names.is_empty());
        if ASIDE.contains(&group.as_str()) || canary || standby {
            let word = if canary { "canary" } else { &group };
            look.aside.push(format!("{word} ({now})"));
            continue;
        }
        let env = machine["config"]["env"].as_object().cloned().unwrap_or_default();
        look.machines.push(Machine {
            id: text("/id"),
            tag: text("/image_ref/tag"),
            state: now,
            instance: text("/instance_id"),
            env: env
                .into_iter()
                .map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            trouble: Some("not asked".to_owned()),
        });
    }
    look
}

fn machine_of(double: &Double, app: &str, id: &str) -> Value {
    let state = double.state();
    let machines = state["apps"][app]["machines"].as_array().cloned();
    let mut machines = machines.unwrap_or_default().into_iter();
    machines.find(|machine| machine["id"] == id).unwrap_or_default()
}

/// Why a machine is not good. One that sleeps, as it may, is woken by the question.
fn ask(double: &Double, app: &str, id: &str, named: bool) -> Option<String> {
    let machine = machine_of(double, app, id);
    let serves = machine["config"]["services"]
        .as_array()
        .is_some_and(|services| !services.is_empty());
    if serves {
        // One that sleeps has its cold start first.
        let asleep = machine["state"] == "stopped";
        let patience = Instant::now() + if asleep { COLD_START } else { Duration::ZERO };
        let mut good = 0;
        while good < 2 {
            match request(double, app, &machine, named) {
                None => good += 1,
                Some(_) if Instant::now() < patience => sleep(Duration::from_millis(300)),
                Some(trouble) => return Some(trouble),
            }
        }
    }
    let machine = machine_of(double, app, id);
    let state = machine["state"].as_str().unwrap_or_default();
    if state != "started" {
        return Some(state.to_owned());
    }
    let checks = machine["checks"].as_array().cloned().unwrap_or_default();
    let failing = checks.iter().find(|check| check["status"] != "passing")?;
    Some(format!(
        "check {}",
        failing["status"].as_str().unwrap_or_default()
    ))
}

fn request(double: &Double, app: &str, machine: &Value, named: bool) -> Option<String> {
    let url = format!("{}/__app/{app}/health", double.proxy_url);
    let id = machine["id"].as_str().unwrap_or_default();
    let force = [("fly-force-instance-id", id)];
    let (status, body) = match http::send("GET", &url, &force, b"", LIMIT) {
        Ok(answer) => answer,
        Err(error) => return Some(format!("no answer: {error}")),
    };
    if status != 200 {
        return Some(format!("answers {status}"));
    }
    if !named {
        return None;
    }
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return Some("answers no JSON".to_owned());
    };
    if body["status"] != "healthy" {
        return Some(format!("says {}", body["status"]));
    }
    let own = machine.pointer("/config/env/APP_VERSION");
    let expected = own.unwrap_or(&machine["image_ref"]["tag"]);
    (&body["version"] != expected).then(|| format!("answers as {}", body["version"]))
}

impl Look {
    pub(crate) fn tags(&self) -> Vec<&str> {
        let mut tags: Vec<&str> = self.machines.iter().map(|machine| machine.tag.as_str()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    pub(crate) fn all_good(&self) -> bool {
        !self.machines.is_empty() && self.machines.iter().all(|machine| machine.trouble.is_none())
    }

    pub(crate) fn all_on(&self, tag: &str) -> bool {
        !self.machines.is_empty() && self.machines.iter().all(|machine| machine.tag == tag)
    }

    /// Whether a machine was updated, destroyed or added since `before`.
    pub(crate) fn moved_since(&self, before: &Self) -> bool {
        let known = |look: &Self| {
            let mut known: Vec<(String, String)> = look
                .machines
                .iter()
                .map(|machine| (machine.id.clone(), machine.instance.clone()))
                .collect();
            known.sort();
            known
        };
        known(self) != known(before)
    }

    /// `2 × v1 good, 1 × v2 answers 503`.
    pub(crate) fn words(&self) -> String {
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for machine in &self.machines {
            let how = machine.trouble.as_deref().unwrap_or("good");
            *counted.entry(format!("{} {how}", machine.tag)).or_default() += 1;
        }
        let mut words: Vec<String> = counted
            .into_iter()
            .map(|(what, count)| format!("{count} × {what}"))
            .collect();
        words.extend(self.aside.iter().map(|what| format!("beside: {what}")));
        if words.is_empty() {
            words.push("nothing".to_owned());
        }
        words.join(", ")
    }
}

/// Gives machines that are between two states the time to arrive.
pub(crate) fn settle() {
    sleep(Duration::from_millis(1500));
}
