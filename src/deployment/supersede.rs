//! A deployment that was cut off before this one: its flyctl is ended, its leases waited out, its record closed.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::deployment::attempt::Attempt;
use crate::deployment::course::{Interrupted, talk};
use crate::deployment::event::Running;
use crate::deployment::job::Job;
use crate::deployment::ship::LEASE;
use crate::effect::{clock, process};
use crate::error::{Error, ErrorKind, Result};
use crate::state::history::Unfinished;
use crate::state::record::{End, Outcome, Record};

/// flyctl's time to end when it outlived its shipctl.
const GRACE: Duration = Duration::from_secs(10);
/// How long a flyctl whose shipctl was killed may go on before it writes to the broken pipe and dies: a step of it
/// takes at most its wait timeout, and until then it refreshes its leases.
const OUTLIVES: Duration = Duration::from_secs(300);

/// Ends what is left of it and records it as `abandoned`. Answers with how long its leases have been left
/// alone; for ever, where no flyctl was started.
pub(crate) async fn supersede(attempt: &Attempt<'_>, unfinished: &Unfinished) -> Duration {
    let mut alone = Duration::MAX;
    let start = &unfinished.start;
    attempt.emitter.warn(format!(
        "the {} by {} of {} was cut off; this one takes its place",
        start.kind.as_str(),
        start.actor,
        start.started_at
    ));
    for mark in &unfinished.marks {
        if mark.process_group > 1 && process::group_is_alive(mark.process_group, mark.start_time) {
            attempt.emitter.warn(format!(
                "its flyctl still runs (process group {}); ending it",
                mark.process_group
            ));
            process::end_group(mark.process_group, mark.start_time, GRACE).await;
            alone = Duration::ZERO;
        }
        alone = alone.min(since(attempt, &mark.at));
    }
    let end = End {
        id: start.id.clone(),
        ended_at: clock::now().to_string(),
        outcome: Outcome::Abandoned,
        services: Vec::new(),
        report: serde_json::json!({ "superseded_by": attempt.id }),
    };
    if let Err(error) = attempt.ledger.append(&Record::End(Box::new(end))) {
        attempt
            .emitter
            .warn(format!("that it was abandoned is not recorded: {error}"));
    }
    alone
}

/// For how long a flyctl that died unseen has certainly refreshed no lease any more: its shipctl touches the ledger's
/// folder while it lives.
fn since(attempt: &Attempt<'_>, marked_at: &str) -> Duration {
    let marked = marked_at.parse().map_or(Duration::MAX, |then| {
        Duration::try_from(clock::now().duration_since(then)).unwrap_or_default()
    });
    attempt
        .session
        .heartbeat_age(attempt.environment)
        .map_or(Duration::ZERO, |age| age.min(marked).saturating_sub(OUTLIVES))
}

/// Waits for leases that our own flyctl could not give back.
pub(crate) async fn wait_for_leases(
    attempt: &Attempt<'_>,
    phase: &Running,
    since: Duration,
) -> std::result::Result<(), Interrupted> {
    let Some(left) = LEASE.checked_sub(since).filter(|left| !left.is_zero()) else {
        return Ok(());
    };
    // The lease that was refreshed last ends a moment after the flyctl that held it.
    let until = Instant::now() + left + Duration::from_millis(500);
    let mut interrupts = attempt.interrupts.clone();
    let say = || phase.waiting("waiting for the leases of the deployment that was cut off".to_owned());
    say();
    tokio::select! {
        () = sleep_until(until) => Ok(()),
        signal = interrupts.next() => Err(Interrupted { signal, children: Vec::new() }),
        () = talk(say) => Ok(()),
    }
}

/// A second migration never starts beside one that runs (DESIGN 5): waits for its machine.
///
/// # Errors
/// Where it still runs when the time of this deployment is over; a signal meanwhile is the inner one.
pub(crate) async fn wait_for_migration(
    attempt: &Attempt<'_>,
    phase: &Running,
    job: &Job<'_>,
) -> Result<std::result::Result<(), Interrupted>> {
    let mut interrupts = attempt.interrupts.clone();
    let mut seen = String::from("a release command was still running when last seen");
    loop {
        if let Ok(machines) = job.flyctl.machines(job.app()).await {
            let running: Vec<String> = machines
                .iter()
                .filter(|machine| machine.is_running_release_command())
                .map(|machine| format!("{} in {}", machine.id, machine.region))
                .collect();
            if running.is_empty() {
                return Ok(Ok(()));
            }
            seen = format!("a release command still runs on {}", running.join(", "));
        }
        if Instant::now() >= attempt.deadline {
            let limit = attempt.timeout.as_secs();
            return Err(Error::new(
                ErrorKind::Inconclusive,
                format!("{seen}, after {limit} s; nothing was changed"),
            )
            .hint("give it longer with `--timeout`")
            .hint(format!(
                "or end it, if it hangs: flyctl machine list -a {0}; flyctl machine stop ID -a {0}",
                job.app()
            )));
        }
        phase.waiting(format!("{seen}; waiting for it"));
        tokio::select! {
            () = sleep(Duration::from_secs(2)) => {}
            signal = interrupts.next() => return Ok(Err(Interrupted { signal, children: Vec::new() })),
        }
    }
}
