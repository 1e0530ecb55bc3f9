//! What has been seen of each instance from one look to the next.
//!
//! Times are monotonic; the platform's own timestamps are only compared with each other, for its clock is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::instance::{Instance, InstanceState};
use crate::release::{Digest, ReleaseNumber};
use crate::verification::expectation::{Expectation, Kind, Place, is_set_aside};
use crate::verification::identity::Finding;
use crate::verification::probe::{Probed, Word};
use crate::verification::{Evidence, ProbeReport};

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

/// One instance.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) instance: Instance,
    /// In the last list.
    pub(crate) present: bool,
    pub(crate) place: Place,
    /// Not as it was before: updated or made since.
    pub(crate) updated: bool,
    /// From here its deadline runs: when its update was first seen, or when it was woken or started after that.
    pub(crate) anchor: Instant,
    /// Started since then without a restart, as far as it was seen.
    pub(crate) up_since: Option<Instant>,
    /// Neither started nor on its way since then.
    pub(crate) down_since: Option<Instant>,
    /// Timestamps of its crashes after its update.
    pub(crate) crashes: BTreeSet<i64>,
    /// Events up to here belong to what it ran before, by the platform's clock in milliseconds.
    horizon: i64,
    newest_event: i64,
    pub(crate) answers: Answers,
    /// When it was last good since it was last launched.
    pub(crate) was_good: Option<Instant>,
    /// What spoke for it when it was last good on this update.
    pub(crate) evidence_when_good: Option<Evidence>,
    /// Its newest crash then; a later one is bad.
    pub(crate) crash_when_good: Option<i64>,
    /// Was seen running, or left an exit behind, since this update.
    pub(crate) ran: bool,
    /// A check was listed on this update.
    pub(crate) checks_listed: bool,
    /// Chosen to be awake although it may sleep.
    pub(crate) roused: bool,
    /// Times that shipctl started it since its update.
    pub(crate) starts: u32,
    /// When that was last tried.
    pub(crate) last_start: Option<Instant>,
}

/// A row of answers to the same question.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// In a row, up to now.
    pub(crate) good: u32,
    pub(crate) bad: u32,
    pub(crate) no_witness: u32,
    pub(crate) no_connection: u32,
    /// The last good ones all named this release.
    pub(crate) named: bool,
    pub(crate) last: Option<Last>,
    /// When the answer came that completed the row which is needed.
    pub(crate) settled: Option<Instant>,
    /// Since when nothing but bad answers came.
    pub(crate) bad_since: Option<Instant>,
    pub(crate) first: Option<Instant>,
    pub(crate) report: ProbeReport,
    /// 2xx, whatever else was wrong.
    pub(crate) answered: bool,
    pub(crate) uncertain: Option<String>,
    /// A 2xx named no version.
    pub(crate) nameless: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) word: Word,
    pub(crate) silent: bool,
}

impl Answers {
    /// The rows begin anew; what is reported stays.
    fn forget(&mut self) {
        (self.good, self.bad, self.no_witness, self.no_connection) = (0, 0, 0, 0);
        self.last = None;
        self.bad_since = None;
        self.settled = None;
        self.first = None;
    }

    /// Takes one more answer in; `finding` is what its version is worth.
    fn take(&mut self, probed: &Probed, finding: Finding, needed: u32, now: Instant) {
        let mut word = probed.word.clone();
        if let (Finding::Wrong(why), Word::Good { .. }) = (&finding, &word) {
            word = Word::Bad(why.clone());
        }
        self.first.get_or_insert(now);
        self.answered |= probed.answered();
        if probed.status.is_some() {
            self.report.last_status = probed.status;
        }
        if let Some(latency) = probed.latency {
            self.report.latency_ms = Some(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
        }
        if let Some(seen) = &probed.version {
            self.report.last_version = seen.name().map(str::to_owned);
            self.nameless = seen.name().is_none();
        }
        let row = match word {
            Word::Good { .. } => {
                self.named = finding == Finding::Seen && (self.named || self.good == 0);
                self.uncertain = match finding {
                    Finding::Uncertain(why) => Some(why),
                    _ => None,
                };
                self.report.good += 1;
                &mut self.good
            }
            Word::Bad(_) => {
                self.report.bad += 1;
                &mut self.bad
            }
            Word::NoWitness(_) => &mut self.no_witness,
            Word::NoConnection(_) => &mut self.no_connection,
        };
        let count = *row + 1;
        (self.good, self.bad, self.no_witness, self.no_connection) = (0, 0, 0, 0);
        match word {
            Word::Good { .. } => self.good = count,
            Word::Bad(_) => self.bad = count,
            Word::NoWitness(_) => self.no_witness = count,
            Word::NoConnection(_) => self.no_connection = count,
        }
        if count == 1 {
            self.settled = None;
            self.bad_since = (self.bad > 0).then_some(now);
        }
        if count >= needed && self.settled.is_none() {
            self.settled = Some(now);
        }
        self.last = Some(Last {
            word,
            silent: probed.silent,
        });
    }
}

impl Seen {
    fn new(instance: &Instance, now: Instant) -> Self {
        let newest_event = newest(instance, |_| true).unwrap_or(i64::MIN);
        let mut seen = Self {
            instance: instance.clone(),
            present: false,
            place: Place::Before,
            updated: false,
            anchor: now,
            up_since: None,
            down_since: None,
            crashes: BTreeSet::new(),
            // What it went through before this look says nothing about now.
            horizon: newest_event,
            newest_event,
            answers: Answers::default(),
            was_good: None,
            evidence_when_good: None,
            crash_when_good: None,
            ran: false,
            checks_listed: false,
            roused: false,
            starts: 0,
            last_start: None,
        };
        seen.note_state(now, false);
        seen
    }

    /// Another update than the one that was seen last.
    fn is_update(&self, instance: &Instance, launched: bool) -> bool {
        let old = &self.instance;
        if !old.instance_version.is_empty() && !instance.instance_version.is_empty() {
            return old.instance_version != instance.instance_version;
        }
        let differs = |one: Option<ReleaseNumber>, other: Option<ReleaseNumber>| {
            one.zip(other).is_some_and(|(one, other)| one != other)
        };
        launched || differs(old.release, instance.release) || !old.image.is_same_as(&instance.image)
    }

    /// Takes the next sight of the same instance in; `begun`: when the list that shows it was asked for.
    fn take(&mut self, mut instance: Instance, begun: Instant, now: Instant) {
        let known = self.newest_event;
        let newer = |wanted: fn(&str) -> bool| newest(&instance, wanted).filter(|at| *at > known);
        let (launched, started, exited) = (
            newer(is_launch),
            newer(|kind| kind == "start"),
            newer(|kind| kind == "exit"),
        );
        self.newest_event = newest(&instance, |_| true).unwrap_or(known).max(known);
        let update = self.is_update(&instance, launched.is_some());
        if update {
            // Where its launch is not listed, nothing tells the exits of before from those of now.
            let horizon = launched.unwrap_or(self.newest_event);
            *self = Self {
                place: self.place.clone(),
                updated: true,
                anchor: now,
                horizon,
                ..Self::new(&self.instance, now)
            };
        } else {
            self.keep_what_is_missing(&mut instance);
            self.horizon = self.horizon.max(launched.unwrap_or(i64::MIN));
            let horizon = self.horizon;
            self.crashes.retain(|at| *at > horizon);
        }
        self.note_crashes(&instance);
        if !update && started.is_some() && self.was_sent_to_rest(&instance) {
            self.was_good = None;
            self.anchor = now;
            self.answers.forget();
        }
        let woken = !update && self.is_down() && !self.ran && self.crashes.is_empty();
        self.newest_event = newest(&instance, |_| true).unwrap_or(known).max(known);
        self.checks_listed |= !instance.checks.is_empty();
        self.instance = instance;
        self.present = true;
        if woken && !self.is_down() {
            // Left down by flyctl, it begins only now.
            self.anchor = now;
        }
        self.note_state(begun, update || started.is_some() || exited.is_some());
    }

    /// What was good, was put to rest and runs again has to turn good again, and has its time for it.
    fn was_sent_to_rest(&self, instance: &Instance) -> bool {
        let requested = match instance.last_exit() {
            Some((_, exit)) if exit.requested_stop => true,
            Some((at, exit)) if exit.is_crash() && at > self.horizon => false,
            _ => self.is_down(),
        };
        self.was_ever_good() && requested
    }

    /// Good at least once on this update.
    pub(crate) fn was_ever_good(&self) -> bool {
        self.evidence_when_good.is_some()
    }

    /// A field that one list left out and that cannot change without an update is as it was.
    fn keep_what_is_missing(&mut self, instance: &mut Instance) {
        if instance.instance_version.is_empty() {
            instance
                .instance_version
                .clone_from(&self.instance.instance_version);
        }
        instance.release = instance.release.or(self.instance.release);
        if instance.image.digest.is_none() {
            instance.image.digest.clone_from(&self.instance.image.digest);
        }
        if instance.group.is_none() {
            instance.group.clone_from(&self.instance.group);
        }
    }

    fn note_crashes(&mut self, instance: &Instance) {
        let horizon = self.horizon;
        self.crashes.extend(
            instance
                .events
                .iter()
                .filter(|event| {
                    event.at_ms > horizon && event.exit.is_some_and(crate::instance::Exit::is_crash)
                })
                .map(|event| event.at_ms),
        );
        self.ran |= !self.crashes.is_empty();
    }

    fn note_state(&mut self, begun: Instant, restarted: bool) {
        match &self.instance.state {
            InstanceState::Started => {
                self.ran = true;
                if restarted || self.up_since.is_none() {
                    self.up_since = Some(begun);
                }
                self.down_since = None;
            }
            InstanceState::Changing(_) | InstanceState::Gone(_) => {
                self.up_since = None;
                self.down_since = None;
            }
            _ => {
                self.up_since = None;
                if restarted {
                    self.down_since = None;
                }
                self.down_since.get_or_insert(begun);
            }
        }
    }

    /// Whether it sleeps now, whoever sent it to sleep.
    pub(crate) fn is_down(&self) -> bool {
        matches!(
            self.instance.state,
            InstanceState::Stopped | InstanceState::Suspended
        )
    }
}

/// The newest event whose kind is wanted, by the platform's clock; the list is not sorted.
fn newest(instance: &Instance, wanted: impl Fn(&str) -> bool) -> Option<i64> {
    instance
        .events
        .iter()
        .filter(|event| wanted(&event.kind))
        .map(|event| event.at_ms)
        .max()
}

/// The kinds that an update or a creation leaves behind.
fn is_launch(kind: &str) -> bool {
    matches!(kind, "launch" | "update" | "create")
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
                memory.set_aside_if_stopped(instance, expectation);
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
            match self.instances.get_mut(&instance.id) {
                Some(seen) => seen.take(instance, begun, now),
                None => {
                    let mut seen = Seen::new(&instance, begun);
                    seen.anchor = now;
                    seen.present = true;
                    if expectation.kind != Kind::Live || !first {
                        seen.updated = true;
                        seen.horizon = newest(&instance, is_launch).unwrap_or(seen.newest_event);
                        seen.note_crashes(&instance);
                    }
                    self.instances.insert(instance.id.clone(), seen);
                }
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
            if let Some(digest) = bearer.and_then(|instance| instance.image.digest.clone()) {
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
        if seen.instance.instance_version != version {
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
            }
            seen.was_good = Some(now);
            seen.evidence_when_good = Some(evidence);
        }
    }

    /// A sleeper is to be awake: its deadline runs from here.
    pub(crate) fn note_roused(&mut self, id: &str, now: Instant) {
        if let Some(seen) = self.instances.get_mut(id)
            && !seen.roused
        {
            seen.roused = true;
            seen.anchor = seen.anchor.max(now);
            seen.answers = Answers::default();
        }
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
