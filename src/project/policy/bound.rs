//! Is this the app that the environment is bound to?

use crate::error::{Error, Result};

/// What is known of the app of one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) environment: &'a str,
    pub(crate) service: &'a str,
    /// The file that names `app`.
    pub(crate) file: &'a str,
    pub(crate) app: &'a str,
    /// `[environments.X] app`.
    pub(crate) witness: Option<&'a str>,
    /// The app of the last record; asked where there is no witness.
    pub(crate) recorded: Option<&'a str>,
}

/// Refused where the file names another app than the one bound to the environment.
pub(crate) fn check(facts: &Facts<'_>) -> Result<()> {
    let (bound, from) = match (facts.witness, facts.recorded) {
        (Some(witness), _) => (witness, "shipctl.toml"),
        (None, Some(recorded)) => (recorded, "the ledger"),
        (None, None) => return Ok(()),
    };
    if bound == facts.app {
        return Ok(());
    }
    let Facts {
        environment,
        service,
        file,
        app,
        ..
    } = facts;
    let error = Error::refused(format!(
        "`{file}` names the app `{app}`, but `{environment}` is bound to `{bound}` by {from}"
    ));
    Err(if facts.witness.is_some() {
        error.hint(format!(
            "mend `app` in `{file}`, or in `[environments.{environment}]` of shipctl.toml"
        ))
    } else {
        error
            .hint(format!("mend `app` in `{file}`"))
            .hint(format!("or, if `{environment}` has moved for good, write `app = \"{app}\"` into `[environments.{environment}]` of shipctl.toml (service `{service}`)"))
    })
}

/// Refused where the app is owned by another organisation than `[environments.X] org` names.
pub(crate) fn organization(environment: &str, app: &str, wanted: &str, owner: &str) -> Result<()> {
    if wanted == owner {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the app `{app}` belongs to the organisation `{owner}`, but `{environment}` is bound to `{wanted}` by shipctl.toml"
    ))
    .hint(format!(
        "mend `app` in the file of `{environment}`, or `org` in `[environments.{environment}]` of shipctl.toml"
    )))
}

#[cfg(test)]
mod tests {
    use super::{Facts, check, organization};

    #[test]
    fn an_app_of_another_organisation_is_refused_with_both_names() {
        assert!(organization("production", "shop", "acme", "acme").is_ok());
        let error = organization("production", "shop", "acme", "personal").unwrap_err();
        assert_eq!(error.kind.exit_code(), 3);
        for word in ["`shop`", "`personal`", "`acme`", "`production`"] {
            assert!(error.message.contains(word), "{error}");
        }
    }

    #[test]
    fn witness_before_ledger_before_nothing() {
        for (witness, recorded, passes) in [
            (None, None, true),
            (Some("shop"), None, true),
            (Some("shop"), Some("old"), true),
            (Some("other"), None, false),
            (Some("other"), Some("shop"), false),
            (None, Some("shop"), true),
            (None, Some("old"), false),
        ] {
            let facts = Facts {
                environment: "production",
                service: "web",
                file: "fly.production.toml",
                app: "shop",
                witness,
                recorded,
            };
            let answer = check(&facts);
            assert_eq!(answer.is_ok(), passes, "{witness:?} {recorded:?}");
            if let Err(error) = answer {
                assert_eq!(error.kind.exit_code(), 3);
                let bound = witness.or(recorded).unwrap();
                assert!(
                    error.message.contains("`shop`") && error.message.contains(&format!("`{bound}`")),
                    "{error}"
                );
            }
        }
    }
}
