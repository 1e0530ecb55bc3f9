//! A rollback: the last verified release, shipped with the configuration of then, and verified like a deploy.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::deployment::attempt::Attempt;
use crate::deployment::baseline::Baseline;
use crate::deployment::course::{self, Options};
use crate::deployment::event::{Phase, What};
use crate::deployment::expect::{self, Ground};
use crate::deployment::forward::service_start;
use crate::deployment::job::{Course, Destination, Job, Shipment, Stage};
use crate::deployment::prepare::{Facts, Look, settings};
use crate::deployment::recall;
use crate::deployment::report::Ending;
use crate::deployment::supersede::{self, Halt};
use crate::deployment::witnesses::FlyWitnesses;
use crate::deployment::{configuration, destination, finish, plan, returning, rules, shipment};
use crate::error::{Error, Result};
use crate::instance::{CheckState, Instance, InstanceState};
use crate::project::fly_toml::FlyToml;
use crate::project::{Identity, Service};
use crate::provider::fly::Flyctl;
use crate::provider::fly::output::failure::FailureClass;
use crate::rollback::{self, Answer, Pick, Question, Rule, Running};
use crate::secret::REDACTED;
use crate::session::Session;
use crate::state::history::History;
use crate::state::record::{Kind, ServiceStart};
use crate::verification::expectation::Kind as Verifying;

/// What `shipctl rollback` was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) environment: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) with_release_command: bool,
    pub(crate) yes: bool,
    pub(crate) dry_run: bool,
    pub(crate) reason: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) bake: Option<Duration>,
    pub(crate) lock_wait: Duration,
}

/// Rolls back; the exit code is the answer's.
pub(crate) async fn rollback(session: &Session, request: &Request) -> Result<u8> {
    let environment = session.environment(request.environment.as_deref())?;
    let services = session.services(environment)?;
    let timeout = request.timeout.unwrap_or(environment.deploy_timeout);
    let (mut attempt, _) = Attempt::begin(
        session,
        environment,
        Kind::Rollback,
        timeout,
        request.reason.clone(),
    )
    .await?;
    let phase = attempt
        .emitter
        .start(Phase::Prepare, format!("looking at {}", environment.name));
    for warning in &session.project.warnings {
        attempt.emitter.warn(warning.clone());
    }
    let prepared = prepare(&attempt, request, &services, &[]);
    let ((mut jobs, mut picks, mut history), phase) = attempt.look(phase, prepared).await?;
    let looked = Instant::now();
    phase.completed(plan::summary(&jobs));
    attempt.emitter.set_version(plan::version(&jobs));
    say(&attempt, &picks);
    if request.dry_run {
        plan::print(session, &attempt, &jobs, false, request.bake);
        return Ok(0);
    }
    let apps: Vec<String> = jobs.iter().map(|job| job.service.app.clone()).collect();
    if request.lock_wait.is_zero() {
        // Before a person is asked for something that cannot be done.
        session.locks().unheld(&apps, &environment.name)?;
    }
    rules::consent(&attempt, request, &jobs, &picks, &history, false).await?;

    let phase = attempt.emitter.start(Phase::Lock, "");
    let (locks, waited) = match session.lock(&attempt, &apps, request.lock_wait).await {
        Ok(locked) => locked,
        Err(error) => {
            phase.failed(error.message.clone());
            return Err(error);
        }
    };
    attempt.locks = Some(locks);
    phase.completed("");
    if waited || rules::has_moved(&attempt, &history, looked) {
        let (shown, served) = (picks, plan::summary(&jobs));
        (jobs, picks, history) = prepare(&attempt, request, &services, &[]).await?;
        let is_another = rules::still_meant(&attempt, request, &jobs, &picks, &shown)?;
        // A yes was for what was shown.
        if is_another || plan::summary(&jobs) != served {
            say(&attempt, &picks);
            rules::consent(&attempt, request, &jobs, &picks, &history, is_another).await?;
        }
    }

    let past = supersede::settle_the_past(&attempt, &history, &jobs).await;
    if let Err(Halt::Failed(error)) = past {
        return Err(error);
    }
    attempt.record_start(starts(&attempt, &jobs))?;
    let mut result = if let Err(Halt::Interrupted(interrupted)) = past {
        Err(interrupted)
    } else {
        let headline = plan::headline(&environment.name, &jobs);
        attempt.emitter.emit(&What::DeploymentStarted { headline });
        course::run(&attempt, &mut jobs, options(request)).await
    };
    // An image that is gone from the registry: the next older candidate, and it says so (DESIGN 7).
    let mut gone: Vec<String> = Vec::new();
    while request.to.is_none()
        && result.is_ok()
        && let Some(image) = image_gone(&jobs)
    {
        gone.push(image.clone());
        attempt.emitter.warn(format!(
            "the image {image} is gone; trying the next older release"
        ));
        let Ok((again, _, _)) = prepare(&attempt, request, &services, &gone).await else {
            break;
        };
        jobs = again;
        // The record names what is shipped now, with its configuration: a later rollback ships that pair.
        attempt.record_start(starts(&attempt, &jobs))?;
        result = course::run(&attempt, &mut jobs, options(request)).await;
    }
    let good = matches!(result, Ok(Ending::Ok));
    let report = finish::finish(&mut attempt, &mut jobs, result).await;
    finish::print(&attempt, &report);
    if good {
        rules::freeze_after(&attempt, request, &jobs);
    }
    Ok(report.exit_code)
}

fn options(request: &Request) -> Options {
    Options {
        no_rollback: false,
        bake: request.bake,
    }
}

/// The image that the registry no longer has, where nothing moved because of that.
fn image_gone(jobs: &[Job<'_>]) -> Option<String> {
    let job = jobs.iter().find(|job| {
        let class = job.course.provider.as_ref().and_then(|provider| provider.class);
        class == Some(FailureClass::ImageMissing) && job.course.stage == Stage::Untouched
    })?;
    job.shipment.image.as_ref().map(|image| image.name.clone())
}

fn starts(attempt: &Attempt<'_>, jobs: &[Job<'_>]) -> Vec<ServiceStart> {
    jobs.iter().map(|job| service_start(attempt, job)).collect()
}

/// Says what a person should know of the targets.
fn say(attempt: &Attempt<'_>, picks: &[Pick]) {
    // What the ledger speaks against is warned of already.
    for pick in picks.iter().filter(|pick| !pick.target.verified && !pick.refuted) {
        let name = pick.target.name();
        attempt.emitter.warn(match pick.rule {
            Rule::Named => format!("{name} was never verified here"),
            rule => format!("{name} is unverified: {}", rule.reason()),
        });
        if let Some(beside) = &pick.beside {
            attempt.emitter.warn(format!(
                "the last one that this ledger verified is {}; `--to` ships it",
                beside.name()
            ));
        }
    }
}

async fn prepare<'s>(
    attempt: &Attempt<'_>,
    request: &Request,
    services: &[&'s Service],
    gone: &[String],
) -> Result<(Vec<Job<'s>>, Vec<Pick>, History)> {
    let session = attempt.session;
    let history = match attempt.ledger.read() {
        Ok(history) => history,
        Err(error) => {
            // At three in the morning an unreadable ledger is not the problem: flyctl's releases are there still.
            attempt
                .emitter
                .warn(format!("the ledger cannot be read: {error}"));
            History::empty(&attempt.environment.name)
        }
    };
    for warning in history.warnings() {
        attempt.emitter.warn(warning.clone());
    }
    rules::bound(attempt.environment, services, &history)?;
    let flyctl = session.flyctl(attempt.environment).await?;
    let looks = services.iter().map(|service| async {
        let health = session.health(service);
        let look = Look {
            remote: true,
            ask: true,
            ..Look::at(session, attempt.environment, service, &flyctl, &health)
        };
        let (facts, secrets) = tokio::join!(look.take(), flyctl.secrets(&service.app));
        facts
            .map(|facts| (facts, secrets.ok()))
            .map_err(|failure| Session::provider_error(attempt.environment, &failure))
    });
    let (mut jobs, mut picks) = (Vec::new(), Vec::new());
    for (service, seen) in services.iter().zip(join_all(looks).await) {
        let (facts, secrets) = seen?;
        let (job, pick) = job(attempt, request, service, &flyctl, facts, &history, gone)?;
        if let Some(warning) = rollback::secrets_since(secrets.as_deref(), &pick.target, &job.releases) {
            attempt.emitter.warn(warning);
        }
        jobs.push(job);
        picks.push(pick);
    }
    Ok((jobs, picks, history))
}

/// A person may have sized the machines since the target served, so a rollback leaves sizes that its file names not.
fn sizes_stay(baseline: &Baseline, shipment: &Shipment) -> Option<String> {
    let serving = FlyToml::parse(&baseline.configuration.as_ref()?.text);
    let target = shipment.image.as_ref()?.short();
    (serving.names_sizes() && !shipment.file.names_sizes()).then(|| {
        format!(
            "the machines keep their size: the configuration of {target} names none, and that of today does"
        )
    })
}

fn job<'s>(
    attempt: &Attempt<'_>,
    request: &Request,
    service: &'s Service,
    flyctl: &Flyctl,
    facts: Facts,
    history: &History,
    gone: &[String],
) -> Result<(Job<'s>, Pick)> {
    let session = attempt.session;
    let health = session.health(service);
    let at_hand = settings(service, &attempt.environment.variables, facts.remote.as_ref());
    let (mut baseline, recall) = recall::baseline(history, attempt.environment, service, &facts);
    let pick = pick(attempt, request, service, &baseline, &facts, history, gone)?;
    for warning in &pick.warnings {
        attempt.emitter.warn(warning.clone());
    }
    for migration in recall::migrations_since(history, &service.app, &pick.target) {
        attempt.emitter.warn(migration);
    }
    let target = of_pick(attempt, service, &baseline, &facts, &pick);
    let shipped = target
        .configuration
        .clone()
        .ok_or_else(|| no_configuration(service))?;
    let mut shipment =
        shipment::of_target(&target, shipped, request.with_release_command).map_err(Error::internal)?;
    let verify = at_hand.asking_as(&shipment.file);
    shipment.strategy = Some(returning::strategy(Some(&facts.machines), &baseline.instances, &[]).to_owned());
    let address = facts.has_address(&health);
    if let Some(warning) = facts.warning() {
        attempt.emitter.warn(warning);
    }
    let others = recall::others(history, &service.app, &baseline, Some(&target.image));
    let names = expect::as_it_answered(&target, others);
    let names_nothing = names.expected.is_empty();
    let aim = expect::shipped_target(
        baseline.newest,
        Some(target.image.clone()),
        std::collections::BTreeSet::new(),
    );
    let mut expectation = expect::expectation(Ground {
        kind: Verifying::Rollback,
        app: &service.app,
        environment: attempt.environment,
        verify: &verify,
        file: &shipment.file,
        baseline: &baseline,
        address,
        forced: health.forced,
        target: aim,
        names,
        heard: &target.heard,
    });
    expectation.identity.named_before &= target.heard.answered(verify.path.path());
    if names_nothing {
        expectation.identity.mode = Identity::Off;
    }
    for (name, group) in &mut expectation.groups {
        let had = pick
            .target
            .entry
            .as_ref()
            .and_then(|entry| entry.instances.get(name));
        group.had = had.copied();
    }
    baseline.configuration =
        destination::of_what_serves(service, &baseline, recall.as_ref(), facts.remote.as_ref())
            .or_else(|| configuration::whole(service, &[]));
    if let Some(warning) = sizes_stay(&baseline, &shipment) {
        attempt.emitter.warn(warning);
    }
    let kept = shipment.configuration.as_ref();
    let kept = kept.map(|shipped| configuration::for_ledger(shipped, &session.redactor));
    let back = destination::of(&destination::Question {
        environment: &attempt.environment.name,
        service,
        history,
        releases: &facts.releases,
        baseline: &baseline,
        recall: recall.as_ref(),
        asked: at_hand.path.path(),
        shipped: &target.image,
        configuration: kept.as_ref(),
    });
    let unreached = supersede::unreached(history, &service.app, &baseline.instances, &facts.answers);
    // What still migrates is in the way of another migration alone.
    let migration_runs =
        shipment.release_command && facts.machines.iter().any(Instance::is_running_release_command);
    let job = Job {
        service,
        flyctl: flyctl.clone(),
        witnesses: FlyWitnesses::new(session, &service.app, flyctl, health, verify),
        releases: facts.releases,
        shipment,
        baseline,
        expectation,
        destination: back,
        migration_runs,
        unreached,
        course: Course::default(),
    };
    Ok((job, pick))
}

fn no_configuration(service: &Service) -> Error {
    Error::refused(format!(
        "no configuration is known to roll `{}` back with",
        service.app
    ))
    .hint("run it in the checkout of the app, where its fly.toml lies")
}

/// The target with the configuration of then: the ledger's, else the file at hand, else what flyctl has.
fn of_pick(
    attempt: &Attempt<'_>,
    service: &Service,
    baseline: &Baseline,
    facts: &Facts,
    pick: &Pick,
) -> Destination {
    let mut destination = destination::of_candidate(service, baseline, pick.target.clone());
    for name in destination.configuration.iter().flat_map(|kept| &kept.redacted) {
        attempt.emitter.warn(format!(
            "the value of `{name}` is in no record, on no instance and in no file any more; `{REDACTED}` would be shipped"
        ));
    }
    let at_hand =
        || configuration::whole(service, &[]).or_else(|| facts.remote.as_ref().map(configuration::of_remote));
    destination.configuration = destination.configuration.or_else(at_hand);
    destination
}

/// The release to go back to, or what exists instead (3).
fn pick(
    attempt: &Attempt<'_>,
    request: &Request,
    service: &Service,
    baseline: &Baseline,
    facts: &Facts,
    history: &History,
    gone: &[String],
) -> Result<Pick> {
    let running = running(baseline);
    let answer = rollback::pick(&Question {
        app: &service.app,
        history,
        releases: &facts.releases,
        running: &running,
        to: request.to.as_deref(),
    })?;
    match answer {
        Answer::Target(mut pick) => {
            if rules::pick_without(&mut pick, gone) {
                Ok(*pick)
            } else {
                Err(Error::refused(
                    "every candidate's image is gone from the registry",
                ))
            }
        }
        Answer::Nothing(none) => Err(none.error(&attempt.environment.name)),
    }
}

/// The counted instances as a rollback sees them.
pub(crate) fn running(baseline: &Baseline) -> Vec<Running> {
    let good = baseline.failing.is_empty();
    let judge = |instance: &Instance| {
        let checks = instance.checks.iter().all(CheckState::is_passing);
        let asleep = instance.has_autostop() && !instance.has_crashed();
        let up = match instance.state {
            InstanceState::Started => checks,
            InstanceState::Stopped | InstanceState::Suspended => asleep,
            _ => false,
        };
        good && up
    };
    baseline
        .instances
        .iter()
        .map(|instance| Running::of(instance, judge(instance)))
        .collect()
}

/// The configuration that an app without a file is read by: flyctl's own.
pub(crate) fn file_of(service: &Service, facts: &Facts) -> FlyToml {
    service
        .file
        .as_ref()
        .map(|file| file.toml.clone())
        .or_else(|| facts.remote.as_ref().map(FlyToml::from_json))
        .unwrap_or_default()
}
