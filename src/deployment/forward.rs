//! A deploy: choose, look, ask policy, lock, ship.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::deployment::attempt::{Attempt, Seen};
use crate::deployment::course::{self, Options};
use crate::deployment::event::{Phase, What};
use crate::deployment::expect::{self, Ground};
use crate::deployment::job::{Course, Job, Shipment};
use crate::deployment::prepare::{Facts, Look};
use crate::deployment::recall;
use crate::deployment::supersede::{self, Halt};
use crate::deployment::witnesses::FlyWitnesses;
use crate::deployment::{configuration, destination, finish, plan, rules, shipment};
use crate::error::{Error, Result};
use crate::project::policy::bound;
use crate::project::{Environment, Service};
use crate::provider::fly::Flyctl;
use crate::provider::fly::passthrough::{self, Passthrough};
use crate::release::Image;
use crate::session::Session;
use crate::state::history::History;
use crate::state::record::{Kind, ServiceStart};
use crate::verification::expectation::Kind as Verifying;

/// What `shipctl deploy` was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) environment: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) strategy: Option<String>,
    pub(crate) no_rollback: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) bake: Option<Duration>,
    pub(crate) dry_run: bool,
    pub(crate) unfreeze: bool,
    pub(crate) overrides: Vec<String>,
    pub(crate) reason: Option<String>,
    pub(crate) lock_wait: Duration,
    pub(crate) passed: Vec<String>,
}

/// Deploys; the exit code is the answer's.
pub(crate) async fn deploy(session: &Session, request: &Request) -> Result<u8> {
    let environment = rules::choose(session, request)?;
    let services = session.services(environment)?;
    if request.image.is_some() && services.len() > 1 {
        return Err(
            Error::usage("`--image` names one image, and this environment has several services").hint(
                format!(
                    "name one: shipctl deploy {} --service {} --image …",
                    environment.name, services[0].name
                ),
            ),
        );
    }
    let timeout = request.timeout.unwrap_or(environment.deploy_timeout);
    let (mut attempt, checkout) = Attempt::begin(
        session,
        environment,
        Kind::Deploy,
        timeout,
        request.reason.clone(),
    )
    .await?;
    attempt.image.clone_from(&request.image);
    let phase = attempt
        .emitter
        .start(Phase::Prepare, format!("looking at {}", environment.name));
    for warning in &session.project.warnings {
        attempt.emitter.warn(warning.clone());
    }
    let prepared = prepare(&attempt, request, &services, &checkout);
    let ((mut jobs, mut history), phase) = attempt.look(phase, prepared).await?;
    let frozen = session.freeze(environment)?;
    let passed = match rules::before_shipping(&attempt, request, &checkout, &jobs, &history, frozen) {
        Ok(passed) => passed,
        Err(error) => {
            phase.failed(error.message.clone());
            return Err(error);
        }
    };
    attempt.overridden = passed.overridden.iter().map(|rule| (*rule).to_owned()).collect();
    let looked = Instant::now();
    phase.completed(plan::summary(&jobs));
    attempt.emitter.set_version(plan::version(&jobs));
    if request.dry_run {
        plan::print(session, &attempt, &jobs, request.no_rollback, request.bake);
        return Ok(0);
    }

    let phase = attempt.emitter.start(Phase::Lock, "");
    let apps: Vec<String> = jobs.iter().map(|job| job.service.app.clone()).collect();
    let locked = session.lock(&attempt, &apps, request.lock_wait).await;
    let (locks, waited) = match locked {
        Ok(locked) => locked,
        Err(error) => {
            phase.failed(error.message.clone());
            return Err(error);
        }
    };
    attempt.locks = Some(locks);
    if waited || rules::has_moved(&attempt, &history, looked) {
        // The baseline counts as of the lock: what happened while it was waited for is part of it.
        (jobs, history) = prepare(&attempt, request, &services, &checkout).await?;
        let frozen = session.freeze(environment)?;
        rules::before_shipping(&attempt, request, &checkout, &jobs, &history, frozen)?;
    }
    phase.completed("");

    let started = jobs.iter().map(|job| service_start(&attempt, job)).collect();
    let past = supersede::settle_the_past(&attempt, &history, &jobs).await;
    if let Err(Halt::Failed(error)) = past {
        return Err(error);
    }
    attempt.record_start(started)?;
    let result = if let Err(Halt::Interrupted(interrupted)) = past {
        Err(interrupted)
    } else {
        if passed.lifts_freeze {
            session.lift_freeze(environment)?;
        }
        let headline = plan::headline(&environment.name, &jobs);
        attempt.emitter.emit(&What::DeploymentStarted { headline });
        let options = Options {
            no_rollback: request.no_rollback,
            bake: request.bake,
        };
        course::run(&attempt, &mut jobs, options).await
    };
    let report = finish::finish(&mut attempt, &mut jobs, result).await;
    finish::print(&attempt, &report);
    Ok(report.exit_code)
}

async fn prepare<'s>(
    attempt: &Attempt<'_>,
    request: &Request,
    services: &[&'s Service],
    checkout: &Seen,
) -> Result<(Vec<Job<'s>>, History)> {
    let session = attempt.session;
    let environment = attempt.environment;
    let history = attempt.ledger.read()?;
    for warning in history.warnings() {
        attempt.emitter.warn(warning.clone());
    }
    rules::bound(environment, services, &history)?;
    let flyctl = session.flyctl(environment).await?;
    let passed = passthrough::check(&request.passed, flyctl.flags())?;
    rules::filter(&passed, request.no_rollback)?;
    let looks = services
        .iter()
        .map(|service| look(session, environment, service, &flyctl, &history));
    let mut jobs = Vec::new();
    for (service, facts) in services.iter().zip(join_all(looks).await) {
        let facts = facts?;
        jobs.push(job(
            attempt, request, service, &flyctl, facts, &history, &passed, checkout,
        )?);
    }
    Ok((jobs, history))
}

/// The facts of one service; `config show` only where the ledger cannot say what serves.
async fn look(
    session: &Session,
    environment: &Environment,
    service: &Service,
    flyctl: &Flyctl,
    history: &History,
) -> Result<Facts> {
    let health = session.health(service);
    let look = Look {
        remote: !recall::knows_app(history, &service.app),
        ask: true,
        ..Look::at(session, environment, service, flyctl, &health)
    };
    let owner = async {
        match &environment.org {
            Some(wanted) => flyctl
                .organization(&service.app)
                .await
                .map(|owner| Some((wanted, owner))),
            None => Ok(None),
        }
    };
    let (mut facts, owner) = tokio::try_join!(look.take(), owner)
        .map_err(|failure| Session::provider_error(environment, &failure))?;
    if let Some((wanted, owner)) = owner {
        bound::organization(&environment.name, &service.app, wanted, &owner)?;
    }
    let known = recall::of_instance(history, &service.app, &facts.machines).is_some();
    if !look.remote && !known {
        facts.remote = flyctl.config_show(&service.app).await.ok();
    }
    Ok(facts)
}

#[expect(
    clippy::too_many_arguments,
    reason = "a job is where all of this comes together"
)]
fn job<'s>(
    attempt: &Attempt<'_>,
    request: &Request,
    service: &'s Service,
    flyctl: &Flyctl,
    facts: Facts,
    history: &History,
    passed: &Passthrough,
    checkout: &Seen,
) -> Result<Job<'s>> {
    let session = attempt.session;
    let health = session.health(service);
    let file = service
        .file
        .as_ref()
        .ok_or_else(|| Error::config(format!("the file of service `{}` cannot be read", service.name)))?;
    let (mut baseline, recall) = recall::baseline(history, attempt.environment, service, &facts);
    let whole = configuration::whole(service, &passed.forming);
    let (workspace, config_path) = whole
        .as_ref()
        .map(|configuration| shipment::forward_copy(service, configuration))
        .transpose()
        .map_err(Error::internal)?
        .ok_or_else(|| Error::config(format!("the file of service `{}` cannot be read", service.name)))?;
    let given = request.image.clone().or_else(|| file.toml.image.clone());
    let own_label = || passed.image_label.clone().unwrap_or_else(|| attempt.label());
    let label = given.is_none().then(own_label);
    let image = given.as_deref().map(Image::parse).or_else(|| {
        label.as_ref().map(|label| Image {
            name: format!("registry.fly.io/{}:{label}", service.app),
            digest: None,
        })
    });
    let image = image.map(|image| recall::complete(history, &service.app, image));
    let address = facts.has_address(&health);
    if let Some(warning) = facts.warning() {
        attempt.emitter.warn(warning);
    }
    let said = session.version();
    let shipping = recall::Shipping {
        image: image.as_ref(),
        label: label.as_deref(),
        said: said.as_deref(),
        git: &checkout.facts,
    };
    let names = recall::naming(history, service, &baseline, recall.as_ref(), &shipping);
    let asked = service.verify.path.path();
    let heard = recall::heard(&baseline, recall.as_ref(), asked);
    let target = expect::shipped_target(baseline.newest, image.clone(), std::collections::BTreeSet::new());
    let expectation = expect::expectation(Ground {
        kind: Verifying::Forward,
        app: &service.app,
        environment: attempt.environment,
        verify: &service.verify,
        file: &file.toml,
        baseline: &baseline,
        address,
        forced: health.forced,
        target,
        names,
        heard: &heard,
    });
    for warning in &baseline.already {
        attempt.emitter.warn(warning.clone());
    }
    if file.toml.release_command.is_some() && file.toml.release_command_timeout.is_none() {
        attempt
            .emitter
            .warn("`release_command` without `release_command_timeout`: flyctl ends it after 5m");
    }
    let kept = whole
        .as_ref()
        .map(|whole| configuration::for_ledger(whole, &session.redactor));
    let unnamed = Image {
        name: String::new(),
        digest: None,
    };
    baseline.configuration =
        destination::of_what_serves(service, &baseline, recall.as_ref(), facts.remote.as_ref());
    let destination = destination::of(&destination::Question {
        environment: &attempt.environment.name,
        service,
        history,
        releases: &facts.releases,
        baseline: &baseline,
        recall: recall.as_ref(),
        asked,
        shipped: image.as_ref().unwrap_or(&unnamed),
        configuration: kept.as_ref(),
    });
    let unreached = supersede::unreached(history, &service.app, &baseline.instances, &facts.answers);
    let migration_runs = facts
        .machines
        .iter()
        .any(crate::instance::Instance::is_running_release_command);
    Ok(Job {
        service,
        flyctl: flyctl.clone(),
        witnesses: FlyWitnesses::new(session, &service.app, flyctl, health, service.verify.clone()),
        releases: facts.releases,
        shipment: Shipment {
            image,
            label,
            configuration: whole,
            file: file.toml.clone(),
            config_path,
            directory: service.context.clone(),
            strategy: request.strategy.clone().or_else(|| passed.strategy.clone()),
            flags: passed.args.clone(),
            release_command: file.toml.release_command.is_some(),
            workspace,
        },
        baseline,
        expectation,
        destination,
        migration_runs,
        unreached,
        course: Course::default(),
    })
}

pub(crate) fn file_variables(service: &Service) -> std::collections::BTreeMap<String, String> {
    service
        .file
        .as_ref()
        .map(|file| file.toml.env.clone())
        .unwrap_or_default()
}

pub(crate) fn service_start(attempt: &Attempt<'_>, job: &Job<'_>) -> ServiceStart {
    let kept = job.shipment.configuration.as_ref();
    ServiceStart {
        service: job.service.name.clone(),
        app: job.service.app.clone(),
        image: job.shipment.image.clone(),
        release_command: job.shipment.release_command,
        configuration: kept.map(|kept| configuration::for_ledger(kept, &attempt.session.redactor)),
        previous: job.baseline.served(),
        built: job.shipment.label.is_some(),
    }
}
