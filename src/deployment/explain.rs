//! Why a deployment came to what it came to, and what else a person should know of it: said in its course.

use crate::deployment::job::{Job, Stage};
use crate::deployment::ownership::{Theirs, is_run, newer_of_others, own_release};
use crate::deployment::ship::ProviderEnd;
use crate::instance::RELEASE_COMMAND_GROUP;
use crate::provider::fly::output::failure::FailureClass;
use crate::verification::{InstanceReport, Judgement};

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
                if message.starts_with("could not destroy machine") {
                    // flyctl had the leases of all machines by then: it may have met its own.
                    format!("flyctl itself, or another deployment by {holder}, holds a lease: {message}")
                } else {
                    format!("another deployment by {holder} holds the machines' leases: {message}")
                }
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
