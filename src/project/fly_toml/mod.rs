//! `fly.<env>.toml` as flyctl reads it, and what shipctl needs of it.
//!
//! Reading is lenient: what flyctl takes in several forms is taken in all of them, and what has a wrong type is as
//! if it were absent. What is wrong with a file is said by [`check`].

pub(crate) mod check;
pub(crate) mod groups;
pub(crate) mod lint;
mod schema;
pub(crate) mod secrets;

use std::collections::BTreeMap;
use std::time::Duration;

use toml::{Table, Value};

use super::document::Document;
use super::duration;

pub(crate) use groups::{CheckConfig, GroupConfig, PublicPort};

/// The strategies that flyctl knows (REFERENCE 2.1).
pub(crate) const STRATEGIES: [&str; 4] = ["rolling", "immediate", "canary", "bluegreen"];

/// The group that a file without `[processes]` has.
pub(crate) const DEFAULT_GROUP: &str = "app";

/// What `[[vm]]` and a machine's `guest` call alike (REFERENCE 3.2).
const SIZE_KEYS: [&str; 7] = [
    "cpu_kind",
    "cpus",
    "memory_mb",
    "gpus",
    "gpu_kind",
    "host_dedication_id",
    "kernel_args",
];

/// A configuration of an app. Keys that shipctl does not need stay in it unread.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FlyToml {
    pub(crate) app: Option<String>,
    pub(crate) primary_region: Option<String>,
    /// `[deploy] strategy`, as written.
    pub(crate) strategy: Option<String>,
    pub(crate) release_command: Option<String>,
    pub(crate) release_command_timeout: Option<Duration>,
    pub(crate) wait_timeout: Option<Duration>,
    /// `[build] image`.
    pub(crate) image: Option<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// The `local_path` of each of `[[files]]` that has one; relative to flyctl's working directory.
    pub(crate) files: Vec<String>,
    /// Names and commands; empty where the file names none (one group `app`).
    pub(crate) processes: BTreeMap<String, String>,
    table: Table,
}

impl FlyToml {
    /// Reads as much as can be read; an unreadable text is an empty configuration.
    pub(crate) fn parse(text: &str) -> Self {
        Self::of_table(Document::parse("", text).0.root.to_table())
    }

    /// What `flyctl config show` prints (REFERENCE 1.5): the same keys, durations as text, absent ones as `null`.
    pub(crate) fn from_json(json: &serde_json::Value) -> Self {
        match to_toml(json) {
            Some(Value::Table(table)) => Self::of_table(table),
            _ => Self::default(),
        }
    }

    pub(crate) fn of_table(table: Table) -> Self {
        let deploy = table.get("deploy");
        Self {
            app: text(table.get("app")),
            primary_region: text(table.get("primary_region")),
            strategy: text(inside(deploy, "strategy")),
            release_command: text(inside(deploy, "release_command")),
            release_command_timeout: duration_of(
                inside(deploy, "release_command_timeout"),
                BareNumber::Nanoseconds,
            ),
            wait_timeout: duration_of(inside(deploy, "wait_timeout"), BareNumber::Nanoseconds),
            image: text(inside(table.get("build"), "image")),
            env: merged(table.get("env")),
            files: tables(table.get("files"))
                .filter_map(|file| text(file.get("local_path")))
                .collect(),
            processes: match table.get("processes") {
                // An array of tables is accepted by flyctl and then ignored.
                Some(names @ Value::Table(_)) => merged(Some(names)),
                _ => BTreeMap::new(),
            },
            table,
        }
    }

    /// The process groups by name; `app` where the file names none.
    pub(crate) fn groups(&self) -> Vec<String> {
        if self.processes.is_empty() {
            vec![DEFAULT_GROUP.to_owned()]
        } else {
            self.processes.keys().cloned().collect()
        }
    }

    /// What the file says of one group; of a group that it does not name, nothing.
    pub(crate) fn group(&self, name: &str) -> GroupConfig {
        groups::group(&self.table, name, &self.groups())
    }

    /// The group that the app's own address leads to, and what is said of it.
    pub(crate) fn public_group(&self) -> Option<(String, GroupConfig)> {
        self.groups()
            .into_iter()
            .map(|name| {
                let group = self.group(&name);
                (name, group)
            })
            .filter(|(_, group)| group.public_http)
            .min_by_key(|(_, group)| group.public_port.map(PublicPort::rank))
    }

    /// The longest `grace_period` of any check of any group.
    pub(crate) fn grace_period(&self) -> Option<Duration> {
        self.groups()
            .iter()
            .flat_map(|name| self.group(name).checks)
            .filter_map(|check| check.grace_period)
            .max()
    }

    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
        let env = self.env.iter();
        let env: Table = env
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        self.table.insert("env".to_owned(), Value::Table(env));
    }

    /// Whether it names sizes of machines. Where a file names none, flyctl leaves them as they are (REFERENCE 3.2).
    pub(crate) fn names_sizes(&self) -> bool {
        ["vm", "compute", "computes"]
            .iter()
            .filter_map(|key| self.table.get(*key))
            .any(|sizes| !sizes.as_array().is_some_and(Vec::is_empty))
    }

    /// Names a size for each of its process groups, as the `guest` of its machines says it.
    pub(crate) fn set_sizes(&mut self, guests: &BTreeMap<String, serde_json::Value>) {
        let size = |(group, guest): (&String, &serde_json::Value)| {
            let Some(Value::Table(guest)) = to_toml(guest) else {
                return None;
            };
            let mut size: Table = guest
                .into_iter()
                .filter(|(key, _)| SIZE_KEYS.contains(&key.as_str()))
                .collect();
            let group = Value::String(group.clone());
            size.insert("processes".to_owned(), Value::Array(vec![group]));
            Some(Value::Table(size))
        };
        let groups = self.groups();
        let own = guests.iter().filter(|(group, _)| groups.contains(*group));
        let sizes: Vec<Value> = own.filter_map(size).collect();
        if !sizes.is_empty() {
            self.table.insert("vm".to_owned(), Value::Array(sizes));
        }
    }

    /// For shipping an image that exists, as a rollback does: TOML without `[build]`, and without the migration
    /// unless it is to be kept.
    pub(crate) fn without_build_and_release_command(&self, keep_release_command: bool) -> String {
        let mut table = self.table.clone();
        table.remove("build");
        if !keep_release_command && let Some(Value::Table(deploy)) = table.get_mut("deploy") {
            deploy.remove("release_command");
        }
        toml::to_string(&table).unwrap_or_default()
    }
}

/// What a number without a unit means to flyctl, which differs by key (REFERENCE 3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BareNumber {
    /// `[checks]` and `services.*_checks`.
    Milliseconds,
    /// `[deploy]` and `http_service.checks`.
    Nanoseconds,
}

/// A duration as flyctl reads it.
fn duration_of(value: Option<&Value>, bare: BareNumber) -> Option<Duration> {
    let unit = match bare {
        BareNumber::Milliseconds => 1_000_000,
        BareNumber::Nanoseconds => 1,
    };
    let nanoseconds = match value? {
        Value::String(text) => duration::parse_go(text)?,
        Value::Integer(count) => count.checked_mul(unit)?,
        #[expect(clippy::cast_possible_truncation, reason = "flyctl cuts the fraction off too")]
        Value::Float(count) => (*count as i64).checked_mul(unit)?,
        _ => return None,
    };
    Some(duration::from_nanoseconds(nanoseconds))
}

/// A text that is not empty.
fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn inside<'a>(value: Option<&'a Value>, key: &str) -> Option<&'a Value> {
    value?.as_table()?.get(key)
}

/// A table or an array of tables, each of them.
fn tables(value: Option<&Value>) -> impl Iterator<Item = &Table> {
    let (one, many) = match value {
        Some(Value::Table(table)) => (Some(table), &[][..]),
        Some(Value::Array(items)) => (None, items.as_slice()),
        _ => (None, &[][..]),
    };
    one.into_iter().chain(many.iter().filter_map(Value::as_table))
}

/// A map of texts; other scalars are turned into texts, as flyctl does for `[env]`.
fn merged(value: Option<&Value>) -> BTreeMap<String, String> {
    tables(value)
        .flat_map(Table::iter)
        .filter_map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Table(_) | Value::Array(_) => return None,
                other => other.to_string(),
            };
            Some((name.clone(), text))
        })
        .collect()
}

/// JSON's `null` has no counterpart: the key is left out.
fn to_toml(json: &serde_json::Value) -> Option<Value> {
    Some(match json {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(on) => Value::Boolean(*on),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Float(number.as_f64()?),
        },
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().filter_map(to_toml).collect()),
        serde_json::Value::Object(entries) => Value::Table(
            entries
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), to_toml(value)?)))
                .collect(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::FlyToml;

    #[test]
    fn what_flyctl_takes_in_several_forms_is_taken() {
        let toml = FlyToml::parse(
            "app = \"shop\"\n[build]\nimage = \"r/shop:v7\"\n[deploy]\nstrategy = \"canary\"\n\
             release_command = \"migrate\"\nrelease_command_timeout = \"10m\"\nwait_timeout = 300\n\
             [[env]]\nA = 1\n[[env]]\nB = true\nC = \"x\"\n[[files]]\nguest_path = \"/x\"\nlocal_path = \"x.txt\"\n\
             [[files]]\nguest_path = \"/y\"\nraw_value = \"aGk=\"\n",
        );
        assert_eq!(toml.app.as_deref(), Some("shop"));
        assert_eq!(toml.image.as_deref(), Some("r/shop:v7"));
        assert_eq!(toml.strategy.as_deref(), Some("canary"));
        assert_eq!(toml.release_command.as_deref(), Some("migrate"));
        assert_eq!(toml.release_command_timeout, Some(Duration::from_secs(600)));
        // What flyctl v0.2.4 shows for it is `300ns`.
        assert_eq!(toml.wait_timeout, Some(Duration::from_nanos(300)));
        let env: Vec<_> = toml
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(env, ["A=1", "B=true", "C=x"]);
        assert_eq!(toml.files, ["x.txt"]);
        assert_eq!(toml.groups(), ["app"]);
    }

    #[test]
    fn a_return_ships_no_build_and_no_migration() {
        let toml = FlyToml::parse(
            "app = \"shop\"\n[build]\ndockerfile = \"Dockerfile\"\n[deploy]\nrelease_command = \"migrate\"\n\
             strategy = \"rolling\"\n[http_service]\ninternal_port = 8080\n[env]\nQ = \"a\\u001b\\\"b\"\n",
        );
        let text = toml.without_build_and_release_command(false);
        assert!(!text.contains("build") && !text.contains("migrate"), "{text}");
        let again = FlyToml::parse(&text);
        assert_eq!(again.strategy, toml.strategy);
        assert_eq!(again.env, toml.env);
        assert_eq!(again.group("app"), toml.group("app"));
        let kept = FlyToml::parse(&toml.without_build_and_release_command(true));
        assert_eq!(kept.release_command.as_deref(), Some("migrate"));
    }

    #[test]
    fn config_show_is_the_same_configuration() {
        let text = "app = \"shop\"\nprimary_region = \"fra\"\n[http_service]\ninternal_port = 8080\n\
                    auto_stop_machines = true\n[[http_service.checks]]\ninterval = \"10s\"\npath = \"/health\"\n";
        let json = serde_json::json!({
            "app": "shop", "primary_region": "fra", "build": null,
            "http_service": {"internal_port": 8080, "auto_stop_machines": true,
                "checks": [{"interval": "10s", "path": "/health"}]},
        });
        let shown = FlyToml::from_json(&json);
        assert_eq!(shown, FlyToml::parse(text));
        assert_eq!(
            FlyToml::parse(&shown.without_build_and_release_command(false)),
            shown
        );
        assert_eq!(FlyToml::from_json(&serde_json::json!("no")), FlyToml::default());
    }

    #[test]
    fn a_value_of_env_can_be_put_back() {
        let mut toml = FlyToml::parse("app = \"shop\"\n[env]\nA = \"[REDACTED]\"\nB = \"2\"\n");
        toml.set_env("A", "s3cret");
        let again = FlyToml::parse(&toml.without_build_and_release_command(false));
        assert_eq!(again.env["A"], "s3cret");
        assert_eq!(again.env["B"], "2");
    }

    #[test]
    fn sizes_are_named_in_any_of_their_forms_and_taken_from_machines() {
        for (text, named) in [
            ("app = \"shop\"\n", false),
            ("app = \"shop\"\nvm = []\n", false),
            ("[[vm]]\nmemory = \"512mb\"\n", true),
            ("[vm]\nsize = \"shared-cpu-2x\"\n", true),
            ("[[compute]]\ncpus = 2\n", true),
            ("[[computes]]\ncpus = 2\n", true),
        ] {
            assert_eq!(FlyToml::parse(text).names_sizes(), named, "{text}");
        }
        let mut toml = FlyToml::parse("app = \"shop\"\n[processes]\nweb = \"serve\"\n");
        let guest = serde_json::json!({"cpu_kind": "shared", "cpus": 1, "memory_mb": 256, "unknown": 1, "gpu_kind": null});
        toml.set_sizes(&[("web".to_owned(), guest.clone()), ("gone".to_owned(), guest)].into());
        let again = FlyToml::parse(&toml.without_build_and_release_command(false));
        assert!(again.names_sizes());
        let expected = "[[vm]]\ncpu_kind = \"shared\"\ncpus = 1\nmemory_mb = 256\nprocesses = [\"web\"]\n";
        assert_eq!(again.table["vm"], FlyToml::parse(expected).table["vm"]);
        toml.set_sizes(&std::collections::BTreeMap::new());
        assert!(toml.names_sizes());
    }
}
