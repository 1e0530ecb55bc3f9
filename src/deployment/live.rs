//! `verify`: what is live now, without a baseline. Changes nothing but the ledger.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::deployment::attempt::Attempt;
use crate::deployment::backward::file_of;
use crate::deployment::baseline::{Baseline, common_image};
use crate::deployment::course;
use crate::deployment::event::Phase;
use crate::deployment::expect::{self, Ground, Naming};
use crate::deployment::job::{Course, Heard, Job, NoWay, Shipment, Stage};
use crate::deployment::prepare::{Facts, Look, settings};
use crate::deployment::witnesses::FlyWitnesses;
use crate::deployment::{configuration, finish, plan, recall};
use crate::error::{Error, Result};
use crate::project::Service;
use crate::provider::fly::Flyctl;
use crate::release::{Image, ReleaseNumber};
use crate::session::Session;
use crate::state::history::History;
use crate::state::lock::Holder;
use crate::state::record::{Kind, Start};
use crate::verification::expectation::{Kind as Verifying, SHORTEST_FOR_STATE, Target};
use crate::verification::{Judgement, Verdict};

/// What `shipctl verify` was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) environment: Option<String>,
    pub(crate) release: Option<ReleaseNumber>,
    pub(crate) timeout: Option<Duration>,
}

/// Verifies; the exit code is 0, 8 or 9.
pub(crate) async fn verify(session: &Session, request: &Request) -> Result<u8> {
    let environment = session.environment(request.environment.as_deref())?;
    let services = session.services(environment)?;
    // `--timeout` is for the instances; however long flyctl takes to name them is not held against them.
    let timeout = environment.deploy_timeout;
    let (mut attempt, _) = Attempt::begin(session, environment, Kind::Verify, timeout, None).await?;
    for warning in &session.project.warnings {
        attempt.emitter.warn(warning.clone());
    }
    let phase = attempt
        .emitter
        .start(Phase::Prepare, format!("looking at {}", environment.name));
    let (mut jobs, phase) = attempt.look(phase, prepare(&attempt, request, &services)).await?;
    phase.completed(plan::summary(&jobs));
    let underway = underway(session, &jobs);
    let phase = attempt.emitter.start(Phase::Verify, "asking every instance");
    let result = {
        let attempt = &attempt;
        let verdicts = jobs.iter().map(|job| {
            // Instances keep their own time; this is for those that only quiet seconds can speak for, too.
            let time = request.timeout.unwrap_or(job.expectation.timeout);
            let time = time.max(SHORTEST_FOR_STATE);
            course::verify(attempt, job, job.expectation.clone(), Instant::now() + time)
        });
        join_all(verdicts)
            .await
            .into_iter()
            .collect::<std::result::Result<Vec<_>, _>>()
    };
    let underway = underway.or_else(|| self::underway(session, &jobs));
    let result = match result {
        Ok(judgements) => {
            for (job, judgement) in jobs.iter_mut().zip(judgements) {
                judged(job, judgement, underway.as_ref());
            }
            let stages: Vec<Stage> = jobs.iter().map(|job| job.course.stage).collect();
            let good = stages.iter().all(|stage| *stage == Stage::Verified);
            if good {
                phase.completed("");
            } else {
                phase.failed(worst(&jobs));
                cut_off(&attempt, &mut jobs);
            }
            Ok(crate::deployment::conclude::ending(&stages))
        }
        Err(interrupted) => {
            phase.failed("interrupted");
            Err(interrupted)
        }
    };
    // Whoever deploys will say what became of it; a word from between would stand beside that.
    attempt.is_recorded &= underway.is_none();
    // What was asked for and does not serve says nothing of what does.
    let asked = request
        .release
        .filter(|_| jobs.iter().any(|job| !serves_what_was_asked(job)));
    if asked.is_some() {
        for job in &mut jobs {
            let environment = &environment.name;
            let hint = format!("whether what serves is good: shipctl verify {environment}");
            job.course.hints.push(hint);
        }
        attempt.is_recorded = false;
    }
    if let Err(error) = attempt.record_start(
        jobs.iter()
            .map(|job| crate::deployment::forward::service_start(&attempt, job))
            .collect(),
    ) {
        attempt
            .emitter
            .warn(format!("this verification is not recorded: {error}"));
    }
    let mut report = finish::finish(&mut attempt, &mut jobs, result).await;
    report.asked = asked;
    finish::print(&attempt, &report);
    Ok(report.exit_code)
}

/// The deployment that changes one of these apps right now, as far as this machine knows.
fn underway(session: &Session, jobs: &[Job<'_>]) -> Option<Holder> {
    let holders = jobs.iter().filter_map(|job| session.lock_holder(job.app()).ok()?);
    holders.into_iter().find(|holder| holder.alive)
}

/// Takes a judgement for the answer. While somebody deploys it holds for this moment alone: what is bad or missing now may
/// be on its way.
fn judged(job: &mut Job<'_>, mut judgement: Judgement, underway: Option<&Holder>) {
    if let Some(holder) = underway {
        let who = format!("a deployment is under way, by {}", holder.sentence());
        if judgement.verdict == Verdict::Verified {
            judgement
                .warnings
                .push(format!("{who}: this is what serves now, and it is not recorded"));
        } else {
            judgement.verdict = Verdict::Inconclusive;
            judgement.reasons.insert(0, who);
        }
    }
    job.course.stage = match judgement.verdict {
        Verdict::Verified => Stage::Verified,
        Verdict::Refuted => Stage::Broken,
        Verdict::Inconclusive => Stage::Inconclusive,
    };
    let is_asked_for = job.expectation.target.release.is_some();
    if is_asked_for && !serves_what_was_asked(job) {
        job.shipment.image.clone_from(&job.expectation.target.image);
    } else if let Some(serves) = common_image(&judgement.listed) {
        // A flyctl that nobody waits for may have gone on since the first look.
        job.shipment.image = Some(serves);
    }
    job.course.reasons.clone_from(&judgement.reasons);
    job.course.warnings.clone_from(&judgement.warnings);
    job.course.releases_now = Some(job.releases.clone());
    job.course.judgement = Some(judgement);
}

/// Names the deployment whose traces these may be, and what mends them.
fn cut_off(attempt: &Attempt<'_>, jobs: &mut [Job<'_>]) {
    let session = attempt.session;
    let is_locked = underway(session, jobs).is_some();
    let history = attempt.ledger.read().ok();
    let unfinished = history.map(|history| recall::unfinished(&history, is_locked));
    let Some(unfinished) = unfinished.into_iter().flatten().next() else {
        return;
    };
    let deploy = session.deploy_command(attempt.environment);
    let ways = recall::ways_out(&unfinished, &attempt.environment.name, &deploy, None);
    if let Some(job) = jobs.first_mut() {
        let Start {
            kind,
            actor,
            started_at,
            ..
        } = &unfinished.start;
        job.course.reasons.push(format!(
            "the {} by {actor}, begun {started_at}, was cut off",
            kind.as_str()
        ));
        job.course.hints.extend(ways);
    }
}

fn serves_what_was_asked(job: &Job<'_>) -> bool {
    let (asked, serving) = (&job.expectation.target.image, &job.baseline.image);
    asked
        .as_ref()
        .zip(serving.as_ref())
        .is_some_and(|(asked, serving)| asked.is_same_as(serving))
}

fn worst(jobs: &[Job<'_>]) -> String {
    jobs.iter()
        .find_map(|job| job.course.reasons.first())
        .cloned()
        .unwrap_or_default()
}

async fn prepare<'s>(
    attempt: &Attempt<'_>,
    request: &Request,
    services: &[&'s Service],
) -> Result<Vec<Job<'s>>> {
    let session = attempt.session;
    let history = attempt.ledger.read().unwrap_or_else(|error| {
        attempt
            .emitter
            .warn(format!("the ledger cannot be read: {error}"));
        History::empty(&attempt.environment.name)
    });
    let flyctl = session.flyctl(attempt.environment).await?;
    let jobs = services
        .iter()
        .map(|service| job(attempt, request, service, &flyctl, &history));
    join_all(jobs).await.into_iter().collect()
}

async fn job<'s>(
    attempt: &Attempt<'_>,
    request: &Request,
    service: &'s Service,
    flyctl: &Flyctl,
    history: &History,
) -> Result<Job<'s>> {
    let session = attempt.session;
    let health = session.health(service);
    let look = Look {
        remote: true,
        ..Look::at(session, attempt.environment, service, flyctl, &health)
    };
    let facts = look
        .take()
        .await
        .map_err(|failure| Session::unseen_error(attempt.environment, &failure))?;
    let (baseline, recall) = recall::baseline(history, attempt.environment, service, &facts);
    let file = file_of(service, &facts);
    let address = facts.has_address(&health);
    if let Some(warning) = facts.warning() {
        attempt.emitter.warn(warning);
    }
    let mut verify = settings(service, &attempt.environment.variables, facts.remote.as_ref());
    if let Some(timeout) = request.timeout {
        verify.timeout = timeout;
    }
    let heard = Heard::of(recall.as_ref());
    let names = Naming {
        expected: recall::names(baseline.image.as_ref(), recall.as_ref()),
        others: recall::others(history, &service.app, &baseline, baseline.image.as_ref()),
        named_before: recall::named_itself(&baseline, recall.as_ref()) && heard.answered(verify.path.path()),
        ..Naming::default()
    };
    let target = Target {
        newest_before: None,
        left: None,
        release: request.release,
        also: std::collections::BTreeSet::new(),
        image: wanted(request, service, &baseline, &facts)?,
    };
    let expectation = expect::expectation(Ground {
        kind: Verifying::Live,
        app: &service.app,
        environment: attempt.environment,
        verify: &verify,
        file: &file,
        baseline: &baseline,
        address,
        forced: health.forced,
        target,
        names,
        heard: &heard,
    });
    let workspace = tempfile::tempdir()
        .map_err(|error| Error::internal("cannot make a temporary folder").cause(error))?;
    let newest_serves = baseline.newest == baseline.release;
    let known = recall.and_then(|recall| recall.configuration);
    let configuration = known.or_else(|| {
        facts
            .remote
            .as_ref()
            .filter(|_| newest_serves)
            .map(configuration::of_remote)
    });
    Ok(Job {
        service,
        flyctl: flyctl.clone(),
        witnesses: FlyWitnesses::new(session, &service.app, flyctl, health, verify),
        releases: facts.releases,
        shipment: Shipment {
            image: baseline.image.clone(),
            label: None,
            configuration,
            file,
            config_path: workspace.path().to_owned(),
            directory: workspace.path().to_owned(),
            strategy: None,
            flags: Vec::new(),
            release_command: false,
            workspace,
        },
        expectation,
        destination: Err(NoWay::because("nothing was shipped")),
        migration_runs: false,
        unreached: Vec::new(),
        course: Course::default(),
        baseline,
    })
}

/// The image that must serve: that of the release which was named, else what serves.
fn wanted(request: &Request, service: &Service, baseline: &Baseline, facts: &Facts) -> Result<Option<Image>> {
    let Some(number) = request.release.filter(|number| baseline.release != Some(*number)) else {
        return Ok(baseline.image.clone());
    };
    let listed = facts.releases.iter().find(|release| release.number == number);
    match listed {
        Some(release) => Ok(Some(release.image.clone())),
        None => Err(
            Error::refused(format!("flyctl lists no release {number} of `{}`", service.app)).hint(format!(
                "shipctl releases {}",
                request.environment.as_deref().unwrap_or("ENV")
            )),
        ),
    }
}
