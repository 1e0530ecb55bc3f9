//! Whether there are enough instances, where they have to be.

use std::collections::BTreeMap;

use super::{Bench, instances};
use crate::verification::expectation::Kind;

impl Bench<'_> {
    /// What is missing of the number of instances; what was missing before already is a warning.
    pub(super) fn too_few(&mut self) -> Vec<String> {
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
            // A return mends no number: flyctl makes no instance for one that was destroyed meanwhile, and what is left
            // serves what was returned to.
            let few_will_do = group.recreated || self.expectation.kind == Kind::Return;
            let needed = if few_will_do { 1 } else { was.unwrap_or(1).max(1) };
            if now < needed {
                missing.push(format!(
                    "group `{name}` has {} where {needed} {} needed",
                    instances(now),
                    if needed == 1 { "is" } else { "are" }
                ));
            } else if few_will_do && let Some(had) = was.or(group.had).filter(|had| now < *had) {
                let how = if group.recreated {
                    format!("was made again with {}", instances(now))
                } else {
                    format!("has {} of the {had} from before", instances(now))
                };
                warnings.push(format!(
                    "group `{name}` {how}; `fly scale count {name}={had} -a {}` brings the others back",
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
    pub(super) fn before(&self) -> BTreeMap<&str, usize> {
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

    pub(super) fn is_set_aside(&self, group: &str) -> bool {
        self.memory.instances.values().any(|seen| {
            seen.present
                && seen.instance.group.as_deref() == Some(group)
                && self.memory.is_set_aside(seen, self.expectation)
        })
    }
}

#[cfg(test)]
#[path = "numbers_tests.rs"]
mod tests;
