//! The last phase: the answer is recorded, the lock given back, and the answer said.

use std::time::Duration;

use crate::deployment::attempt::Attempt;
use crate::deployment::conclude;
use crate::deployment::course::Interrupted;
use crate::deployment::event::{Phase, What};
use crate::deployment::job::{Job, Stage};
use crate::deployment::report::{Ending, Report, ServedVerdict};
use crate::output::human;
use crate::state::record::Kind;
use crate::verification::InstanceReport;

/// flyctl's time to end after a signal: on a terminal somebody waits, elsewhere a runner kills soon (DESIGN 5).
const GRACE_TERMINAL: Duration = Duration::from_secs(15);
const GRACE_ELSEWHERE: Duration = Duration::from_secs(5);

/// Records and says the answer; the exit code is its.
pub(crate) async fn finish(
    attempt: &mut Attempt<'_>,
    jobs: &mut [Job<'_>],
    result: Result<Ending, Interrupted>,
) -> Report {
    match result {
        Ok(ending) => {
            let phase = attempt.emitter.start(Phase::Conclude, "");
            phase.completed("");
            attempt.emit_end(ending);
            let report = attempt.report(ending, jobs, hints(attempt, jobs, ending));
            attempt.record_end(&report, jobs.iter().map(conclude::service_end).collect());
            release(attempt);
            report
        }
        Err(interrupted) => interrupted_report(attempt, jobs, interrupted).await,
    }
}

fn release(attempt: &mut Attempt<'_>) {
    let Some(locks) = attempt.locks.take() else { return };
    locks.release();
    for service in &attempt.environment.services {
        attempt.emitter.emit(&What::LockReleased {
            app: service.app.clone(),
        });
    }
}

/// First the outcome is recorded, then flyctl is ended; only then the lock is released and what serves is said.
async fn interrupted_report(
    attempt: &mut Attempt<'_>,
    jobs: &mut [Job<'_>],
    interrupted: Interrupted,
) -> Report {
    let ending = Ending::Interrupted(interrupted.signal);
    let report = attempt.report(ending, jobs, Vec::new());
    attempt.record_end(&report, jobs.iter().map(conclude::service_end).collect());
    let grace = if attempt.session.printer.interactive {
        GRACE_TERMINAL
    } else {
        GRACE_ELSEWHERE
    };
    if !interrupted.children.is_empty() {
        attempt
            .session
            .printer
            .note("interrupted; waiting for flyctl to end");
    }
    for mut child in interrupted.children {
        child.end(grace).await;
    }
    release(attempt);
    for job in jobs.iter_mut() {
        if let Ok(machines) = job.flyctl.machines(job.app()).await {
            job.course.judgement = None;
            job.course.afterwards = None;
            job.course.now = Some(machines);
        }
    }
    attempt.emit_end(ending);
    let mut report = attempt.report(ending, jobs, hints(attempt, jobs, ending));
    for (service, job) in report.services.iter_mut().zip(jobs.iter()) {
        let Some(now) = &job.course.now else { continue };
        let counted = conclude::counted(job, now);
        service.instances = counted.iter().map(InstanceReport::unasked).collect();
        let moved = job.baseline.moved(&counted).len();
        // What was judged before the interrupt is not what serves now.
        if let Some(serving) = &mut service.serving {
            serving.verdict = Some(match moved {
                0 => ServedVerdict::Unchanged,
                _ => ServedVerdict::Inconclusive,
            });
        }
        service.reasons.push(match moved {
            0 => "no instance has moved".to_owned(),
            all if all == counted.len() => format!("all {all} instances have moved, and are not verified"),
            some => format!("instances are mixed: {some} of {} have moved", counted.len()),
        });
    }
    report
}

/// What to do next, most likely first.
fn hints(attempt: &Attempt<'_>, jobs: &[Job<'_>], ending: Ending) -> Vec<String> {
    let environment = &attempt.environment.name;
    let mut hints: Vec<String> = jobs.iter().flat_map(|job| job.course.hints.clone()).collect();
    match (ending, attempt.kind) {
        (Ending::Interrupted(_), _) => hints.extend(after_interruption(attempt, jobs)),
        (Ending::Broken, _) if hints.is_empty() => hints.push(format!("shipctl rollback {environment}")),
        (Ending::Ok | Ending::Broken, _) => {}
        (Ending::Inconclusive, _) => hints.push(format!("shipctl verify {environment}")),
        (Ending::RolledBack | Ending::Failed, Kind::Rollback) => {
            hints.push(format!(
                "what else there is to go back to: shipctl releases {environment}"
            ));
        }
        (Ending::RolledBack | Ending::Failed, _) => {
            let has_returned = jobs.iter().any(|job| job.course.stage == Stage::Returned);
            if has_returned || !attempt.emitter.phases().is_empty() {
                let another = deploy(attempt, attempt.image.as_ref().map(|_| "<REF>"));
                hints.push(format!("mend it and ship again: {another}"));
            }
        }
        (Ending::Config, _) => hints.push("shipctl config check".to_owned()),
        (Ending::Provider, _) => hints.push(format!("once that is mended: {}", again(attempt))),
    }
    let printer = &attempt.session.printer;
    hints.iter().map(|hint| printer.pasteable(hint)).collect()
}

/// What was being restored comes first: another rollback would go past it.
fn after_interruption(attempt: &Attempt<'_>, jobs: &[Job<'_>]) -> Vec<String> {
    let restored = jobs.iter().filter(|job| job.course.returning_since.is_some());
    let restored = restored.filter_map(|job| job.destination.as_ref().ok());
    let mut hints: Vec<String> = restored
        .map(|to| format!("to finish the return: {}", conclude::rollback_to(attempt, to)))
        .collect();
    let has_begun_to_return = !hints.is_empty();
    if attempt.kind == Kind::Deploy {
        hints.push(format!("to ship again: {}", again(attempt)));
    }
    if !has_begun_to_return {
        hints.push(format!(
            "to go back: shipctl rollback {}",
            attempt.environment.name
        ));
    }
    hints
}

/// The same attempt once more.
fn again(attempt: &Attempt<'_>) -> String {
    match attempt.kind {
        Kind::Rollback => format!("shipctl rollback {}", attempt.environment.name),
        Kind::Deploy | Kind::Verify => {
            let image = attempt.image.as_ref().map(ToString::to_string);
            deploy(attempt, image.as_deref())
        }
    }
}

fn deploy(attempt: &Attempt<'_>, image: Option<&str>) -> String {
    let deploy = attempt.session.deploy_command(attempt.environment);
    match image {
        Some(image) => format!("{deploy} --image {image}"),
        None => deploy,
    }
}

/// Prints the answer: one document, or words.
pub(crate) fn print(attempt: &Attempt<'_>, report: &Report) {
    let printer = &attempt.session.printer;
    if printer.json {
        printer.document(report);
    } else {
        printer.data(&human::report(
            report,
            !printer.quiet,
            printer.data_width(),
            *printer,
        ));
    }
}
