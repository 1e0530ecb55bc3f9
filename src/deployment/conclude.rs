//! What a deployment came to: endings, reports, and the words for them. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::deployment::attempt::Attempt;
use crate::deployment::baseline::common_image;
use crate::deployment::job::{Destination, Job, Stage};
use crate::deployment::report::{Ending, ProviderReport, ServedReport, ServiceReport};
use crate::deployment::ship::ProviderEnd;
use crate::instance::{Instance, RELEASE_COMMAND_GROUP};
use crate::project::fly_toml::secrets::looks_secret;
use crate::provider::fly::output::failure::FailureClass;
use crate::release::{Image, Release, ReleaseNumber};
use crate::secret::REDACTED;
use crate::state::history::machine_config;
use crate::state::record::{Served, ServiceEnd};
use crate::verification::expectation::Kind as Purpose;
use crate::verification::{Evidence, InstanceReport, Judgement, Verdict};

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

/// The number of the release that this deployment made.
pub(crate) fn own_release(job: &Job<'_>) -> Option<ReleaseNumber> {
    let course = &job.course;
    let seen = course.judgement.as_ref().and_then(|judgement| judgement.release);
    let named = course.provider.as_ref().and_then(|provider| provider.release);
    named.or(seen).or_else(|| {
        let image = job.shipment.image.as_ref()?;
        let newer = |release: &&Release| Some(release.number) > job.baseline.newest;
        let list = course.releases_now.as_ref()?;
        list.iter()
            .filter(newer)
            .filter(|release| release.image.is_same_as(image))
            .map(|release| release.number)
            .min()
    })
}

/// A release that this deployment did not make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Theirs {
    pub(crate) number: ReleaseNumber,
    pub(crate) user: Option<String>,
    pub(crate) image: Image,
}

impl fmt::Display for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {} ({})", self.number, self.image.short())?;
        match &self.user {
            Some(user) => write!(f, " by {user}"),
            None => Ok(()),
        }
    }
}

/// Who took the place of what was shipped, as an instance shows it; `None` where that is nobody else's.
pub(crate) fn superseded_by(job: &Job<'_>, judgement: &Judgement) -> Option<String> {
    let shown = judgement.superseded_by?;
    match &job.course.releases_now {
        Some(list) => somebody_elses(job, list).map(|theirs| theirs.to_string()),
        None => Some(format!("release {shown}")),
    }
}

/// Instances on lost hosts that nothing that was said names yet.
pub(crate) fn unreachable(judgement: &Judgement) -> Option<String> {
    let said = || judgement.reasons.iter().chain(&judgement.warnings);
    let unsaid: Vec<&str> = judgement
        .unreachable
        .iter()
        .map(String::as_str)
        .filter(|id| !said().any(|text| text.contains(id)))
        .collect();
    (!unsaid.is_empty()).then(|| format!("on hosts that cannot be reached: {}", unsaid.join(", ")))
}

/// The newest release with another image that an instance runs, or that has not ended without becoming current.
pub(crate) fn somebody_elses(job: &Job<'_>, releases: &[Release]) -> Option<Theirs> {
    let theirs = newer_of_others(job, releases)
        .into_iter()
        .find(|release| !release.status.has_failed() || is_run(job, release.number))?;
    Some(Theirs {
        number: theirs.number,
        user: theirs.user.clone(),
        image: theirs.image.clone(),
    })
}

fn is_run(job: &Job<'_>, number: ReleaseNumber) -> bool {
    job.course
        .now
        .iter()
        .flatten()
        .any(|machine| machine.release == Some(number))
}

/// Newer than the baseline, and neither ours, nor our return, nor what served.
fn newer_of_others<'r>(job: &Job<'_>, releases: &'r [Release]) -> Vec<&'r Release> {
    let own = own_release(job);
    releases
        .iter()
        .filter(|release| Some(release.number) > job.baseline.newest && Some(release.number) != own)
        .filter(|release| !is_ours(job, own, release))
        .collect()
}

/// Whether a release is of this deployment by the image that it names, as far as no instance shows otherwise: a tag
/// that is used again names somebody else's image, too.
fn is_ours(job: &Job<'_>, own: Option<ReleaseNumber>, release: &Release) -> bool {
    let names = |image: Option<&Image>| image.is_some_and(|image| image.is_same_as(&release.image));
    let destination = job
        .destination
        .as_ref()
        .ok()
        .map(|destination| &destination.image);
    let before = job.baseline.image.as_ref();
    // What served before comes again by the return alone, or came before ours.
    let returned = own.is_some_and(|own| release.number < own)
        || (job.course.returning_since).is_some_and(|since| release.number > since);
    let ours = names(job.shipment.image.as_ref()) || (returned && (names(destination) || names(before)));
    ours && !is_run_with_another_image(job, release.number)
}

/// An instance runs it with a digest that is neither that of what was shipped, nor where it returns to, nor what served.
fn is_run_with_another_image(job: &Job<'_>, number: ReleaseNumber) -> bool {
    let course = &job.course;
    let judged = course.judgement.as_ref();
    if judged.is_some_and(|judgement| judgement.superseded_by == Some(number)) {
        return true;
    }
    let known = [
        judged.and_then(|judgement| judgement.digest.as_ref()),
        (job.shipment.image.as_ref()).and_then(|image| image.digest.as_ref()),
        (job.destination.as_ref().ok()).and_then(|destination| destination.image.digest.as_ref()),
        job.baseline
            .image
            .as_ref()
            .and_then(|image| image.digest.as_ref()),
    ];
    let listed = judged.iter().flat_map(|judgement| &judgement.listed);
    (course.now.iter().flatten().chain(listed))
        .filter(|instance| instance.release == Some(number))
        .filter_map(|instance| instance.image.digest.as_ref())
        .any(|digest| !known.contains(&Some(digest)))
}

/// Where nothing was released, whose fault that was; `None` where a release was made, or another reason stopped it.
pub(crate) fn without_release(job: &Job<'_>, provider: &ProviderEnd) -> Option<Stage> {
    let made = match &job.course.releases_now {
        Some(list) => own_release(job).is_some_and(|own| list.iter().any(|release| release.number == own)),
        None => provider.began || provider.release.is_some(),
    };
    // One that was ended at the deadline told no cause of its own.
    if made || provider.succeeded() || provider.ended_by_us {
        return None;
    }
    match provider.class {
        Some(class) if class.is_configuration() => Some(Stage::NoReleaseConfig),
        // Our own deadline says nothing about flyctl or Fly: what serves decides.
        Some(FailureClass::TimedOut) => None,
        Some(class) if class.is_provider() => Some(Stage::NoRelease),
        _ => None,
    }
}

/// Where nothing can be looked at any more, and flyctl failed by itself before it came to make a release.
pub(crate) fn nothing_begun(job: &mut Job<'_>) -> Option<Stage> {
    let provider = job.course.provider.clone()?;
    let moved = job
        .course
        .judgement
        .as_ref()
        .is_some_and(|judgement| judgement.moved > 0);
    if job.course.now.is_some() || moved || provider.began || provider.ended_by_us {
        return None;
    }
    let stage = without_release(job, &provider)?;
    job.course
        .warnings
        .push("what serves could not be looked at again".to_owned());
    Some(stage)
}

/// What flyctl's end and the machines left behind say about a deployment that is not good.
pub(crate) fn explain(job: &mut Job<'_>) {
    let provider = job.course.provider.clone().unwrap_or_default();
    if let (Some(class), Some(message)) = (provider.class, &provider.message)
        && !provider.ended_by_us
    {
        let reason = match class {
            FailureClass::LeaseHeld => {
                let holder = provider
                    .holder
                    .clone()
                    .unwrap_or_else(|| "somebody else".to_owned());
                format!("another deployment by {holder} holds the machines' leases: {message}")
            }
            FailureClass::ReleaseCommand | FailureClass::ReleaseCommandTimeout => {
                format!("the release command failed: {message}")
            }
            _ => format!("flyctl failed: {message}"),
        };
        // What flyctl says explains the failure best where nothing has moved.
        let place = if job
            .course
            .judgement
            .as_ref()
            .is_some_and(|judgement| judgement.moved > 0)
        {
            job.course.reasons.len()
        } else {
            0
        };
        job.course.reasons.insert(place, reason);
    }
    if provider.ended_by_us
        && job
            .course
            .judgement
            .as_ref()
            .is_none_or(|judgement| !judgement.early)
    {
        job.course
            .reasons
            .push("flyctl did not end in time and was ended".to_owned());
    }
    worst_first(job);
    left_behind(job);
    ended_elsewhere(job);
}

/// Where flyctl gave up before an instance's own deadline, the verdict names the instances that stayed behind; what
/// an instance on the new release showed until then says more.
fn worst_first(job: &mut Job<'_>) {
    let Some(judgement) = job
        .course
        .judgement
        .as_ref()
        .filter(|judgement| judgement.moved > 0)
    else {
        return;
    };
    let first = job.course.reasons.first().cloned().unwrap_or_default();
    let mut on_new = judgement
        .instances
        .iter()
        .filter(|instance| instance.release.is_some() && instance.release == judgement.release);
    let bad = on_new.find_map(|instance| shown_bad(instance).map(|words| (instance, words)));
    if let Some((instance, words)) = bad
        && !first.contains(&instance.id)
    {
        let reason = format!(
            "instance {} ({}): {words} when flyctl gave up",
            instance.id, instance.region
        );
        job.course.reasons.insert(0, reason);
    }
}

/// What is bad about an instance, as last seen.
fn shown_bad(instance: &InstanceReport) -> Option<String> {
    let status = instance.probes.last_status.filter(|status| *status >= 500);
    match (status, instance.checks.as_deref()) {
        (Some(status), Some("critical")) => Some(format!("answered {status} and its checks were critical")),
        (Some(status), _) => Some(format!("answered {status}")),
        (None, Some("critical")) => Some("its checks were critical".to_owned()),
        _ if instance.state != "started" => Some(format!("was `{}`", instance.state)),
        _ => None,
    }
}

/// Machines that flyctl made for itself and did not remove.
fn left_behind(job: &mut Job<'_>) {
    let app = job.service.app.clone();
    for machine in job.course.now.iter().flatten() {
        let what = if machine.canary {
            "a canary machine"
        } else if machine.group.as_deref() == Some(RELEASE_COMMAND_GROUP) {
            "a release command machine"
        } else {
            continue;
        };
        job.course.warnings.push(format!(
            "{what} was left behind: {} in {} ({})",
            machine.id,
            machine.region,
            machine.state.as_str()
        ));
        job.course
            .hints
            .push(format!("fly machine destroy --force {} -a {app}", machine.id));
    }
}

/// Where flyctl or the release record disagrees with what serves, and what others did meanwhile.
pub(crate) fn disagreements(job: &mut Job<'_>) {
    let provider = job.course.provider.clone().unwrap_or_default();
    let own = own_release(job);
    let mut warnings = Vec::new();
    if !provider.succeeded() {
        let said = provider
            .message
            .clone()
            .unwrap_or_else(|| "it was ended".to_owned());
        let code = provider
            .code
            .map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        warnings.push(format!(
            "flyctl ended with {code} although every instance is good: {said}"
        ));
    }
    if let Some(list) = &job.course.releases_now
        && let Some(release) = list.iter().find(|release| Some(release.number) == own)
        && release.status.as_str() != "complete"
    {
        let status = release.status.as_str();
        warnings.push(format!(
            "Fly lists release {} as `{status}` although every instance runs it",
            release.number
        ));
    }
    job.course.warnings.extend(warnings);
    ended_elsewhere(job);
}

/// Releases of others that came to nothing meanwhile: named, and in nobody's way.
fn ended_elsewhere(job: &mut Job<'_>) {
    let list = job.course.releases_now.as_deref().unwrap_or_default();
    let idle = newer_of_others(job, list)
        .into_iter()
        .filter(|release| !is_run(job, release.number));
    let warnings: Vec<String> = idle
        .map(|release| {
            let theirs = Theirs {
                number: release.number,
                user: release.user.clone(),
                image: release.image.clone(),
            };
            let status = release.status.as_str();
            format!("{theirs} was made meanwhile and is not ours; it is `{status}`, and no instance runs it")
        })
        .collect();
    job.course.warnings.extend(warnings);
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
    let verified = matches!(course.stage, Stage::Verified | Stage::Returned | Stage::Untouched);
    let verdict = if verified {
        "verified"
    } else {
        course_verdict(course.stage)?
    };
    let release = listed.iter().filter_map(|instance| instance.release).max();
    match common_image(&listed) {
        Some(image) => Some(ServedReport {
            release,
            image: image.name,
            digest: image.digest,
            verdict: Some(verdict.to_owned()),
            mixed: false,
        }),
        None if listed.is_empty() => None,
        None => {
            let mut names: Vec<String> = listed
                .iter()
                .map(|instance| {
                    let release = instance
                        .release
                        .map(|release| format!("{release} "))
                        .unwrap_or_default();
                    format!("{release}{}", instance.image.short())
                })
                .collect();
            names.sort();
            names.dedup();
            let image = names.join(" and ");
            Some(ServedReport {
                release: None,
                image,
                digest: None,
                verdict: Some(verdict.to_owned()),
                mixed: true,
            })
        }
    }
}

fn course_verdict(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Broken | Stage::Refuted => Some("refuted"),
        Stage::Inconclusive => Some("inconclusive"),
        Stage::NotShipped | Stage::NoRelease | Stage::NoReleaseConfig => Some("unchanged"),
        Stage::Verified | Stage::Returned | Stage::Untouched => None,
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
        previous: job.baseline.served().map(|served| ServedReport {
            release: served.release,
            image: served.image,
            digest: served.digest,
            verdict: None,
            mixed: false,
        }),
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
        serving: report
            .serving
            .filter(|serving| !serving.mixed)
            .map(|serving| Served {
                release: serving.release,
                image: serving.image,
                digest: serving.digest,
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
