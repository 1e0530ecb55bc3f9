//! What a verdict means for a service: where it stands now, by a fresh look where anything is doubtful.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::deployment::attempt::Attempt;
use crate::deployment::course::{Interrupted, verify};
use crate::deployment::event::Phase;
use crate::deployment::job::{Job, Stage};
use crate::deployment::{conclude, expect, explain, ownership};
use crate::instance::Instance;
use crate::project::fly_toml::FlyToml;
use crate::release::Release;
use crate::verification::expectation::SHORTEST_FOR_STATE;
use crate::verification::{Judgement, Verdict};

/// Says what a verdict means for the service: where it stands now, by a fresh look where anything is doubtful.
pub(crate) async fn settle(attempt: &Attempt<'_>, job: &mut Job<'_>) -> Result<(), Interrupted> {
    let judgement = job.course.judgement.clone().unwrap_or_else(Judgement::nothing);
    job.course.reasons.clone_from(&judgement.reasons);
    job.course.warnings.extend(judgement.warnings.iter().cloned());
    job.course.warnings.extend(explain::unreachable(&judgement));
    tracing::debug!(
        app = job.app(),
        verdict = judgement.verdict.as_str(),
        moved = judgement.moved,
        counted = judgement.counted,
        mixed = judgement.mixed,
        "judged"
    );
    let verified = judgement.verdict == Verdict::Verified;
    // What was listed beside the last looks is enough where those were good.
    if !verified || job.course.releases_now.is_none() {
        let (now, releases) = look_again(attempt, job, !verified).await?;
        job.course.now = now;
        job.course.releases_now = releases;
    }
    if verified {
        job.course.stage = Stage::Verified;
        explain::disagreements(job);
        return Ok(());
    }
    let untouched = job.course.now.as_ref().is_some_and(|now| {
        let counted = conclude::counted(job, now);
        job.baseline.is_untouched(&counted) && job.baseline.moved(&counted).is_empty()
    });
    if untouched || overtaken(job, &judgement) {
        return stand_by_baseline(attempt, job).await;
    }
    if let Some(stage) = explain::nothing_begun(job) {
        explain::explain(job);
        job.course.stage = stage;
        return Ok(());
    }
    explain::explain(job);
    if let Some(theirs) = ownership::superseded_by(job, &judgement) {
        job.course.reasons.push(format!(
            "not returned: {theirs} is somebody else's, and nothing is returned over it"
        ));
        job.course.stage = Stage::Broken;
        return Ok(());
    }
    job.course.stage = match judgement.verdict {
        Verdict::Inconclusive => Stage::Inconclusive,
        _ if job.course.now.is_none() && judgement.moved == 0 => Stage::Inconclusive,
        _ => Stage::Refuted,
    };
    Ok(())
}

/// Machines and releases once more, for as long as a doubtful verdict needs them.
async fn look_again(
    attempt: &Attempt<'_>,
    job: &Job<'_>,
    needed: bool,
) -> Result<(Option<Vec<Instance>>, Option<Vec<Release>>), Interrupted> {
    let until = Instant::now()
        + if needed {
            Duration::from_secs(20)
        } else {
            Duration::ZERO
        };
    let mut interrupts = attempt.interrupts.clone();
    loop {
        let both = async {
            tokio::join!(
                async {
                    if needed {
                        job.flyctl.machines(job.app()).await.ok()
                    } else {
                        None
                    }
                },
                job.flyctl.releases(job.app())
            )
        };
        let (machines, releases) = tokio::select! {
            signal = interrupts.next() => return Err(Interrupted { signal, children: Vec::new() }),
            both = both => both,
        };
        let releases = releases.ok();
        let seen = machines.is_some() && releases.is_some();
        if !needed || seen || Instant::now() >= until {
            return Ok((machines, releases));
        }
        tokio::select! {
            signal = interrupts.next() => return Err(Interrupted { signal, children: Vec::new() }),
            () = sleep(Duration::from_secs(2)) => {}
        }
    }
}

/// Whether all that moved since the baseline was moved by a release that was under way when this one began, and
/// nothing runs this one: what is returned to then would go over somebody else's. The baseline becomes what they made.
fn overtaken(job: &mut Job<'_>, judgement: &Judgement) -> bool {
    let Some(now) = job.course.now.as_ref().filter(|_| judgement.moved == 0) else {
        return false;
    };
    let counted = conclude::counted(job, now);
    let Some(release) = job.baseline.overtaken_by(&counted) else {
        return false;
    };
    job.course.warnings.push(format!(
        "{release} was under way when this one began, and went on; this one moved nothing"
    ));
    job.baseline.see_again(counted);
    true
}

/// Nothing moved: either nothing was released at all, or what served before has to be verified again.
async fn stand_by_baseline(attempt: &Attempt<'_>, job: &mut Job<'_>) -> Result<(), Interrupted> {
    explain::explain(job);
    let provider = job.course.provider.clone().unwrap_or_default();
    if let Some(stage) = explain::without_release(job, &provider) {
        job.course.stage = stage;
        return Ok(());
    }
    if job.baseline.is_empty() {
        // No instance at all is never verified, so this is not the release from before either.
        job.course
            .reasons
            .push("nothing served before, and nothing serves now".to_owned());
        let again = attempt.session.deploy_command(attempt.environment);
        job.course.hints.push(format!("mend it and ship again: {again}"));
        job.course.stage = Stage::Broken;
        return Ok(());
    }
    verify_baseline(attempt, job).await
}

/// Verifies what served before, which nothing has touched.
pub(crate) async fn verify_baseline(attempt: &Attempt<'_>, job: &mut Job<'_>) -> Result<(), Interrupted> {
    let phase = attempt
        .emitter
        .start(Phase::Verify, "nothing has moved; looking at what serves");
    let served = job.baseline.configuration.as_ref();
    let served = served.map_or_else(|| job.shipment.file.clone(), |kept| FlyToml::parse(&kept.text));
    let forced = job.witnesses.health.forced;
    let expectation = expect::of_baseline(&job.expectation, &job.baseline, &served, forced);
    // What only its state speaks for has to be seen up for longer than a short `timeout` allows.
    let deadline = Instant::now() + job.expectation.timeout.max(SHORTEST_FOR_STATE);
    let judgement = verify(attempt, job, expectation, deadline).await?;
    let (stage, line) = match judgement.verdict {
        Verdict::Verified => (Stage::Untouched, "verified".to_owned()),
        Verdict::Refuted => (Stage::Broken, first(&judgement.reasons)),
        Verdict::Inconclusive => (Stage::Inconclusive, first(&judgement.reasons)),
    };
    if stage == Stage::Untouched {
        phase.completed("every instance is as before, verified");
    } else {
        job.course.reasons.push(format!("what served before: {line}"));
        phase.failed(line);
    }
    job.course.stage = stage;
    job.course.afterwards = Some(judgement);
    Ok(())
}

fn first(reasons: &[String]) -> String {
    reasons.first().cloned().unwrap_or_default()
}
