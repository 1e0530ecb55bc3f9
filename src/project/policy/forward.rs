//! May this forward deploy start? A rollback is exempt from all of it.

use super::refs::any_allowed;
use crate::error::{Error, Result};
use crate::project::fly_toml::check::listed;

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
                    .hint(format!("rules are {}", listed(&Rule::ALL.map(Rule::as_str)))));
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
    pub(crate) repetition: Repetition,
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

#[derive(Clone, Debug)]
pub(crate) struct Freeze {
    pub(crate) reason: String,
    pub(crate) by: String,
    pub(crate) since: String,
}

/// Whether this was returned from, and not verified since.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Repetition {
    #[default]
    No,
    /// By its digest, or by a tag that shipctl made; `deployment` is the one that was returned.
    Same { deployment: String },
    /// By a tag that may have moved since.
    MayBe { deployment: String },
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
        .hint(format!("run `shipctl resume {}`", facts.environment)));
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
    match &facts.repetition {
        Repetition::Same { deployment } if !facts.unfreeze => Err(Error::refused(format!(
            "this very release failed here before: the deployment `{deployment}` was returned from it"
        ))
        .hint("ship a mended image or configuration")
        .hint(format!(
            "or run it again with `--unfreeze`; `shipctl history show {deployment}` says what failed"
        ))),
        Repetition::MayBe { deployment } => {
            passed.warnings.push(format!(
                "an image of this name was returned from by the deployment `{deployment}`; unless its tag has moved since, it will fail again"
            ));
            Ok(passed)
        }
        Repetition::No | Repetition::Same { .. } => Ok(passed),
    }
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
            listed(&here)
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
            "run `shipctl deploy {}` with it first; this ledger is this machine's own, and `[state] url = \"git+origin\"` shares it",
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
    use super::{After, Facts, Freeze, Overrides, Repetition, Rule, check};
    use crate::error::ErrorKind;

    fn frozen() -> Option<Freeze> {
        Some(Freeze {
            reason: "rolled back".to_owned(),
            by: "dev@example.com".to_owned(),
            since: "2026-01-28T10:00:00Z".to_owned(),
        })
    }

    fn after(satisfied: bool, state_is_shared: bool) -> Option<After> {
        Some(After {
            environment: "staging".to_owned(),
            satisfied,
            wanted: "commit `abc1234`".to_owned(),
            state_is_shared,
        })
    }

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    /// One row for each rule, with what it takes to pass it.
    #[test]
    fn each_rule_refuses_and_can_be_passed_as_it_says() {
        let tags = || strings(&["refs/tags/v*"]);
        let same = || Repetition::Same {
            deployment: "id1".to_owned(),
        };
        let may_be = || Repetition::MayBe {
            deployment: "id1".to_owned(),
        };
        let nothing = || Facts {
            environment: "production".to_owned(),
            ..Facts::default()
        };
        let over = |rule| Overrides(vec![rule]);
        let rows: Vec<(&str, Facts, Result<(&[&str], usize), &str>)> = vec![
            ("nothing is asked for", nothing(), Ok((&[], 0))),
            (
                "ref allowed",
                Facts {
                    allowed_refs: tags(),
                    refs: strings(&["refs/heads/main", "refs/tags/v1"]),
                    ..nothing()
                },
                Ok((&[], 0)),
            ),
            (
                "ref not allowed",
                Facts {
                    allowed_refs: tags(),
                    refs: strings(&["refs/heads/main"]),
                    ..nothing()
                },
                Err("this is `refs/heads/main`"),
            ),
            (
                "no ref known",
                Facts {
                    allowed_refs: tags(),
                    ..nothing()
                },
                Err("no ref is known here"),
            ),
            (
                "ref overridden",
                Facts {
                    allowed_refs: tags(),
                    overrides: over(Rule::Refs),
                    ..nothing()
                },
                Ok((&["refs"], 1)),
            ),
            (
                "another rule overridden",
                Facts {
                    allowed_refs: tags(),
                    overrides: over(Rule::Freeze),
                    ..nothing()
                },
                Err("no ref is known here"),
            ),
            (
                "after satisfied",
                Facts {
                    after: after(true, true),
                    ..nothing()
                },
                Ok((&[], 0)),
            ),
            (
                "after not satisfied",
                Facts {
                    after: after(false, true),
                    ..nothing()
                },
                Err("commit `abc1234` was not verified there"),
            ),
            (
                "after overridden",
                Facts {
                    after: after(false, false),
                    overrides: over(Rule::After),
                    ..nothing()
                },
                Ok((&["after"], 1)),
            ),
            (
                "frozen",
                Facts {
                    freeze: frozen(),
                    ..nothing()
                },
                Err("by dev@example.com: rolled back"),
            ),
            (
                "unfrozen",
                Facts {
                    freeze: frozen(),
                    unfreeze: true,
                    ..nothing()
                },
                Ok((&[], 0)),
            ),
            (
                "freeze overridden",
                Facts {
                    freeze: frozen(),
                    overrides: over(Rule::Freeze),
                    ..nothing()
                },
                Ok((&["freeze"], 1)),
            ),
            (
                "returned from",
                Facts {
                    repetition: same(),
                    ..nothing()
                },
                Err("failed here before"),
            ),
            (
                "returned from, and everything overridden",
                Facts {
                    repetition: same(),
                    overrides: Overrides(Rule::ALL.to_vec()),
                    ..nothing()
                },
                Err("failed here before"),
            ),
            (
                "returned from, unfrozen",
                Facts {
                    repetition: same(),
                    unfreeze: true,
                    ..nothing()
                },
                Ok((&[], 0)),
            ),
            (
                "perhaps returned from",
                Facts {
                    repetition: may_be(),
                    ..nothing()
                },
                Ok((&[], 1)),
            ),
            (
                "migration cut off",
                Facts {
                    unfinished: Some("id2".to_owned()),
                    unfreeze: true,
                    ..nothing()
                },
                Err("`id2` was cut off after its migration began"),
            ),
            (
                "migration cut off, and everything overridden",
                Facts {
                    unfinished: Some("id2".to_owned()),
                    overrides: Overrides(Rule::ALL.to_vec()),
                    ..nothing()
                },
                Err("`id2` was cut off after its migration began"),
            ),
        ];
        for (case, facts, expected) in rows {
            match (check(&facts), expected) {
                (Ok(passed), Ok((overridden, warnings))) => {
                    assert_eq!(passed.overridden, overridden, "{case}");
                    assert_eq!(passed.warnings.len(), warnings, "{case}: {passed:?}");
                    assert_eq!(
                        passed.lifts_freeze,
                        facts.unfreeze && facts.freeze.is_some(),
                        "{case}"
                    );
                }
                (Err(error), Err(word)) => {
                    assert_eq!(error.kind, ErrorKind::Refused, "{case}");
                    assert!(error.message.contains(word), "{case}: {error}");
                    assert!(!error.hints.is_empty(), "{case}");
                }
                (got, _) => panic!("{case}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_local_ledger_says_how_to_share_it() {
        let of = |shared| {
            let facts = Facts {
                after: after(false, shared),
                ..Facts::default()
            };
            check(&facts).unwrap_err().hints[0].clone()
        };
        assert!(of(false).contains("git+origin"));
        assert!(!of(true).contains("git+origin"));
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
