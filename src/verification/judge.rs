//! From what was seen to the verdict.
//!
//! Pure: one moment of [`Memory`] and the [`Expectation`] in, a decision or what is still missing out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::instance::InstanceState;
use crate::project::Identity;
use crate::release::{Image, ReleaseNumber};
use crate::verification::expectation::{Expectation, GroupExpectation, Kind, Place, SHORTEST_FOR_STATE};
use crate::verification::memory::{Last, Memory, Seen};
use crate::verification::probe::Word;
use crate::verification::standing::{
    Checks, LAG, Mood, Standing, View, checks, describe, last_exit, may_sleep,
};
use crate::verification::{Evidence, InstanceReport, Judgement, Verdict};

/// How long an instance may stay down after a crash before shipctl starts it: the platform restarts it sooner.
const OWN_RESTART: Duration = Duration::from_secs(3);
/// The same of one that was made and not launched.
const OWN_LAUNCH: Duration = Duration::from_secs(5);
/// Between two attempts to start the same instance.
const START_AGAIN: Duration = Duration::from_secs(3);
/// More starts than these would only repeat what was seen.
const MOST_STARTS: u32 = 3;
/// What a request may need to wake an instance before it is started by command.
const WAKING: Duration = Duration::from_secs(3);

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

    fn standing(&self, seen: &Seen) -> &Standing {
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
    fn listed_since(&self, moment: Instant) -> bool {
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
                Some(until) if self.out_of_time || self.listed_since(until) => {}
                Some(until) => return (None, true, self.now >= until),
            }
        }
        let evidence = self.evidence();
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
    fn named<'s>(&'s self, reason: impl Fn(&'s Standing) -> Option<&'s String>) -> Vec<String> {
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

    /// After everything was good, anything bad is a verdict; a list from after it must show the same update.
    fn bad_in_bake(&self) -> Option<Vec<String>> {
        let Phase::Bake { .. } = self.phase else {
            return None;
        };
        let reasons: Vec<String> = self
            .counted
            .iter()
            .filter(|(seen, _)| seen.was_good.is_some())
            .filter_map(|(seen, _)| {
                let crashed = !seen.crashes.is_empty() && seen.crashes.last() > seen.crash_when_good.as_ref();
                let bad = match self.standing(seen) {
                    _ if crashed => Some(format!("it crashed{}", last_exit(&seen.instance))),
                    Standing::Pending {
                        reason,
                        mood: Mood::Bad,
                        ..
                    } => Some(reason.clone()),
                    _ => None,
                }?;
                let confirmed = seen.answers.bad_since.is_none_or(|at| self.listed_since(at));
                confirmed.then(|| format!("{}: {bad}, after it had been good", name(seen)))
            })
            .collect();
        (!reasons.is_empty()).then_some(reasons)
    }

    /// What is missing of the number of instances; what was missing before already is a warning.
    fn too_few(&mut self) -> Vec<String> {
        let mut missing = Vec::new();
        let mut warnings = Vec::new();
        if self.counted.is_empty() {
            missing.push("no instance of a configured group is there".to_owned());
            return missing;
        }
        let live = self.expectation.kind == Kind::Live;
        let before = self.before();
        for (name, group) in &self.expectation.groups {
            let now = self
                .counted
                .iter()
                .filter(|(seen, _)| seen.instance.group.as_ref() == Some(name))
                .count();
            let was = if group.named_before {
                before.get(name.as_str()).copied()
            } else {
                None
            };
            // All of them had been stopped by a person before: there is nothing to count.
            if now == 0 && was.unwrap_or(0) == 0 && self.is_set_aside(name) {
                continue;
            }
            let needed = if group.recreated {
                1
            } else {
                was.unwrap_or(1).max(1)
            };
            if now < needed {
                missing.push(format!(
                    "group `{name}` has {} where {needed} {} needed",
                    instances(now),
                    if needed == 1 { "is" } else { "are" }
                ));
            } else if group.recreated
                && let Some(had) = was.or(group.had).filter(|had| now < *had)
            {
                warnings.push(format!(
                    "group `{name}` was made again with {}; `fly scale count {name}={had} -a {}` brings the others back",
                    instances(now),
                    self.expectation.app
                ));
            } else if group.named_before && was.is_none() && self.expectation.baseline.is_some() {
                warnings.push(format!(
                    "group `{name}` was empty before; flyctl filled it with {}",
                    instances(now)
                ));
            }
        }
        if let Some(needed) = self.expectation.min_instances
            && self.counted.len() < needed
        {
            let what = format!("{} of `min_instances` {needed}", instances(self.counted.len()));
            let lacking =
                !live && before.values().sum::<usize>() < needed && self.expectation.baseline.is_some();
            if lacking {
                warnings.push(format!("{what}; already so before"));
            } else {
                missing.push(what);
            }
        }
        for region in &self.expectation.regions {
            if self
                .counted
                .iter()
                .any(|(seen, _)| &seen.instance.region == region)
            {
                continue;
            }
            let lacking = !live
                && self.expectation.baseline.as_ref().is_some_and(|baseline| {
                    let names = self.expectation.group_names();
                    !baseline
                        .instances
                        .iter()
                        .any(|old| old.counts(&names) && &old.region == region)
                });
            if lacking {
                warnings.push(format!("no instance in region `{region}`; already so before"));
            } else {
                missing.push(format!("no instance in region `{region}`"));
            }
        }
        self.warnings.extend(warnings);
        missing
    }

    /// Counted instances at the baseline, by group.
    fn before(&self) -> BTreeMap<&str, usize> {
        let names = self.expectation.group_names();
        let mut before = BTreeMap::new();
        for instance in self
            .expectation
            .baseline
            .iter()
            .flat_map(|baseline| &baseline.instances)
        {
            if instance.counts(&names) && !self.memory.set_aside.contains(&instance.id) {
                *before
                    .entry(instance.group.as_deref().unwrap_or_default())
                    .or_insert(0) += 1;
            }
        }
        before
    }

    fn is_set_aside(&self, group: &str) -> bool {
        self.memory.instances.values().any(|seen| {
            seen.present
                && seen.instance.group.as_deref() == Some(group)
                && self.memory.is_set_aside(seen, self.expectation)
        })
    }

    fn in_group<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a Seen> + 's {
        self.counted
            .iter()
            .filter(move |(seen, _)| seen.instance.group.as_deref() == Some(name))
            .map(|(seen, _)| *seen)
    }

    /// Groups of sleepers of which none has been seen good, or too few are awake.
    fn groups_unseen(&self) -> Vec<String> {
        self.expectation
            .groups
            .iter()
            .filter_map(|(name, group)| {
                let sleeping = self.in_group(name).any(|seen| *self.standing(seen) == Standing::Asleep);
                if !sleeping {
                    return None;
                }
                let seen_good = self.in_group(name).any(|seen| {
                    seen.was_ever_good() || matches!(self.standing(seen), Standing::Good { .. })
                });
                if !seen_good {
                    return Some(format!("all instances of group `{name}` sleep, and none was seen on this release"));
                }
                let (awake, needed) = self.awake(name, group);
                (awake < needed).then(|| {
                    format!("{awake} of the {needed} instances that `min_machines_running` wants in group `{name}` are awake")
                })
            })
            .collect()
    }

    /// How many are awake where `min_machines_running` applies, and how many have to be.
    fn awake(&self, name: &str, group: &GroupExpectation) -> (usize, usize) {
        let primary = self.expectation.primary_region.as_ref();
        let there: Vec<_> = self
            .in_group(name)
            .filter(|seen| primary.is_none_or(|region| &seen.instance.region == region))
            .collect();
        let awake = there
            .iter()
            .filter(|seen| *self.standing(seen) != Standing::Asleep)
            .count();
        (awake, group.min_machines_running.min(there.len()))
    }

    /// One sleeper of each group that nobody was seen awake in, and as many as have to be awake.
    fn to_rouse(&self) -> Vec<String> {
        let Some(ended) = self.memory.ended else {
            return Vec::new();
        };
        if !self.listed_since(ended) {
            return Vec::new();
        }
        let mut chosen = Vec::new();
        for (name, group) in &self.expectation.groups {
            let sleepers: Vec<&Seen> = self
                .in_group(name)
                .filter(|seen| *self.standing(seen) == Standing::Asleep)
                .collect();
            let (awake, needed) = self.awake(name, group);
            let primary = self.expectation.primary_region.as_ref();
            let near = |seen: &Seen| primary.is_none_or(|region| &seen.instance.region == region);
            let mut missing = needed.saturating_sub(awake);
            let nobody = !self.in_group(name).any(|seen| {
                seen.was_ever_good()
                    || !matches!(self.standing(seen), Standing::Asleep | Standing::Excused(_))
            });
            for seen in sleepers.iter().filter(|seen| near(seen)) {
                if missing > 0 {
                    chosen.push(seen.instance.id.clone());
                    missing -= 1;
                }
            }
            if nobody
                && !chosen
                    .iter()
                    .any(|id| sleepers.iter().any(|seen| &seen.instance.id == id))
            {
                let first = sleepers.iter().find(|seen| near(seen)).or(sleepers.first());
                chosen.extend(first.map(|seen| seen.instance.id.clone()));
            }
        }
        chosen
    }

    /// What has to run and does not: left stopped by flyctl, crashed, or a sleeper that no request woke.
    fn to_start(&self) -> Vec<String> {
        let Some(ended) = self.memory.ended else {
            return Vec::new();
        };
        if !self.listed_since(ended) {
            return Vec::new();
        }
        self.counted
            .iter()
            .filter(|(seen, group)| {
                seen.place.is_on_target() && seen.starts < MOST_STARTS && self.wants_start(seen, group)
            })
            .filter(|(seen, _)| {
                seen.last_start
                    .is_none_or(|at| self.now >= at + START_AGAIN && self.listed_since(at))
            })
            .map(|(seen, _)| seen.instance.id.clone())
            .collect()
    }

    fn wants_start(&self, seen: &Seen, group: &GroupExpectation) -> bool {
        let Some(down) = seen.down_since else { return false };
        let down_for = self.memory.listed.unwrap_or(down).saturating_duration_since(down);
        match seen.instance.state {
            InstanceState::Stopped | InstanceState::Suspended if may_sleep(&seen.instance, group) => {
                if !seen.roused || seen.was_ever_good() {
                    return false;
                }
                // By a request first, where one can be sent.
                let asked = self.expectation.asks(group);
                !asked || (seen.answers.first.is_some() && self.now >= seen.anchor + WAKING)
            }
            InstanceState::Stopped | InstanceState::Suspended => {
                self.expectation.may_start() && (seen.crashes.is_empty() || down_for >= OWN_RESTART)
            }
            InstanceState::Created => self.expectation.may_start() && down_for >= OWN_LAUNCH,
            _ => false,
        }
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

    /// What is waited for, in one line.
    fn waiting(&self) -> String {
        if let Some((_, why)) = &self.memory.silent {
            return format!("the provider to list the instances ({why})");
        }
        if self.memory.listed.is_none() {
            return "the first list of the instances".to_owned();
        }
        let is = |wanted: &str| {
            self.standings
                .values()
                .filter(|standing| standing.as_str() == wanted)
                .count()
        };
        let pending = self.named(|standing| match standing {
            Standing::Pending { reason, .. } => Some(reason),
            _ => None,
        });
        let all = self.counted.len();
        let progress = match self.memory.ended {
            None => format!(
                "flyctl; {} of {} on the new release, {} good",
                self.moved(),
                instances(all),
                is("good")
            ),
            Some(_) => format!(
                "{} of {} good, {} asleep",
                is("good"),
                instances(all),
                is("asleep")
            ),
        };
        match pending.first() {
            Some(first) => format!("{progress}; {first}"),
            None => progress,
        }
    }

    fn moved(&self) -> usize {
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

    /// By what the release was judged: of the groups that are asked, else of all.
    fn evidence(&self) -> Evidence {
        let of = |asked_only: bool| {
            self.counted
                .iter()
                .filter(|(_, group)| !asked_only || self.expectation.asks(group))
                .filter_map(|(seen, _)| match self.standing(seen) {
                    Standing::Good { evidence, .. } => Some(*evidence),
                    Standing::Asleep => seen.evidence_when_good,
                    _ => None,
                })
                .min()
        };
        of(true).or_else(|| of(false)).unwrap_or(Evidence::State)
    }

    /// The strongest witness that spoke at all.
    fn strongest(&self) -> Evidence {
        let on_target = || self.counted.iter().filter(|(seen, _)| seen.place.is_on_target());
        if on_target().any(|(seen, _)| seen.answers.report.last_status.is_some()) {
            Evidence::Http
        } else if on_target().any(|(seen, _)| !seen.instance.checks.is_empty()) {
            Evidence::Checks
        } else {
            Evidence::State
        }
    }

    fn judgement(&mut self, verdict: Verdict, reasons: Vec<String>) -> Judgement {
        let evidence = if verdict == Verdict::Refuted {
            self.strongest()
        } else {
            self.evidence()
        };
        if self.warnings.is_empty() && verdict != Verdict::Verified {
            let _ = self.too_few();
        }
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.extend(self.more_warnings(verdict));
        let on_target = || self.counted.iter().filter(|(seen, _)| seen.place.is_on_target());
        let version = on_target().find_map(|(seen, _)| seen.answers.report.last_version.clone());
        let superseded_by = self
            .counted
            .iter()
            .filter_map(|(seen, _)| match seen.place {
                Place::Superseded(release) => Some(release),
                _ => None,
            })
            .max();
        let images: Vec<&Image> = self
            .counted
            .iter()
            .map(|(seen, _)| &seen.instance.image)
            .collect();
        Judgement {
            verdict,
            evidence,
            reasons,
            warnings,
            instances: self
                .counted
                .iter()
                .map(|(seen, group)| report(seen, group))
                .collect(),
            moved: self.moved(),
            counted: self.counted.len(),
            superseded_by,
            version,
            answered: on_target().any(|(seen, _)| seen.answers.answered),
            mixed: images.windows(2).any(|pair| !pair[0].is_same_as(pair[1])),
            digest: self.memory.digest.clone(),
            release: self.release(),
            early: self.memory.ended.is_none(),
            unreachable: self
                .counted
                .iter()
                .filter(|(seen, _)| seen.instance.host_reachable == Some(false))
                .map(|(seen, _)| seen.instance.id.clone())
                .collect(),
            listed: self
                .counted
                .iter()
                .map(|(seen, _)| seen.instance.clone())
                .collect(),
        }
    }

    /// Its number: what was told, else what the instances show.
    fn release(&self) -> Option<ReleaseNumber> {
        let running = || {
            self.counted
                .iter()
                .filter(|(seen, _)| seen.place.is_on_target())
                .filter_map(|(seen, _)| seen.instance.release)
        };
        self.expectation
            .target
            .release
            .or(self.memory.release)
            .or_else(|| running().max())
    }

    /// What a person should know of what is good all the same; equal words of several instances are said once.
    fn more_warnings(&self, verdict: Verdict) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut same: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (seen, _) in &self.counted {
            let id = seen.instance.id.as_str();
            let mut say = |what: String| {
                same.entry(what).or_default().insert(id);
            };
            match self.standing(seen) {
                Standing::Good { note: Some(note), .. } => {
                    say(format!(
                        "{note}; that is no witness, so it is judged by its checks and state"
                    ));
                }
                Standing::Excused(why) => say(why.clone()),
                _ => {}
            }
            if let Place::Newer(release) = seen.place {
                say(format!("runs the newer release {release} of the same image"));
            }
            if matches!(self.standing(seen), Standing::Good { .. })
                && self.expectation.kind == Kind::Return
                && seen.place == Place::Before
            {
                say("was not updated by the return, but runs the image that was returned to".to_owned());
            }
            if let Some(Word::Good { degraded: Some(what) }) =
                seen.answers.last.as_ref().map(|last| &last.word)
            {
                say(what.clone());
            }
            if let Some(why) = &seen.answers.uncertain {
                say(why.clone());
            }
        }
        for (what, ids) in same {
            let ids: Vec<&str> = ids.into_iter().collect();
            warnings.push(format!(
                "{} {}: {what}",
                if ids.len() == 1 { "instance" } else { "instances" },
                ids.join(", ")
            ));
        }
        if self.expectation.kind == Kind::Live && self.expectation.target.release.is_none() {
            let releases: BTreeSet<_> = self
                .counted
                .iter()
                .filter_map(|(seen, _)| seen.instance.release)
                .collect();
            if releases.len() > 1 && verdict == Verdict::Verified {
                let named: Vec<String> = releases.iter().map(ToString::to_string).collect();
                warnings.push(format!(
                    "the instances run several releases of one image: {}",
                    named.join(", ")
                ));
            }
        }
        for seen in self.memory.instances.values() {
            if seen.present && self.memory.is_set_aside(seen, self.expectation) {
                warnings.push(format!(
                    "{} had been stopped on request before, so it is not counted",
                    name(seen)
                ));
            }
        }
        if verdict == Verdict::Verified && self.evidence() == Evidence::Http && self.nameless() {
            warnings.push(
                "the answers name no version: which release it is was judged by the instances".to_owned(),
            );
        }
        warnings
    }

    /// Answers were good and none named a version.
    fn nameless(&self) -> bool {
        self.expectation.identity.mode != Identity::Off
            && self.counted.iter().any(|(seen, _)| seen.answers.good > 0)
            && self
                .counted
                .iter()
                .all(|(seen, _)| seen.answers.good == 0 || seen.answers.nameless)
    }
}

/// An instance, as people are told of it.
fn name(seen: &Seen) -> String {
    format!("instance {} ({})", seen.instance.id, seen.instance.region)
}

fn instances(count: usize) -> String {
    format!("{count} instance{}", if count == 1 { "" } else { "s" })
}

fn report(seen: &Seen, group: &GroupExpectation) -> InstanceReport {
    let instance = &seen.instance;
    let checks = match checks(instance, group) {
        Checks::None => None,
        Checks::Passing => Some("passing".to_owned()),
        Checks::Missing(_) => Some("missing".to_owned()),
        Checks::Failing(_) => instance
            .checks
            .iter()
            .filter(|check| !check.is_passing())
            .max_by_key(|check| check.status == "critical")
            .map(|check| check.status.clone()),
    };
    InstanceReport {
        id: instance.id.clone(),
        region: instance.region.clone(),
        group: instance.group.clone().unwrap_or_default(),
        state: instance.state.as_str().to_owned(),
        release: instance.release,
        digest: instance.image.digest.clone(),
        checks,
        probes: seen.answers.report.clone(),
    }
}

/// What serves instead, in one line; for the reasons of a verdict that nothing was returned over.
pub(crate) fn serving(judgement: &Judgement) -> String {
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    for instance in &judgement.listed {
        *shown.entry(describe(instance)).or_insert(0) += 1;
    }
    let parts: Vec<String> = shown
        .into_iter()
        .map(|(what, count)| format!("{} on {what}", instances(count)))
        .collect();
    parts.join(", ")
}
