//! What a deployment came to: endings, reports, and the words for them. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::deployment::attempt::Attempt;
use crate::deployment::job::{Destination, Job, Stage};
use crate::deployment::ownership::own_release;
use crate::deployment::report::{Ending, ProviderReport, ServedReport, ServedVerdict, ServiceReport};
use crate::instance::Instance;
use crate::project::fly_toml::secrets::looks_secret;
use crate::secret::REDACTED;
use crate::state::history::machine_config;
use crate::state::record::{Served, ServiceEnd};
use crate::verification::expectation::Kind as Purpose;
use crate::verification::{Evidence, Verdict};

/// The ending of all services together: the worst truth about what serves comes first.
pub(crate) fn ending(stages: &[Stage]) -> Ending {
    let any = |stage: Stage| stages.contains(&stage);
    if any(Stage::Broken) || any(Stage::Refuted) {
        Ending::Broken
    } else if any(Stage::Inconclusive) {
        Ending::Inconclusive
    } else if any(Stage::Verified) && stages.iter().any(|stage| *stage != Stage::Verified) {
        // One is on the new release and stays there without the others: neither what was asked for nor what was before.
        Ending::Broken
    } else if any(Stage::Returned) {
        Ending::RolledBack
    } else if any(Stage::Untouched) {
        Ending::Failed
    } else if any(Stage::NoReleaseConfig) {
        Ending::Config
    } else if any(Stage::NoRelease) {
        Ending::Provider
    } else if any(Stage::Verified) {
        Ending::Ok
    } else {
        Ending::Inconclusive
    }
}

/// The machines of a list that count in the groups of today's file or of what served.
pub(crate) fn counted(job: &Job<'_>, now: &[Instance]) -> Vec<Instance> {
    let mut groups = job.groups();
    groups.extend(job.baseline.groups.iter().cloned());
    now.iter()
        .filter(|machine| machine.counts(&groups))
        .cloned()
        .collect()
}

/// The command that ships a destination by hand.
pub(crate) fn rollback_to(attempt: &Attempt<'_>, destination: &Destination) -> String {
    let target = destination
        .release
        .map_or_else(|| destination.image.name.clone(), |release| release.to_string());
    format!("shipctl rollback {} --to {target}", attempt.environment.name)
}

/// What runs after all that, from the newest list there is.
pub(crate) fn serving(job: &Job<'_>) -> Option<ServedReport> {
    let course = &job.course;
    let listed = [&course.afterwards, &course.judgement]
        .into_iter()
        .flatten()
        .map(|judgement| judgement.listed.clone())
        .find(|listed| !listed.is_empty())
        .or_else(|| course.now.as_ref().map(|now| counted(job, now)))?;
    let has_moved = !job.baseline.moved(&listed).is_empty();
    ServedReport::of(&listed, Some(served_verdict(course.stage, has_moved)))
}

/// What is known of what serves where a course ended at a stage.
fn served_verdict(stage: Stage, has_moved: bool) -> ServedVerdict {
    match stage {
        Stage::Verified | Stage::Returned | Stage::Untouched => ServedVerdict::Verified,
        Stage::Broken | Stage::Refuted => ServedVerdict::Refuted,
        Stage::NotShipped | Stage::NoRelease | Stage::NoReleaseConfig if !has_moved => {
            ServedVerdict::Unchanged
        }
        Stage::Inconclusive | Stage::NotShipped | Stage::NoRelease | Stage::NoReleaseConfig => {
            ServedVerdict::Inconclusive
        }
    }
}

/// One of the `services` of the document.
pub(crate) fn service_report(job: &Job<'_>) -> ServiceReport {
    let course = &job.course;
    let judgement = course.judgement.as_ref();
    let own = own_release(job);
    let status = course.releases_now.as_ref().and_then(|list| {
        list.iter()
            .find(|release| Some(release.number) == own)
            .map(|release| release.status.as_str().to_owned())
    });
    let mut warnings = course.warnings.clone();
    warnings.dedup();
    ServiceReport {
        service: job.service.name.clone(),
        app: job.service.app.clone(),
        verdict: judgement.map(|judgement| judgement.verdict),
        evidence: judgement.map(|judgement| judgement.evidence),
        reasons: course.reasons.clone(),
        warnings,
        release: own,
        image: job.shipment.image.as_ref().map(|image| image.name.clone()),
        digest: judgement
            .and_then(|judgement| judgement.digest.clone())
            .or_else(|| job.shipment.image.as_ref().and_then(|image| image.digest.clone())),
        version: judgement.and_then(|judgement| judgement.version.clone()),
        previous: job.baseline.served().map(ServedReport::from),
        serving: serving(job),
        provider: course.provider.as_ref().map(|provider| ProviderReport {
            exit_code: provider.code,
            signal: provider.signal,
            release_status: status,
            error_class: provider.class.map(|class| class.as_str().to_owned()),
            message: provider.message.clone(),
        }),
        instances: judgement
            .map(|judgement| judgement.instances.clone())
            .unwrap_or_default(),
        log: course.log.clone(),
    }
}

/// What the ledger remembers of a service.
pub(crate) fn service_end(job: &Job<'_>) -> ServiceEnd {
    let report = service_report(job);
    let judgement = job.course.judgement.as_ref();
    let verified = job.course.stage == Stage::Verified;
    ServiceEnd {
        service: report.service,
        app: report.app,
        verdict: if verified {
            Verdict::Verified.as_str().to_owned()
        } else {
            let verdict = report.verdict.unwrap_or(Verdict::Inconclusive);
            verdict.as_str().to_owned()
        },
        release: report.release,
        image: report.image,
        digest: report.digest,
        version: report.version,
        // What a rollback shipped may be known by a word that others answer, too.
        named: (job.expectation.kind != Purpose::Rollback || job.expectation.identity.named_before)
            && judgement.is_some_and(|judgement| judgement.evidence == Evidence::App),
        answered_path: judgement
            .filter(|judgement| judgement.answered)
            .map(|_| job.expectation.probe.path.clone()),
        serving: report.serving.and_then(|serving| {
            Some(Served {
                release: serving.release,
                image: serving.image?,
                digest: serving.digest,
            })
        }),
        serving_verified: matches!(job.course.stage, Stage::Returned | Stage::Untouched),
        machine_configs: if verified {
            machine_configs(
                judgement
                    .map(|judgement| judgement.listed.as_slice())
                    .unwrap_or_default(),
            )
        } else {
            BTreeMap::new()
        },
    }
}

/// The machine `config` of one instance of each group, without what differs between releases of one configuration,
/// and without values of variables.
fn machine_configs(listed: &[Instance]) -> BTreeMap<String, Value> {
    let mut configs = BTreeMap::new();
    for instance in listed {
        let Some(group) = &instance.group else { continue };
        configs
            .entry(group.clone())
            .or_insert_with(|| essence(&instance.config));
    }
    configs
}

/// A machine's `config` as it is compared later, without values that look secret.
fn essence(config: &Value) -> Value {
    let mut config = machine_config(config);
    for (name, value) in config
        .get_mut("env")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        if value.as_str().is_some_and(|text| looks_secret(name, text)) {
            *value = Value::from(REDACTED);
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::ending;
    use crate::deployment::job::Stage;
    use crate::deployment::report::Ending;

    #[test]
    fn the_worst_truth_about_what_serves_comes_first() {
        use Stage::{
            Broken, Inconclusive, NoRelease, NoReleaseConfig, NotShipped, Returned, Untouched, Verified,
        };
        for (stages, expected) in [
            (vec![Verified], Ending::Ok),
            (vec![Verified, Verified], Ending::Ok),
            (vec![Returned, Untouched], Ending::RolledBack),
            (vec![Returned, NotShipped], Ending::RolledBack),
            (vec![Untouched, NotShipped], Ending::Failed),
            (vec![NoRelease], Ending::Provider),
            (vec![NoReleaseConfig, NotShipped], Ending::Config),
            (vec![Returned, NoRelease], Ending::RolledBack),
            (vec![Broken, Returned], Ending::Broken),
            (vec![Broken, Inconclusive], Ending::Broken),
            (vec![Inconclusive, Verified], Ending::Inconclusive),
            // One that is good, and stayed without the others.
            (vec![Verified, Untouched], Ending::Broken),
            (vec![Verified, NoRelease], Ending::Broken),
            (vec![Verified, NoReleaseConfig], Ending::Broken),
            (vec![Verified, Returned], Ending::Broken),
            (vec![NotShipped], Ending::Inconclusive),
            (vec![], Ending::Inconclusive),
        ] {
            assert_eq!(ending(&stages), expected, "{stages:?}");
        }
    }
}
