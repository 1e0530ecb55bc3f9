//! The configuration of a release as the ledger keeps it, and back again.
//!
//! Values of `[env]` that look secret do not enter the ledger; a return has them in memory, a later rollback takes
//! them from the instances' own `config.env`, else from the file at hand (DESIGN 7).

use std::collections::BTreeMap;

use crate::instance::Instance;
use crate::project::Service;
use crate::project::fly_toml::secrets::{looks_secret, redact_env};
use crate::project::fly_toml::{DEFAULT_GROUP, FlyToml};
use crate::secret::{REDACTED, Redactor};
use crate::state::record::Configuration;

/// The configuration of a service's file, whole: for a return, which has it in memory alone.
pub(crate) fn whole(service: &Service, flags: &[String]) -> Option<Configuration> {
    let file = service.file.as_ref()?;
    let files = service.files.iter();
    Some(Configuration {
        file: file
            .path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        text: file.text.clone(),
        files: files
            .map(|(path, bytes)| (path.clone(), String::from_utf8_lossy(bytes).into_owned()))
            .collect(),
        flags: flags.to_vec(),
        redacted: Vec::new(),
    })
}

/// What flyctl's `config show` says, as a configuration.
pub(crate) fn of_remote(remote: &serde_json::Value) -> Configuration {
    let text = FlyToml::from_json(remote).without_build_and_release_command(true);
    Configuration {
        file: "fly.toml".to_owned(),
        text,
        ..Configuration::default()
    }
}

/// The form for the ledger: secret-looking values replaced, the rest as it was.
pub(crate) fn for_ledger(configuration: &Configuration, redactor: &Redactor) -> Configuration {
    let (text, redacted) = redact_env(&configuration.text);
    Configuration {
        text: redactor.redact(&text),
        redacted,
        flags: configuration
            .flags
            .iter()
            .map(|flag| redact_flag(flag, redactor))
            .collect(),
        files: configuration
            .files
            .iter()
            .map(|(path, text)| (path.clone(), redactor.redact(text)))
            .collect(),
        file: configuration.file.clone(),
    }
}

/// `NAME=value` and `--env=NAME=value` lose a value that looks secret.
fn redact_flag(flag: &str, redactor: &Redactor) -> String {
    match flag.rsplit_once('=') {
        Some((name, value)) if looks_secret(name, value) => format!("{name}={REDACTED}"),
        _ => redactor.redact(flag),
    }
}

/// Puts redacted values back from the first source that has them; `redacted` names those that nobody knows any more.
pub(crate) fn restore(kept: &Configuration, sources: &[BTreeMap<String, String>]) -> Configuration {
    let mut configuration = kept.clone();
    let mut missing = Vec::new();
    let find = |name: &str| sources.iter().find_map(|source| source.get(name));
    for name in &kept.redacted {
        match find(name) {
            Some(value) => {
                let mut file = FlyToml::parse(&configuration.text);
                file.set_env(name, value);
                configuration.text = with_env(&configuration.text, name, value)
                    .unwrap_or_else(|| file.without_build_and_release_command(true));
            }
            None => missing.push(name.clone()),
        }
    }
    configuration.flags = Vec::new();
    for flag in &kept.flags {
        let Some(name) = flag.strip_suffix(&format!("={REDACTED}")) else {
            configuration.flags.push(flag.clone());
            continue;
        };
        if let Some(value) = find(name.rsplit('=').next().unwrap_or(name)) {
            configuration.flags.push(format!("{name}={value}"));
        } else {
            configuration.flags.push(flag.clone());
            missing.push(name.to_owned());
        }
    }
    configuration.redacted = missing;
    configuration
}

/// The text with one placeholder replaced where it stands; the rest of the file keeps its form.
fn with_env(text: &str, name: &str, value: &str) -> Option<String> {
    let placeholder = format!("\"{REDACTED}\"");
    let line = text.lines().find(|line| {
        let key = line
            .split_once('=')
            .map(|(key, _)| key.trim().trim_matches(['"', '\'']));
        key == Some(name) && line.contains(&placeholder)
    })?;
    let mended = line.replacen(
        &placeholder,
        &toml::Value::String(value.to_owned()).to_string(),
        1,
    );
    Some(text.replacen(line, &mended, 1))
}

/// The variables that the instances run with; the platform's own are no part of a file.
pub(crate) fn variables_of(instances: &[Instance]) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for instance in instances {
        for (name, value) in instance.config["env"].as_object().into_iter().flatten() {
            if let Some(value) = value.as_str() {
                variables.entry(name.clone()).or_insert_with(|| value.to_owned());
            }
        }
    }
    variables
}

/// The size of each process group whose machines are all of one.
pub(crate) fn sizes_of(instances: &[Instance]) -> BTreeMap<String, serde_json::Value> {
    let mut sizes: BTreeMap<String, Option<serde_json::Value>> = BTreeMap::new();
    for instance in instances {
        let guest = instance.config.get("guest").filter(|guest| guest.is_object());
        let size = sizes
            .entry(instance.group.as_deref().unwrap_or(DEFAULT_GROUP).to_owned())
            .or_insert_with(|| guest.cloned());
        if size.as_ref() != guest {
            *size = None;
        }
    }
    sizes
        .into_iter()
        .filter_map(|(group, size)| Some((group, size?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{for_ledger, restore, sizes_of};
    use crate::provider::fly::output::machines;
    use crate::secret::Redactor;
    use crate::state::record::Configuration;

    fn configuration(text: &str, flags: &[&str]) -> Configuration {
        Configuration {
            file: "fly.staging.toml".to_owned(),
            text: text.to_owned(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            ..Configuration::default()
        }
    }

    #[test]
    fn a_configuration_without_secrets_is_kept_as_it_is_written() {
        let text = "# a comment\napp = \"shop\"\n[env]\nLOG_LEVEL = \"debug\"\n";
        let kept = for_ledger(&configuration(text, &["-e", "A=1"]), &Redactor::new(Vec::new()));
        assert_eq!(kept.text, text);
        assert_eq!(kept.flags, ["-e", "A=1"]);
        assert!(kept.redacted.is_empty());
    }

    #[test]
    fn secret_values_leave_and_come_back_from_the_first_source_that_has_them() {
        let text = "app = \"shop\" # kept\n[env]\nA_TOKEN = \"one\"\nB_SECRET = \"two\"\nC = \"three\"\n";
        let kept = for_ledger(
            &configuration(text, &["-e", "D_TOKEN=four"]),
            &Redactor::new(Vec::new()),
        );
        assert!(!kept.text.contains("one") && !kept.text.contains("two") && kept.text.contains("three"));
        assert_eq!(kept.redacted, ["A_TOKEN", "B_SECRET"]);
        assert_eq!(kept.flags, ["-e", "D_TOKEN=[REDACTED]"]);
        let machines = BTreeMap::from([
            ("A_TOKEN".to_owned(), "o\"ne".to_owned()),
            ("D_TOKEN".to_owned(), "four".to_owned()),
        ]);
        let file = BTreeMap::from([("A_TOKEN".to_owned(), "newer".to_owned())]);
        let back = restore(&kept, &[machines, file]);
        let table: toml::Table = back.text.parse().unwrap();
        assert_eq!(table["env"]["A_TOKEN"].as_str(), Some("o\"ne"));
        assert!(back.text.contains("# kept"));
        assert_eq!(back.flags, ["-e", "D_TOKEN=four"]);
        assert_eq!(back.redacted, ["B_SECRET"]);
    }

    #[test]
    fn a_group_has_a_size_where_its_machines_agree() {
        let machine = |id: &str, group: &str, memory: Option<u64>| {
            let guest = memory.map(|memory_mb| serde_json::json!({"cpus": 1, "memory_mb": memory_mb}));
            serde_json::json!({"id": id, "state": "started", "config": {
                "metadata": {"fly_process_group": group}, "guest": guest}})
        };
        let list = serde_json::json!([
            machine("a", "web", Some(256)),
            machine("b", "web", Some(256)),
            machine("c", "mixed", Some(256)),
            machine("d", "mixed", Some(512)),
            machine("e", "mixed", Some(256)),
            machine("f", "unknown", None),
            machine("g", "half", Some(256)),
            machine("h", "half", None),
        ]);
        let sizes = sizes_of(&machines::parse(list.to_string().as_bytes()).unwrap());
        let groups: Vec<&String> = sizes.keys().collect();
        assert_eq!(groups, ["web"]);
        assert_eq!(sizes["web"]["memory_mb"], 256);
    }
}
