//! From the first shipment to the ending: ship, verify, bake, and what follows where that is not good.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::deployment::attempt::Attempt;
use crate::deployment::event::{Phase, What};
use crate::deployment::expect;
use crate::deployment::job::{Job, Stage};
use crate::deployment::report::Ending;
use crate::deployment::returning;
use crate::deployment::ship::{Conditions, DeploymentWatch, Shipped, TALK, ship};
use crate::deployment::stages::Stages;
use crate::deployment::witnesses::FlyWitnesses;
use crate::deployment::{conclude, diagnose, settle};
use crate::effect::process::Child;
use crate::provider::fly::invocation::DeployCall;
use crate::verification::expectation::Expectation;
use crate::verification::watch::{Change, Shipping, Watch};
use crate::verification::{Judgement, Verdict};

/// What a person asked for beside the shipment itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) no_rollback: bool,
    pub(crate) bake: Option<Duration>,
}

/// A signal, and the flyctl that may still run for each service.
pub(crate) struct Interrupted {
    pub(crate) signal: u8,
    pub(crate) children: Vec<Child>,
}

/// Ships everything, level by level, and brings it to an end.
pub(crate) async fn run(
    attempt: &Attempt<'_>,
    jobs: &mut [Job<'_>],
    options: Options,
) -> Result<Ending, Interrupted> {
    let ordered: Vec<Vec<usize>> = levels(jobs);
    let parts: Vec<Vec<Part>> = ordered
        .iter()
        .map(|level| level.iter().map(|&index| Part::of(&jobs[index])).collect())
        .collect();
    let mut sailing: Vec<Sailing<'_>> = Vec::new();
    for (level, parts) in ordered.iter().zip(&parts) {
        ship_level(attempt, jobs, (level, parts), &mut sailing, options).await?;
        let shipped = sailing
            .iter()
            .map(|sailing| sailing.index)
            .chain(level.iter().copied());
        if shipped
            .into_iter()
            .any(|index| jobs[index].course.stage != Stage::Verified)
        {
            break;
        }
    }
    let all_good = jobs.iter().all(|job| job.course.stage == Stage::Verified);
    if !all_good {
        put_right(attempt, jobs, options).await?;
    }
    Ok(conclude::ending(
        &jobs.iter().map(|job| job.course.stage).collect::<Vec<_>>(),
    ))
}

/// Services without an unshipped need go side by side.
fn levels(jobs: &[Job<'_>]) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = (0..jobs.len()).collect();
    let mut levels = Vec::new();
    while !left.is_empty() {
        let waiting: Vec<&str> = left
            .iter()
            .map(|&index| jobs[index].service.name.as_str())
            .collect();
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for &index in &left {
            let needs = &jobs[index].service.needs;
            let free = !needs.iter().any(|need| waiting.contains(&need.as_str()));
            if free { now.push(index) } else { later.push(index) }
        }
        if now.is_empty() {
            // A circle, which the configuration is refused for; shipping all at once is the only order left.
            now.append(&mut later);
        }
        levels.push(now);
        left = later;
    }
    levels
}

/// What the shipment of one service works with.
struct Part {
    name: String,
    witnesses: FlyWitnesses,
    call: DeployCall,
    expectation: Expectation,
    unreached: Vec<String>,
}

impl Part {
    fn of(job: &Job<'_>) -> Self {
        Self {
            name: job.service.name.clone(),
            witnesses: job.witnesses.clone(),
            call: call(job),
            expectation: job.expectation.clone(),
            unreached: job.unreached.clone(),
        }
    }
}

/// One service under way: its watch stays for the bake, and for those of the services that ship after it.
struct Sailing<'w> {
    index: usize,
    watch: DeploymentWatch<'w>,
}

async fn ship_level<'w>(
    attempt: &'w Attempt<'_>,
    jobs: &mut [Job<'_>],
    (level, parts): (&[usize], &'w [Part]),
    sailing: &mut Vec<Sailing<'w>>,
    options: Options,
) -> Result<(), Interrupted> {
    if let Err(error) = attempt.still_ours() {
        for &index in level {
            jobs[index].course.reasons.push(format!("not shipped: {error}"));
        }
        return Ok(());
    }
    let what: Vec<String> = level.iter().map(|&index| headline(&jobs[index])).collect();
    let stages = Stages::start(&attempt.emitter, level.len(), Phase::Ship, what.join(", "));
    let mut under_way: Vec<Sailing<'w>> = level
        .iter()
        .zip(parts)
        .map(|(&index, part)| Sailing {
            index,
            watch: Watch::new(
                &part.witnesses,
                part.expectation.clone(),
                attempt.deadline,
                on_change(attempt, &part.name, true),
            ),
        })
        .collect();
    let lists = jobs.len() == 1 && bake_of(&jobs[0], options).is_zero();
    let shipped = {
        let runs = under_way.iter_mut().zip(parts).map(|(sailing, part)| {
            let stages = &stages;
            async move {
                let Part {
                    name,
                    witnesses,
                    call,
                    expectation,
                    unreached,
                } = part;
                let (invocation, left_out) = witnesses.flyctl.deploy(call);
                for flag in left_out {
                    attempt.emitter.warn(format!(
                        "this flyctl does not know `{}`: {}",
                        flag.flag, flag.cost
                    ));
                }
                let mark = |group, start| attempt.record_mark("ship", name, group, start, false);
                let readdress =
                    expectation.groups.values().any(|group| group.public) && !witnesses.health.forced;
                let beat = || attempt.session.heartbeat(attempt.environment);
                let conditions = Conditions {
                    service: name,
                    unreached,
                    app: &witnesses.app,
                    lists,
                    emitter: &attempt.emitter,
                    stages,
                    flyctl: &witnesses.flyctl,
                    deadline: attempt.deadline,
                    timeout: expectation.timeout,
                    readdress: readdress.then(|| witnesses.clone()),
                    on_start: &mark,
                    beat: &beat,
                };
                ship(
                    &invocation,
                    &mut sailing.watch,
                    &conditions,
                    &mut attempt.interrupts.clone(),
                )
                .await
            }
        });
        join_all(runs).await
    };
    let mut interrupted: Option<Interrupted> = None;
    for (&index, shipped) in level.iter().zip(shipped) {
        match shipped {
            Shipped::Judged {
                provider,
                judgement,
                releases,
            } => {
                let course = &mut jobs[index].course;
                course.provider = Some(provider);
                course.releases_now = releases;
                course.judgement = Some(judgement);
            }
            Shipped::Interrupted { signal, child } => {
                let so_far = interrupted.get_or_insert_with(|| Interrupted {
                    signal,
                    children: Vec::new(),
                });
                so_far.children.extend(child);
            }
        }
    }
    if let Some(interrupted) = interrupted {
        stages.end(false, "interrupted");
        return Err(interrupted);
    }
    let all_good = level.iter().all(|&index| is_good(&jobs[index]));
    let summary: Vec<String> = level.iter().map(|&index| verdict_line(&jobs[index])).collect();
    stages.end(all_good, &summary.join("; "));
    let earlier = sailing.len();
    sailing.append(&mut under_way);
    if all_good {
        bake(attempt, jobs, sailing, options).await?;
    }
    // Those that were settled before have a say again only where they are not good any more.
    for (place, sailing) in sailing.iter().enumerate() {
        let job = &mut jobs[sailing.index];
        if place >= earlier || !is_good(job) {
            settle::settle(attempt, job).await?;
        }
    }
    Ok(())
}

fn is_good(job: &Job<'_>) -> bool {
    let judgement = job.course.judgement.as_ref();
    judgement.is_some_and(|judgement| judgement.verdict == Verdict::Verified)
}

/// `shop:v2` for one service.
fn headline(job: &Job<'_>) -> String {
    let what = job.shipment.image.as_ref().map_or_else(
        || format!("building {}", job.shipment.label.clone().unwrap_or_default()),
        |image| image.short().to_owned(),
    );
    format!("{what} to {}", job.app())
}

fn verdict_line(job: &Job<'_>) -> String {
    let Some(judgement) = &job.course.judgement else {
        return String::new();
    };
    match (judgement.verdict, judgement.reasons.first()) {
        (Verdict::Verified, _) => format!("verified, evidence: {}", judgement.evidence.as_str()),
        (verdict, Some(reason)) => format!("{verdict}: {reason}"),
        (verdict, None) => verdict.to_string(),
    }
}

/// The call that ships a job; what the person passed after `--` is not set twice.
fn call(job: &Job<'_>) -> DeployCall {
    let shipment = &job.shipment;
    let passed = |flag: &str| {
        shipment
            .flags
            .iter()
            .any(|given| given == flag || given.starts_with(&format!("{flag}=")))
    };
    let checked = job.expectation.groups.values().all(|group| group.checks > 0);
    // Smoke checks count the exits of the release before, too: after a crash they would fail the one that mends it.
    let crashed = job
        .baseline
        .instances
        .iter()
        .any(|instance| instance.last_exit().is_some_and(|(_, exit)| exit.is_crash()));
    let smokeless = (checked || crashed) && !passed("--smoke-checks");
    DeployCall {
        app: job.app().to_owned(),
        config: shipment.config_path.clone(),
        dir: shipment.directory.clone(),
        image: shipment
            .image
            .as_ref()
            .filter(|_| shipment.label.is_none())
            .map(crate::release::Image::reference),
        image_label: shipment.label.clone().filter(|_| !passed("--image-label")),
        strategy: shipment.strategy.clone().filter(|_| !passed("--strategy")),
        // Ten seconds for each machine, one after the other, for what the watch sees anyway.
        smoke_checks: smokeless.then_some(false),
        wait_timeout: (!passed("--wait-timeout")).then(|| expect::wait_timeout(job.expectation.timeout)),
        release_command_timeout: None,
        deploy_retries: Some(0),
        extra: shipment.flags.clone(),
    }
}

/// Tells events and journal what the watch sees.
pub(crate) fn on_change<'c>(
    attempt: &'c Attempt<'_>,
    service: &str,
    journal: bool,
) -> Box<dyn FnMut(Change) + Send + 'c> {
    let service = service.to_owned();
    let mut noted = false;
    Box::new(move |change| match change {
        Change::Instance {
            id,
            region,
            standing,
            reason,
            ..
        } => {
            if matches!(standing, "waiting" | "pending" | "unknown") && reason.is_none() {
                return;
            }
            let state = reason.map_or_else(|| standing.to_owned(), |reason| format!("{standing}: {reason}"));
            let service = service.clone();
            let good = matches!(standing, "good" | "asleep");
            attempt.emitter.emit(&What::ProbeChanged {
                service,
                instance: id,
                region,
                state,
                good,
            });
        }
        Change::Moved(_) if journal && !noted => {
            noted = true;
            attempt.record_mark("moved", &service, 0, 0, true);
        }
        Change::Moved(_) => {}
        Change::Started(id) => {
            let (service, region) = (service.clone(), String::new());
            let state = "was stopped; started".to_owned();
            attempt.emitter.emit(&What::ProbeChanged {
                service,
                instance: id,
                region,
                state,
                good: false,
            });
        }
        Change::NotStarted(id, why) => attempt
            .emitter
            .warn(format!("instance {id} could not be started: {why}")),
    })
}

fn bake_of(job: &Job<'_>, options: Options) -> Duration {
    options.bake.unwrap_or(job.service.verify.bake)
}

/// Watches everything that has been shipped: what was good while another service shipped may not be so any more.
async fn bake(
    attempt: &Attempt<'_>,
    jobs: &mut [Job<'_>],
    sailing: &mut [Sailing<'_>],
    options: Options,
) -> Result<(), Interrupted> {
    let time = |sailing: &Sailing<'_>| bake_of(&jobs[sailing.index], options);
    let longest = sailing.iter().map(time).max().unwrap_or_default();
    let alone = sailing.len() == 1;
    if alone && longest.is_zero() {
        return Ok(());
    }
    let phase = attempt
        .emitter
        .start(Phase::Bake, format!("watching all instances for {longest:?}"));
    let mut interrupts = attempt.interrupts.clone();
    let baking = join_all(sailing.iter_mut().map(|sailing| async move {
        if !alone {
            sailing.watch.forget_answers();
        }
        sailing.watch.bake(longest).await
    }));
    let judgements = tokio::select! {
        signal = interrupts.next() => {
            phase.failed("interrupted");
            return Err(Interrupted { signal, children: Vec::new() });
        }
        judgements = baking => judgements,
        () = talk(|| phase.waiting("all instances are good".to_owned())) => Vec::new(),
    };
    let good = judgements
        .iter()
        .all(|judgement| judgement.verdict == Verdict::Verified);
    for (sailing, judgement) in sailing.iter().zip(judgements) {
        jobs[sailing.index].course.judgement = Some(judgement);
    }
    let summary: Vec<String> = sailing
        .iter()
        .map(|sailing| verdict_line(&jobs[sailing.index]))
        .collect();
    if good {
        phase.completed("all instances stayed good");
    } else {
        phase.failed(summary.join("; "));
    }
    Ok(())
}

/// Never ends; says something each ten seconds.
pub(crate) async fn talk(mut say: impl FnMut()) {
    loop {
        sleep(TALK).await;
        say();
    }
}

/// Looks until there is a verdict; nothing is shipped.
pub(crate) async fn verify(
    attempt: &Attempt<'_>,
    job: &Job<'_>,
    expectation: Expectation,
    deadline: Instant,
) -> Result<Judgement, Interrupted> {
    let shipping = Shipping {
        ended: true,
        ..Shipping::default()
    };
    let (_sender, seen) = tokio::sync::watch::channel(shipping);
    let listener = on_change(attempt, &job.service.name, false);
    let mut watch = Watch::new(&job.witnesses, expectation, deadline, listener);
    let mut interrupts = attempt.interrupts.clone();
    tokio::select! {
        signal = interrupts.next() => Err(Interrupted { signal, children: Vec::new() }),
        judgement = watch.verify(seen) => Ok(judgement),
    }
}

/// Something is not good: what was shipped returns, in reverse order, where that may and can be.
async fn put_right(attempt: &Attempt<'_>, jobs: &mut [Job<'_>], options: Options) -> Result<(), Interrupted> {
    // Where one is unclear, only what is known to be bad returns; the good ones wait for a person beside it.
    let unclear = jobs.iter().any(|job| job.course.stage == Stage::Inconclusive);
    let returns = |stage| stage == Stage::Refuted || (stage == Stage::Verified && !unclear);
    let diagnosis = diagnose::start(attempt, jobs);
    for job in jobs.iter_mut().rev() {
        if returns(job.course.stage) {
            returning::go_back(attempt, job, options.no_rollback).await?;
        }
    }
    diagnose::finish(attempt, jobs, diagnosis).await;
    // That the environment serves what served before, verified, is said of the services whose turn never came, too.
    let is_back = |job: &Job<'_>| matches!(job.course.stage, Stage::Returned | Stage::Untouched);
    if jobs.iter().any(is_back) {
        for job in jobs.iter_mut() {
            if job.course.stage == Stage::NotShipped && !job.baseline.is_empty() {
                settle::verify_baseline(attempt, job).await?;
            }
        }
    }
    Ok(())
}
