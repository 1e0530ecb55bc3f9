//! Who sleeps with right, who is woken, and who is started.

use std::time::Duration;

use super::Bench;
use crate::instance::InstanceState;
use crate::verification::expectation::GroupExpectation;
use crate::verification::memory::Seen;
use crate::verification::standing::{Standing, may_sleep};

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

impl<'a> Bench<'a> {
    pub(super) fn in_group<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a Seen> + 's {
        self.counted
            .iter()
            .filter(move |(seen, _)| seen.instance.group.as_deref() == Some(name))
            .map(|(seen, _)| *seen)
    }

    /// Groups of sleepers of which none has been seen good, or too few are awake.
    pub(super) fn groups_unseen(&self) -> Vec<String> {
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
    pub(super) fn to_rouse(&self) -> Vec<String> {
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
    pub(super) fn to_start(&self) -> Vec<String> {
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
}

#[cfg(test)]
#[path = "sleep_tests.rs"]
mod tests;
