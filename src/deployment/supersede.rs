//! A deployment that was cut off before this one: its flyctl is ended, its leases waited out, its record closed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::deployment::attempt::Attempt;
use crate::deployment::course::{Interrupted, talk};
use crate::deployment::event::{Phase, Running};
use crate::deployment::job::Job;
use crate::deployment::ship::LEASE;
use crate::deployment::{recall, rules};
use crate::effect::http::Answer;
use crate::effect::{clock, process};
use crate::error::{Error, ErrorKind};
use crate::instance::{Instance, InstanceState};
use crate::project::VersionField;
use crate::state::history::{History, Unfinished};
use crate::state::keys::ImageKey;
use crate::state::record::{End, Outcome, Record};
use crate::state::row::Ended;
use crate::verification::expectation::PathAuthority;
use crate::verification::probe::{self, Word};

/// flyctl's time to end when it outlived its shipctl.
const GRACE: Duration = Duration::from_secs(10);
/// How long a flyctl whose shipctl was killed may go on before it writes to the broken pipe and dies: a step of it
/// takes at most its wait timeout, and until then it refreshes its leases.
const OUTLIVES: Duration = Duration::from_secs(300);

/// Why nothing is shipped after what was cut off before.
pub(crate) enum Halt {
    Interrupted(Interrupted),
    /// A migration outlasts the deadline.
    Failed(Error),
}

impl Halt {
    /// While no flyctl runs.
    fn of(signal: u8) -> Self {
        Self::Interrupted(Interrupted {
            signal,
            children: Vec::new(),
        })
    }
}

/// Ends what was cut off before, and waits for its leases and migrations.
pub(crate) async fn settle_the_past(
    attempt: &Attempt<'_>,
    history: &History,
    jobs: &[Job<'_>],
) -> Result<(), Halt> {
    let phase_of_waits = attempt.emitter.within(Phase::Ship);
    let unfinished = rules::unfinished(history);
    let mut alone = recall::interrupted_ago(history).filter(|_| unfinished.is_empty());
    for unfinished in &unfinished {
        // The leases of the one that was left alone last live longest.
        let since = supersede(attempt, unfinished).await;
        alone = Some(alone.map_or(since, |alone| alone.min(since)));
    }
    if let Some(alone) = alone {
        wait_for_leases(attempt, &phase_of_waits, alone).await?;
    }
    // What was cut off may have begun its migration after the first look.
    let may_run =
        |job: &&Job<'_>| job.migration_runs || (!unfinished.is_empty() && job.shipment.release_command);
    for job in jobs.iter().filter(may_run) {
        wait_for_migration(attempt, &phase_of_waits, job).await?;
    }
    Ok(())
}

/// Ends what is left of it and records it as `abandoned`. Answers with how long its leases have been left
/// alone; for ever, where no flyctl was started.
async fn supersede(attempt: &Attempt<'_>, unfinished: &Unfinished) -> Duration {
    let mut alone = Duration::MAX;
    let start = &unfinished.start;
    attempt.emitter.warn(format!(
        "the {} by {} of {} was cut off; this one takes its place",
        start.kind.as_str(),
        start.actor,
        start.started_at
    ));
    let host = attempt.session.this_process().host;
    for (group, start_time) in recall::living_groups(unfinished, &host) {
        attempt.emitter.warn(format!(
            "its flyctl still runs (process group {group}); ending it"
        ));
        process::end_group(group, start_time, GRACE).await;
        alone = Duration::ZERO;
    }
    for mark in &unfinished.marks {
        alone = alone.min(since(attempt, &mark.at));
    }
    let end = End {
        id: start.id.clone(),
        ended_at: clock::stamp(),
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

/// Instances that a deployment of ours made beside the others and could not let requests reach before it was cut off, as
/// bluegreen does it: they run what it shipped, and the proxy sends nothing there. What ships next updates them, and
/// nobody would ever answer from them.
pub(crate) fn unreached(
    history: &History,
    app: &str,
    instances: &[Instance],
    answers: &BTreeMap<String, Answer>,
) -> Vec<String> {
    let cut_off: Vec<ImageKey> = history
        .rows_of(app)
        .map(|(_, row)| row)
        .take_while(|row| !row.is_verified())
        .filter(|row| {
            let outcome = [Outcome::Interrupted, Outcome::Abandoned].map(Ended::As);
            row.ended == Ended::Open || outcome.contains(&row.ended)
        })
        .map(|row| row.shipped.image)
        .collect();
    let is_silent = |instance: &Instance| {
        let field = VersionField::Pointer(String::new());
        answers.get(&instance.id).is_some_and(|answer| {
            let read = probe::read(answer, PathAuthority::Root, &field);
            read.silent && matches!(read.word, Word::Bad(_))
        })
    };
    instances
        .iter()
        .filter(|instance| instance.state == InstanceState::Started)
        .filter(|instance| {
            let own = ImageKey::of(&instance.image);
            cut_off.iter().any(|image| image.is_same_as(own))
        })
        .filter(|instance| instance.cordoned.unwrap_or_else(|| is_silent(instance)))
        .map(|instance| instance.id.clone())
        .collect()
}

/// Waits for leases that our own flyctl could not give back.
async fn wait_for_leases(attempt: &Attempt<'_>, phase: &Running, since: Duration) -> Result<(), Halt> {
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
        signal = interrupts.next() => Err(Halt::of(signal)),
        () = talk(say) => Ok(()),
    }
}

/// A second migration never starts beside one that runs (DESIGN 5): waits for its machine.
async fn wait_for_migration(attempt: &Attempt<'_>, phase: &Running, job: &Job<'_>) -> Result<(), Halt> {
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
                return Ok(());
            }
            seen = format!("a release command still runs on {}", running.join(", "));
        }
        if Instant::now() >= attempt.deadline {
            let limit = attempt.timeout.as_secs();
            let error = Error::new(
                ErrorKind::Inconclusive,
                format!("{seen}, after {limit} s; nothing was changed"),
            );
            return Err(Halt::Failed(error.hint("give it longer with `--timeout`").hint(
                format!(
                    "or end it, if it hangs: flyctl machine list -a {0}; flyctl machine stop ID -a {0}",
                    job.app()
                ),
            )));
        }
        phase.waiting(format!("{seen}; waiting for it"));
        tokio::select! {
            () = sleep(Duration::from_secs(2)) => {}
            signal = interrupts.next() => return Err(Halt::of(signal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::json;

    use super::unreached;
    use crate::effect::http::Answer;
    use crate::instance::Instance;
    use crate::provider::fly::output::machines;
    use crate::state::record::Outcome;
    use crate::state::testing::{APP, Entry, TestLedger};

    fn instance(tag: &str, state: &str, cordoned: Option<bool>) -> Instance {
        let mut machine = json!({
            "id": "a", "state": state, "region": "fra",
            "config": {"metadata": {"fly_process_group": "app", "fly_release_version": "2"}},
            "image_ref": {"registry": "registry.fly.io", "repository": "shop", "tag": tag, "digest": format!("sha256:{tag}")},
        });
        if let Some(cordoned) = cordoned {
            machine["cordoned"] = json!(cordoned);
        }
        machines::parse(json!([machine]).to_string().as_bytes())
            .unwrap()
            .remove(0)
    }

    fn response(status: u16, body: &str) -> Answer {
        Answer::Response {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            latency: Duration::ZERO,
        }
    }

    #[test]
    fn what_a_cut_off_deployment_left_without_requests_is_found() {
        let first = || Entry::deploy("d1", "v1").verified().release(1);
        let cut_off = || {
            Entry::deploy("d2", "v2")
                .over(1, "v1")
                .cut_off_while("ship", true)
        };
        let nobody = || response(503, "no good candidate");
        for (case, entries, instance, answer, found) in [
            (
                "killed",
                vec![first(), cut_off()],
                instance("v2", "started", None),
                nobody(),
                true,
            ),
            (
                "interrupted",
                vec![first(), Entry::deploy("d2", "v2").interrupted()],
                instance("v2", "started", None),
                nobody(),
                true,
            ),
            (
                "superseded once, in vain",
                vec![
                    first(),
                    Entry::deploy("d2", "v2").ended(Outcome::Abandoned, "refuted"),
                ],
                instance("v2", "started", None),
                nobody(),
                true,
            ),
            (
                "said so",
                vec![cut_off()],
                instance("v2", "started", Some(true)),
                response(200, ""),
                true,
            ),
            (
                "said otherwise",
                vec![cut_off()],
                instance("v2", "started", Some(false)),
                nobody(),
                false,
            ),
            (
                "it answers",
                vec![cut_off()],
                instance("v2", "started", None),
                response(200, ""),
                false,
            ),
            (
                "the app itself is bad",
                vec![cut_off()],
                instance("v2", "started", None),
                response(503, "{\"status\":\"unhealthy\"}"),
                false,
            ),
            (
                "not ours",
                vec![first(), cut_off()],
                instance("v1", "started", None),
                nobody(),
                false,
            ),
            (
                "down",
                vec![cut_off()],
                instance("v2", "stopped", None),
                nobody(),
                false,
            ),
            (
                "verified since",
                vec![cut_off(), Entry::verify("d3", "v2").verified().release(2)],
                instance("v2", "started", None),
                nobody(),
                false,
            ),
        ] {
            let history = TestLedger::of(&entries).history();
            let answers = BTreeMap::from([("a".to_owned(), answer)]);
            let expected: &[&str] = if found { &["a"] } else { &[] };
            assert_eq!(
                unreached(&history, APP, &[instance], &answers),
                expected,
                "{case}"
            );
        }
    }
}
