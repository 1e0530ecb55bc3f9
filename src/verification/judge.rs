//! From what was seen to the verdict.
//!
//! Pure: one moment of [`Memory`] and the [`Expectation`] in, a decision or what is still missing out.

#[cfg(test)]
mod moment;
mod numbers;
mod report;
#[cfg(test)]
mod silence_tests;
mod sleep;
#[cfg(test)]
mod time_tests;

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::project::Identity;
use crate::verification::expectation::{Expectation, GroupExpectation, SHORTEST_FOR_STATE};
use crate::verification::memory::{Last, Memory, Seen};
use crate::verification::probe::Word;
use crate::verification::standing::{LAG, Mood, Standing, View, last_exit};
use crate::verification::{Evidence, Judgement, Verdict};

/// Whether a release is being verified, or baked after it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Verify,
    /// `until` runs from when everything was good; `None` while it is not.
    Bake {
        until: Option<Instant>,
    },
}

/// What follows from one moment.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) standings: BTreeMap<String, Standing>,
    pub(crate) decided: Option<Box<Judgement>>,
    /// Everything is good but for the list, which is older than the last answer.
    pub(crate) needs_list: bool,
    /// All good, or good but for a newer list.
    pub(crate) good: bool,
    /// The next moment at which something changes by itself.
    pub(crate) next: Option<Instant>,
    /// Sleepers to be woken by a request.
    pub(crate) rouse: Vec<String>,
    /// Instances to be started by command.
    pub(crate) start: Vec<String>,
    /// Counted instances on the new release.
    pub(crate) moved: usize,
    pub(crate) waiting: String,
}

/// Judges one moment. `out_of_time`: what is there now is all there will be.
pub(crate) fn judge(
    expectation: &Expectation,
    memory: &Memory,
    phase: Phase,
    now: Instant,
    out_of_time: bool,
) -> Step {
    Bench::new(expectation, memory, phase, now, out_of_time).step()
}

struct Bench<'a> {
    expectation: &'a Expectation,
    memory: &'a Memory,
    phase: Phase,
    now: Instant,
    out_of_time: bool,
    /// Present, in a configured group, and not set aside; by id.
    counted: Vec<(&'a Seen, &'a GroupExpectation)>,
    standings: BTreeMap<String, Standing>,
    warnings: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(
        expectation: &'a Expectation,
        memory: &'a Memory,
        phase: Phase,
        now: Instant,
        out_of_time: bool,
    ) -> Self {
        let names = expectation.group_names();
        let counted: Vec<_> = memory
            .instances
            .values()
            .filter(|seen| seen.present && seen.instance.counts(&names))
            .filter(|seen| !memory.is_set_aside(seen, expectation))
            .filter_map(|seen| Some((seen, expectation.groups.get(seen.instance.group.as_ref()?)?)))
            .collect();
        let asked = |group: &GroupExpectation| expectation.asks(group);
        let reached = counted.iter().any(|(seen, group)| {
            let last = seen.answers.last.as_ref();
            asked(group) && last.is_some_and(|last| !matches!(last.word, Word::NoConnection(_)))
        });
        let view = View {
            expectation,
            memory,
            listed: memory.listed.unwrap_or(memory.began),
            out_of_time: out_of_time && memory.ended.is_some(),
            reached,
        };
        let standings = counted
            .iter()
            .map(|(seen, group)| (seen.instance.id.clone(), view.stand(seen, group)))
            .collect();
        Self {
            expectation,
            memory,
            phase,
            now,
            out_of_time,
            counted,
            standings,
            warnings: Vec::new(),
        }
    }

    pub(super) fn standing(&self, seen: &Seen) -> &Standing {
        &self.standings[&seen.instance.id]
    }

    fn step(mut self) -> Step {
        let (decided, good, needs_list) = self.decide();
        let needs_list = needs_list || self.is_due();
        let (rouse, start) = if decided.is_some() {
            (Vec::new(), Vec::new())
        } else {
            (self.to_rouse(), self.to_start())
        };
        Step {
            decided: decided.map(Box::new),
            needs_list,
            good,
            next: self.next(),
            moved: self.moved(),
            rouse,
            start,
            waiting: self.waiting(),
            standings: self.standings,
        }
    }

    /// A list that shows things as they are after `moment`.
    pub(super) fn listed_since(&self, moment: Instant) -> bool {
        self.memory.listed.is_some_and(|listed| listed >= moment)
    }

    fn decide(&mut self) -> (Option<Judgement>, bool, bool) {
        if let Some(judgement) = self.silence() {
            return (Some(judgement), false, false);
        }
        if self.memory.listed.is_none() {
            return (None, false, false);
        }
        if self
            .standings
            .values()
            .any(|standing| matches!(standing, Standing::Failed(_)))
        {
            return (
                Some(self.judgement(Verdict::Refuted, self.failures())),
                false,
                false,
            );
        }
        if let Some(reasons) = self.bad_in_bake() {
            return (Some(self.judgement(Verdict::Refuted, reasons)), false, false);
        }
        let Some(ended) = self.memory.ended else {
            return (None, false, false);
        };
        if !self.listed_since(ended) {
            return (None, false, true);
        }
        let few = self.too_few();
        if !few.is_empty() {
            // flyctl has ended, so nobody makes more of them; the list may lag behind.
            return if self.out_of_time || self.listed_since(ended + LAG) {
                (Some(self.judgement(Verdict::Refuted, few)), false, false)
            } else {
                (None, false, false)
            };
        }
        let pending = |standing: &Standing| matches!(standing, Standing::Pending { .. } | Standing::Waiting);
        if self.standings.values().any(pending) {
            return (None, false, false);
        }
        let unknown: Vec<String> = self.named(|standing| match standing {
            Standing::Unknown(reason) => Some(reason),
            _ => None,
        });
        if !unknown.is_empty() {
            return (Some(self.judgement(Verdict::Inconclusive, unknown)), false, false);
        }
        let asleep = self.groups_unseen();
        if !asleep.is_empty() {
            return if self.out_of_time {
                (Some(self.judgement(Verdict::Refuted, asleep)), false, false)
            } else {
                (None, false, false)
            };
        }
        let none_good = !self
            .counted
            .iter()
            .any(|(seen, _)| matches!(self.standing(seen), Standing::Good { .. }) || seen.was_ever_good());
        if none_good {
            let reasons = vec!["no instance was seen good".to_owned()];
            return (Some(self.judgement(Verdict::Inconclusive, reasons)), false, false);
        }
        self.all_good()
    }

    /// Everything is as it must be; what remains is that the list is new enough, and the bake long enough.
    fn all_good(&mut self) -> (Option<Judgement>, bool, bool) {
        let settled = self
            .counted
            .iter()
            .filter_map(|(seen, _)| seen.answers.settled)
            .max();
        if settled.is_some_and(|settled| !self.listed_since(settled)) {
            return (None, true, true);
        }
        if let Phase::Bake { until } = self.phase {
            match until {
                None => return (None, true, false),
                Some(until) if self.listed_since(until) => {}
                Some(until) => return (None, true, self.now >= until),
            }
        }
        let evidence = self.evidence();
        let asked = self
            .expectation
            .groups
            .values()
            .any(|group| self.expectation.asks(group));
        if evidence < Evidence::Http && asked && self.expectation.identity.mode == Identity::Required {
            let reason =
                "no answer could be had, and `identity` requires that one names this release".to_owned();
            return (
                Some(self.judgement(Verdict::Inconclusive, vec![reason])),
                true,
                false,
            );
        }
        if evidence < self.expectation.min_evidence {
            let reason = format!(
                "everything that was seen is good, but the evidence is only `{}`, and `min_evidence` is `{}`",
                evidence.as_str(),
                self.expectation.min_evidence.as_str()
            );
            return (
                Some(self.judgement(Verdict::Inconclusive, vec![reason])),
                true,
                false,
            );
        }
        (Some(self.judgement(Verdict::Verified, Vec::new())), true, false)
    }

    /// The reasons of the standings that are wanted, each with the name of its instance.
    pub(super) fn named<'s>(&'s self, reason: impl Fn(&'s Standing) -> Option<&'s String>) -> Vec<String> {
        self.counted
            .iter()
            .filter_map(|(seen, _)| Some(format!("{}: {}", name(seen), reason(self.standing(seen))?)))
            .collect()
    }

    /// What is bad of what was shipped, whether its time is over or not; then what never got there.
    fn failures(&self) -> Vec<String> {
        let bad = |on_target: bool| {
            self.counted
                .iter()
                .filter(move |(seen, _)| seen.place.is_on_target() == on_target)
                .filter_map(|(seen, _)| match self.standing(seen) {
                    Standing::Failed(reason)
                    | Standing::Pending {
                        reason,
                        mood: Mood::Bad,
                        ..
                    } => Some(format!("{}: {reason}", name(seen))),
                    _ => None,
                })
        };
        bad(true).chain(bad(false)).collect()
    }

    /// Lists have failed until now: the app's address is the other witness, and it can only refute.
    fn silence(&mut self) -> Option<Judgement> {
        let (since, why) = self.memory.silent.clone()?;
        let ended = self.memory.ended?;
        let patience = self.expectation.timeout.max(SHORTEST_FOR_STATE);
        if !self.out_of_time && self.now < since.max(ended) + patience {
            return None;
        }
        let silent = format!(
            "the API has been silent for {} s ({why})",
            (self.now - since).as_secs()
        );
        let needed = self.expectation.probe.successes.max(1);
        let bad = self
            .counted
            .iter()
            .filter(|(seen, _)| seen.place.is_on_target() && seen.answers.bad >= needed && !seen.is_down())
            .find_map(|(seen, _)| match &seen.answers.last.as_ref()?.word {
                Word::Bad(why) => Some(format!("{}: {why}", name(seen))),
                _ => None,
            });
        let shared = &self.memory.shared;
        // Where everything slept when it was last seen, the proxy's own word says nothing.
        let names = self.expectation.group_names();
        let mut known = self
            .memory
            .instances
            .values()
            .filter(|seen| seen.instance.counts(&names))
            .peekable();
        let asleep = known.peek().is_some() && known.all(Seen::is_down);
        let bad = bad.or_else(|| match shared.last.as_ref()? {
            last if last.silent && asleep => None,
            Last {
                word: Word::Bad(why), ..
            } if shared.bad >= needed => Some(format!("the app's address: {why}")),
            _ => None,
        });
        if let Some(bad) = bad {
            return Some(self.judgement(Verdict::Refuted, vec![bad, silent]));
        }
        let app = match shared.last.as_ref().map(|last| &last.word) {
            Some(Word::Good { .. }) if shared.good >= needed && shared.named => {
                "the app answers well on its shared address and names this release, but no instance could be looked at"
                    .to_owned()
            }
            Some(Word::Good { .. }) => {
                "the app answers on its shared address, but no instance could be looked at".to_owned()
            }
            Some(Word::NoConnection(why)) => format!("the app's address could not be reached either ({why})"),
            _ => "no instance could be looked at".to_owned(),
        };
        Some(self.judgement(Verdict::Inconclusive, vec![silent, app]))
    }

    /// After everything was good, anything bad is a verdict. The first bad answer may be the network's; a list from after it
    /// must show the same update.
    fn bad_in_bake(&self) -> Option<Vec<String>> {
        let Phase::Bake { .. } = self.phase else {
            return None;
        };
        let reasons: Vec<String> = self
            .counted
            .iter()
            .filter(|(seen, _)| seen.was_good.is_some())
            .filter_map(|(seen, _)| {
                let crashed = seen.crashes.last() > seen.crash_when_good.as_ref();
                let bad = match self.standing(seen) {
                    _ if crashed => Some(format!("it crashed{}", last_exit(&seen.instance))),
                    Standing::Pending {
                        reason,
                        mood: Mood::Bad,
                        ..
                    } => Some(reason.clone()),
                    _ => None,
                }?;
                let answered_badly = seen.answers.report.bad.saturating_sub(seen.bad_when_good);
                let first_alone = seen.answers.bad == 1 && answered_badly == 1;
                let listed = seen.answers.bad_since.is_none_or(|at| self.listed_since(at));
                let confirmed = crashed || (!first_alone && listed);
                confirmed.then(|| format!("{}: {bad}, after it had been good", name(seen)))
            })
            .collect();
        (!reasons.is_empty()).then_some(reasons)
    }

    /// When something changes by itself: a deadline, a bake's end, the time to start something.
    fn next(&self) -> Option<Instant> {
        let deadlines = self.standings.values().filter_map(|standing| match standing {
            Standing::Pending { until, .. } => *until,
            _ => None,
        });
        let bake = match self.phase {
            Phase::Bake { until } => until,
            Phase::Verify => None,
        };
        let lag = self.memory.ended.map(|ended| ended + LAG);
        let silence = self
            .memory
            .silent
            .as_ref()
            .zip(self.memory.ended)
            .map(|((since, _), ended)| {
                (*since).max(ended) + self.expectation.timeout.max(SHORTEST_FOR_STATE)
            });
        deadlines
            .chain(bake)
            .chain(lag)
            .chain(silence)
            .filter(|at| *at > self.now)
            .min()
    }

    /// A moment has come that only a list from after it can be judged by.
    fn is_due(&self) -> bool {
        let deadline = self.standings.values().any(|standing| match standing {
            Standing::Pending {
                until: Some(until), ..
            } => self.now >= *until && !self.listed_since(*until),
            _ => false,
        });
        let lag = self
            .memory
            .ended
            .is_some_and(|ended| self.now >= ended + LAG && !self.listed_since(ended + LAG));
        deadline || lag
    }

    pub(super) fn moved(&self) -> usize {
        let before = self.expectation.target.newest_before;
        self.counted
            .iter()
            .filter(|(seen, _)| seen.place.is_on_target())
            .filter(|(seen, _)| match seen.instance.release {
                Some(release) => Some(release) == self.expectation.target.release || Some(release) > before,
                None => seen.updated,
            })
            .count()
    }
}

/// An instance, as people are told of it.
pub(super) fn name(seen: &Seen) -> String {
    format!("instance {} ({})", seen.instance.id, seen.instance.region)
}

pub(super) fn instances(count: usize) -> String {
    format!("{count} instance{}", if count == 1 { "" } else { "s" })
}
