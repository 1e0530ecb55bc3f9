//! What flyctl is handed: a copy of the configuration as it was read, in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::deployment::configuration::sizes_of;
use crate::deployment::job::{Destination, Shipment};
use crate::instance::Instance;
use crate::project::Service;
use crate::project::fly_toml::FlyToml;
use crate::state::record::Configuration;

/// A folder that only this user can read, with the copy in it.
fn workspace(file: &str, text: &str) -> Result<(TempDir, PathBuf), String> {
    let folder = tempfile::Builder::new()
        .prefix("shipctl-")
        .tempdir()
        .map_err(|error| format!("cannot make a temporary folder: {error}"))?;
    let name = Path::new(file)
        .file_name()
        .map_or_else(|| "fly.toml".into(), PathBuf::from);
    let path = folder.path().join(name);
    fs::write(&path, text).map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    Ok((folder, path))
}

/// The copy for a forward deploy: as read, with the paths that flyctl takes relative to the file made absolute.
pub(crate) fn forward_copy(
    service: &Service,
    configuration: &Configuration,
) -> Result<(TempDir, PathBuf), String> {
    let folder = service
        .file
        .as_ref()
        .and_then(|file| file.path.parent())
        .unwrap_or(&service.context);
    workspace(&configuration.file, &anchored(&configuration.text, folder))
}

/// `[build] dockerfile` and `ignorefile` are relative to the file's folder (REFERENCE 3.1); the copy lies elsewhere.
fn anchored(text: &str, folder: &Path) -> String {
    let Ok(mut table) = toml::from_str::<toml::Table>(text) else {
        return text.to_owned();
    };
    let mut changed = false;
    if let Some(build) = table.get_mut("build").and_then(toml::Value::as_table_mut) {
        for key in ["dockerfile", "ignorefile"] {
            let Some(path) = build.get(key).and_then(toml::Value::as_str) else {
                continue;
            };
            if Path::new(path).is_relative() && !path.starts_with("http://") && !path.starts_with("https://")
            {
                let path = folder.join(path).to_string_lossy().into_owned();
                build.insert(key.to_owned(), toml::Value::String(path));
                changed = true;
            }
        }
    }
    if changed {
        toml::to_string(&table).unwrap_or_else(|_| text.to_owned())
    } else {
        text.to_owned()
    }
}

/// What a return ships: the target's configuration without build and release command, its files, and the flags that
/// formed it. Where what is left named sizes of machines and the target's file names none, flyctl would keep them:
/// those of `before` are named instead.
///
/// # Errors
/// Where no configuration is known, or the copy cannot be written; in words for a person.
pub(crate) fn back(
    destination: &Destination,
    forward: &Shipment,
    before: &[Instance],
) -> Result<Shipment, String> {
    let configuration = destination
        .configuration
        .clone()
        .or_else(|| {
            // No flag of this call reaches a return (DESIGN 2).
            let flags = Vec::new();
            let forward = forward.configuration.clone();
            forward.map(|forward| Configuration { flags, ..forward })
        })
        .ok_or_else(|| "no configuration of that release is known".to_owned())?;
    if !configuration.redacted.is_empty() {
        let names = configuration.redacted.join(", ");
        return Err(format!(
            "values of its configuration are not known any more: {names}"
        ));
    }
    let sizes = if forward.file.names_sizes() {
        sizes_of(before)
    } else {
        BTreeMap::new()
    };
    ship_again(destination, configuration, false, &sizes)
}

/// Like [`back`], for a rollback that a person asked for.
pub(crate) fn of_target(
    destination: &Destination,
    configuration: Configuration,
    with_release_command: bool,
) -> Result<Shipment, String> {
    ship_again(destination, configuration, with_release_command, &BTreeMap::new())
}

/// `sizes` are those of process groups where the configuration names none.
fn ship_again(
    destination: &Destination,
    configuration: Configuration,
    with_release_command: bool,
    sizes: &BTreeMap<String, serde_json::Value>,
) -> Result<Shipment, String> {
    let mut file = FlyToml::parse(&configuration.text);
    if !file.names_sizes() {
        file.set_sizes(sizes);
    }
    let text = file.without_build_and_release_command(with_release_command);
    let (workspace, config_path) = workspace(&configuration.file, &text)?;
    let directory = workspace.path().to_owned();
    for (path, content) in &configuration.files {
        // A path from the ledger must not lead out of the folder.
        let relative: PathBuf = Path::new(path)
            .components()
            .filter(|part| matches!(part, std::path::Component::Normal(_)))
            .collect();
        let place = directory.join(relative);
        let written = place
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&place, content));
        written.map_err(|error| format!("cannot write `{}`: {error}", place.display()))?;
    }
    Ok(Shipment {
        image: Some(destination.image.clone()),
        label: None,
        release_command: with_release_command && file.release_command.is_some(),
        flags: configuration.flags.clone(),
        configuration: Some(configuration),
        file,
        config_path,
        directory,
        strategy: None,
        workspace,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::anchored;

    #[test]
    fn paths_of_the_build_survive_the_copy() {
        let text = "app = \"shop\"\n[build]\ndockerfile = \"docker/Dockerfile\"\n";
        assert!(anchored(text, Path::new("/src")).contains("dockerfile = \"/src/docker/Dockerfile\""));
        for untouched in [
            "# comment\napp = \"shop\"\n",
            "[build]\ndockerfile = \"https://example.com/D\"\n",
            "not toml [",
        ] {
            assert_eq!(anchored(untouched, Path::new("/src")), untouched);
        }
    }
}
