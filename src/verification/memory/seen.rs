//! One instance, from one list to the next.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::Answers;
use crate::instance::{Exit, Instance, InstanceState};
use crate::release::ReleaseNumber;
use crate::verification::Evidence;
use crate::verification::expectation::Place;

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
    /// How many bad answers it had given by then.
    pub(crate) bad_when_good: u32,
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

impl Seen {
    pub(crate) fn new(instance: &Instance, now: Instant) -> Self {
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
            bad_when_good: 0,
            ran: false,
            checks_listed: false,
            roused: false,
            starts: 0,
            last_start: None,
        };
        seen.note_state(now, false);
        seen
    }

    /// One that was not there before. `made`: by this deployment; what another went through says nothing about now.
    pub(super) fn met(instance: &Instance, made: bool, begun: Instant, now: Instant) -> Self {
        let mut seen = Self::new(instance, begun);
        seen.anchor = now;
        seen.present = true;
        if made {
            seen.updated = true;
            seen.horizon = newest(instance, is_launch).unwrap_or(seen.newest_event);
            seen.note_crashes(instance);
        }
        seen
    }

    /// Another update than the one that was seen last.
    fn is_update(&self, instance: &Instance, launched: bool) -> bool {
        let old = &self.instance;
        if !old.version.is_empty() && !instance.version.is_empty() {
            return old.version != instance.version;
        }
        let differs = |one: Option<ReleaseNumber>, other: Option<ReleaseNumber>| {
            one.zip(other).is_some_and(|(one, other)| one != other)
        };
        launched || differs(old.release, instance.release) || !old.image.is_same_as(&instance.image)
    }

    /// Takes the next sight of the same instance in; `begun`: when the list that shows it was asked for.
    pub(super) fn take(&mut self, mut instance: Instance, begun: Instant, now: Instant) {
        if instance.config.is_null() {
            instance.group = instance.group.or_else(|| self.instance.group.clone());
        }
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
        if instance.version.is_empty() {
            instance.version.clone_from(&self.instance.version);
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
                .filter(|event| event.at_ms > horizon && event.exit.is_some_and(Exit::is_crash))
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
