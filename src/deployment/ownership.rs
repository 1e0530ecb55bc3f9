//! Which releases are this deployment's, and which are somebody else's. Pure.

use std::fmt;

use crate::deployment::job::Job;
use crate::release::{Image, Release, ReleaseNumber};
use crate::verification::Judgement;

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

pub(crate) fn is_run(job: &Job<'_>, number: ReleaseNumber) -> bool {
    job.course
        .now
        .iter()
        .flatten()
        .any(|machine| machine.release == Some(number))
}

/// Newer than the baseline, and neither ours, nor our return, nor what served.
pub(crate) fn newer_of_others<'r>(job: &Job<'_>, releases: &'r [Release]) -> Vec<&'r Release> {
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
