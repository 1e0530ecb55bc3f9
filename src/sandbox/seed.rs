//! Apps that were already deployed when the world begins.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config::{Config, Made};
use super::control::app_mut;
use super::world::{App, Millis, World};

/// An app with one release per image, and machines on the last complete one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seed {
    pub(super) app: String,
    #[serde(default = "personal")]
    pub(super) org: String,
    #[serde(default)]
    pub(super) images: Vec<String>,
    /// One per image; `complete` where absent.
    #[serde(default)]
    pub(super) statuses: Vec<String>,
    /// The primary region of the file, else `fra`, where none is named.
    #[serde(default)]
    pub(super) regions: Vec<String>,
    #[serde(default = "one")]
    pub(super) per_region: usize,
    /// The identifiers of the machines, in the order of their making.
    #[serde(default)]
    pub(super) ids: Vec<String>,
    #[serde(default = "yes")]
    pub(super) services: bool,
    #[serde(default)]
    pub(super) autostop: bool,
    #[serde(default)]
    pub(super) min_running: u64,
    #[serde(default)]
    pub(super) env: Map<String, Value>,
    #[serde(default)]
    pub(super) secrets: Map<String, Value>,
    pub(super) volume: Option<String>,
    #[serde(default)]
    pub(super) shared_ip: bool,
    /// The age of the newest release; each earlier one is as much older.
    #[serde(default = "ten_minutes")]
    pub(super) age_seconds: i64,
    /// The machines are those that this file asks for, instead of what the fields above say.
    pub(super) fly_toml: Option<String>,
    /// Machines per group and region with a `fly_toml`; two for a group with services, else one.
    pub(super) count: Option<usize>,
}

fn personal() -> String {
    "personal".to_owned()
}
fn one() -> usize {
    1
}
fn yes() -> bool {
    true
}
fn ten_minutes() -> i64 {
    600
}

/// Puts the app into the world, in place of one of the same name.
pub(super) fn seed(world: &mut World, seed: &Seed, now: Millis) -> Result<(), String> {
    let name = seed.app.clone();
    let config = match &seed.fly_toml {
        Some(text) => Some(Config::from_toml(text).map_err(|error| error.message().to_owned())?),
        None => None,
    };
    let regions = match &config {
        _ if !seed.regions.is_empty() => seed.regions.clone(),
        Some(config) => vec![config.primary_region().to_owned()],
        None => vec!["fra".to_owned()],
    };
    let mut images = seed.images.clone();
    if images.is_empty() {
        images.push(format!("registry.fly.io/{name}:v1"));
    }
    let definition = match &config {
        Some(config) => {
            let mut config = config.clone();
            config.set_app(&name);
            config.definition
        }
        None if seed.services => {
            json!({"app": name, "primary_region": regions[0], "http_service": {"internal_port": 8080}})
        }
        None => json!({"app": name, "primary_region": regions[0]}),
    };
    world.apps.insert(name.clone(), App::new(&name, &seed.org));
    world.machine_ids.extend(seed.ids.iter().cloned());
    let mut age = i64::try_from(images.len()).unwrap_or(1) * seed.age_seconds;
    for (index, image) in images.iter().enumerate() {
        world.register(image, None);
        let status = seed.statuses.get(index).map_or("complete", String::as_str);
        world.add_release(&name, image, definition.clone(), status, now - age * 1000);
        age -= seed.age_seconds;
    }
    let releases = &world.apps[&name].releases;
    let current = releases
        .iter()
        .rev()
        .find(|release| release.status == "complete")
        .cloned();
    if let Some(current) = current {
        let made = Made {
            image: &current.image,
            release_id: &current.id,
            release_version: current.version,
            flyctl_version: None,
            env: Vec::new(),
            guest: Value::Null,
            files: Vec::new(),
        };
        for region in &regions {
            match &config {
                Some(config) => {
                    for group in config.groups() {
                        let usual = if config.has_services(&group) { 2 } else { 1 };
                        for _ in 0..seed.count.unwrap_or(usual) {
                            place(
                                world,
                                &name,
                                region,
                                config.machine_config(&group, &made, None),
                                now,
                            )?;
                        }
                    }
                }
                None => {
                    for _ in 0..seed.per_region {
                        let machine = plain_config(world, seed, &made, &regions[0]);
                        place(world, &name, region, machine, now)?;
                    }
                }
            }
        }
    }
    for (key, value) in &seed.secrets {
        app_mut(world, &name)?.set_secret(key, value.as_str().unwrap_or_default(), now);
    }
    if seed.shared_ip {
        world.allocate(&name, "v6", "global", now);
        world.allocate(&name, "shared_v4", "global", now);
    }
    Ok(())
}

/// A machine that has been running for half a minute.
fn place(world: &mut World, app: &str, region: &str, config: Value, now: Millis) -> Result<(), String> {
    let id = world
        .create_machine(app, region, config, false, now)
        .map_err(|refusal| refusal.message())?;
    let backdate = world.span(30.0).max(30_000);
    let machine = app_mut(world, app)?.machine_mut(&id).ok_or("no machine")?;
    machine.run(now, 0);
    machine.started_at = Some(now - backdate);
    let (region, image) = (machine.region.clone(), machine.image_ref.clone());
    let text = format!("started {}:{}", image.repository, image.tag);
    app_mut(world, app)?.log(now, &id, &region, "info", text);
    let found = &world.apps[app];
    let next = found.machine(&id).and_then(|machine| {
        machine
            .started_at
            .and_then(|_| world.step_after_start(found, machine, now))
    });
    app_mut(world, app)?.machine_mut(&id).ok_or("no machine")?.next = next;
    Ok(())
}

fn plain_config(world: &mut World, seed: &Seed, made: &Made<'_>, primary: &str) -> Value {
    let check = json!({"type": "http", "interval": "10s", "timeout": "2s", "grace_period": "5s", "method": "GET", "path": "/health"});
    let service = json!({
        "protocol": "tcp", "internal_port": 8080, "autostop": seed.autostop, "autostart": true,
        "min_machines_running": seed.min_running,
        "ports": [{"port": 80, "handlers": ["http"], "force_https": true}, {"port": 443, "handlers": ["http", "tls"]}],
        "checks": [check], "force_instance_key": null,
    });
    let mut env = Map::new();
    env.insert("FLY_PROCESS_GROUP".to_owned(), json!("app"));
    env.insert("PRIMARY_REGION".to_owned(), json!(primary));
    env.extend(seed.env.clone());
    let mut config = json!({
        "env": env, "init": {}, "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "metadata": made.metadata("app"),
    });
    if let Some(volume) = &seed.volume {
        let id = format!("vol_{}", world.hex(16));
        config["mounts"] =
            json!([{"encrypted": true, "path": "/data", "size_gb": 3, "volume": id, "name": volume}]);
    }
    if seed.services {
        config["services"] = json!([service]);
    }
    config["image"] = json!(made.image);
    config["restart"] = json!({});
    config
}

/// Brings a group to a number of machines, like its first one, or like any of the app's.
pub(super) fn scale(
    world: &mut World,
    app: &str,
    group: &str,
    count: usize,
    now: Millis,
) -> Result<(), String> {
    let found = world.apps.get(app).ok_or_else(|| format!("no app `{app}`"))?;
    let members: Vec<_> = found
        .live()
        .filter(|machine| machine.group() == group)
        .cloned()
        .collect();
    for extra in members.iter().skip(count) {
        app_mut(world, app)?
            .machine_mut(&extra.id)
            .ok_or("no machine")?
            .destroy(now);
    }
    let model = members.first().or_else(|| found_last(world, app, group)).cloned();
    for _ in members.len()..count {
        let model = model.as_ref().ok_or("no machine to copy")?;
        let (region, config) = (model.region.clone(), model.config.clone());
        world
            .create_machine(app, &region, config, false, now)
            .map_err(|refusal| refusal.message())?;
    }
    Ok(())
}

/// The newest machine that a group ever had.
fn found_last<'a>(world: &'a World, app: &str, group: &str) -> Option<&'a super::machine::Machine> {
    world
        .apps
        .get(app)?
        .machines
        .iter()
        .rev()
        .find(|machine| machine.group() == group)
}
