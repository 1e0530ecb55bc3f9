//! An app's configuration as flyctl reads it: from a `fly.toml`, or from the definition that a release carries.

use serde_json::{Map, Value, json};

use super::duration;

/// A configuration, in the shape that flyctl sends with a release.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    /// Everything but `[build]`, which the platform does not keep.
    pub(super) definition: Value,
    /// The `[build]` table.
    pub(super) build: Value,
}

/// What makes a configuration unusable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Invalid {
    /// A value of the wrong type: the whole file is invalid (capture `deploy_config_wrong_type`).
    Type(String),
    /// A value that validation refuses, with the line that it prints before its verdict.
    Value(String),
}

/// The order in which flyctl writes the keys of a definition.
const KEYS: [&str; 22] = [
    "app",
    "primary_region",
    "kill_signal",
    "kill_timeout",
    "swap_size_mb",
    "console_command",
    "host_dedication_id",
    "experimental",
    "deploy",
    "env",
    "processes",
    "mounts",
    "http_service",
    "services",
    "checks",
    "files",
    "vm",
    "statics",
    "metrics",
    "restart",
    "machine_checks",
    "container",
];

/// Where a table's keys hold durations, and what a bare integer means there, in seconds (REFERENCE 3.2).
const NANOSECOND: f64 = 1e-9;
const MILLISECOND: f64 = 1e-3;

impl Config {
    /// Reads the text of a `fly.toml`; keys that flyctl does not know are passed over, as it does.
    pub(super) fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        let table: toml::Table = toml::from_str(text)?;
        let mut all = serde_json::to_value(table).unwrap_or_default();
        let build = all["build"].take();
        for (old, new) in [("mount", "mounts"), ("compute", "vm"), ("computes", "vm")] {
            if let Some(found) = all.as_object_mut().and_then(|all| all.remove(old)) {
                all[new] = found;
            }
        }
        for list in ["mounts", "vm", "files", "restart"] {
            if all[list].is_object() {
                all[list] = json!([all[list].take()]);
            }
        }
        let mut definition = Map::new();
        for key in KEYS {
            let value = all[key].take();
            if !value.is_null() {
                definition.insert(key.to_owned(), value);
            }
        }
        let mut definition = Value::Object(definition);
        normalise(&mut definition);
        Ok(Self { definition, build })
    }

    pub(super) fn from_definition(definition: Value) -> Self {
        Self {
            definition,
            build: Value::Null,
        }
    }

    pub(super) fn app(&self) -> Option<&str> {
        self.definition["app"].as_str().filter(|app| !app.is_empty())
    }

    pub(super) fn set_app(&mut self, app: &str) {
        self.definition["app"] = json!(app);
    }

    pub(super) fn primary_region(&self) -> &str {
        self.definition["primary_region"].as_str().unwrap_or("fra")
    }

    pub(super) fn strategy(&self) -> Option<&str> {
        self.definition["deploy"]["strategy"].as_str()
    }

    pub(super) fn release_command(&self) -> Option<&str> {
        self.definition["deploy"]["release_command"]
            .as_str()
            .filter(|command| !command.is_empty())
    }

    /// A duration of `[deploy]`, in seconds.
    pub(super) fn deploy_seconds(&self, key: &str) -> Option<f64> {
        duration::parse(self.definition["deploy"][key].as_str()?)
    }

    pub(super) fn max_unavailable(&self) -> Option<f64> {
        self.definition["deploy"]["max_unavailable"].as_f64()
    }

    pub(super) fn image(&self) -> Option<&str> {
        self.build["image"].as_str()
    }

    /// The process groups, sorted; `app` where none is named.
    pub(super) fn groups(&self) -> Vec<String> {
        let mut found: Vec<String> = self.definition["processes"]
            .as_object()
            .map(|groups| groups.keys().cloned().collect())
            .unwrap_or_default();
        if found.is_empty() {
            found.push("app".to_owned());
        }
        found.sort();
        found
    }

    /// What flyctl's own validation says before anything is asked of the platform.
    pub(super) fn problem(&self) -> Option<Invalid> {
        let port = &self.definition["http_service"]["internal_port"];
        if port.is_string() {
            return Some(Invalid::Type(
                "json: cannot unmarshal string into Go struct field HTTPService.http_service.internal_port of type int"
                    .to_owned(),
            ));
        }
        if let Some(strategy) = self.strategy()
            && !matches!(strategy, "canary" | "rolling" | "immediate" | "bluegreen")
        {
            return Some(Invalid::Value(format!(
                "unsupported deployment strategy '{strategy}'; Apps v2 supports the following strategies: \
                 canary, rolling, immediate, bluegreen"
            )));
        }
        let groups = self.groups();
        let unnamed = self
            .services()
            .into_iter()
            .find(|service| groups.len() > 1 && service["processes"].as_array().is_none_or(Vec::is_empty));
        unnamed.map(|_| {
            Invalid::Value(format!(
                "Service has no processes set but app has {} processes defined; update fly.toml to set processes \
                 for each service",
                groups.len()
            ))
        })
    }

    /// `[http_service]` and `[[services]]` as one list of services in the file's own words.
    fn services(&self) -> Vec<Value> {
        let mut found = Vec::new();
        let http = &self.definition["http_service"];
        if http.is_object() {
            let mut service = http.clone();
            service["protocol"] = json!("tcp");
            let mut plain = json!({"port": 80, "handlers": ["http"]});
            if http["force_https"] == true {
                plain["force_https"] = json!(true);
            }
            service["ports"] = json!([plain, {"port": 443, "handlers": ["http", "tls"]}]);
            let checks = http["checks"].as_array().cloned().unwrap_or_default();
            service["checks"] = checks.into_iter().map(|check| typed(&check, "http")).collect();
            found.push(service);
        }
        for service in self.definition["services"].as_array().into_iter().flatten() {
            let mut service = service.clone();
            let of = |key: &str, kind: &'static str| -> Vec<Value> {
                let list = service[key].as_array().cloned().unwrap_or_default();
                list.into_iter().map(|check| typed(&check, kind)).collect()
            };
            let mut checks = of("tcp_checks", "tcp");
            checks.extend(of("http_checks", "http"));
            service["checks"] = checks.into();
            found.push(service);
        }
        found
    }

    /// Whether requests from outside lead to a group.
    pub(super) fn has_services(&self, group: &str) -> bool {
        !self.machine_services(group).is_empty()
    }

    /// The services of a group as a machine's configuration spells them (capture `groups_status_json`).
    fn machine_services(&self, group: &str) -> Vec<Value> {
        self.services()
            .iter()
            .filter(|service| {
                service["processes"]
                    .as_array()
                    .is_none_or(|groups| groups.is_empty() || groups.iter().any(|one| one == group))
            })
            .map(machine_service)
            .collect()
    }

    /// The named checks of a group.
    fn machine_checks(&self, group: &str) -> Map<String, Value> {
        let mut found = Map::new();
        for (name, check) in self.definition["checks"].as_object().into_iter().flatten() {
            let groups = check["processes"].as_array();
            if groups.is_some_and(|groups| !groups.iter().any(|one| one == group)) {
                continue;
            }
            let mut one = check.clone();
            if let Some(fields) = one.as_object_mut() {
                fields.remove("processes");
                if !fields.contains_key("port") {
                    fields.insert(
                        "port".to_owned(),
                        self.definition["http_service"]["internal_port"].clone(),
                    );
                }
            }
            found.insert(name.clone(), one);
        }
        found
    }

    /// What a machine of a group is told to be, on top of what it keeps of `before`: its mounts, size and standbys.
    pub(super) fn machine_config(&self, group: &str, made: &Made<'_>, before: Option<&Value>) -> Value {
        let mut env: Vec<(String, String)> = self.definition["env"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), text_of(value)))
            .collect();
        env.extend(made.env.iter().cloned());
        env.push(("FLY_PROCESS_GROUP".to_owned(), group.to_owned()));
        env.push(("PRIMARY_REGION".to_owned(), self.primary_region().to_owned()));
        // The last one given wins, and the map is printed sorted.
        let env: std::collections::BTreeMap<_, _> = env.into_iter().collect();

        let kept = |key: &str| {
            before
                .map(|before| &before[key])
                .filter(|value| !value.is_null())
                .cloned()
        };
        let mut config = Map::new();
        config.insert("env".to_owned(), json!(env));
        let command = self.definition["processes"][group].as_str().unwrap_or_default();
        let init = if command.is_empty() {
            json!({})
        } else {
            json!({"cmd": command.split_whitespace().collect::<Vec<_>>()})
        };
        config.insert("init".to_owned(), init);
        config.insert("guest".to_owned(), self.guest(group, made, kept("guest")));
        config.insert("metadata".to_owned(), made.metadata(group));
        if let Some(mounts) = kept("mounts") {
            config.insert("mounts".to_owned(), mounts);
        }
        let services = self.machine_services(group);
        if !services.is_empty() {
            config.insert("services".to_owned(), services.into());
        }
        let checks = self.machine_checks(group);
        if !checks.is_empty() {
            config.insert("checks".to_owned(), Value::Object(checks));
        }
        config.insert("image".to_owned(), json!(made.image));
        if !made.files.is_empty() {
            config.insert("files".to_owned(), made.files.clone().into());
        }
        config.insert("restart".to_owned(), json!({}));
        if let Some(standbys) = kept("standbys") {
            config.insert("standbys".to_owned(), standbys);
        }
        Value::Object(config)
    }

    fn guest(&self, group: &str, made: &Made<'_>, before: Option<Value>) -> Value {
        let mut guest = before.unwrap_or_else(|| json!({"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}));
        let sizes = self.definition["vm"].as_array().into_iter().flatten();
        let sizes = sizes.filter(|size| {
            size["processes"]
                .as_array()
                .is_none_or(|groups| groups.iter().any(|one| one == group))
        });
        for size in sizes.chain([&made.guest]) {
            let named = size["size"].as_str().unwrap_or_default();
            if let Some((kind, cpus)) = named.split_once("-cpu-").or_else(|| named.split_once('-')) {
                guest["cpu_kind"] = json!(kind);
                let cpus = cpus.trim_end_matches('x').parse::<u64>().unwrap_or(1);
                guest["cpus"] = json!(cpus);
                guest["memory_mb"] = json!(cpus * if kind == "performance" { 2048 } else { 256 });
            }
            for key in ["cpu_kind", "cpus", "memory_mb"] {
                if !size[key].is_null() {
                    guest[key] = size[key].clone();
                }
            }
            if let Some(memory) = memory_of(&size["memory"]) {
                guest["memory_mb"] = json!(memory);
            }
        }
        guest
    }
}

/// What a deploy adds to a machine's configuration.
pub(super) struct Made<'a> {
    pub(super) image: &'a str,
    pub(super) release_id: &'a str,
    pub(super) release_version: u64,
    /// Absent for what this flyctl did not write itself.
    pub(super) flyctl_version: Option<&'a str>,
    /// `-e`: later ones win.
    pub(super) env: Vec<(String, String)>,
    /// `--vm-*`, in the words of `[[vm]]`.
    pub(super) guest: Value,
    /// `--file-*` and `[[files]]`.
    pub(super) files: Vec<Value>,
}

impl Made<'_> {
    pub(super) fn metadata(&self, group: &str) -> Value {
        let mut metadata = Map::new();
        if let Some(version) = self.flyctl_version {
            metadata.insert("fly_flyctl_version".to_owned(), json!(version));
        }
        metadata.insert("fly_platform_version".to_owned(), json!("v2"));
        metadata.insert("fly_process_group".to_owned(), json!(group));
        metadata.insert("fly_release_id".to_owned(), json!(self.release_id));
        metadata.insert(
            "fly_release_version".to_owned(),
            json!(self.release_version.to_string()),
        );
        Value::Object(metadata)
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Megabytes of `512mb`, `1gb`, or a bare number.
fn memory_of(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let text = value.as_str()?.to_ascii_lowercase();
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    Some(if text.contains('g') { number * 1024 } else { number })
}

/// A check with its kind, in the order in which the platform spells one.
fn typed(check: &Value, kind: &str) -> Value {
    let mut found = Map::new();
    found.insert("type".to_owned(), json!(kind));
    let keys = [
        "port",
        "interval",
        "timeout",
        "grace_period",
        "method",
        "path",
        "protocol",
        "headers",
    ];
    for key in keys {
        if !check[key].is_null() {
            found.insert(key.to_owned(), check[key].clone());
        }
    }
    Value::Object(found)
}

fn machine_service(service: &Value) -> Value {
    let mut found = Map::new();
    let protocol = service["protocol"].as_str().unwrap_or("tcp");
    found.insert("protocol".to_owned(), json!(protocol));
    found.insert("internal_port".to_owned(), service["internal_port"].clone());
    for (from, to) in [
        ("auto_stop_machines", "autostop"),
        ("auto_start_machines", "autostart"),
        ("min_machines_running", "min_machines_running"),
    ] {
        let value = match service[from].as_str() {
            Some("stop") => json!(true),
            Some("off") => json!(false),
            _ => service[from].clone(),
        };
        if !value.is_null() {
            found.insert(to.to_owned(), value);
        }
    }
    found.insert("ports".to_owned(), service["ports"].clone());
    if !service["concurrency"].is_null() {
        found.insert("concurrency".to_owned(), service["concurrency"].clone());
    }
    if service["checks"]
        .as_array()
        .is_some_and(|checks| !checks.is_empty())
    {
        found.insert("checks".to_owned(), service["checks"].clone());
    }
    found.insert("force_instance_key".to_owned(), Value::Null);
    Value::Object(found)
}

/// Rewrites durations as flyctl does: bare integers by the table that they stand in, all as Go prints them.
fn normalise(definition: &mut Value) {
    let deploy = ["wait_timeout", "release_command_timeout"];
    for key in deploy {
        respell(&mut definition["deploy"], key, NANOSECOND);
    }
    drop_if_null(definition, "deploy");
    respell(definition, "kill_timeout", 1.0);
    let checks = |list: &mut Value, unit: f64| {
        for check in list.as_array_mut().into_iter().flatten() {
            for key in ["interval", "timeout", "grace_period"] {
                respell(check, key, unit);
            }
        }
    };
    if let Some(http) = definition.get_mut("http_service")
        && let Some(list) = http.get_mut("checks")
    {
        checks(list, NANOSECOND);
    }
    for service in definition
        .get_mut("services")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        for key in ["tcp_checks", "http_checks"] {
            if let Some(list) = service.get_mut(key) {
                checks(list, MILLISECOND);
            }
        }
    }
    for (_, check) in definition
        .get_mut("checks")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        for key in ["interval", "timeout", "grace_period"] {
            respell(check, key, MILLISECOND);
        }
    }
    for (_, value) in definition
        .get_mut("env")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        *value = json!(text_of(value));
    }
}

fn drop_if_null(value: &mut Value, key: &str) {
    if let Some(fields) = value.as_object_mut()
        && fields.get(key).is_some_and(Value::is_null)
    {
        fields.remove(key);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a duration in a file is far below the precision of f64"
)]
fn respell(table: &mut Value, key: &str, unit: f64) {
    let Some(value) = table.get_mut(key) else { return };
    let seconds = match (value.as_i64(), value.as_str()) {
        (Some(number), _) => Some(number as f64 * unit),
        (_, Some(text)) => duration::parse(text),
        _ => None,
    };
    if let Some(seconds) = seconds {
        *value = json!(duration::print(seconds));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Config, Invalid, Made};

    const FILE: &str = r#"
app = "shop"
primary_region = "fra"
[build]
  image = "registry.fly.io/shop:v7"
[deploy]
  release_command = "bin/migrate up"
  wait_timeout = 300
[env]
  PORT = 8080
[processes]
  web = "serve --port 8080"
  worker = "work"
[http_service]
  internal_port = 8080
  force_https = true
  auto_start_machines = true
  auto_stop_machines = "stop"
  processes = ["web"]
  [[http_service.checks]]
    interval = "10s"
    timeout = "2s"
    path = "/health"
[checks.alive]
  type = "tcp"
  interval = 15000
  processes = ["worker"]
"#;

    fn made() -> Made<'static> {
        Made {
            image: "registry.fly.io/shop:v7",
            release_id: "r1",
            release_version: 3,
            flyctl_version: None,
            env: vec![("PORT".to_owned(), "9".to_owned())],
            guest: json!({"memory": "1gb"}),
            files: Vec::new(),
        }
    }

    #[test]
    fn a_file_becomes_a_definition_without_its_build() {
        let config = Config::from_toml(FILE).unwrap();
        assert_eq!(config.image(), Some("registry.fly.io/shop:v7"));
        assert!(config.definition["build"].is_null());
        assert_eq!(config.definition["deploy"]["wait_timeout"], "300ns");
        assert_eq!(config.definition["checks"]["alive"]["interval"], "15s");
        assert_eq!(config.groups(), ["web", "worker"]);
        assert_eq!(config.problem(), None);
    }

    #[test]
    fn each_group_gets_its_own_services_and_checks() {
        let config = Config::from_toml(FILE).unwrap();
        let web = config.machine_config("web", &made(), None);
        assert_eq!(web["services"][0]["autostop"], true);
        assert_eq!(web["services"][0]["checks"][0]["type"], "http");
        assert_eq!(web["init"]["cmd"], json!(["serve", "--port", "8080"]));
        assert_eq!(web["env"]["PORT"], "9");
        assert_eq!(web["guest"]["memory_mb"], 1024);
        assert!(web["checks"].is_null());
        let before = json!({"mounts": [{"name": "data"}], "guest": {"cpus": 4}, "standbys": ["a"]});
        let worker = config.machine_config("worker", &made(), Some(&before));
        assert!(worker["services"].is_null());
        assert_eq!(worker["checks"]["alive"]["port"], 8080);
        assert_eq!(worker["mounts"][0]["name"], "data");
        assert_eq!(worker["guest"]["cpus"], 4);
        assert_eq!(worker["standbys"][0], "a");
    }

    #[test]
    fn what_flyctl_refuses_is_refused() {
        let wrong = Config::from_toml("[http_service]\ninternal_port = \"many\"").unwrap();
        assert!(matches!(wrong.problem(), Some(Invalid::Type(_))));
        let strategy = Config::from_toml("[deploy]\nstrategy = \"yolo\"").unwrap();
        assert!(matches!(strategy.problem(), Some(Invalid::Value(_))));
        let text = "[processes]\na = \"a\"\nb = \"b\"\n[http_service]\ninternal_port = 1";
        assert!(matches!(
            Config::from_toml(text).unwrap().problem(),
            Some(Invalid::Value(_))
        ));
        assert!(Config::from_toml("app = \"shop\n[broken\n").is_err());
    }
}
