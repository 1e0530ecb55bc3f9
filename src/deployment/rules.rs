//! Policy, asked with the facts of this deployment: the decisions themselves are in `project::policy`.

use std::time::Duration;

use tokio::time::Instant;

use crate::deployment::attempt::{Attempt, Seen};
use crate::deployment::backward::Request as RollbackRequest;
use crate::deployment::forward::Request;
use crate::deployment::job::Job;
use crate::deployment::{configuration, plan, recall};
use crate::effect::clock;
use crate::error::{Error, Result};
use crate::output::Printer;
use crate::project::policy::{bound, choice, consent, forward};
use crate::project::{Environment, FreezePolicy, Service};
use crate::provider::fly::passthrough::Passthrough;
use crate::release::short_image;
use crate::rollback::{Pick, Rule};
use crate::session::Session;
use crate::state::freeze::{Freeze, LOCAL};
use crate::state::history::{History, Repetition, Unfinished};

/// What was said besides environment and file, to be said again with the right ones.
fn flags(request: &Request) -> String {
    let value = |flag: &str, value: &Option<String>| value.as_ref().map(|value| format!(" {flag} {value}"));
    let switch = |flag: &str, given: bool| given.then(|| format!(" {flag}"));
    let flags = [
        value("--image", &request.image),
        value("--strategy", &request.strategy),
        switch("--no-rollback", request.no_rollback),
        switch("--unfreeze", request.unfreeze),
        switch("--dry-run", request.dry_run),
    ];
    flags.into_iter().flatten().collect()
}

/// The environment that a deploy means, or why it does not say.
pub(crate) fn choose<'s>(session: &'s Session, request: &Request) -> Result<&'s Environment> {
    let candidates = choice::Candidate::of(&session.project, &flags(request));
    let name = choice::choose(
        request.environment.as_deref(),
        session.project.config.as_ref(),
        &candidates,
    )?;
    session.environment(Some(&name))
}

/// A part can never be verified: a filter needs `--no-rollback` (DESIGN 2).
pub(crate) fn filter(passed: &Passthrough, no_rollback: bool) -> Result<()> {
    if passed.has_filter() && !no_rollback {
        return Err(Error::refused(format!(
            "`{}` leaves instances out, and a part can never be verified",
            passed.filters.join(" ")
        ))
        .hint("ship to all of them, or add `--no-rollback`: it then ends as broken (8), and nothing is returned"));
    }
    Ok(())
}

/// The app that each service is bound to (DESIGN 4); also asked by a rollback.
pub(crate) fn bound(environment: &Environment, services: &[&Service], history: &History) -> Result<()> {
    for service in services {
        let recorded = history.bound_app(&service.name)?;
        let file = service
            .config
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        bound::check(&bound::Facts {
            environment: &environment.name,
            service: &service.name,
            file: &file,
            app: &service.app,
            witness: service.witness.as_deref(),
            recorded: recorded.as_deref(),
        })?;
    }
    Ok(())
}

/// Everything that can refuse a deploy once it is known what it would do.
pub(crate) fn before_shipping(
    attempt: &Attempt<'_>,
    request: &Request,
    checkout: &Seen,
    jobs: &[Job<'_>],
    history: &History,
    frozen: Option<Freeze>,
) -> Result<forward::Passed> {
    let environment = attempt.environment;
    let mut repetitions = Vec::new();
    for job in jobs {
        repetitions.push(repetition(attempt, job, history)?);
    }
    let facts = forward::Facts {
        environment: environment.name.clone(),
        allowed_refs: environment.allowed_refs.clone(),
        refs: checkout.refs.all.clone(),
        after: after(attempt, jobs, checkout)?,
        freeze: frozen,
        repetitions,
        // Until `resume` exists nothing else could go on, so a deployment that was cut off is superseded: a release
        // command that still runs is waited for.
        unfinished: None,
        unfreeze: request.unfreeze,
        overrides: forward::Overrides::parse(&request.overrides, request.reason.as_deref())?,
    };
    let passed = forward::check(&facts)?;
    for warning in &passed.warnings {
        attempt.emitter.warn(warning.clone());
    }
    Ok(passed)
}

fn repetition(attempt: &Attempt<'_>, job: &Job<'_>, history: &History) -> Result<Repetition> {
    let (Some(image), Some(whole)) = (&job.shipment.image, &job.shipment.configuration) else {
        return Ok(Repetition::None);
    };
    let kept = configuration::for_ledger(whole, &attempt.session.redactor);
    history.repetition(job.app(), image, &kept)
}

/// `after`: the same image or commit must be verified in another environment first.
fn after(attempt: &Attempt<'_>, jobs: &[Job<'_>], checkout: &Seen) -> Result<Option<forward::After>> {
    let Some(name) = &attempt.environment.after else {
        return Ok(None);
    };
    let Some(other) = attempt.session.project.environment(name) else {
        return Ok(None);
    };
    let history = attempt.session.ledger(other)?.read()?;
    let git = &checkout.facts;
    let sha = git.sha.as_deref().filter(|_| !git.dirty);
    let mut satisfied = true;
    let mut wanted = Vec::new();
    for job in jobs {
        let image = job
            .shipment
            .image
            .as_ref()
            .filter(|_| job.shipment.label.is_none());
        let sha = sha.filter(|_| image.is_none());
        satisfied &= history.has_verified(image, sha)?;
        wanted.push(match (image, sha) {
            (Some(image), _) => format!("the image `{}`", image.short()),
            (None, Some(sha)) => format!("the commit {}", &sha[..sha.len().min(7)]),
            (None, None) => "what is in this checkout (it has changes that no commit holds)".to_owned(),
        });
    }
    let state_is_shared = other.state_url.is_some();
    Ok(Some(forward::After {
        environment: name.clone(),
        satisfied,
        wanted: wanted.join(", "),
        state_is_shared,
    }))
}

/// A rollback of a protected environment, and of what nobody verified, is asked about.
pub(crate) async fn consent(
    attempt: &Attempt<'_>,
    request: &RollbackRequest,
    jobs: &[Job<'_>],
    picks: &[Pick],
    history: &History,
    is_another: bool,
) -> Result<()> {
    let environment = attempt.environment;
    let unverified = picks.iter().any(|pick| !pick.target.verified);
    let printer = &attempt.session.printer;
    let is_whole = |job: &Job<'_>| {
        let configuration = job.shipment.configuration.as_ref();
        configuration.is_none_or(|configuration| configuration.redacted.is_empty())
    };
    let asked = is_another || environment.protected || unverified || !jobs.iter().all(is_whole);
    let what: Vec<String> = jobs
        .iter()
        .zip(picks)
        .map(|(job, pick)| {
            let doubt = match (pick.target.verified, pick.refuted) {
                (true, _) => "",
                (false, true) => ", which was refuted or rolled back from",
                (false, false) => ", which nobody verified",
            };
            format!("{} to {}{doubt}", job.app(), pick.target.name())
        })
        .collect();
    let what = format!("roll back {}: {}", environment.name, what.join("; "));
    match consent::consent(asked, request.yes, printer.interactive) {
        consent::Consent::Given => Ok(()),
        consent::Consent::Ask => {
            for unfinished in unfinished(history) {
                printer.say(&format!(
                    "the {} by {} was cut off",
                    unfinished.start.kind.as_str(),
                    unfinished.start.actor
                ));
            }
            let question = format!("{what}?");
            let mut interrupts = attempt.interrupts.clone();
            let answer = tokio::select! {
                answer = printer.ask(&question) => answer?,
                signal = interrupts.next() => {
                    Printer::end_line();
                    return Err(Error::interrupted(signal));
                }
            };
            match answer {
                Some(answer) if consent::is_yes(&answer) => Ok(()),
                _ => Err(Error::refused(format!("declined: {what}")).hint("nothing was changed")),
            }
        }
        consent::Consent::Refuse => Err(Error::refused(format!(
            "to {what} needs a yes, and nobody can be asked here"
        ))
        .hint(match &request.to {
            Some(to) => format!("shipctl rollback {} --to {to} --yes", environment.name),
            None => format!("shipctl rollback {} --yes", environment.name),
        })),
    }
}

/// Where others shipped, or went back, since the first look, the target may be another one by now: what was to be left may
/// be gone already, and this rollback would go past what serves. Only a person can say whether it is still meant.
///
/// Answers with whether the target is another one.
///
/// # Errors
/// Where it is, and nobody can be asked.
pub(crate) fn still_meant(
    attempt: &Attempt<'_>,
    request: &RollbackRequest,
    jobs: &[Job<'_>],
    picks: &[Pick],
    shown: &[Pick],
) -> Result<bool> {
    let is_meant = |(now, then): (&Pick, &Pick)| now.target.is_meant_by(&then.target);
    if picks.iter().zip(shown).all(is_meant) {
        return Ok(false);
    }
    let names = |picks: &[Pick]| {
        let names: Vec<String> = picks.iter().map(|pick| pick.target.name()).collect();
        names.join(", ")
    };
    let changed = format!(
        "somebody was faster: {} now. This rollback would go to {}, and no longer to {}",
        plan::summary(jobs),
        names(picks),
        names(shown)
    );
    if request.yes || !attempt.session.printer.interactive {
        let environment = &attempt.environment.name;
        return Err(Error::refused(changed)
            .hint(format!(
                "nothing was changed; what serves: shipctl status {environment}"
            ))
            .hint(format!("if it is still meant: shipctl rollback {environment}")));
    }
    attempt.emitter.warn(changed);
    Ok(true)
}

/// After a person's rollback forward deploys are held off until `unfreeze` (DESIGN 7).
pub(crate) fn freeze_after(attempt: &Attempt<'_>, request: &RollbackRequest, jobs: &[Job<'_>]) {
    let environment = attempt.environment;
    let wanted = match environment.freeze {
        FreezePolicy::Always => true,
        FreezePolicy::Protected => environment.protected,
        FreezePolicy::Never => false,
    };
    if !wanted {
        return;
    }
    let from: Vec<String> = jobs
        .iter()
        .filter_map(|job| job.baseline.served())
        .map(|served| short_image(&served.image).to_owned())
        .collect();
    let from = if from.is_empty() {
        "a mix of releases".to_owned()
    } else {
        from.join(", ")
    };
    let reason = request
        .reason
        .clone()
        .unwrap_or_else(|| format!("rolled back from {from}"));
    let freeze = Freeze {
        reason,
        by: attempt.actor.clone(),
        since: clock::stamp(),
    };
    match attempt.session.set_freeze(environment, &freeze) {
        Ok(_) => {
            let printer = &attempt.session.printer;
            let mut text = format!(
                "{0} is frozen for deploys: shipctl unfreeze {0}, or deploy with --unfreeze",
                environment.name
            );
            if attempt.session.is_local(environment) {
                text = format!("{text}. The freeze {LOCAL}");
            }
            printer.remark(&printer.pasteable(&text));
        }
        Err(error) => attempt
            .session
            .printer
            .warn(&format!("the environment could not be frozen: {error}")),
    }
}

/// The target of a rollback among what the ledger and flyctl know, without images that are gone.
pub(crate) fn pick_without(pick: &mut Pick, gone: &[String]) -> bool {
    while gone.contains(&pick.target.image.name) {
        if pick.older.is_empty() {
            return false;
        }
        pick.target = pick.older.remove(0);
        pick.rule = Rule::Remaining;
    }
    true
}

/// Cut-off deployments of this environment; the lock is ours.
pub(crate) fn unfinished(history: &History) -> Vec<Unfinished> {
    recall::unfinished(history, false)
}

/// For how long a look counts: releases of others are made in seconds, and a person may think for minutes.
pub(crate) const FRESH: Duration = Duration::from_secs(2);

/// Whether something may be otherwise than when it was looked at: time has passed, or another attempt was recorded.
pub(crate) fn has_moved(attempt: &Attempt<'_>, history: &History, looked: Instant) -> bool {
    let newest = |history: &History| history.newest_id();
    looked.elapsed() > FRESH
        || attempt
            .ledger
            .read()
            .is_ok_and(|now| newest(&now) != newest(history))
}
