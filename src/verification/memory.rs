//! What has been seen of each instance from one look to the next.
//!
//! Times are monotonic; the platform's own timestamps are only compared with each other, for its clock is not ours.

mod answers;
mod seen;

pub(crate) use answers::{Answers, Last};
pub(crate) use seen::Seen;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::instance::Instance;
use crate::release::{Digest, ReleaseNumber};
use crate::verification::Evidence;
use crate::verification::expectation::{Expectation, Kind, is_set_aside};
use crate::verification::identity::Finding;
use crate::verification::probe::{Probed, Word};

/// How long an instance may take to confirm what it began in time, or to come back after it had been good.
pub(crate) const SETTLING: Duration = Duration::from_secs(15);

/// How long the leases of a flyctl that ended can keep an instance from being started; they live 13 s.
const LEASES: Duration = Duration::from_secs(60);

/// Everything seen so far in one verification.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) began: Instant,
    /// By id; those of the baseline are known from the start.
    pub(crate) instances: BTreeMap<String, Seen>,
    /// When the last list that came was asked for.
    pub(crate) listed: Option<Instant>,
    /// Since when, and why, lists fail.
    pub(crate) silent: Option<(Instant, String)>,
    /// What whichever instance answered on the shared address, asked while lists fail.
    pub(crate) shared: Answers,
    /// flyctl has ended.
    pub(crate) ended: Option<Instant>,
    /// Stopped on request before anything began.
    pub(crate) set_aside: BTreeSet<String>,
    /// The digest of the target, as an instance showed it.
    pub(crate) digest: Option<Digest>,
    /// The number of the target, as an instance showed it.
    pub(crate) release: Option<ReleaseNumber>,
    /// Before and after are one image, so no answer can tell them apart.
    pub(crate) same_digest: bool,
}

impl Memory {
    pub(crate) fn new(expectation: &Expectation, now: Instant) -> Self {
        let mut memory = Self {
            began: now,
            instances: BTreeMap::new(),
            listed: None,
            silent: None,
            shared: Answers::default(),
            ended: None,
            set_aside: BTreeSet::new(),
            digest: None,
            release: None,
            same_digest: false,
        };
        if let Some(baseline) = &expectation.baseline {
            for instance in &baseline.instances {
                memory
                    .instances
                    .insert(instance.id.clone(), Seen::new(instance, now));
                if !baseline.none_ran {
                    memory.set_aside_if_stopped(instance, expectation);
                }
            }
        }
        memory
    }

    fn set_aside_if_stopped(&mut self, instance: &Instance, expectation: &Expectation) {
        if is_set_aside(instance, &expectation.groups) {
            self.set_aside.insert(instance.id.clone());
        }
    }

    /// A list came that was asked for at `begun`.
    pub(crate) fn take_list(
        &mut self,
        expectation: &Expectation,
        list: Vec<Instance>,
        begun: Instant,
        now: Instant,
    ) {
        let first = self.listed.is_none();
        for seen in self.instances.values_mut() {
            seen.present = false;
        }
        for mut instance in list {
            // What is listed without its configuration belongs somewhere; leaving it out could hide a bad one.
            if instance.group.is_none()
                && instance.config.is_null()
                && !self.instances.contains_key(&instance.id)
            {
                instance.group = expectation.groups.keys().next().cloned();
            }
            // Without a baseline the first look stands in for it.
            if first && expectation.baseline.is_none() && expectation.kind == Kind::Live {
                self.set_aside_if_stopped(&instance, expectation);
            }
            if let Some(seen) = self.instances.get_mut(&instance.id) {
                seen.take(instance, begun, now);
            } else {
                let made = expectation.kind != Kind::Live || !first;
                let seen = Seen::met(&instance, made, begun, now);
                self.instances.insert(instance.id, seen);
            }
        }
        self.listed = Some(begun);
        self.silent = None;
        self.shared = Answers::default();
        self.place_all(expectation);
    }

    /// Lists fail.
    pub(crate) fn take_silence(&mut self, why: String, now: Instant) {
        match &mut self.silent {
            Some((_, last)) => *last = why,
            None => self.silent = Some((now, why)),
        }
    }

    /// Where each instance stands, again: the expectation or what is known of the target has changed.
    pub(crate) fn place_all(&mut self, expectation: &Expectation) {
        self.learn(expectation);
        let mut target = expectation.target.clone();
        target.release = target.release.or(self.release);
        for seen in self.instances.values_mut() {
            seen.place = target.place(expectation.kind, &seen.instance, self.digest.as_ref());
        }
        let groups = expectation.group_names();
        // A return is told apart from what was refuted, not from where it goes.
        self.same_digest = expectation.kind != Kind::Return
            && expectation.baseline.as_ref().is_some_and(|baseline| {
                let mut digests = baseline
                    .instances
                    .iter()
                    .filter(|instance| instance.counts(&groups))
                    .map(|instance| instance.image.digest.as_ref())
                    .peekable();
                self.digest.is_some()
                    && digests.peek().is_some()
                    && digests.all(|digest| digest == self.digest.as_ref())
            });
    }

    /// Learns number and digest of the target from the instances that run it.
    fn learn(&mut self, expectation: &Expectation) {
        let target = &expectation.target;
        let groups = expectation.group_names();
        let counted = || {
            self.instances
                .values()
                .filter(|seen| seen.present && seen.instance.counts(&groups))
                .map(|seen| &seen.instance)
        };
        if let Some(digest) = target.image.as_ref().and_then(|image| image.digest.clone()) {
            self.digest = Some(digest);
        } else {
            let bearer = match (target.release, expectation.kind) {
                (Some(own), _) => counted().find(|instance| instance.release == Some(own)),
                // What is live is what was shipped last.
                (None, Kind::Live) => counted().max_by_key(|instance| instance.release),
                (None, _) => counted()
                    .filter(|instance| {
                        instance.release > target.newest_before
                            && target.agrees(instance, None) != Some(false)
                    })
                    .min_by_key(|instance| instance.release),
            };
            // What a later release of the same tag shows says nothing of the one that was shipped.
            let says = |instance: &&Instance| {
                expectation.kind == Kind::Live || self.digest.is_none() || instance.release <= self.release
            };
            if let Some(digest) = bearer
                .filter(says)
                .and_then(|instance| instance.image.digest.clone())
            {
                self.digest = Some(digest);
            }
        }
        if target.release.is_none() && expectation.kind != Kind::Live {
            // The first one seen stays: a newer release of the same image is not the one that was shipped.
            let shown = counted()
                .filter(|instance| {
                    instance.release > target.newest_before
                        && target.agrees(instance, self.digest.as_ref()) != Some(false)
                })
                .filter_map(|instance| instance.release)
                .min();
            self.release = shown.into_iter().chain(self.release).min();
        }
    }

    /// An instance has answered; `version` is the update that it was asked on. An answer of another update counts
    /// for nothing.
    pub(crate) fn take_answer(
        &mut self,
        expectation: &Expectation,
        id: &str,
        version: &str,
        probed: &Probed,
        now: Instant,
    ) {
        let image = expectation
            .target
            .image
            .clone()
            .map(|image| image.with_digest(self.digest.clone()));
        let same = self.same_digest;
        let Some(seen) = self.instances.get_mut(id) else {
            return;
        };
        if seen.instance.version != version {
            return;
        }
        let finding = probed.version.as_ref().map_or(Finding::NotJudged, |version| {
            expectation
                .identity
                .find(version, same, image.as_ref().or(Some(&seen.instance.image)))
        });
        // A path that nobody promised anything about, on a service that named its release before: the name is gone.
        let mut probed = probed.clone();
        if let Word::NoWitness(what) = &probed.word
            && expectation.identity.is_judged(same)
        {
            probed.word = Word::Bad(format!("{what} where a version was named before"));
        }
        seen.answers
            .take(&probed, finding, expectation.probe.successes.max(1), now);
    }

    /// Every instance has to answer again; what was good has as long for it as one that was good just now.
    pub(crate) fn forget_answers(&mut self, now: Instant) {
        for seen in self.instances.values_mut() {
            seen.answers.forget();
            seen.was_good = seen.was_good.map(|_| now);
        }
    }

    /// Whichever instance it was has answered on the shared address.
    pub(crate) fn take_shared(&mut self, expectation: &Expectation, probed: &Probed, now: Instant) {
        let image = expectation
            .target
            .image
            .clone()
            .map(|image| image.with_digest(self.digest.clone()));
        let finding = probed.version.as_ref().map_or(Finding::NotJudged, |version| {
            expectation
                .identity
                .find(version, self.same_digest, image.as_ref())
        });
        self.shared
            .take(probed, finding, expectation.probe.successes.max(1), now);
    }

    /// shipctl tries to start an instance.
    pub(crate) fn note_start(&mut self, id: &str, now: Instant) {
        if let Some(seen) = self.instances.get_mut(id) {
            seen.last_start = Some(now);
        }
    }

    /// It was started: its deadline runs from here, unless it crashed on this update before.
    pub(crate) fn note_started(&mut self, id: &str, now: Instant) {
        if let Some(seen) = self.instances.get_mut(id) {
            if seen.starts == 0 && seen.crashes.is_empty() {
                seen.anchor = seen.anchor.max(now);
            }
            seen.starts += 1;
        }
    }

    /// It could not be started: while somebody's lease is in the way, its deadline waits.
    pub(crate) fn note_not_started(&mut self, id: &str, now: Instant) {
        let patient = self.ended.is_some_and(|ended| now < ended + LEASES);
        if let Some(seen) = self.instances.get_mut(id)
            && seen.starts == 0
            && patient
        {
            seen.anchor = seen.anchor.max(now);
        }
    }

    /// It is good on this update.
    pub(crate) fn note_good(&mut self, id: &str, evidence: Evidence, now: Instant) {
        if let Some(seen) = self.instances.get_mut(id) {
            if seen.was_good.is_none() {
                seen.crash_when_good = seen.crashes.last().copied();
                seen.bad_when_good = seen.answers.report.bad;
            }
            seen.was_good = Some(now);
            seen.evidence_when_good = Some(evidence);
        }
    }

    /// A sleeper is to be awake: its deadline runs from here, and if it was good before, it has to be so again.
    pub(crate) fn note_roused(&mut self, id: &str, now: Instant) {
        if let Some(seen) = self.instances.get_mut(id)
            && !seen.roused
        {
            seen.roused = true;
            seen.anchor = seen.anchor.max(now);
            seen.answers = Answers::default();
            (seen.was_good, seen.evidence_when_good) = (None, None);
        }
    }

    /// When the instance that was updated last got its update.
    pub(crate) fn last_update(&self) -> Option<Instant> {
        let present = self.instances.values().filter(|seen| seen.present);
        present.map(|seen| seen.anchor).max()
    }

    /// Whether a person had put it away before and it still is; what runs again counts again.
    pub(crate) fn is_set_aside(&self, seen: &Seen, expectation: &Expectation) -> bool {
        self.set_aside.contains(&seen.instance.id) && is_set_aside(&seen.instance, &expectation.groups)
    }

    /// When the deadline of an instance is; `None` while flyctl may still start what it left stopped.
    pub(crate) fn deadline(&self, seen: &Seen, timeout: Duration) -> Option<Instant> {
        let untouched = !seen.updated || (seen.is_down() && !seen.ran);
        let from = match self.ended {
            // Until flyctl had ended nothing was to be expected of it.
            Some(ended) if untouched => seen.anchor.max(ended),
            None if untouched => return None,
            _ => seen.anchor,
        };
        let relapsed = seen.was_good.map(|good| good + SETTLING);
        Some((from + timeout).max(relapsed.unwrap_or(from)))
    }
}
