//! Where a refuted release goes back to.

use crate::deployment::backward;
use crate::deployment::baseline::Baseline;
use crate::deployment::configuration;
use crate::deployment::forward::file_variables;
use crate::deployment::job::{Destination, Heard, NoWay};
use crate::deployment::recall;
use crate::project::Service;
use crate::release::{Image, Release};
use crate::rollback::{self, Answer, Candidate, ReturnQuestion, ReturnTarget};
use crate::state::history::{History, Known};
use crate::state::record::Configuration;

/// What a return is chosen from.
pub(crate) struct Question<'a> {
    pub(crate) environment: &'a str,
    pub(crate) service: &'a Service,
    pub(crate) history: &'a History,
    pub(crate) releases: &'a [Release],
    /// With the configuration that serves, as far as it is known.
    pub(crate) baseline: &'a Baseline,
    /// What the ledger holds of the baseline.
    pub(crate) recall: Option<&'a Known>,
    /// The path that the baseline was asked on.
    pub(crate) asked: &'a str,
    /// What would be left.
    pub(crate) shipped: &'a Image,
    /// That of what would be left, as the ledger keeps it.
    pub(crate) configuration: Option<&'a Configuration>,
}

/// The target of a return: the baseline if it was one digest and not failing, else the last verified (DESIGN 7). Where
/// only its checks fail, and nobody could be asked, the last verified comes first.
///
/// # Errors
/// Where there is none; with the command that ships the newest older release.
pub(crate) fn of(question: &Question<'_>) -> Result<Destination, NoWay> {
    let Question {
        baseline, service, ..
    } = question;
    let served = baseline.image.as_ref().filter(|_| baseline.can_be_returned_to());
    if let Some(image) = served.filter(|_| !baseline.has_failing_checks) {
        return Ok(baseline_itself(question, image));
    }
    let target = rollback::return_target(&ReturnQuestion {
        app: &service.app,
        history: question.history,
        releases: question.releases,
        baseline: &backward::running(baseline),
        shipped: question.shipped,
        configuration: question.configuration,
    });
    match target.map_err(|error| NoWay::because(error.message))? {
        ReturnTarget::Baseline(target) | ReturnTarget::Verified(target)
            if !baseline.is_served_by(&target.image) =>
        {
            Ok(of_candidate(service, baseline, *target))
        }
        other => served
            .map(|image| baseline_itself(question, image))
            .ok_or_else(|| NoWay {
                reason: no_way(baseline),
                command: other.command(question.environment),
            }),
    }
}

fn baseline_itself(question: &Question<'_>, image: &Image) -> Destination {
    let Question {
        baseline,
        recall,
        asked,
        ..
    } = *question;
    Destination {
        image: image.clone(),
        release: baseline.release,
        configuration: baseline.configuration.clone(),
        version: baseline
            .version
            .clone()
            .or_else(|| recall.and_then(|recall| recall.version.clone())),
        named: recall::named_itself(baseline, recall),
        heard: recall::heard(baseline, recall, asked),
    }
}

fn no_way(baseline: &Baseline) -> String {
    if baseline.is_empty() {
        "nothing served before".to_owned()
    } else if baseline.is_mixed() {
        "several releases served before, and none is known to be verified".to_owned()
    } else {
        let failing = baseline.failing.join(", ");
        format!("what served before was failing ({failing}), and nothing is known to be verified")
    }
}

/// A release that the ledger or flyctl knows, with the configuration of then as far as that is recorded.
pub(crate) fn of_candidate(service: &Service, baseline: &Baseline, target: Candidate) -> Destination {
    let kept = target.configuration.as_ref();
    Destination {
        configuration: kept.map(|kept| restored(service, baseline, kept)),
        named: target.entry.as_ref().is_some_and(recall::entry_named_itself),
        heard: Heard::of(target.entry.as_ref()),
        image: target.image,
        release: target.release,
        version: target.version,
    }
}

/// Where the images of `gone` are not in the registry any more: the next older release that the ledger vouches for.
/// What nobody verified is a person's choice.
pub(crate) fn next_older(
    service: &Service,
    history: &History,
    releases: &[Release],
    baseline: &Baseline,
    gone: &[Image],
) -> Option<Destination> {
    let pick = rollback::pick(&rollback::Question {
        app: &service.app,
        history,
        releases,
        running: &backward::running(baseline),
        to: None,
    });
    let Ok(Answer::Target(pick)) = pick else {
        return None;
    };
    let candidates = std::iter::once(pick.target).chain(pick.beside).chain(pick.older);
    let is_gone = |candidate: &Candidate| gone.iter().any(|image| image.is_same_as(&candidate.image));
    let mut left = candidates.filter(|candidate| candidate.verified && !is_gone(candidate));
    left.next().map(|target| of_candidate(service, baseline, target))
}

/// What serves is configured by: the record with its values, else what flyctl has, where that is of the release which
/// serves.
pub(crate) fn of_what_serves(
    service: &Service,
    baseline: &Baseline,
    recall: Option<&Known>,
    remote: Option<&serde_json::Value>,
) -> Option<Configuration> {
    let newest_serves = baseline.newest.is_some() && baseline.newest == baseline.release;
    let recorded = recall.and_then(|recall| recall.configuration.as_ref());
    recorded
        .map(|kept| restored(service, baseline, kept))
        .or_else(|| remote.filter(|_| newest_serves).map(configuration::of_remote))
}

/// A recorded configuration with the values that were left out of the record, as far as anybody knows them still.
fn restored(service: &Service, baseline: &Baseline, kept: &Configuration) -> Configuration {
    let sources = [
        configuration::variables_of(&baseline.instances),
        file_variables(service),
    ];
    configuration::restore(kept, &sources)
}
