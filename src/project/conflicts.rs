//! What is wrong between environments: one app in two places, or an environment that is not there.

use std::collections::BTreeSet;
use std::path::Path;

use super::Environment;
use super::diagnostics::{Problem, nearest};
use super::discover::{PLAIN, shown};
use super::document::{self, Document, Node};
use super::fly_toml::FlyToml;
use super::fly_toml::check::all_of;
use super::reader::ReadEnvironment;

/// The environment that another one comes after must be there.
pub(super) fn after_problems(document: Option<&Document>, names: &BTreeSet<String>) -> Vec<Problem> {
    let Some(document) = document else {
        return Vec::new();
    };
    let tables = document.root.get("environments").map_or(&[][..], Node::entries);
    tables
        .iter()
        .filter_map(|(name, table)| {
            let node = table.get("after")?;
            let before = node.as_str().filter(|before| !names.contains(*before))?;
            let message = format!(
                "`environments.{}.after` names `{}`, which is no environment",
                name.text,
                before.escape_debug()
            );
            let problem = document.problem(node.span.clone(), message, "unknown environment");
            let all: Vec<&str> = names.iter().map(String::as_str).collect();
            Some(match nearest(before, all.iter().copied()) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("environments are {}", all_of(&all))),
            })
        })
        .collect()
}

/// Apps that two environments, or two services of one, name; with the environments that it concerns.
pub(super) fn same_apps(read: &[ReadEnvironment]) -> Vec<(Vec<String>, Problem)> {
    let all: Vec<(&str, &str, &str, &Problem)> = read
        .iter()
        .flat_map(|one| {
            let environment = one.environment.name.as_str();
            one.apps
                .iter()
                .map(move |(service, app, place)| (environment, service.as_str(), app.as_str(), place))
        })
        .collect();
    let mut found = Vec::new();
    for (at, (environment, service, app, place)) in all.iter().enumerate() {
        let Some((other, other_service, _, other_place)) =
            all[..at].iter().find(|(.., other_app, _)| other_app == app)
        else {
            continue;
        };
        let (mine, theirs) = if environment == other {
            (
                format!("service `{service}`"),
                format!("service `{other_service}`"),
            )
        } else {
            (
                format!("environment `{environment}`"),
                format!("environment `{other}`"),
            )
        };
        let problem = Problem {
            message: format!(
                "{mine} names the app `{app}`, and so does {theirs} ({})",
                other_place.place()
            ),
            ..(*place).clone()
        };
        found.push((
            vec![(*environment).to_owned(), (*other).to_owned()],
            problem.hint("give each an app of its own: a deployment of one would ship the other"),
        ));
    }
    found
}

/// A `fly.toml` that nobody owns and that names the app of an environment.
pub(super) fn plain_file_warnings<'a>(
    root: &Path,
    environments: impl Iterator<Item = &'a Environment>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for environment in environments {
        for service in &environment.services {
            let plain = service.config.with_file_name(PLAIN);
            if plain == service.config || service.app.is_empty() {
                continue;
            }
            let Ok(text) = document::read(&plain, PLAIN) else {
                continue;
            };
            if FlyToml::parse(&text).app.as_ref() == Some(&service.app) {
                warnings.push(format!(
                    "`{}` names the app `{}` too: a bare `fly deploy` would ship `{}`",
                    shown(root, &plain),
                    service.app,
                    environment.name
                ));
            }
        }
    }
    warnings
}
