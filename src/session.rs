//! What a command works with: the project, its state, flyctl and the printer.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Globals;
use crate::deployment::attempt::Attempt;
use crate::deployment::event::{Reader, What};
use crate::deployment::witnesses::HealthUrl;
use crate::effect::clock;
use crate::effect::http::Http;
use crate::error::{Error, ErrorKind, Result};
use crate::git::Checkout;
use crate::output::Printer;
use crate::output::progress::{Lines, Terminal};
use crate::project::load::{Mode, Request, Wanted, unknown_environment};
use crate::project::{Environment, Project, Service, Variables, load as project};
use crate::provider::fly::call::CallFailure;
use crate::provider::fly::environment::{Environment as FlyEnvironment, Token};
use crate::provider::fly::output::failure::FailureClass;
use crate::provider::fly::program::Program;
use crate::provider::fly::{Flyctl, cache};
use crate::sandbox::{self, Beginning, Sandbox, Served};
use crate::secret::{Redactor, Secret};
use crate::state::EnvironmentState;
use crate::state::bundle::Bundles;
use crate::state::deployer::this_process;
use crate::state::freeze::{Freeze, FreezeFile};
use crate::state::home::{Found, Home};
use crate::state::ledger::Ledger;
use crate::state::lock::{Claim, Guards, Holder, Locks};
use crate::state::record::Deployer;

/// Everything that is settled before a command begins.
pub(crate) struct Session {
    pub(crate) globals: Globals,
    pub(crate) printer: Printer,
    pub(crate) project: Project,
    pub(crate) http: Http,
    pub(crate) redactor: Redactor,
    variables: Variables,
    home: Home,
    sandbox: Option<Playground>,
}

/// The sandbox of this command: its world, and its apps over HTTP.
struct Playground {
    sandbox: Sandbox,
    served: Served,
}

/// How much a mistake in a file weighs: `deploy` stops, what is needed at three in the morning goes on (DESIGN 3).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Strictness<'a> {
    /// With the environment and the file that were named.
    Strict {
        environment: Option<&'a str>,
        config: Option<&'a Path>,
    },
    Tolerant,
}

impl Session {
    /// Reads the configuration and finds the state; asks nobody. `config` is what `--config` names.
    pub(crate) async fn open(
        globals: &Globals,
        printer: Printer,
        strictness: Strictness<'_>,
    ) -> Result<Self> {
        let variables = process_variables();
        let start = start_folder()?;
        let url = variables.get("SHIPCTL_STATE").map(str::to_owned);
        let project = match &globals.app {
            Some(app) => {
                let known = if globals.sandbox {
                    sandboxed(app)?
                } else {
                    let home = Home::resolve(url.as_deref(), &start, |name| std::env::var_os(name))?;
                    home.environments_of_app(app)?
                };
                without_checkout(app, known, &start, &variables)?
            }
            None => load(globals, strictness).await?,
        };
        let url = url.or_else(|| project.state_url.clone());
        let mut home = Home::resolve(url.as_deref(), &project.root, |name| std::env::var_os(name))?;
        let mut sandbox = None;
        if globals.sandbox {
            let root = Home::sandbox_folder(&project.name, |name| std::env::var_os(name))?;
            let unusable = |error| {
                Error::internal(format!("the sandbox in `{}` cannot be used", root.display())).cause(error)
            };
            let opened = Sandbox::open(&root, &seeds(&project)).map_err(unusable)?;
            let served = opened.serve().map_err(unusable)?;
            home = Home::sandbox(&root);
            sandbox = Some(Playground {
                sandbox: opened,
                served,
            });
        }
        let mut session = Self {
            globals: globals.clone(),
            printer,
            http: Http::new(),
            redactor: Redactor::new(tokens(&variables, &project)),
            project,
            variables,
            home,
            sandbox,
        };
        session.recall_apps();
        Ok(session)
    }

    /// Where a tolerant look found no app in a file, that of the last record stands for it (DESIGN 3 and 4).
    fn recall_apps(&mut self) {
        let mut found = Vec::new();
        for (at, environment) in self.project.environments.iter().enumerate() {
            let nameless = environment.services.iter().enumerate();
            let nameless: Vec<_> = nameless.filter(|(_, service)| service.app.is_empty()).collect();
            if nameless.is_empty() {
                continue;
            }
            // A ledger that cannot be read is told of by whoever needs it.
            let Ok(history) = self.ledger(environment).and_then(|ledger| ledger.read()) else {
                continue;
            };
            for (place, service) in nameless {
                if let Ok(Some(app)) = history.bound_app(&service.name) {
                    found.push((at, place, app));
                }
            }
        }
        for (at, place, app) in found {
            let file = &self.project.environments[at].services[place].config;
            let file = self.project.on_a_command_line(file);
            self.project.warnings.push(format!(
                "`{file}` names no app: going by `{app}`, which the last record names"
            ));
            self.project.environments[at].services[place].app = app;
        }
    }

    /// Says what of the files was left out because it is wrong (DESIGN 3).
    pub(crate) fn warn_of_files(&self) {
        for warning in &self.project.warnings {
            self.printer.warn(warning);
        }
    }

    /// The environment of that name; without one, the only one there is.
    pub(crate) fn environment(&self, name: Option<&str>) -> Result<&Environment> {
        let all = &self.project.environments;
        match name {
            Some(name) => self.project.environment(name).ok_or_else(|| {
                unknown_environment(name, all.iter().map(|environment| environment.name.as_str()))
            }),
            None if self.globals.app.is_some() => match all.as_slice() {
                [only] => Ok(only),
                _ => Err(Error::usage("no environment is named")),
            },
            None => Err(Error::usage("no environment is named")
                .hint(format!("name one of: {}", names(all)))
                .hint("or the app, where there is no checkout: `-a APP`")),
        }
    }

    /// The services of an environment that `--service` leaves.
    pub(crate) fn services<'e>(&self, environment: &'e Environment) -> Result<Vec<&'e Service>> {
        let wanted = &self.globals.services;
        for name in wanted {
            if !environment.services.iter().any(|service| &service.name == name) {
                let known: Vec<&str> = environment
                    .services
                    .iter()
                    .map(|service| service.name.as_str())
                    .collect();
                return Err(
                    Error::usage(format!("`{}` has no service `{name}`", environment.name))
                        .hint(format!("its services are: {}", known.join(", "))),
                );
            }
        }
        let chosen = environment.services.iter();
        let chosen: Vec<&Service> = chosen
            .filter(|service| wanted.is_empty() || wanted.contains(&service.name))
            .collect();
        // A tolerant look may have found none in the file; nothing is ever asked or shipped without.
        if let Some(nameless) = chosen.iter().find(|service| service.app.is_empty()) {
            let file = self.project.on_a_command_line(&nameless.config);
            return Err(
                Error::config(format!("`{file}` names no app, and no record does")).hint(format!(
                    "write `app = \"…\"` into `{file}`, or name the app with `-a APP`"
                )),
            );
        }
        Ok(chosen)
    }

    /// flyctl with the token of this environment.
    pub(crate) async fn flyctl(&self, environment: &Environment) -> Result<Flyctl> {
        let program = match &self.sandbox {
            Some(playground) => {
                let variables = vec![playground.sandbox.variable()];
                Program::this_binary(sandbox::STAND_IN_NAME, variables)?
            }
            None => Program::find(&self.variables.0)
                .map_err(|failure| Self::provider_error(environment, &failure))?,
        };
        let given = self.given(environment);
        let of_child = FlyEnvironment::new(&given, self.token(environment), &self.project.flyctl_pass);
        let cache = cache::directory(&self.variables.0);
        Flyctl::open(program, of_child, self.redactor.clone(), cache.as_deref())
            .await
            .map_err(|failure| Self::provider_error(environment, &failure))
    }

    fn given(&self, environment: &Environment) -> BTreeMap<String, String> {
        let mut given = self.variables.0.clone();
        given.extend(environment.variables.0.clone());
        given
    }

    fn token(&self, environment: &Environment) -> Option<Token> {
        let given = self.given(environment);
        Token::choose(&given, Some(&environment.token_variable))
    }

    /// A failure of flyctl's before anything was released: exit 10, with the variable that held the token.
    pub(crate) fn provider_error(environment: &Environment, failure: &CallFailure) -> Error {
        let mut error = Error::from(failure.clone());
        error.causes.extend(failure.details.iter().cloned());
        if matches!(
            failure.class,
            FailureClass::Unauthenticated | FailureClass::Unauthorized
        ) {
            let own = &environment.token_variable;
            error = error.hint(format!("`{own}` is looked at first for `{}`", environment.name));
        }
        // A call that hangs says neither that something is wrong nor what serves.
        if failure.class == FailureClass::TimedOut {
            error.kind = ErrorKind::Inconclusive;
        }
        error
    }

    /// For `verify`: an API that is silent leaves what serves unknown (9); what cannot be asked at all is 10.
    pub(crate) fn unseen_error(environment: &Environment, failure: &CallFailure) -> Error {
        let mut error = Self::provider_error(environment, failure);
        if failure.class.is_transient()
            && !matches!(
                failure.class,
                FailureClass::Unauthorized | FailureClass::Unauthenticated
            )
        {
            error.kind = ErrorKind::Inconclusive;
        }
        error
    }

    pub(crate) fn health(&self, service: &Service) -> HealthUrl {
        if let Some(playground) = &self.sandbox {
            return HealthUrl {
                base: playground.served.base_url.replace("{app}", &service.app),
                forced: false,
            };
        }
        match self.variables.get("SHIPCTL_HEALTH_URL") {
            Some(url) => HealthUrl {
                base: url.replace("{app}", &service.app),
                forced: true,
            },
            None => HealthUrl {
                base: format!("https://{}.fly.dev", service.app),
                forced: false,
            },
        }
    }

    fn state(&self, environment: &Environment) -> Result<EnvironmentState> {
        if let Some(url) = environment
            .state_url
            .as_deref()
            .filter(|_| self.sandbox.is_none())
        {
            let home = Home::resolve(Some(url), &self.project.root, |name| std::env::var_os(name))?;
            return Ok(EnvironmentState::open(
                &home,
                &self.project.name,
                &environment.name,
            ));
        }
        Ok(EnvironmentState::open(
            &self.home,
            &self.project.name,
            &environment.name,
        ))
    }

    pub(crate) fn ledger(&self, environment: &Environment) -> Result<Ledger> {
        Ok(self.state(environment)?.ledger())
    }

    pub(crate) fn bundles(&self, environment: &Environment) -> Result<Bundles> {
        Ok(self.state(environment)?.bundles())
    }

    /// Where a freeze may stand: the environment's own place first, then those of its apps, which `-a APP` freezes where
    /// no ledger knows them.
    fn freezes(&self, environment: &Environment) -> Result<Vec<FreezeFile>> {
        let mut places = vec![self.state(environment)?.freeze()];
        let is_itself = |app: &str| self.project.name == app && environment.name == app;
        for service in &environment.services {
            if !service.app.is_empty() && !is_itself(&service.app) {
                places.push(EnvironmentState::open(&self.home, &service.app, &service.app).freeze());
            }
        }
        Ok(places)
    }

    pub(crate) fn freeze(&self, environment: &Environment) -> Result<Option<Freeze>> {
        for place in self.freezes(environment)? {
            if let Some(freeze) = place.get()? {
                return Ok(Some(freeze));
            }
        }
        Ok(None)
    }

    /// Holds forward deploys off; answers with the freeze that it takes the place of.
    pub(crate) fn set_freeze(&self, environment: &Environment, freeze: &Freeze) -> Result<Option<Freeze>> {
        let before = self.freeze(environment).unwrap_or_default();
        self.state(environment)?.freeze().set(freeze)?;
        Ok(before)
    }

    /// Lets forward deploys go again; answers with the freeze that held.
    pub(crate) fn lift_freeze(&self, environment: &Environment) -> Result<Option<Freeze>> {
        let mut lifted = None;
        for place in self.freezes(environment)? {
            lifted = lifted.or(place.clear()?);
        }
        Ok(lifted)
    }

    pub(crate) fn locks(&self) -> Locks {
        self.home.locks()
    }

    /// Takes the locks of some apps, waiting for others as long as `wait`; whether it had to wait comes with them.
    pub(crate) async fn lock(
        &self,
        attempt: &Attempt<'_>,
        apps: &[String],
        wait: Duration,
    ) -> Result<(Guards, bool)> {
        let claim = Claim {
            owner: attempt.actor.clone(),
            reason: Some(attempt.kind.as_str().to_owned()),
            environment: attempt.environment.name.clone(),
            deployment: Some(attempt.id.clone()),
            deployer: self.this_process(),
            since: attempt.started_at.clone(),
        };
        let names: Vec<&str> = apps.iter().map(String::as_str).collect();
        let mut waited = false;
        let mut interrupts = attempt.interrupts.clone();
        let locks = self.locks();
        let acquired = locks.acquire(&names, &claim, wait, |holder| {
            waited = true;
            let (app, holder) = (holder.app.clone(), holder.sentence());
            attempt.emitter.emit(&What::LockWaiting { app, holder });
        });
        // Somebody else's deployment may take long; whoever waits for it may give up.
        let guards = tokio::select! {
            signal = interrupts.next() => return Err(Error::interrupted(signal)),
            guards = acquired => guards?,
        };
        for left in guards.taken_over() {
            attempt.emitter.emit(&What::LockTakenOver {
                app: left.app.clone(),
                from: left.sentence(),
            });
        }
        for app in apps {
            attempt.emitter.emit(&What::LockAcquired { app: app.clone() });
        }
        Ok((guards, waited))
    }

    /// Who runs this: `user.email` of git, else the CI's actor, else the account.
    pub(crate) fn actor(&self, checkout: Option<&Checkout>) -> String {
        let variable = |name: &str| self.variables.get(name).map(str::to_owned);
        variable("GITHUB_ACTOR")
            .or_else(|| checkout.and_then(|checkout| checkout.email.clone()))
            .or_else(|| variable("USER"))
            .or_else(|| variable("LOGNAME"))
            .or_else(account)
            .unwrap_or_else(|| "unknown".to_owned())
    }

    /// Who runs this, for commands that look at no checkout otherwise.
    pub(crate) async fn actor_here(&self) -> String {
        let checkout = Checkout::look(&self.project.root, &self.variables.0).await;
        self.actor(checkout.as_ref())
    }

    /// Whether ledger and freeze are seen on this machine alone; locks always are.
    pub(crate) fn is_local(&self, environment: &Environment) -> bool {
        self.sandbox.is_some() || (environment.state_url.is_none() && self.project.state_url.is_none())
    }

    /// The page of a run on GitHub Actions.
    pub(crate) fn run_url(&self) -> Option<String> {
        let get = |name: &str| self.variables.get(name);
        let (server, repository, run) = (
            get("GITHUB_SERVER_URL")?,
            get("GITHUB_REPOSITORY")?,
            get("GITHUB_RUN_ID")?,
        );
        Some(format!("{server}/{repository}/actions/runs/{run}"))
    }

    /// Those who read events: the terminal, and `--events`.
    pub(crate) fn readers(&self) -> Result<Vec<Box<dyn Reader>>> {
        let mut readers: Vec<Box<dyn Reader>> = vec![Box::new(Terminal::new(self.printer))];
        if let Some(path) = &self.globals.events {
            if self.globals.has_events_on_stdout() {
                readers.push(Box::new(Lines::new(std::io::stdout())));
            } else {
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|error| {
                        Error::usage(format!("cannot write events to `{}`", path.display())).cause(error)
                    })?;
                readers.push(Box::new(Lines::new(file)));
            }
        }
        Ok(readers)
    }

    /// The command that deploys this environment, with what policy asks for.
    pub(crate) fn deploy_command(&self, environment: &Environment) -> String {
        let first = environment.services.first();
        let file = first.and_then(|service| service.file.as_ref());
        match file.filter(|_| environment.protected) {
            Some(file) => {
                let file = self.project.on_a_command_line(&file.path);
                format!("shipctl deploy {} --config {file}", environment.name)
            }
            None => format!("shipctl deploy {}", environment.name),
        }
    }

    /// Who holds the lock of an app.
    pub(crate) fn lock_holder(&self, app: &str) -> Result<Option<Holder>> {
        Ok(self.locks().holder(app)?.filter(Holder::holds))
    }

    /// `SHIPCTL_VERSION`: a name of what is shipped that nobody else could know.
    pub(crate) fn version(&self) -> Option<String> {
        self.variables.get("SHIPCTL_VERSION").map(str::to_owned)
    }

    /// Touches what tells a later command that this one still lives; nothing depends on a single touch.
    pub(crate) fn heartbeat(&self, environment: &Environment) {
        if let Ok(state) = self.state(environment) {
            state.heartbeat().touch(clock::now());
        }
    }

    /// How long ago the last deployer of this environment lived.
    pub(crate) fn heartbeat_age(&self, environment: &Environment) -> Option<Duration> {
        self.state(environment).ok()?.heartbeat().age(clock::now())
    }

    pub(crate) fn this_process(&self) -> Deployer {
        this_process(self.run_url())
    }
}

/// The folder that the command was started in, or `-C` names.
fn start_folder() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Error::internal("the current folder cannot be read").cause(error))
}

/// Reads the project that the start folder is in.
async fn load(globals: &Globals, strictness: Strictness<'_>) -> Result<Project> {
    with_request(globals, strictness, project::load).await
}

/// Puts together what loading needs, and does something with it.
pub(crate) async fn with_request<T>(
    globals: &Globals,
    strictness: Strictness<'_>,
    act: impl FnOnce(&Request<'_>) -> Result<T>,
) -> Result<T> {
    let (start, variables) = (start_folder()?, process_variables());
    let mode = match strictness {
        Strictness::Strict { .. } => Mode::Strict,
        Strictness::Tolerant => Mode::Tolerant,
    };
    let mut request = Request::new(&start, mode, &variables);
    request.services = &globals.services;
    request.dir_is_root = globals.directory.is_some();
    if let Strictness::Strict { environment, config } = strictness {
        request.wanted = if environment.is_some() || config.is_some() {
            Wanted::One(environment)
        } else {
            Wanted::All
        };
        request.config = config;
    }
    let checkout = match request.root() {
        Ok(root) => Checkout::look(&root, &variables.0).await,
        Err(_) => None,
    };
    let origin = checkout.and_then(|checkout| checkout.origin);
    request.origin = origin.as_deref();
    act(&request)
}

/// The account that this process runs under.
fn account() -> Option<String> {
    nix::unistd::User::from_uid(nix::unistd::getuid())
        .ok()
        .flatten()
        .map(|user| user.name)
}

fn process_variables() -> Variables {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Variables(std::env::vars_os().filter_map(text).collect())
}

/// The environments of all sandboxes whose ledger names the app.
fn sandboxed(app: &str) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for (project, home) in Home::sandboxes(|name| std::env::var_os(name))? {
        let known = home.environments_of_app(app)?.into_iter();
        found.extend(known.map(|known| Found {
            project: project.clone(),
            ..known
        }));
    }
    Ok(found)
}

/// The environment whose ledger names the app; without one the app stands as a protected environment by itself.
fn without_checkout(
    app: &str,
    mut found: Vec<Found>,
    start: &Path,
    variables: &Variables,
) -> Result<Project> {
    let (project, environment) = match found.len() {
        0 => (app.to_owned(), app.to_owned()),
        1 => {
            let found = found.remove(0);
            (found.project, found.state.environment().to_owned())
        }
        _ => {
            let places: Vec<String> = found
                .iter()
                .map(|found| format!("{} ({})", found.state.environment(), found.project))
                .collect();
            return Err(Error::usage(format!(
                "several environments on this machine name the app `{app}`: {}",
                places.join(", ")
            ))
            .hint("go to the checkout of the one that is meant"));
        }
    };
    Ok(Project {
        root: start.to_owned(),
        start: start.to_owned(),
        name: project,
        environments: vec![Environment::bare(&environment, app, start, None, variables)],
        warnings: Vec::new(),
        state_url: None,
        flyctl_pass: Vec::new(),
        config: None,
        effective: Vec::new(),
    })
}

/// What the sandbox begins with: each app with the file that it is deployed by.
pub(crate) fn seeds(project: &Project) -> Vec<Beginning> {
    let services = project.environments.iter().flat_map(|environment| {
        environment
            .services
            .iter()
            .map(move |service| (environment, service))
    });
    services
        .map(|(environment, service)| {
            let text = service
                .file
                .as_ref()
                .map(|file| file.text.clone())
                .unwrap_or_default();
            Beginning {
                app: service.app.clone(),
                fly_toml: text,
                regions: environment.regions.clone(),
            }
        })
        .collect()
}

/// Every token that a variable holds: none of them may be seen anywhere.
fn tokens(variables: &Variables, project: &Project) -> Vec<Secret> {
    let named: Vec<&str> = project
        .environments
        .iter()
        .map(|environment| environment.token_variable.as_str())
        .collect();
    let all = project
        .environments
        .iter()
        .flat_map(|environment| environment.variables.0.iter())
        .chain(variables.0.iter());
    all.filter(|(name, _)| {
        name.starts_with("FLY_API_TOKEN") || *name == "FLY_ACCESS_TOKEN" || named.contains(&name.as_str())
    })
    .map(|(_, value)| Secret::new(value.trim()))
    .collect()
}

fn names(environments: &[Environment]) -> String {
    let names: Vec<&str> = environments
        .iter()
        .map(|environment| environment.name.as_str())
        .collect();
    names.join(", ")
}
