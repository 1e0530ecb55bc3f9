//! The return: what a refuted deployment does by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::deployment::attempt::Attempt;
use crate::deployment::course::{Interrupted, on_change, talk};
use crate::deployment::event::{Phase, Running, What};
use crate::deployment::expect;
use crate::deployment::interrupt::Interrupts;
use crate::deployment::job::{Destination, Job, Stage};
use crate::deployment::ship::{Conditions, LEASE, ProviderEnd, Shipped, ship};
use crate::deployment::stages::Stages;
use crate::deployment::witnesses::FlyWitnesses;
use crate::deployment::{conclude, destination, ownership, recall, shipment};
use crate::effect::process::Invocation;
use crate::instance::{CheckState, Instance, InstanceState};
use crate::provider::fly::invocation::DeployCall;
use crate::provider::fly::output::failure::FailureClass;
use crate::release::{Image, ReleaseNumber};
use crate::verification::expectation::Expectation;
use crate::verification::watch::Watch;
use crate::verification::{Judgement, Verdict};

/// Between two tries of a return that the platform did not take.
const PAUSE: Duration = Duration::from_secs(2);
/// After so many crashes of flyctl a return is not tried again.
const CRASHES: u32 = 2;

/// Brings one service back, or says why not; its stage tells.
pub(crate) async fn go_back(
    attempt: &Attempt<'_>,
    job: &mut Job<'_>,
    forbidden: bool,
) -> Result<(), Interrupted> {
    let mut destination = match job.destination.clone() {
        Ok(destination) if !forbidden => destination,
        Ok(destination) => {
            job.course
                .hints
                .push(conclude::rollback_to(attempt, &destination));
            return give_up(attempt, job, "it stays, as `--no-rollback` asks");
        }
        Err(none) => {
            job.course.hints.extend(none.command);
            return give_up(attempt, job, &none.reason);
        }
    };
    let to = named(&destination);
    let version = destination.image.tag().map(str::to_owned);
    attempt.emitter.set_version(version);
    attempt.emitter.emit(&What::RollbackStarted { to: to.clone() });
    let phase = attempt
        .emitter
        .start(Phase::Return, format!("returning {} to {to}", job.app()));
    let result = try_until_back(attempt, job, &mut destination, &phase).await;
    let to = named(&destination);
    if result.is_err() {
        phase.failed("interrupted");
    } else if job.course.stage == Stage::Returned {
        phase.completed(format!("{} is back on {to}, verified", job.app()));
        attempt.emitter.emit(&What::RollbackCompleted { to });
    } else {
        let reason = job.course.reasons.last().cloned().unwrap_or_default();
        phase.failed(reason.clone());
        attempt.emitter.emit(&What::RollbackFailed { reason });
    }
    result
}

/// `v41 (shop:v1.3.0)`.
fn named(destination: &Destination) -> String {
    let image = destination.image.short();
    destination
        .release
        .map_or_else(|| image.to_owned(), |release| format!("{release} ({image})"))
}

#[expect(clippy::unnecessary_wraps, reason = "the caller returns what it gets")]
fn give_up(attempt: &Attempt<'_>, job: &mut Job<'_>, reason: &str) -> Result<(), Interrupted> {
    if job.course.stage == Stage::Verified {
        // Good by itself; it only stays because it cannot go with the others, which makes the whole broken.
        job.course
            .warnings
            .push(format!("not returned with the others: {reason}"));
        return Ok(());
    }
    attempt.emitter.emit(&What::RollbackFailed {
        reason: reason.to_owned(),
    });
    job.course.reasons.push(format!("not returned: {reason}"));
    job.course.stage = Stage::Broken;
    Ok(())
}

async fn try_until_back(
    attempt: &Attempt<'_>,
    job: &mut Job<'_>,
    destination: &mut Destination,
    phase: &Running,
) -> Result<(), Interrupted> {
    let mut gone: Vec<Image> = job.shipment.image.iter().cloned().collect();
    let (emitter, to) = (attempt.emitter.clone(), named(destination));
    let mut interrupts = attempt.interrupts.spared(Arc::new(move || {
        emitter.warn(format!(
            "{to} is being restored; interrupt again to leave everything as it is"
        ));
    }));
    let mut leases_until = job
        .course
        .provider
        .as_ref()
        .and_then(|provider| provider.leases_until);
    let deadline = bound(Instant::now(), leases_until, attempt.timeout);
    let mut crashes = 0;
    loop {
        if let Some(until) = leases_until.take() {
            pause(
                &mut interrupts,
                until,
                phase,
                "the leases of the flyctl that was ended",
            )
            .await?;
        }
        let list = job.flyctl.releases(job.app()).await;
        if let Err(failure) = &list
            && Instant::now() + PAUSE < deadline
        {
            // Whether somebody else released meanwhile has to be seen before anything is shipped over it.
            let why = format!("Fly's releases cannot be listed: {failure}");
            pause(&mut interrupts, Instant::now() + PAUSE, phase, &why).await?;
            continue;
        }
        let list = list.ok();
        if let Some(theirs) = list
            .as_ref()
            .and_then(|list| ownership::somebody_elses(job, list))
        {
            job.course.reasons.push(format!(
                "not returned: {theirs} is somebody else's, and nothing is returned over it"
            ));
            job.course.stage = Stage::Broken;
            return Ok(());
        }
        let left = ownership::own_release(job);
        let newest = (list.iter().flatten().map(|release| release.number))
            .chain(left)
            .chain(job.baseline.newest)
            .max();
        job.course.returning_since = job.course.returning_since.or(newest);
        if let Err(error) = attempt.still_ours() {
            return give_up(attempt, job, &error.message);
        }
        let (call, witnesses, expectation) = match prepare(job, destination, (newest, left)) {
            Ok(prepared) => prepared,
            Err(reason) => return give_up(attempt, job, &reason),
        };
        let (provider, judgement) = once(
            attempt,
            job,
            (&call, &witnesses),
            expectation,
            deadline,
            phase,
            &mut interrupts,
        )
        .await?;
        let verdict = judgement.verdict;
        let reason = judgement.reasons.first().cloned().unwrap_or_default();
        let warnings = judgement.warnings.clone();
        job.course.afterwards = Some(judgement);
        let again = is_worth_repeating(provider.class, crashes) && Instant::now() + PAUSE < deadline;
        if verdict != Verdict::Verified && provider.class == Some(FailureClass::ImageMissing) {
            gone.push(destination.image.clone());
            if let Some(older) = next_older(attempt, job, &gone) {
                *destination = older;
                job.destination = Ok(destination.clone());
                continue;
            }
        }
        match verdict {
            Verdict::Verified => {
                job.course.warnings.extend(warnings);
                job.course.stage = Stage::Returned;
                return Ok(());
            }
            _ if again => {
                let said = provider.message.clone().unwrap_or_default();
                phase.waiting(format!("flyctl could not return yet: {said}"));
                leases_until = provider.leases_until;
                if provider.class == Some(FailureClass::Crashed) {
                    crashes += 1;
                    // It could give none of them back.
                    leases_until = Some(Instant::now() + LEASE);
                }
                pause(&mut interrupts, Instant::now() + PAUSE, phase, &said).await?;
            }
            // A flyctl that cannot even be started has returned nothing.
            Verdict::Inconclusive if provider.class != Some(FailureClass::Missing) => {
                job.course.reasons.push(format!(
                    "whether the return succeeded could not be seen: {reason}"
                ));
                job.course.stage = Stage::Inconclusive;
                return Ok(());
            }
            Verdict::Inconclusive | Verdict::Refuted => {
                if !reason.is_empty() {
                    job.course.reasons.push(format!("the return failed: {reason}"));
                }
                job.course
                    .reasons
                    .extend(provider.message.map(|message| format!("flyctl said: {message}")));
                job.course.hints.push(conclude::rollback_to(attempt, destination));
                job.course.stage = Stage::Broken;
                return Ok(());
            }
        }
    }
}

/// What comes in the place of destinations whose images are gone.
fn next_older(attempt: &Attempt<'_>, job: &Job<'_>, gone: &[Image]) -> Option<Destination> {
    let history = attempt.ledger.read().ok()?;
    let older = destination::next_older(job.service, &history, &job.releases, &job.baseline, gone)?;
    let image = gone.last()?;
    attempt.emitter.warn(format!(
        "the image {image} is gone; trying the next older release"
    ));
    Some(older)
}

/// A fresh `--timeout`, from when the leases of the flyctl that was ended let a return begin: a short one would else
/// be spent on waiting, and leave a mix behind.
fn bound(now: Instant, leases_until: Option<Instant>, timeout: Duration) -> Instant {
    leases_until.map_or(now, |until| until.max(now)) + timeout
}

/// Whether flyctl may get a return done that it has just failed to do. One that crashes each time will crash again.
fn is_worth_repeating(class: Option<FailureClass>, crashes: u32) -> bool {
    class.is_some_and(|class| class.is_transient() || (class == FailureClass::Crashed && crashes < CRASHES))
}

async fn pause(
    interrupts: &mut Interrupts,
    until: Instant,
    phase: &Running,
    for_what: &str,
) -> Result<(), Interrupted> {
    tokio::select! {
        () = sleep_until(until) => Ok(()),
        signal = interrupts.next() => Err(Interrupted { signal, children: Vec::new() }),
        () = talk(|| phase.waiting(for_what.to_owned())) => Ok(()),
    }
}

/// The call of a return, and what must be true after it.
fn prepare(
    job: &mut Job<'_>,
    destination: &Destination,
    releases: (Option<ReleaseNumber>, Option<ReleaseNumber>),
) -> Result<(Invocation, FlyWitnesses, Expectation), String> {
    let shipment = shipment::back(destination, &job.shipment, &job.baseline.instances)?;
    let witnesses = FlyWitnesses {
        verify: job.witnesses.verify.asking_as(&shipment.file),
        ..job.witnesses.clone()
    };
    let expectation = expect::of_return(
        &job.expectation,
        &shipment,
        destination,
        &job.baseline,
        &witnesses.verify,
        releases,
        job.witnesses.health.forced,
    );
    let call = DeployCall {
        app: job.service.app.clone(),
        config: shipment.config_path.clone(),
        dir: shipment.directory.clone(),
        image: Some(destination.image.reference()),
        image_label: None,
        strategy: Some(
            strategy(
                job.course.now.as_deref(),
                &job.baseline.instances,
                &answering_badly(job),
            )
            .to_owned(),
        ),
        // They count the exits of the release that is left, too, and would fail one that is good.
        smoke_checks: Some(false),
        wait_timeout: Some(expect::wait_timeout(expectation.timeout)),
        release_command_timeout: None,
        deploy_retries: Some(0),
        extra: shipment.flags.clone(),
    };
    let (invocation, _) = job.flyctl.deploy(&call);
    // flyctl reads the copy after this function; the job keeps it until the end.
    job.course.workspaces.push(shipment.workspace);
    Ok((invocation, witnesses, expectation))
}

/// `immediate` when less than half of the instances are good, else `rolling`; never canary or bluegreen (DESIGN 7).
/// `bad` are those that answered badly.
pub(crate) fn strategy(now: Option<&[Instance]>, before: &[Instance], bad: &[&str]) -> &'static str {
    let counted: Vec<&Instance> = now
        .unwrap_or_default()
        .iter()
        .filter(|instance| {
            before.iter().any(|old| old.group == instance.group) && instance.standbys.is_empty()
        })
        .collect();
    let good = counted
        .iter()
        .filter(|instance| {
            instance.state == InstanceState::Started
                && instance.checks.iter().all(CheckState::is_passing)
                && !bad.contains(&instance.id.as_str())
        })
        .count();
    if good * 2 < counted.len() {
        "immediate"
    } else {
        "rolling"
    }
}

/// Those whose answers were bad, and never good, on what is left.
fn answering_badly<'j>(job: &'j Job<'_>) -> Vec<&'j str> {
    let reports = job
        .course
        .judgement
        .iter()
        .flat_map(|judgement| &judgement.instances);
    reports
        .filter(|report| report.probes.bad > 0 && report.probes.good == 0)
        .map(|report| report.id.as_str())
        .collect()
}

/// Of those that answer badly the ones that were made beside what served: bluegreen lets requests reach them last, and
/// a flyctl that was ended never came to it. What returns updates them, and nobody would ever answer from them.
fn made_beside(bad: &[&str], before: &[Instance]) -> Vec<String> {
    let is_new = |id: &&&str| before.iter().all(|instance| instance.id != **id);
    bad.iter().filter(is_new).map(|id| (*id).to_owned()).collect()
}

async fn once(
    attempt: &Attempt<'_>,
    job: &Job<'_>,
    (call, witnesses): (&Invocation, &FlyWitnesses),
    expectation: Expectation,
    deadline: Instant,
    phase: &Running,
    interrupts: &mut Interrupts,
) -> Result<(ProviderEnd, Judgement), Interrupted> {
    let listener = on_change(attempt, &job.service.name, false);
    let timeout = expectation.timeout;
    let mut watch = Watch::new(witnesses, expectation, deadline, listener);
    let stages = Stages::Within(phase);
    let mark = |group, start| attempt.record_mark(recall::RETURN, &job.service.name, group, start, true);
    let beat = || attempt.session.heartbeat(attempt.environment);
    let mut unreached = job.unreached.clone();
    let ended = job.course.provider.as_ref();
    if ended.is_some_and(|provider| provider.signal.is_some() || provider.ended_by_us) {
        unreached.extend(made_beside(&answering_badly(job), &job.baseline.instances));
    }
    let conditions = Conditions {
        unreached: &unreached,
        app: job.app(),
        lists: false,
        service: &job.service.name,
        emitter: &attempt.emitter,
        stages: &stages,
        flyctl: &job.flyctl,
        deadline,
        timeout,
        readdress: None,
        on_start: &mark,
        beat: &beat,
    };
    match ship(call, &mut watch, &conditions, interrupts).await {
        Shipped::Judged {
            provider, judgement, ..
        } => Ok((provider, judgement)),
        Shipped::Interrupted { signal, child } => Err(Interrupted {
            signal,
            children: child.into_iter().collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use serde_json::json;

    use super::{bound, is_worth_repeating, made_beside, strategy};
    use crate::provider::fly::output::failure::FailureClass;
    use crate::provider::fly::output::machines;

    #[test]
    fn a_return_is_tried_again_where_that_may_help() {
        for (class, crashes, again) in [
            (Some(FailureClass::LeaseHeld), 9, true),
            (Some(FailureClass::Network), 0, true),
            (Some(FailureClass::Crashed), 0, true),
            (Some(FailureClass::Crashed), 1, true),
            (Some(FailureClass::Crashed), 2, false),
            (Some(FailureClass::Unhealthy), 0, false),
            (None, 0, false),
        ] {
            assert_eq!(is_worth_repeating(class, crashes), again, "{class:?} {crashes}");
        }
    }

    #[test]
    fn only_what_is_new_and_answers_badly_was_made_beside_what_served() {
        let before = machines::parse(json!([{"id": "a"}, {"id": "b"}]).to_string().as_bytes()).unwrap();
        for (bad, beside) in [
            (&["c"][..], &["c"][..]),
            (&["a", "c"], &["c"]),
            (&["a"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(made_beside(bad, &before), beside, "{bad:?}");
        }
    }

    #[test]
    fn what_mostly_fails_is_replaced_at_once() {
        let machine = |id: &str, state: &str, check: &str| {
            json!({
                "id": id, "state": state, "region": "fra", "config": {"metadata": {"fly_process_group": "app"}},
                "checks": [{"name": "health", "status": check}],
            })
        };
        let list =
            |machines: &[serde_json::Value]| machines::parse(json!(machines).to_string().as_bytes()).unwrap();
        let good = list(&[
            machine("a", "started", "passing"),
            machine("b", "started", "passing"),
        ]);
        let half = list(&[
            machine("a", "started", "passing"),
            machine("b", "stopped", "passing"),
        ]);
        let none = list(&[
            machine("a", "started", "critical"),
            machine("b", "stopped", "passing"),
        ]);
        for (case, now, bad, expected) in [
            ("good", &good, &[][..], "rolling"),
            ("one answers badly", &good, &["a"], "rolling"),
            ("both answer badly", &good, &["a", "b"], "immediate"),
            ("one is down", &half, &[], "rolling"),
            ("one is down, the other answers badly", &half, &["a"], "immediate"),
            ("neither passes", &none, &[], "immediate"),
        ] {
            assert_eq!(strategy(Some(now), &good, bad), expected, "{case}");
        }
        assert_eq!(strategy(None, &good, &[]), "rolling", "nobody could look");
    }

    #[test]
    fn a_return_has_its_time_from_when_it_can_begin() {
        let (now, timeout) = (Instant::now(), Duration::from_secs(14));
        let after = |seconds| now + Duration::from_secs(seconds);
        for (leases_until, end) in [(None, 14), (Some(after(13)), 27), (Some(now), 14)] {
            assert_eq!(bound(now, leases_until, timeout), after(end));
        }
        let over = after(30);
        assert_eq!(
            bound(over, Some(after(13)), timeout),
            over + timeout,
            "leases that are over"
        );
    }
}
