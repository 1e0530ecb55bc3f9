//! The sandbox: flyctl's stand-in and the platform behind it, so that every command runs without an account,
//! a network, flyctl or Docker (DESIGN 10).
//!
//! The platform is one JSON file ([`file`]) that whoever looks at it advances by the recorded times. The stand-in
//! ([`flyctl`]) is this binary, started under another name; the apps answer over HTTP ([`serve`]) from the same file.

mod answer;
mod config;
mod control;
mod duration;
mod file;
mod flyctl;
mod image;
mod machine;
mod platform;
mod rule;
mod seed;
mod serve;
mod truth;
mod world;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use file::WorldFile;
pub(crate) use serve::Served;

/// Names the world file; with the name `flyctl` it makes this binary the stand-in.
pub(crate) const WORLD_VARIABLE: &str = "SHIPCTL_SANDBOX_WORLD";
/// The name that makes this binary the stand-in, with [`WORLD_VARIABLE`].
pub(crate) const STAND_IN_NAME: &str = "flyctl";
/// The world's name in its folder.
const WORLD: &str = "world.json";
/// World seconds until autostop puts an idle machine to sleep, where a person explores.
const IDLE_SECONDS: f64 = 300.0;

/// Whether this process was started as the stand-in; both the name and the variable are required.
pub(crate) fn is_stand_in(args0: Option<&OsStr>, world: Option<&OsStr>) -> bool {
    let name = args0.and_then(|args0| Path::new(args0).file_name());
    name == Some(OsStr::new(STAND_IN_NAME)) && world.is_some_and(|world| !world.is_empty())
}

/// Runs this process as the stand-in. `args` hold the program's name.
pub(crate) fn stand_in(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args
        .into_iter()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .collect();
    let world = variables.get(WORLD_VARIABLE).cloned().unwrap_or_default();
    flyctl::run(WorldFile::new(world), &args, variables)
}

/// A world for the environments of one project.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    world: WorldFile,
}

/// An app that a world begins with.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    pub(crate) app: String,
    /// The text of its `fly.toml`.
    pub(crate) fly_toml: String,
    /// One instance of each group in each of several; empty: two in the primary region.
    pub(crate) regions: Vec<String>,
}

impl Sandbox {
    /// Opens the world in a folder, or makes one; each app that it lacks begins with two complete releases that only
    /// flyctl knows, running the second.
    pub(crate) fn open(dir: &Path, apps: &[Beginning]) -> io::Result<Self> {
        let world = WorldFile::new(dir.join(WORLD));
        let lacks = |found: &world::World, app: &String| {
            !found.apps.contains_key(app) && !found.forgotten.contains(app)
        };
        let writes = |found: &world::World| !found.opened || apps.iter().any(|one| lacks(found, &one.app));
        world.touch_if(writes, |found, now| {
            let mut changed = !found.opened;
            if !found.opened {
                found.open(IDLE_SECONDS);
            }
            for Beginning {
                app,
                fly_toml,
                regions,
            } in apps
            {
                if !lacks(found, app) {
                    continue;
                }
                changed = true;
                let images: Vec<_> = ["v1", "v2"]
                    .iter()
                    .map(|tag| format!("registry.fly.io/{app}:{tag}"))
                    .collect();
                let mut order =
                    json!({"do": "seed", "app": app, "images": images, "fly_toml": fly_toml, "shared_ip": true});
                if !regions.is_empty() {
                    order["regions"] = json!(regions);
                    if regions.len() > 1 {
                        order["count"] = json!(1);
                    }
                }
                if control::obey(found, order.clone(), now).is_err() {
                    // A file that does not parse is for the command to report; the app exists all the same.
                    order["fly_toml"] = Value::Null;
                    let _ = control::obey(found, order, now);
                }
                without_public_port(found, app);
            }
            ((), changed)
        })?;
        Ok(Self { world })
    }

    /// The world's file.
    pub(crate) fn world(&self) -> PathBuf {
        self.world.path().to_path_buf()
    }

    /// The variable that shows the stand-in its world, with its value.
    pub(crate) fn variable(&self) -> (String, String) {
        let world = self.world.path().to_string_lossy().into_owned();
        (WORLD_VARIABLE.to_owned(), world)
    }

    /// Serves the apps over HTTP until the answer is dropped; within a tokio runtime.
    pub(crate) fn serve(&self) -> io::Result<Served> {
        serve::serve(self.world.clone())
    }

    /// Removes a world with all that lies beside it; the next one begins anew.
    pub(crate) fn reset(dir: &Path) -> io::Result<()> {
        for part in WorldFile::new(dir.join(WORLD)).parts() {
            match fs::remove_file(part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// An app that no service leads to has no public address.
fn without_public_port(world: &mut world::World, app: &str) {
    if let Some(app) = world.apps.get_mut(app)
        && app.live().all(|machine| machine.services().is_empty())
    {
        app.addresses.clear();
    }
}

/// Gives an order to a world, which is made where it does not exist (see [`control`] for the orders); a refused one
/// answers `{"error": …}`.
pub(crate) fn order(world: &Path, order: Value) -> Value {
    let file = WorldFile::new(world);
    let at_once = order["after_seconds"].is_null() && order["on_call"].is_null();
    let asked = order["do"].as_str().filter(|_| at_once).map(str::to_owned);
    let reads = matches!(asked.as_deref(), Some("state" | "journal"));
    if asked.as_deref() == Some("clear") && order["what"] == "journal" {
        file.forget_commands();
    }
    let obeyed = file.touch_if(
        |_| !reads,
        |world, now| {
            world.ordered |= !world.opened;
            (control::obey(world, order, now), !reads)
        },
    );
    match obeyed {
        Ok(Ok(Value::Array(calls))) if asked.as_deref() == Some("journal") => {
            let mut all = file.commands();
            all.extend(calls);
            // Both lists are in order, and so stays what happened at the same time.
            all.sort_by(|one, two| one["at"].as_str().cmp(&two["at"].as_str()));
            all.into()
        }
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => json!({"error": why}),
        Err(error) => json!({"error": error.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use serde_json::json;

    use super::{Beginning, Sandbox, is_stand_in, order};

    #[test]
    fn both_name_and_variable_make_the_stand_in() {
        let world = Some(OsStr::new("/w.json"));
        for (name, variable, expected) in [
            ("flyctl", world, true),
            ("/usr/bin/flyctl", world, true),
            ("shipctl", world, false),
            ("flyctl", None, false),
            ("flyctl", Some(OsStr::new("")), false),
        ] {
            assert_eq!(is_stand_in(Some(OsStr::new(name)), variable), expected, "{name}");
        }
    }

    #[test]
    fn a_sandbox_begins_with_two_releases_and_keeps_what_happened() {
        let folder = tempfile::tempdir().unwrap();
        let file = "app = \"shop\"\nprimary_region = \"iad\"\n[http_service]\ninternal_port = 8080\n";
        let beginning = |app: &str, regions: &[&str]| Beginning {
            app: app.to_owned(),
            fly_toml: file.to_owned(),
            regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        };
        let apps = [beginning("shop", &[]), beginning("wide", &["iad", "fra"])];
        let sandbox = Sandbox::open(folder.path(), &apps).unwrap();
        let state = order(&sandbox.world(), json!({"do": "state"}));
        let machines = state["apps"]["wide"]["machines"].as_array().unwrap();
        let regions: Vec<_> = machines.iter().map(|machine| &machine["region"]).collect();
        assert_eq!(regions, ["iad", "fra"]);
        let shop = &state["apps"]["shop"];
        assert_eq!(shop["releases"].as_array().unwrap().len(), 2);
        assert_eq!(shop["machines"].as_array().unwrap().len(), 2);
        assert_eq!(shop["machines"][0]["tag"], "v2");
        assert_eq!(shop["machines"][0]["region"], "iad");
        order(
            &sandbox.world(),
            json!({"do": "release", "app": "shop", "version": 2, "status": "failed"}),
        );
        let again = Sandbox::open(folder.path(), &apps).unwrap();
        let state = order(&again.world(), json!({"do": "state"}));
        assert_eq!(state["apps"]["shop"]["releases"][1]["status"], "failed");
        Sandbox::reset(folder.path()).unwrap();
        assert!(!sandbox.world().exists());
    }

    #[test]
    fn what_was_ordered_before_the_first_opening_stands() {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join("world.json");
        order(&world, json!({"do": "login", "token": null}));
        order(&world, json!({"do": "settings", "idle_seconds": 9}));
        order(&world, json!({"do": "forget_app", "app": "shop"}));
        let apps = ["shop", "other"].map(|app| Beginning {
            app: app.to_owned(),
            fly_toml: format!("app = \"{app}\""),
            regions: Vec::new(),
        });
        Sandbox::open(folder.path(), &apps).unwrap();
        let text = std::fs::read_to_string(&world).unwrap();
        assert!(
            text.contains("\"login\":null") && text.contains("\"any_token\":false"),
            "{text}"
        );
        let state = order(&world, json!({"do": "state"}));
        assert!(state["apps"]["shop"].is_null());
        assert_eq!(state["apps"]["other"]["addresses"], json!([]));
        assert_eq!(state["settings"]["idle_seconds"], 9.0);
    }

    #[test]
    fn a_refused_order_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let answer = order(
            &folder.path().join("w.json"),
            json!({"do": "behaviour", "app": "no", "behaviour": "crash"}),
        );
        assert!(answer["error"].as_str().unwrap().contains("no"));
    }
}
