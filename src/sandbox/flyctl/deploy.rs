//! `flyctl deploy` of v0.2.4: the order of its steps, its words, and how its release ends (REFERENCE 2).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::config::{Config, Invalid, Made};
use super::super::duration;
use super::super::machine::Machine;
use super::super::world::Millis;
use super::failure::{CallError, Cause, Client, Failure};
use super::image;
use super::project;
use super::read::{machines_path, user};
use super::session::{Call, Session};

/// flyctl's own defaults, in seconds.
const WAIT: f64 = 300.0;
const LEASE: f64 = 13.0;

/// How machines are replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Strategy {
    Rolling,
    Immediate,
    Canary,
    Bluegreen,
}

impl Strategy {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "rolling" => Some(Self::Rolling),
            "immediate" => Some(Self::Immediate),
            "canary" => Some(Self::Canary),
            "bluegreen" => Some(Self::Bluegreen),
            _ => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::Immediate => "immediate",
            Self::Canary => "canary",
            Self::Bluegreen => "bluegreen",
        }
    }
}

/// One deployment from the list of machines on.
pub(super) struct Deployment<'a> {
    pub(super) session: &'a Session,
    pub(super) app: String,
    pub(super) config: Config,
    pub(super) image: String,
    pub(super) strategy: Strategy,
    pub(super) detach: bool,
    pub(super) smoke: bool,
    /// Seconds for a state, and again for health.
    pub(super) wait: f64,
    pub(super) release_wait: f64,
    pub(super) lease: f64,
    /// The machines that are the app's own and that no filter leaves out.
    pub(super) machines: Vec<Machine>,
    /// Groups of the configuration without a machine.
    pub(super) new_groups: Vec<String>,
    pub(super) release: RefCell<(String, u64)>,
    flyctl_version: String,
    env: Vec<(String, String)>,
    guest: Value,
    files: Vec<Value>,
    pub(super) leases: RefCell<BTreeMap<String, String>>,
    pub(super) renewed: Cell<Millis>,
    /// That we were told to end was remarked on.
    pub(super) remarked: Cell<bool>,
    /// Machines keep what they run and only restart under the new release: what `secrets set` does.
    pub(super) restart: bool,
}

/// The command.
pub(super) async fn run(session: &mut Session) -> Result<(), Failure> {
    session.interrupt_words = "context canceled";
    session.require_token()?;
    if let Some(folder) = session.arguments.positionals.first() {
        session.folder = session.folder.join(folder);
        if !session.folder.is_dir() {
            return Err(Failure::new(format!("chdir {folder}: no such file or directory")));
        }
    }
    let session = &*session;
    let local = project::local(session, &session.folder)?;
    let problem = local.as_ref().and_then(|local| local.config.problem());
    if let (Some(local), Some(Invalid::Type(why))) = (&local, &problem) {
        session.err(&format!(
            "\u{1b}[33mWARN\u{1b}[0m WARNING the config file at '{}' is not valid: {why}",
            local.shown
        ));
    }
    let app = project::chosen_app(session, local.as_ref().map(|local| &local.config))?;
    user(session).await?;
    let (mut config, shown, folder) = match local {
        Some(local) => (local.config, local.shown, local.folder),
        None => (
            remote_config(session, &app).await?,
            "--config path unset--".to_owned(),
            session.folder.clone(),
        ),
    };
    verify(session, &config, &shown, problem)?;
    config.set_app(&app);
    session
        .call(Call::query("query app", Some(&app)), |_, _| Ok(()))
        .await
        .map_err(|error| error.within(""))?;
    session.err("==> Building image");
    let image = image::determine(session, &app, &config, &folder).await?;
    if session.arguments.switch("build-only", false) {
        return Ok(());
    }
    session.out(&format!(
        "\nWatch your deployment at https://fly.io/apps/{app}/monitoring\n"
    ));
    let deployment = Deployment::prepare(session, app, config, image).await?;
    deployment.carry_out().await
}

/// `secrets set`: a release of the newest one's image, under which the machines restart as they are (capture
/// `secrets_set_after_failed_deploy`).
pub(super) async fn restart(session: &Session, app: String) -> Result<(), Failure> {
    let config = remote_config(session, &app).await?;
    let newest = session.world.look(|world, _| {
        world
            .apps
            .get(&app)
            .and_then(|app| app.releases.last())
            .map(|last| last.image.clone())
    })?;
    let Some(image) = newest else {
        return Ok(());
    };
    let mut deployment = Deployment::prepare(session, app, config, image).await?;
    deployment.restart = true;
    deployment.carry_out().await
}

/// The configuration of the newest release, where no file is there (capture `deploy_config_missing_app`).
async fn remote_config(session: &Session, app: &str) -> Result<Config, Failure> {
    let definition = session
        .call(Call::query("query app", Some(app)), |world, _| {
            Ok(world.apps[app]
                .releases
                .last()
                .map(|last| last.definition.clone()))
        })
        .await
        .map_err(|error| error.within(""))?;
    Ok(Config::from_definition(
        definition.unwrap_or_else(|| json!({"app": app})),
    ))
}

fn verify(session: &Session, config: &Config, shown: &str, problem: Option<Invalid>) -> Result<(), Failure> {
    session.err("==> Verifying app config");
    session.out(&format!("Validating {shown}"));
    let mark = "   \u{1b}[31m✘\u{1b}[0m";
    match problem {
        Some(Invalid::Type(why)) => session.out(&format!("\n{mark}{why}")),
        Some(Invalid::Value(why)) => session.out(&format!("{why}\n{mark}invalid app configuration")),
        None => {
            session.out("\u{1b}[32m✓\u{1b}[0m Configuration is valid");
            session.err("--> Verified app config");
            let env = config.definition["env"].as_object().into_iter().flatten();
            for (name, _) in env.filter(|(name, _)| looks_secret(name)) {
                session.err(&format!(
                    "\u{1b}[33mWARN\u{1b}[0m {name} may be a potentially sensitive environment variable. Consider setting it as a secret, and removing it from the [env] section: https://fly.io/docs/reference/secrets/\n"
                ));
            }
            return Ok(());
        }
    }
    Err(Failure::new("App configuration is not valid"))
}

fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["secret", "password", "token", "api_key", "apikey", "private_key"]
        .iter()
        .any(|word| name.contains(word))
}

/// A duration of a flag, else of the file, else the default.
fn seconds(session: &Session, flag: &str, in_file: Option<f64>, default: f64) -> Result<f64, Failure> {
    let Some(given) = session.arguments.value(flag) else {
        return Ok(in_file.unwrap_or(default));
    };
    duration::flag(given).ok_or_else(|| {
        Failure::new(format!(
            "invalid duration value {given} used for --{flag} flag: valid options are a number of seconds, number with time unit (i.e.: 5m, 180s) or 'none'"
        ))
    })
}

impl<'a> Deployment<'a> {
    /// Reads the flags and the machines, and says what filters leave out.
    async fn prepare(
        session: &'a Session,
        app: String,
        config: Config,
        image: String,
    ) -> Result<Self, Failure> {
        let wait = seconds(
            session,
            "wait-timeout",
            config.deploy_seconds("wait_timeout"),
            WAIT,
        )?;
        let release_wait = seconds(
            session,
            "release-command-timeout",
            config.deploy_seconds("release_command_timeout"),
            WAIT,
        )?;
        let lease = seconds(session, "lease-timeout", None, LEASE)?;
        let word = session
            .arguments
            .value("strategy")
            .or(config.strategy())
            .unwrap_or("rolling");
        let strategy = Strategy::parse(word).ok_or_else(|| {
            Failure::new(format!(
                "error unsupported deployment strategy '{word}'; fly deploy for machines supports rolling, immediate, canary, and bluegreen strategies"
            ))
        })?;
        let path = machines_path(&app);
        let (all, flyctl_version) = session
            .call(Call::machines("GET", &path, &app), |world, _| {
                let live: Vec<Machine> = world.apps[&app]
                    .live()
                    .filter(|machine| !machine.group().starts_with("fly_app_"))
                    .cloned()
                    .collect();
                Ok((live, world.settings.flyctl_version.clone()))
            })
            .await
            .map_err(|error| error.within("failed to list VMs even after retries"))?;
        let new_groups = config
            .groups()
            .into_iter()
            .filter(|group| !all.iter().any(|one| one.group() == group))
            .collect();
        let machines = filtered(session, all);
        if (wait - WAIT).abs() > f64::EPSILON || (lease - LEASE).abs() > f64::EPSILON {
            let delay = duration::print(((lease - 1.0) / 3.0).max(0.0));
            session.log(
                "INFO",
                &format!(
                    "Using wait timeout: {} lease timeout: {} delay between lease refreshes: {delay}\n",
                    duration::print(wait),
                    duration::print(lease)
                ),
            );
        }
        let arguments = &session.arguments;
        let pairs = |flag: &str| -> Vec<(String, String)> {
            let split = |pair: &str| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (key.to_owned(), value.to_owned())
            };
            arguments.values(flag).map(split).collect()
        };
        let mut guest = json!({});
        for (flag, key) in [
            ("vm-size", "size"),
            ("vm-memory", "memory"),
            ("vm-cpu-kind", "cpu_kind"),
        ] {
            if let Some(value) = arguments.value(flag) {
                guest[key] = json!(value);
            }
        }
        if let Some(cpus) = arguments
            .value("vm-cpus")
            .and_then(|value| value.parse::<u64>().ok())
        {
            guest["cpus"] = json!(cpus);
        }
        Ok(Self {
            files: files(session, &config, pairs("file-literal"), pairs("file-local"))?,
            env: pairs("env"),
            detach: arguments.switch("detach", false),
            smoke: arguments.switch("smoke-checks", true),
            guest,
            session,
            app,
            config,
            image,
            strategy,
            wait,
            release_wait,
            lease,
            machines,
            new_groups,
            release: RefCell::new((String::new(), 0)),
            flyctl_version,
            leases: RefCell::new(BTreeMap::new()),
            renewed: Cell::new(0),
            remarked: Cell::new(false),
            restart: false,
        })
    }

    pub(super) fn path(&self, rest: &str) -> String {
        format!("{}{rest}", machines_path(&self.app))
    }

    /// A call of the Machines API for this app.
    pub(super) fn machines_call<'b>(&'b self, method: &'static str, path: &'b str) -> Call<'b> {
        Call::machines(method, path, &self.app)
    }

    /// The error of a call that was given up because its time was over (capture `deploy_unhealthy`).
    pub(super) fn given_up(&self, id: &str) -> String {
        let error = CallError {
            client: Client::Machines,
            method: "GET",
            path: self.path(&format!("/{id}")),
            cause: Cause::Canceled("net/http: request canceled"),
            request: 0,
        };
        error.text()
    }

    /// The configuration that a machine of a group gets by this release.
    pub(super) fn machine_config(&self, group: &str, before: Option<&Value>) -> Value {
        let release = self.release.borrow();
        let made = Made {
            image: &self.image,
            release_id: &release.0,
            release_version: release.1,
            flyctl_version: Some(&self.flyctl_version),
            env: self.env.clone(),
            guest: self.guest.clone(),
            files: self.files.clone(),
        };
        match before.filter(|_| self.restart) {
            Some(before) => {
                let mut config = before.clone();
                config["metadata"] = made.metadata(group);
                config
            }
            None => self.config.machine_config(group, &made, before),
        }
    }
}

/// The machines that filters leave in, with flyctl's note about each filter; those on a lost host are passed over.
fn filtered(session: &Session, all: Vec<Machine>) -> Vec<Machine> {
    let count = all.len();
    let mut left: Vec<Machine> = all.into_iter().filter(|machine| machine.reachable).collect();
    let arguments = &session.arguments;
    let (regions, without, groups) = (
        arguments.list("only-regions"),
        arguments.list("exclude-regions"),
        arguments.list("process-groups"),
    );
    let mut apply = |name: &str, wanted: &[String], keeps: &dyn Fn(&Machine) -> bool| {
        if wanted.is_empty() {
            return;
        }
        left.retain(|machine| keeps(machine));
        session.err(&format!(
            "--{name} filter applied, deploying to {}/{count} machines",
            left.len()
        ));
    };
    apply("process-groups", &groups, &|machine| {
        groups.iter().any(|group| group == machine.group())
    });
    apply("only-regions", &regions, &|machine| {
        regions.contains(&machine.region)
    });
    apply("exclude-regions", &without, &|machine| {
        !without.contains(&machine.region)
    });
    left.sort_by(|one, two| one.id.cmp(&two.id));
    left
}

/// The files that machines get, from `[[files]]` and the flags.
fn files(
    session: &Session,
    config: &Config,
    literal: Vec<(String, String)>,
    local: Vec<(String, String)>,
) -> Result<Vec<Value>, Failure> {
    let read = |path: &str| {
        std::fs::read(session.folder.join(path))
            .map(|content| String::from_utf8_lossy(&content).into_owned())
            .map_err(|error| Failure::new(format!("could not read file {path}: {error}")))
    };
    let mut found = Vec::new();
    for file in config.definition["files"].as_array().into_iter().flatten() {
        let guest = &file["guest_path"];
        if let Some(path) = file["local_path"].as_str() {
            found.push(json!({"guest_path": guest, "raw_value": read(path)?}));
        } else {
            found.push(json!({"guest_path": guest, "raw_value": file["raw_value"], "secret_name": file["secret_name"]}));
        }
    }
    for (guest, value) in literal {
        found.push(json!({"guest_path": guest, "raw_value": value}));
    }
    for (guest, path) in local {
        found.push(json!({"guest_path": guest, "raw_value": read(&path)?}));
    }
    Ok(found)
}
