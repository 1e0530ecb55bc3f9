//! Which environment a deploy goes to: named by itself, by its file, or refused.

use crate::error::{Error, Result};
use crate::project::fly_toml::check::all_of;
use crate::project::{NamedConfig, Project};

/// An environment that can be chosen.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) protected: bool,
    /// Its first service's file, as it is written on a command line.
    pub(crate) file: String,
    /// The other flags that were given, each after a blank.
    pub(crate) flags: String,
}

impl Candidate {
    pub(crate) fn of(project: &Project, flags: &str) -> Vec<Self> {
        project
            .environments
            .iter()
            .map(|environment| Self {
                name: environment.name.clone(),
                protected: environment.protected,
                file: environment.services.first().map_or_else(
                    || format!("fly.{}.toml", environment.name),
                    |service| project.on_a_command_line(&service.config),
                ),
                flags: flags.to_owned(),
            })
            .collect()
    }

    /// The command that deploys it.
    fn command(&self) -> String {
        let Self { name, flags, .. } = self;
        if self.protected {
            format!("shipctl deploy {name} --config {}{flags}", self.file)
        } else {
            format!("shipctl deploy {name}{flags}")
        }
    }
}

/// The environment that `deploy [ENV] [--config FILE]` means.
pub(crate) fn choose(
    environment: Option<&str>,
    config: Option<&NamedConfig>,
    candidates: &[Candidate],
) -> Result<String> {
    let find = |name: &str| candidates.iter().find(|candidate| candidate.name == name);
    let owner = config.and_then(|config| config.belongs_to.as_ref().map(|(owner, _)| owner.as_str()));
    match (environment, config) {
        (None, None) => Err(not_said("it is not said which environment to deploy", candidates)),
        (None, Some(config)) => owner.map(str::to_owned).ok_or_else(|| {
            not_said(
                &format!("`{}` belongs to no environment of this project", config.given),
                candidates,
            )
        }),
        (Some(name), None) => match find(name) {
            Some(candidate) if candidate.protected => Err(Error::refused(format!(
                "the protected environment `{name}` needs its config named"
            ))
            .hint(format!("run `{}`", candidate.command()))),
            _ => Ok(name.to_owned()),
        },
        (Some(name), Some(config)) => match owner {
            Some(owner) if owner != name => {
                let error = Error::refused(format!(
                    "`{}` belongs to the environment `{owner}`, not to `{name}`",
                    config.given
                ));
                let hints = [name, owner].into_iter().filter_map(find).map(Candidate::command);
                Err(hints.fold(error, |error, command| error.hint(format!("run `{command}`"))))
            }
            _ => Ok(name.to_owned()),
        },
    }
}

fn not_said(message: &str, candidates: &[Candidate]) -> Error {
    let names: Vec<&str> = candidates
        .iter()
        .map(|candidate| candidate.name.as_str())
        .collect();
    let error = Error::refused(message);
    match candidates
        .iter()
        .find(|candidate| !candidate.protected)
        .or(candidates.first())
    {
        Some(example) => error
            .hint(format!("environments are {}", all_of(&names)))
            .hint(format!("for example `{}`", example.command())),
        None => error.hint("there is no environment yet: write `fly.staging.toml` first"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Candidate, choose};
    use crate::error::ErrorKind;
    use crate::project::NamedConfig;

    fn config(given: &str, owner: Option<&str>) -> NamedConfig {
        NamedConfig {
            path: PathBuf::from("/p").join(given),
            given: given.to_owned(),
            belongs_to: owner.map(|owner| (owner.to_owned(), "web".to_owned())),
            app: None,
        }
    }

    #[test]
    fn only_what_is_said_twice_or_is_unprotected_is_chosen() {
        let candidates: Vec<Candidate> = [("production", true), ("staging", false)]
            .into_iter()
            .map(|(name, protected)| Candidate {
                name: name.to_owned(),
                protected,
                file: format!("fly.{name}.toml"),
                flags: " --image shop:v2".to_owned(),
            })
            .collect();
        let (production, staging, other) = (
            config("fly.production.toml", Some("production")),
            config("fly.staging.toml", Some("staging")),
            config("x.toml", None),
        );
        for (environment, config, expected) in [
            (None, None, Err("environments are `production` and `staging`")),
            (None, Some(&staging), Ok("staging")),
            (None, Some(&production), Ok("production")),
            (
                None,
                Some(&other),
                Err("for example `shipctl deploy staging --image shop:v2`"),
            ),
            (Some("staging"), None, Ok("staging")),
            (Some("staging"), Some(&staging), Ok("staging")),
            (
                Some("staging"),
                Some(&production),
                Err("run `shipctl deploy staging --image shop:v2`"),
            ),
            (Some("staging"), Some(&other), Ok("staging")),
            (
                Some("production"),
                None,
                Err("run `shipctl deploy production --config fly.production.toml --image shop:v2`"),
            ),
            (Some("production"), Some(&production), Ok("production")),
            (
                Some("production"),
                Some(&staging),
                Err("run `shipctl deploy production --config fly.production.toml --image shop:v2`"),
            ),
        ] {
            let case = format!("{environment:?} {:?}", config.map(|config| &config.given));
            match (choose(environment, config, &candidates), expected) {
                (Ok(chosen), Ok(name)) => assert_eq!(chosen, name, "{case}"),
                (Err(error), Err(hint)) => {
                    assert_eq!(error.kind, ErrorKind::Refused, "{case}");
                    assert!(error.hints.iter().any(|said| said == hint), "{case}: {error:?}");
                }
                (got, _) => panic!("{case}: {got:?}"),
            }
        }
        let error = choose(Some("production"), Some(&staging), &candidates).unwrap_err();
        assert!(
            error.message.contains("`staging`, not to `production`"),
            "{error}"
        );
        assert!(choose(None, None, &[]).unwrap_err().hints[0].contains("fly.staging.toml"));
    }
}
