//! How one instance stands at one moment.

use std::time::Duration;

use tokio::time::Instant;

use crate::instance::{Instance, InstanceState};
use crate::verification::Evidence;
use crate::verification::expectation::{
    Expectation, GroupExpectation, Kind, Place, Reach, SHORTEST_FOR_STATE,
};
use crate::verification::memory::{Memory, SETTLING, Seen};
use crate::verification::probe::{Word, harmless};

/// How long an instance has to be up where nothing else speaks for it (DESIGN 6).
pub(crate) const UP: Duration = Duration::from_secs(10);
/// What a list may lag behind flyctl's end.
pub(crate) const LAG: Duration = Duration::from_secs(2);
/// What DNS may need to learn of a new address.
const NEW_ADDRESS: Duration = Duration::from_secs(60);
/// Crashes after an update that make a loop.
const LOOP: usize = 2;

/// One counted instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Standing {
    /// flyctl has not come to it yet.
    Waiting,
    /// Not good, and still has time.
    Pending {
        reason: String,
        mood: Mood,
        until: Option<Instant>,
    },
    Good {
        evidence: Evidence,
        /// Why it was not asked, where it could have been.
        note: Option<String>,
    },
    /// Legitimately.
    Asleep,
    Failed(String),
    /// Neither good nor bad can be said.
    Unknown(String),
    /// A return goes on without it.
    Excused(String),
}

/// Why an instance is pending.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// Something bad was seen.
    Bad,
    /// Nothing speaks for it yet.
    Idle,
    /// All that was seen is good; more of it is needed.
    Settling,
}

impl Standing {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Pending { .. } => "pending",
            Self::Good { .. } => "good",
            Self::Asleep => "asleep",
            Self::Failed(_) => "failed",
            Self::Unknown(_) | Self::Excused(_) => "unknown",
        }
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Pending { reason, .. }
            | Self::Failed(reason)
            | Self::Unknown(reason)
            | Self::Excused(reason) => Some(reason),
            Self::Waiting | Self::Good { .. } | Self::Asleep => None,
        }
    }
}

/// What the checks of an instance say together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Checks {
    /// None is configured.
    None,
    Passing,
    /// A configured one is not listed (yet).
    Missing(String),
    /// One has another word than `passing`.
    Failing(String),
}

pub(crate) fn checks(instance: &Instance, group: &GroupExpectation) -> Checks {
    let configured = group.checks_of(instance);
    let failing = instance.checks.iter().find(|check| !check.is_passing());
    if let Some(check) = failing {
        let output = harmless(check.output.trim());
        let output = if output.is_empty() {
            output
        } else {
            format!(": {output}")
        };
        return Checks::Failing(format!("its check `{}` is {}{output}", check.name, check.status));
    }
    match (instance.checks.len(), configured) {
        (0, 0) => Checks::None,
        (listed, configured) if listed < configured => {
            Checks::Missing(format!("{listed} of its {configured} checks have reported"))
        }
        _ => Checks::Passing,
    }
}

/// One moment, as all instances share it.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) expectation: &'a Expectation,
    pub(crate) memory: &'a Memory,
    /// When the list was asked for that everything is read from.
    pub(crate) listed: Instant,
    /// Nothing more is waited for.
    pub(crate) out_of_time: bool,
    /// Somebody was reached over HTTP.
    pub(crate) reached: bool,
}

impl View<'_> {
    pub(crate) fn stand(&self, seen: &Seen, group: &GroupExpectation) -> Standing {
        let kind = self.expectation.kind;
        let instance = &seen.instance;
        let agrees = self
            .expectation
            .target
            .agrees(instance, self.memory.digest.as_ref())
            .unwrap_or(false);
        let untouched = self.expectation.target.is_untouched(instance, seen.updated);
        let stale = kind == Kind::Return && agrees && untouched;
        if let Some(standing) = self.place(seen, stale) {
            return standing;
        }
        if instance.host_reachable == Some(false) {
            let reason = "its host cannot be reached".to_owned();
            return if kind == Kind::Return && agrees {
                Standing::Excused(format!("{reason}; it still has the image that was returned to"))
            } else {
                self.pending(seen, group, reason, Mood::Bad)
            };
        }
        if instance.cordoned == Some(true) {
            let reason = "it is cordoned, so nothing is sent to it".to_owned();
            return self.pending(seen, group, reason, Mood::Bad);
        }
        if let Some(standing) = self.state(seen, group) {
            return standing;
        }
        self.health(seen, group, stale)
    }

    /// By the release that it runs; `None` where that is the target.
    fn place(&self, seen: &Seen, stale: bool) -> Option<Standing> {
        let shown = describe(&seen.instance);
        let reason = match &seen.place {
            Place::On | Place::Newer(_) if !stale || self.memory.ended.is_some() => return None,
            Place::Before if stale && self.memory.ended.is_some() => return None,
            Place::On | Place::Newer(_) | Place::Before => {
                if self.memory.ended.is_none() {
                    return Some(Standing::Waiting);
                }
                format!("it still runs {shown}")
            }
            _ if self.expectation.kind == Kind::Live => format!("it runs {shown}"),
            Place::OtherDigest => format!("it runs another image: {shown}"),
            Place::Superseded(_) => format!("it runs a newer release that was not shipped here: {shown}"),
        };
        let Some(ended) = self.memory.ended else {
            return Some(Standing::Waiting);
        };
        Some(if self.out_of_time || self.listed >= ended + LAG {
            Standing::Failed(reason)
        } else {
            Standing::Pending {
                reason,
                mood: Mood::Idle,
                until: Some(ended + LAG),
            }
        })
    }

    /// By its state; `None` where it is started.
    fn state(&self, seen: &Seen, group: &GroupExpectation) -> Option<Standing> {
        let instance = &seen.instance;
        let state = instance.state.as_str();
        let exit = last_exit(instance);
        if instance.state == InstanceState::Failed {
            return Some(Standing::Failed(format!("its state is `{state}`{exit}")));
        }
        if seen.crashes.len() >= LOOP {
            return Some(Standing::Failed(format!(
                "it crashed {} times after its update{exit}",
                seen.crashes.len()
            )));
        }
        match &instance.state {
            InstanceState::Started => None,
            InstanceState::Stopped | InstanceState::Suspended => {
                if !may_sleep(instance, group) {
                    return Some(self.pending(
                        seen,
                        group,
                        format!("its state is `{state}`{exit}"),
                        Mood::Bad,
                    ));
                }
                if seen.roused && !seen.was_ever_good() {
                    return Some(self.pending(seen, group, "it has not woken up".into(), Mood::Idle));
                }
                Some(Standing::Asleep)
            }
            _ => Some(self.pending(seen, group, format!("its state is `{state}`"), Mood::Idle)),
        }
    }

    /// By its checks and answers, of one that is started.
    fn health(&self, seen: &Seen, group: &GroupExpectation, stale: bool) -> Standing {
        let checks = checks(&seen.instance, group);
        let heard = if self.expectation.asks(group) {
            self.heard(seen, &checks)
        } else {
            Heard::Nothing { note: None }
        };
        let silent = seen.answers.last.as_ref().is_some_and(|last| last.silent);
        let (checks_reason, checks_mood) = match &checks {
            Checks::None | Checks::Passing => (None, Mood::Settling),
            // What was listed before on this update and is not now may come again.
            Checks::Missing(why) if seen.checks_listed => (Some(why.clone()), Mood::Settling),
            Checks::Missing(why) => (Some(why.clone()), Mood::Idle),
            Checks::Failing(why) => (Some(why.clone()), Mood::Bad),
        };
        let (evidence, note) = match heard {
            Heard::Good { named: true } => (Evidence::App, None),
            Heard::Good { named: false } => (Evidence::Http, None),
            Heard::Nothing { note } if checks == Checks::Passing => (Evidence::Checks, note),
            Heard::Nothing { note } => (Evidence::State, note),
            Heard::Not { reason, mood } => {
                let reason = match checks_reason {
                    Some(more) if mood == Mood::Bad => format!("{reason}; {more}"),
                    Some(more) if checks_mood == Mood::Bad => more,
                    _ => reason,
                };
                let mood = if checks_mood == Mood::Bad { Mood::Bad } else { mood };
                let standing = self.pending(seen, group, reason, mood);
                return unless_unreached(standing, stale && silent && checks_mood != Mood::Bad);
            }
            Heard::Lost { reason, fatal } => {
                if let Some(more) = checks_reason.clone().filter(|_| checks_mood == Mood::Bad) {
                    return self.pending(seen, group, more, Mood::Bad);
                }
                // Not bad before its deadline, for nobody was reached.
                let mood = if checks_reason.is_some() {
                    checks_mood
                } else {
                    Mood::Idle
                };
                let standing = match self.pending(seen, group, reason, mood) {
                    Standing::Failed(reason) if !fatal => Standing::Unknown(reason),
                    standing => standing,
                };
                return unless_unreached(standing, stale);
            }
        };
        if let Some(reason) = checks_reason {
            return self.pending(seen, group, reason, checks_mood);
        }
        if evidence == Evidence::State {
            let up = seen.up_since.map_or(Duration::ZERO, |since| {
                self.listed.saturating_duration_since(since)
            });
            if up < UP {
                let reason = format!(
                    "it has been up for {} s, and 10 are needed where nothing else speaks for it",
                    up.as_secs()
                );
                return match self.pending(seen, group, reason, Mood::Settling) {
                    // The next list is of use at that moment, not before.
                    Standing::Pending { reason, mood, until } => Standing::Pending {
                        reason,
                        mood,
                        until: seen.up_since.map(|since| since + UP).or(until),
                    },
                    standing => standing,
                };
            }
        }
        Standing::Good { evidence, note }
    }

    /// Whether nothing but its state speaks for it, as far as can be told.
    fn state_alone(&self, seen: &Seen, group: &GroupExpectation) -> bool {
        let heard = seen
            .answers
            .last
            .as_ref()
            .is_some_and(|last| matches!(last.word, Word::Good { .. } | Word::Bad(_)));
        group.checks_of(&seen.instance) == 0 && !(self.expectation.asks(group) && heard)
    }

    /// What its answers say together.
    fn heard(&self, seen: &Seen, checks: &Checks) -> Heard {
        let answers = &seen.answers;
        let needed = self.expectation.probe.successes.max(1);
        let Some(last) = &answers.last else {
            return Heard::Not {
                reason: "it has not been asked yet".into(),
                mood: Mood::Idle,
            };
        };
        match &last.word {
            Word::Good { .. } if answers.good >= needed => Heard::Good { named: answers.named },
            Word::Good { .. } => Heard::Not {
                reason: format!("{} of {needed} good answers in a row", answers.good),
                mood: Mood::Settling,
            },
            Word::Bad(why) => Heard::Not {
                reason: why.clone(),
                mood: Mood::Bad,
            },
            Word::NoWitness(what) if answers.no_witness >= needed => Heard::Nothing {
                note: Some(format!("`{}` {what}", self.expectation.probe.path)),
            },
            Word::NoWitness(what) => Heard::Not {
                reason: what.clone(),
                mood: Mood::Settling,
            },
            Word::NoConnection(why) => self.no_connection(seen, checks, why, answers.no_connection >= needed),
        }
    }

    /// Nobody was reached: whether that says anything depends on what was so before (DESIGN 6, addresses).
    fn no_connection(&self, seen: &Seen, checks: &Checks, why: &str, settled: bool) -> Heard {
        let reason = format!("no connection ({why})");
        let note = || Heard::Nothing {
            note: Some(reason.clone()),
        };
        match self.expectation.probe.reach {
            _ if !settled => Heard::Not {
                reason,
                mood: Mood::Settling,
            },
            Reach::UnreachableBefore => Heard::Nothing {
                note: Some(format!("{reason}, already so before")),
            },
            Reach::New if !self.out_of_time && self.listed < self.may_be_new_until(seen) => Heard::Not {
                reason,
                mood: Mood::Idle,
            },
            Reach::NotAsked | Reach::New if checks == &Checks::Passing => note(),
            Reach::NotAsked | Reach::New => Heard::Lost { reason, fatal: false },
            Reach::ReachableBefore => Heard::Lost {
                reason: format!("{reason}, although it could be reached before"),
                fatal: self.reached || checks != &Checks::Passing,
            },
        }
    }

    /// How long a new address may be unknown: a minute, or less where its deadline comes first.
    fn may_be_new_until(&self, seen: &Seen) -> Instant {
        let from = self
            .memory
            .ended
            .map_or(seen.anchor, |ended| ended.max(seen.anchor));
        let deadline = self.memory.deadline(seen, self.expectation.timeout);
        deadline.map_or(from + NEW_ADDRESS, |deadline| deadline.min(from + NEW_ADDRESS))
    }

    /// Pending until its deadline, then failed. Only a list from after the deadline can tell.
    fn pending(&self, seen: &Seen, group: &GroupExpectation, reason: String, mood: Mood) -> Standing {
        let mut timeout = self.expectation.timeout;
        if self.state_alone(seen, group) {
            timeout = timeout.max(SHORTEST_FOR_STATE);
        }
        let until = self.memory.deadline(seen, timeout).map(|until| {
            if mood == Mood::Settling {
                until + SETTLING
            } else {
                until
            }
        });
        let missed = until.is_some_and(|until| self.listed >= until);
        if self.out_of_time {
            Standing::Failed(format!("{reason} (time ran out)"))
        } else if missed {
            Standing::Failed(format!(
                "{reason}, {} s after it got the release",
                timeout.as_secs()
            ))
        } else {
            Standing::Pending { reason, mood, until }
        }
    }
}

/// What the answers of one instance come to.
enum Heard {
    Good {
        named: bool,
    },
    /// Settled, and no witness.
    Nothing {
        note: Option<String>,
    },
    Not {
        reason: String,
        mood: Mood,
    },
    /// No connection, which counts at its deadline.
    Lost {
        reason: String,
        fatal: bool,
    },
}

/// Whether its sleep is legitimate: suspended, or stopped on request or with code 0, where the proxy stops things.
pub(crate) fn may_sleep(instance: &Instance, group: &GroupExpectation) -> bool {
    group.sleeps(instance) && !instance.has_crashed()
}

/// How it ended last, where that was not well.
pub(crate) fn last_exit(instance: &Instance) -> String {
    match instance.last_exit() {
        Some((_, exit)) if exit.oom_killed => format!(" (exit code {}, out of memory)", exit.code),
        Some((_, exit)) if exit.is_crash() => format!(" (exit code {})", exit.code),
        _ => String::new(),
    }
}

/// What it runs, for people.
pub(crate) fn describe(instance: &Instance) -> String {
    match instance.release {
        Some(release) => format!("release {release} ({})", instance.image),
        None => format!("{}", instance.image),
    }
}

/// An untouched instance of a return that nothing reaches is no verdict (DESIGN 6).
fn unless_unreached(standing: Standing, unreached: bool) -> Standing {
    match standing {
        Standing::Failed(reason) if unreached => Standing::Unknown(format!(
            "{reason}; nothing reaches it, and it still has the image that was returned to"
        )),
        standing => standing,
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
