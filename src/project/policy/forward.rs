//! May this forward deploy start? A rollback is exempt from all of it.

use super::refs::any_allowed;
use crate::error::{Error, Result};
use crate::project::fly_toml::check::{all_of, listed};
use crate::state::freeze::Freeze;
use crate::state::history::Repetition;

/// A rule that `--override` passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rule {
    Refs,
    After,
    Freeze,
}

impl Rule {
    pub(crate) const ALL: [Self; 3] = [Self::Refs, Self::After, Self::Freeze];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Refs => "refs",
            Self::After => "after",
            Self::Freeze => "freeze",
        }
    }
}

/// Rules that a person overrides.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Overrides(pub(crate) Vec<Rule>);

impl Overrides {
    /// Reads `--override refs,after`; it needs a reason.
    pub(crate) fn parse(rules: &[String], reason: Option<&str>) -> Result<Self> {
        let mut overrides = Vec::new();
        for word in rules.iter().flat_map(|rules| rules.split(',')).map(str::trim) {
            match Rule::ALL.into_iter().find(|rule| rule.as_str() == word) {
                Some(rule) if overrides.contains(&rule) => {}
                Some(rule) => overrides.push(rule),
                None => {
                    return Err(Error::usage(format!(
                        "`{}` is no rule that can be overridden",
                        word.escape_debug()
                    ))
                    .hint(format!("rules are {}", all_of(&Rule::ALL.map(Rule::as_str)))));
                }
            }
        }
        if !overrides.is_empty() && reason.is_none_or(|reason| reason.trim().is_empty()) {
            return Err(Error::usage("`--override` needs a reason").hint("add `--reason \"…\"`"));
        }
        Ok(Self(overrides))
    }
}

/// Everything that the rules ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) environment: String,
    /// `allowed_refs`; empty allows all.
    pub(crate) allowed_refs: Vec<String>,
    /// The ref, and the tags and the branch at HEAD.
    pub(crate) refs: Vec<String>,
    pub(crate) after: Option<After>,
    /// By whom, since when and why.
    pub(crate) freeze: Option<Freeze>,
    /// Of what is shipped, one for each service.
    pub(crate) repetitions: Vec<Repetition>,
    /// The id of a deployment that was cut after its migration began and before its machines moved.
    pub(crate) unfinished: Option<String>,
    pub(crate) unfreeze: bool,
    pub(crate) overrides: Overrides,
}

/// What must have been verified elsewhere first.
#[derive(Clone, Debug)]
pub(crate) struct After {
    pub(crate) environment: String,
    /// The same image or commit was verified there.
    pub(crate) satisfied: bool,
    /// What would have to be: an image or a commit, for people.
    pub(crate) wanted: String,
    /// Whether this ledger is the one that others write.
    pub(crate) state_is_shared: bool,
}

/// What a deploy that may start has to say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Passed {
    /// Rules that would have refused it, for the record.
    pub(crate) overridden: Vec<&'static str>,
    pub(crate) warnings: Vec<String>,
    /// The freeze is to be lifted.
    pub(crate) lifts_freeze: bool,
}

/// Refuses by the first rule that says no.
pub(crate) fn check(facts: &Facts) -> Result<Passed> {
    let mut passed = Passed::default();
    if let Some(id) = &facts.unfinished {
        return Err(Error::refused(format!(
            "the deployment `{id}` was cut off after its migration began: what it did to the database is not known"
        ))
        .hint(format!(
            "`shipctl rollback {}` puts back what was verified before, and takes its place",
            facts.environment
        )));
    }
    for (rule, refusal) in [
        (Rule::Refs, refs(facts)),
        (Rule::After, after(facts)),
        (Rule::Freeze, freeze(facts)),
    ] {
        let Some(refusal) = refusal else { continue };
        if facts.overrides.0.contains(&rule) {
            passed.warnings.push(format!("overridden: {refusal}"));
            passed.overridden.push(rule.as_str());
        } else {
            return Err(refusal);
        }
    }
    passed.lifts_freeze = facts.unfreeze && facts.freeze.is_some();
    for repetition in &facts.repetitions {
        match repetition {
            Repetition::Same(before) if !facts.unfreeze => {
                return Err(Error::refused(format!(
                    "this very release failed here before: the deployment `{}` was returned from it",
                    before.id
                ))
                .hint("ship a mended image or configuration")
                .hint(format!(
                    "or run it again with `--unfreeze`; `shipctl history show {}` says what failed",
                    before.id
                )));
            }
            Repetition::SameTag(before) => passed.warnings.push(format!(
                "an image of this name was returned from by the deployment `{}`; unless its tag has moved since, it will fail again",
                before.id
            )),
            Repetition::OtherConfiguration(before) => passed.warnings.push(format!(
                "this image was returned from by the deployment `{}`, with another configuration",
                before.id
            )),
            Repetition::None | Repetition::Same(_) => {}
        }
    }
    Ok(passed)
}

fn refs(facts: &Facts) -> Option<Error> {
    if facts.allowed_refs.is_empty() || any_allowed(&facts.allowed_refs, &facts.refs) {
        return None;
    }
    let allowed: Vec<&str> = facts.allowed_refs.iter().map(String::as_str).collect();
    let here: Vec<&str> = facts.refs.iter().map(String::as_str).collect();
    let message = if here.is_empty() {
        format!(
            "`{}` takes deploys from {} alone, and no ref is known here",
            facts.environment,
            listed(&allowed)
        )
    } else {
        format!(
            "`{}` takes deploys from {} alone; this is {}",
            facts.environment,
            listed(&allowed),
            all_of(&here)
        )
    };
    Some(
        Error::refused(message)
            .hint("check out such a ref, or name it in `SHIPCTL_REF` where there is no checkout")
            .hint("or pass with `--override refs --reason \"…\"`"),
    )
}

fn after(facts: &Facts) -> Option<Error> {
    let after = facts.after.as_ref().filter(|after| !after.satisfied)?;
    let error = Error::refused(format!(
        "`{}` comes after `{}`, and {} was not verified there",
        facts.environment, after.environment, after.wanted
    ));
    let error = if after.state_is_shared {
        error.hint(format!(
            "run `shipctl deploy {}` with it first",
            after.environment
        ))
    } else {
        error.hint(format!(
            "run `shipctl deploy {}` with it first; this ledger is this machine's own, and `[state] url` names a folder that others see, too",
            after.environment
        ))
    };
    Some(error.hint("or pass with `--override after --reason \"…\"`"))
}

fn freeze(facts: &Facts) -> Option<Error> {
    let freeze = facts.freeze.as_ref().filter(|_| !facts.unfreeze)?;
    let since = if freeze.since.is_empty() {
        String::new()
    } else {
        format!(" since {}", freeze.since)
    };
    Some(
        Error::refused(format!(
            "`{}` is frozen{since} by {}: {}",
            facts.environment, freeze.by, freeze.reason
        ))
        .hint(format!(
            "run `shipctl unfreeze {}`, or deploy with `--unfreeze`",
            facts.environment
        ))
        .hint("or pass with `--override freeze --reason \"…\"`"),
    )
}

#[cfg(test)]
mod tests {
    use super::{After, Facts, Overrides, Rule, check};
    use crate::error::ErrorKind;
    use crate::state::freeze::Freeze;
    use crate::state::history::Before;
    use crate::state::history::Repetition;

    fn frozen() -> Freeze {
        Freeze {
            reason: "rolled back".to_owned(),
            by: "dev@example.com".to_owned(),
            since: "2026-01-28T10:00:00Z".to_owned(),
        }
    }

    fn after(satisfied: bool, state_is_shared: bool) -> After {
        After {
            environment: "staging".to_owned(),
            satisfied,
            wanted: "commit `abc1234`".to_owned(),
            state_is_shared,
        }
    }

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    fn nothing() -> Facts {
        Facts {
            environment: "production".to_owned(),
            ..Facts::default()
        }
    }

    fn over(rules: &[Rule]) -> Overrides {
        Overrides(rules.to_vec())
    }

    /// It may start, with these rules overridden and so many warnings.
    #[track_caller]
    fn passes(facts: &Facts, overridden: &[&str], warnings: usize) {
        let passed = check(facts).unwrap();
        assert_eq!(passed.overridden, overridden);
        assert_eq!(passed.warnings.len(), warnings, "{passed:?}");
        assert_eq!(passed.lifts_freeze, facts.unfreeze && facts.freeze.is_some());
    }

    #[track_caller]
    fn refused(facts: &Facts, word: &str) {
        let error = check(facts).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.contains(word), "{error}");
        assert!(!error.hints.is_empty());
    }

    #[test]
    fn refs_after_and_freeze_hold_until_satisfied_or_overridden() {
        passes(&nothing(), &[], 0);
        let tags = |refs: &[&str], overrides| Facts {
            allowed_refs: strings(&["refs/tags/v*"]),
            refs: strings(refs),
            overrides,
            ..nothing()
        };
        passes(&tags(&["refs/heads/main", "refs/tags/v1"], over(&[])), &[], 0);
        refused(
            &tags(&["refs/heads/main"], over(&[])),
            "this is `refs/heads/main`",
        );
        refused(&tags(&[], over(&[])), "no ref is known here");
        refused(
            &tags(&[], over(&[Rule::After, Rule::Freeze])),
            "no ref is known here",
        );
        passes(&tags(&[], over(&[Rule::Refs])), &["refs"], 1);

        let follows = |satisfied, overrides| Facts {
            after: Some(after(satisfied, true)),
            overrides,
            ..nothing()
        };
        passes(&follows(true, over(&[])), &[], 0);
        refused(
            &follows(false, over(&[])),
            "commit `abc1234` was not verified there",
        );
        refused(&follows(false, over(&[Rule::Refs])), "was not verified there");
        passes(&follows(false, over(&[Rule::After])), &["after"], 1);

        let held = |unfreeze, overrides| Facts {
            freeze: Some(frozen()),
            unfreeze,
            overrides,
            ..nothing()
        };
        refused(&held(false, over(&[])), "by dev@example.com: rolled back");
        passes(&held(true, over(&[])), &[], 0);
        passes(&held(false, over(&[Rule::Freeze])), &["freeze"], 1);
    }

    #[test]
    fn what_failed_before_and_what_was_cut_off_cannot_be_overridden() {
        let before = || Before {
            id: "id1".to_owned(),
            at: "2026-01-28T10:00:00Z".to_owned(),
        };
        let repeats = |repetition, unfreeze| Facts {
            repetitions: vec![Repetition::None, repetition],
            unfreeze,
            overrides: over(&Rule::ALL),
            ..nothing()
        };
        refused(&repeats(Repetition::Same(before()), false), "failed here before");
        passes(&repeats(Repetition::Same(before()), true), &[], 0);
        passes(&repeats(Repetition::SameTag(before()), false), &[], 1);
        passes(&repeats(Repetition::OtherConfiguration(before()), false), &[], 1);
        let cut = Facts {
            unfinished: Some("id2".to_owned()),
            unfreeze: true,
            overrides: over(&Rule::ALL),
            ..nothing()
        };
        refused(&cut, "`id2` was cut off after its migration began");
    }

    #[test]
    fn a_local_ledger_says_how_to_share_it() {
        let of = |shared| {
            let facts = Facts {
                after: Some(after(false, shared)),
                ..Facts::default()
            };
            check(&facts).unwrap_err().hints[0].clone()
        };
        assert!(of(false).contains("`[state] url` names a folder"));
        assert!(!of(true).contains("[state]"));
    }

    #[test]
    fn overrides_are_rules_with_a_reason() {
        let all = Overrides::parse(&strings(&["refs, after", "freeze,refs"]), Some("hotfix")).unwrap();
        assert_eq!(all.0, Rule::ALL);
        assert_eq!(Overrides::parse(&[], None).unwrap(), Overrides::default());
        for (rules, reason) in [
            ("refs", None),
            ("refs", Some(" ")),
            ("lock", Some("x")),
            ("", Some("x")),
        ] {
            let error = Overrides::parse(&strings(&[rules]), reason).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Usage, "{rules} {reason:?}");
        }
    }
}
