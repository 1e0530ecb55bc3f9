//! Why it failed: the last log lines, events and answers, gathered beside the return, and kept as a bundle.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::deployment::attempt::Attempt;
use crate::deployment::event::Phase;
use crate::deployment::job::{Job, Stage};
use crate::release::AppSecret;
use crate::rollback;
use crate::secret::sanitise;

/// The longest that a diagnosis may take (DESIGN 5).
const LIMIT: Duration = Duration::from_secs(5);
/// Log lines that are shown and kept.
const LINES: usize = 30;

/// What explains how the services ended, on its way.
pub(crate) struct Diagnosis {
    services: Vec<Asked>,
}

/// What was asked of one service.
struct Asked {
    index: usize,
    log: JoinHandle<Vec<String>>,
    /// Without them where they could not be listed in time.
    secrets: JoinHandle<Option<Vec<AppSecret>>>,
}

/// Asks for logs and secrets of what failed; the answers are waited for in [`finish`].
pub(crate) fn start(attempt: &Attempt<'_>, jobs: &[Job<'_>]) -> Diagnosis {
    let services = jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| {
            matches!(
                job.course.stage,
                Stage::Refuted | Stage::Broken | Stage::Inconclusive
            )
        })
        .map(|(index, job)| {
            let (flyctl, app) = (job.flyctl.clone(), job.service.app.clone());
            let machine = failed_instance(job);
            let redactor = attempt.session.redactor.clone();
            let asking = async move {
                let lines = timeout(LIMIT, flyctl.logs(&app, machine.as_deref(), LINES, LIMIT))
                    .await
                    .unwrap_or_default();
                lines
                    .iter()
                    .map(|line| redactor.redact(&sanitise(line)))
                    .collect()
            };
            let (flyctl, app) = (job.flyctl.clone(), job.service.app.clone());
            let secrets = async move { timeout(LIMIT, flyctl.secrets(&app)).await.ok()?.ok() };
            Asked {
                index,
                log: tokio::spawn(asking),
                secrets: tokio::spawn(secrets),
            }
        })
        .collect();
    Diagnosis { services }
}

/// The first instance with something bad against it.
fn failed_instance(job: &Job<'_>) -> Option<String> {
    let judgement = job.course.judgement.as_ref()?;
    judgement
        .instances
        .iter()
        .find(|instance| {
            instance.probes.bad > 0
                || instance
                    .checks
                    .as_deref()
                    .is_some_and(|checks| checks != "passing")
                || instance.state != "started"
        })
        .map(|instance| instance.id.clone())
}

/// Takes what came and writes the bundle; nothing here may stop a deployment.
pub(crate) async fn finish(attempt: &Attempt<'_>, jobs: &mut [Job<'_>], diagnosis: Diagnosis) {
    if diagnosis.services.is_empty() {
        return;
    }
    let phase = attempt
        .emitter
        .start(Phase::Diagnose, "gathering what explains it");
    let mut bundle: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for asked in diagnosis.services {
        let job = &mut jobs[asked.index];
        let log = asked.log.await.unwrap_or_default();
        let secrets = asked.secrets.await.unwrap_or_default();
        let left = secrets.and_then(|secrets| left_by_a_return(job, &secrets));
        job.course.warnings.extend(left);
        job.course.log = telling(&log, &attempt.started_at);
        let name = &job.service.name;
        let course = &job.course;
        let provider = course
            .provider
            .as_ref()
            .map(|provider| provider.tail.join("\n"))
            .unwrap_or_default();
        let judgement = course.judgement.as_ref();
        let events: Vec<_> = judgement
            .iter()
            .flat_map(|judgement| &judgement.listed)
            .map(|instance| {
                json!({
                    "instance": instance.id, "region": instance.region, "state": instance.state.as_str(),
                    "checks": instance.checks.iter().map(|check| json!({
                        "name": check.name, "status": check.status,
                        "output": attempt.session.redactor.redact(&sanitise(&check.output)),
                    })).collect::<Vec<_>>(),
                    "events": instance.events.iter().map(|event| json!({
                        "type": event.kind, "status": event.status, "at_ms": event.at_ms,
                        "exit_code": event.exit.map(|exit| exit.code),
                        "requested_stop": event.exit.map(|exit| exit.requested_stop),
                    })).collect::<Vec<_>>(),
                })
            })
            .collect();
        let verdict = json!({
            "reasons": course.reasons,
            "warnings": course.warnings,
            "instances": judgement.map(|judgement| &judgement.instances),
        });
        bundle.insert(format!("{name}-log.txt"), log.join("\n").into_bytes());
        bundle.insert(format!("{name}-flyctl.txt"), provider.into_bytes());
        bundle.insert(
            format!("{name}-events.json"),
            serde_json::to_vec_pretty(&events).unwrap_or_default(),
        );
        bundle.insert(
            format!("{name}-verdict.json"),
            serde_json::to_vec_pretty(&verdict).unwrap_or_default(),
        );
    }
    bundle.insert(
        "phases.json".to_owned(),
        serde_json::to_vec_pretty(&attempt.emitter.phases()).unwrap_or_default(),
    );
    match attempt
        .session
        .bundles(attempt.environment)
        .and_then(|bundles| bundles.write(&attempt.id, &bundle))
    {
        Ok(()) => phase.completed(""),
        Err(error) => {
            attempt
                .emitter
                .warn(format!("the failure bundle was not kept: {error}"));
            phase.failed("");
        }
    }
}

fn left_by_a_return(job: &Job<'_>, secrets: &[AppSecret]) -> Option<String> {
    let back = job.destination.as_ref().ok()?;
    let number = back.release?;
    let then = format!("{number} ({})", back.image.short());
    rollback::secrets_left_by_a_return(secrets, number, &then, &job.releases)
}

/// The lines since the deployment began, as far as their times can be read; what repeats is counted. Where the clocks
/// disagree so much that none is left, all of them.
fn telling(log: &[String], begun: &str) -> Vec<String> {
    let begun: Option<Timestamp> = begun.parse().ok();
    let time = |line: &str| {
        line.split(' ')
            .next()
            .and_then(|word| word.parse::<Timestamp>().ok())
    };
    let is_recent = |line: &&String| time(line).zip(begun).is_none_or(|(time, begun)| time >= begun);
    let mut recent: Vec<&String> = log.iter().filter(is_recent).collect();
    if recent.is_empty() {
        recent = log.iter().collect();
    }
    let words = |line: &str| line.split_once(' ').map_or(line, |(_, words)| words).to_owned();
    // A crash loop says the same few lines over and over: each is told where it came first.
    let mut told: Vec<(&String, usize)> = Vec::new();
    for line in recent {
        match told.iter_mut().find(|(first, _)| words(first) == words(line)) {
            Some((_, times)) => *times += 1,
            None => told.push((line, 1)),
        }
    }
    told.iter()
        .map(|(line, times)| match times {
            1 => (*line).clone(),
            _ => format!("{line} ({times} times)"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::telling;

    #[test]
    fn a_log_tells_of_this_deployment_and_says_nothing_twice() {
        let lines = |list: &[&str]| list.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let old = "2026-01-28T09:00:00Z app[a] started v1";
        let crash = "2026-01-28T10:00:01Z app[a] Error: no configuration";
        let exited = "2026-01-28T10:00:02Z app[a] exited with 1";
        let again = "2026-01-28T10:00:09Z app[a] Error: no configuration";
        for (log, told) in [
            (
                vec![old, crash, again],
                vec!["2026-01-28T10:00:01Z app[a] Error: no configuration (2 times)"],
            ),
            (
                vec![crash, exited, again, exited],
                vec![
                    "2026-01-28T10:00:01Z app[a] Error: no configuration (2 times)",
                    "2026-01-28T10:00:02Z app[a] exited with 1 (2 times)",
                ],
            ),
            (vec![old], vec![old]),
            (vec!["no time", old], vec!["no time"]),
            (vec![], vec![]),
        ] {
            assert_eq!(telling(&lines(&log), "2026-01-28T10:00:00Z"), lines(&told));
        }
    }
}
