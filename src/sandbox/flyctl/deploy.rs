//! `flyctl deploy` of v0.2.4: the order of its steps, its words, and how its release ends (REFERENCE 2).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::config::{Config, Invalid, Made};
use super::super::duration;
use super::super::machine::Machine;
use super::super::world::Millis;
use super::failure::{CallError, Cause, Client, Failure};
use super::project;
use super::read::{machines_path, user};
use super::session::{Call, Session};
use super::{bluegreen, canary, image, launch, release_command, rolling};

/// flyctl's own defaults, in seconds.
const WAIT: f64 = 300.0;
const LEASE: f64 = 13.0;
/// How long the question about a DNS name goes on in vain.
const DNS: f64 = 60.0;
/// What Go prints when flyctl asks a client that its cancelled context no longer holds.
const PANIC: &str = "panic: interface conversion: interface {} is nil, not *client.Client [recovered, repanicked]\n\ngoroutine 1 [running]:\nmain.main()\n\t/home/runner/work/flyctl/flyctl/main.go:26 +0x18";

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
    lease: f64,
    /// The machines that are the app's own and that no filter leaves out.
    pub(super) machines: Vec<Machine>,
    /// Groups of the configuration without a machine.
    new_groups: Vec<String>,
    release: RefCell<(String, u64)>,
    flyctl_version: String,
    env: Vec<(String, String)>,
    guest: Value,
    files: Vec<Value>,
    leases: RefCell<BTreeMap<String, String>>,
    renewed: Cell<Millis>,
    /// That we were told to end was remarked on.
    remarked: Cell<bool>,
    /// Machines keep what they run and only restart under the new release: what `secrets set` does.
    restart: bool,
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

    /// From the first addresses to the last word.
    async fn carry_out(&self) -> Result<(), Failure> {
        let first = self.is_first()?;
        if first && !self.session.arguments.switch("no-public-ips", false) {
            self.provision_addresses().await?;
        }
        self.create_release().await?;
        self.set_status("running")
            .await
            .map_err(|error| error.within(""))?;
        let result = self.ship(first).await;
        self.conclude(result).await
    }

    /// Nothing was ever completed here.
    fn is_first(&self) -> Result<bool, Failure> {
        self.session
            .world
            .look(|world, _| world.apps.get(&self.app).is_some_and(|app| !app.deployed()))
            .map_err(Failure::from)
    }

    async fn provision_addresses(&self) -> Result<(), Failure> {
        let public = self
            .config
            .groups()
            .iter()
            .any(|group| self.config.has_services(group));
        if !public {
            return Ok(());
        }
        self.session.out(&format!("Provisioning ips for {}", self.app));
        for (kind, words) in [("v6", "Dedicated ipv6"), ("shared_v4", "Shared ipv4")] {
            let call = Call::generated("mutation allocateIpAddress", &self.app);
            let address = self
                .session
                .call(call, |world, now| {
                    Ok(world.allocate(&self.app, kind, "global", now))
                })
                .await
                .map_err(|error| error.within(""))?;
            if let Some(address) = address {
                self.session.out(&format!("  {words}: {}", address.ip));
            }
        }
        self.session
            .out("  Add a dedicated ipv4 with: fly ips allocate-v4\n");
        Ok(())
    }

    async fn create_release(&self) -> Result<(), Failure> {
        let call = Call::generated("mutation createRelease", &self.app);
        let made = self
            .session
            .call(call, |world, now| {
                let definition = self.config.definition.clone();
                let index = world.add_release(&self.app, &self.image, definition, "pending", now);
                let release = index.and_then(|index| world.apps.get(&self.app)?.releases.get(index));
                Ok(release.map(|release| (release.id.clone(), release.version)))
            })
            .await
            .map_err(|error| error.within(""))?;
        self.release.replace(made.unwrap_or_default());
        Ok(())
    }

    async fn set_status(&self, status: &str) -> Result<(), CallError> {
        let id = self.release.borrow().0.clone();
        let call = Call::generated("mutation updateRelease", &self.app);
        self.session
            .call(call, |world, _| {
                write_status(world, &self.app, &id, status);
                Ok(())
            })
            .await
    }

    /// Everything that happens under a running release.
    async fn ship(&self, first: bool) -> Result<(), Failure> {
        if !self.restart {
            self.announce(first);
            release_command::run(self).await?;
            if self.strategy == Strategy::Canary && !self.machines.is_empty() {
                canary::run(self).await?;
            }
            self.destroy_removed_groups().await?;
            if !self.session.arguments.switch("update-only", false) && !self.new_groups.is_empty() {
                launch::new_groups(self, &self.new_groups).await?;
            }
        }
        let machines: Vec<&Machine> = self
            .machines
            .iter()
            .filter(|machine| self.is_configured(machine))
            .collect();
        if machines.is_empty() {
            return Ok(());
        }
        self.acquire_leases(&machines).await?;
        self.session.out(&format!(
            "Updating existing machines in '{}' with {} strategy",
            self.app,
            self.strategy.word()
        ));
        match self.strategy {
            Strategy::Bluegreen => bluegreen::run(self, &machines).await,
            _ => rolling::run(self, &machines).await,
        }
    }

    fn is_configured(&self, machine: &Machine) -> bool {
        self.config.groups().iter().any(|group| group == machine.group())
    }

    /// What this deployment makes and removes.
    fn announce(&self, first: bool) {
        let removed: Vec<_> = self
            .machines
            .iter()
            .filter(|machine| !self.is_configured(machine))
            .collect();
        let makes = !self.session.arguments.switch("update-only", false) && !self.new_groups.is_empty();
        if !makes && removed.is_empty() {
            return;
        }
        if first || self.machines.is_empty() {
            self.session.out("This deployment will:");
        } else {
            self.session.out("Process groups have changed. This will:");
        }
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        for machine in removed {
            *groups.entry(machine.group()).or_default() += 1;
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        for (group, count) in groups {
            self.session.out(&format!(
                " * destroy {count} \"{group}\" machine{}",
                plural(count)
            ));
        }
        for group in self.new_groups.iter().filter(|_| makes) {
            let (count, standby) = launch::count(self, group);
            let standby = if standby {
                " and 1 standby machine for it"
            } else {
                ""
            };
            self.session.out(&format!(
                " * create {count} \"{group}\" machine{}{standby}",
                plural(count)
            ));
        }
        self.session.out("");
    }

    async fn destroy_removed_groups(&self) -> Result<(), Failure> {
        for machine in self
            .machines
            .iter()
            .filter(|machine| !self.is_configured(machine))
        {
            let path = self.path(&format!("/{}", machine.id));
            self.session
                .call(self.machines_call("DELETE", &path), |world, now| {
                    world.destroy_machine(&self.app, &machine.id, None, now)
                })
                .await
                .map_err(|error| error.within(&format!("failed to destroy VM {}", machine.id)))?;
        }
        Ok(())
    }

    /// All or none: each conflict is warned of, then the deployment fails (capture `deploy_lease_conflict`).
    async fn acquire_leases(&self, machines: &[&Machine]) -> Result<(), Failure> {
        let mut failed = false;
        for machine in machines {
            let id = &machine.id;
            let path = self.path(&format!("/{id}/lease"));
            let call = self.machines_call("POST", &path);
            let taken = self
                .session
                .call(call, |world, now| {
                    world.lease(&self.app, id, None, None, self.lease, now)
                })
                .await;
            match taken {
                Ok(nonce) => {
                    self.leases.borrow_mut().insert(id.clone(), nonce);
                }
                Err(error) => {
                    failed = true;
                    let text = error.text();
                    self.session.log(
                        "WARN",
                        &format!("failed to acquire lease: failed to get lease on VM {id}: {text}\n"),
                    );
                }
            }
        }
        if failed {
            return Err(Failure::new("error acquiring leases on all machines"));
        }
        Ok(())
    }

    pub(super) fn nonce(&self, id: &str) -> Option<String> {
        self.leases.borrow().get(id).cloned()
    }

    /// Remembers the lease of a machine that was made with one.
    pub(super) fn holds(&self, id: &str, nonce: String) {
        self.leases.borrow_mut().insert(id.to_owned(), nonce);
    }

    /// Lengthens our leases where a third of their time is over.
    pub(super) fn renew_leases(&self) {
        let leases = self.leases.borrow().clone();
        if leases.is_empty() {
            return;
        }
        let _ = self.session.world.touch(|world, now| {
            if now - self.renewed.get() < world.span((self.lease - 1.0) / 3.0) {
                return ((), false);
            }
            self.renewed.set(now);
            for (id, nonce) in &leases {
                let renewed = world.lease(&self.app, id, Some(nonce), None, self.lease, now);
                if let Ok(nonce) = renewed {
                    self.leases.borrow_mut().insert(id.clone(), nonce);
                }
            }
            ((), true)
        });
    }

    pub(super) fn release_leases(&self) {
        let leases = std::mem::take(&mut *self.leases.borrow_mut());
        if leases.is_empty() {
            return;
        }
        let _ = self.session.world.change(|world, now| {
            for (id, nonce) in &leases {
                world.drop_lease(&self.app, id, nonce, now);
            }
        });
    }

    /// Writes the last status, gives leases back, asks for DNS names, and says the last word.
    async fn conclude(&self, result: Result<(), Failure>) -> Result<(), Failure> {
        let canceled = self.session.is_canceled() && self.strategy != Strategy::Bluegreen;
        let status = match &result {
            Ok(()) => "complete",
            Err(_) if canceled => "interrupted",
            Err(_) => "failed",
        };
        if canceled && result.is_err() {
            return Err(self.interrupted());
        }
        if self.session.is_canceled() {
            self.write_anyway(status);
        } else if let Err(error) = self.set_status(status).await {
            if result.is_ok() {
                self.release_leases();
                return Err(error.within("failed to set final release status"));
            }
            let text = error.text();
            self.session.log(
                "WARN",
                &format!("failed to set final release status after deployment failure: {text}\n"),
            );
        }
        self.release_leases();
        self.ask_dns().await?;
        result?;
        if self.restart {
            return Ok(());
        }
        self.session.out(&format!(
            "\nVisit your newly deployed app at https://{}.fly.dev/",
            self.app
        ));
        Ok(())
    }

    /// Writes a status though we were told to end.
    fn write_anyway(&self, status: &str) {
        let id = self.release.borrow().0.clone();
        let _ = self
            .session
            .world
            .change(|world, _| write_status(world, &self.app, &id, status));
    }

    /// Told to end: the release is `interrupted`, the leases stay, and flyctl panics (capture `deploy_sigint_health`).
    fn interrupted(&self) -> Failure {
        self.write_anyway("interrupted");
        let leases = self.leases.borrow();
        if !leases.is_empty() {
            let info = "detected canceled context and allowing 500ms to release machine";
            self.session.log("INFO", &format!("{info} leases\n"));
            for machine in self
                .machines
                .iter()
                .filter(|machine| leases.contains_key(&machine.id))
            {
                let name = format!("{} [{}]", machine.id, machine.group());
                self.session.log("INFO", &format!("{info} {name} lease\n"));
            }
        }
        self.remark();
        self.session.err(PANIC);
        Failure::exit(2)
    }

    /// Two empty lines where the signal came in (captures `deploy_sigint_smoke`, `deploy_sigint_health`).
    pub(super) fn remark(&self) {
        if !self.remarked.replace(true) {
            self.session.err("\n");
        }
    }

    /// The question about public names that this version asks whatever its flags say, and that can fail a good
    /// deployment (capture `deploy_dns_question_flag`).
    async fn ask_dns(&self) -> Result<(), Failure> {
        let asks = self
            .session
            .world
            .look(|world, _| {
                let public = world
                    .apps
                    .get(&self.app)
                    .is_some_and(|app| !app.addresses.is_empty());
                public && !world.settings.hide_ips_after_deploy
            })
            .unwrap_or(false);
        if !asks {
            return Ok(());
        }
        self.session
            .err(&format!("Checking DNS configuration for {}.fly.dev", self.app));
        self.session.pause(DNS).await;
        Err(Failure::new(format!(
            "expected 1 A records for {}.fly.dev., got 0",
            self.app
        )))
    }
}

fn write_status(world: &mut super::super::world::World, app: &str, id: &str, status: &str) {
    let releases = world.apps.get_mut(app).map(|app| &mut app.releases);
    let release = releases.into_iter().flatten().find(|release| release.id == id);
    if let Some(release) = release {
        status.clone_into(&mut release.status);
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
