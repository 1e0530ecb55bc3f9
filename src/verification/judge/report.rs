//! What is told of a verdict: evidence, warnings, and the state of each instance.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bench, instances, name};
use crate::project::Identity;
use crate::release::{Image, ReleaseNumber};
use crate::verification::expectation::{GroupExpectation, Kind, Place};
use crate::verification::memory::Seen;
use crate::verification::probe::Word;
use crate::verification::standing::{Checks, Standing, checks};
use crate::verification::{Evidence, InstanceReport, Judgement, Verdict};

impl Bench<'_> {
    /// What is waited for, in one line.
    pub(super) fn waiting(&self) -> String {
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

    /// By what the release was judged: of the groups that are asked, else of all.
    pub(super) fn evidence(&self) -> Evidence {
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

    pub(super) fn judgement(&mut self, verdict: Verdict, reasons: Vec<String>) -> Judgement {
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

    /// None of the good answers named a version.
    fn nameless(&self) -> bool {
        self.expectation.identity.mode != Identity::Off
            && self
                .counted
                .iter()
                .all(|(seen, _)| seen.answers.report.good == 0 || seen.answers.nameless)
    }
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
        checks,
        probes: seen.answers.report.clone(),
        ..InstanceReport::unasked(instance)
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
