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
use super::settings::{Effective, Source};

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

/// The same of what a variable says instead of the file: the environment that this one comes after, and the services
/// that its services need.
pub(super) fn of_variables(
    read: &ReadEnvironment,
    environments: &BTreeSet<String>,
    services: &[String],
) -> Vec<Problem> {
    let services = services.iter().cloned().collect();
    let environment = &read.environment;
    let mut problems = Vec::new();
    let after = environment.after.iter();
    let after = after.map(|after| {
        (
            &environment.effective,
            "after",
            after,
            &environment.name,
            environments,
        )
    });
    let needs = environment.services.iter().flat_map(|service| {
        let given = service.effective.iter().filter(|it| is_of(it, "needs"));
        let given = given.flat_map(|it| it.value.as_array().into_iter().flatten());
        given.map(move |need| (service, need.as_str().unwrap_or_default().to_owned()))
    });
    let needs: Vec<_> = needs.collect();
    let needs = needs
        .iter()
        .map(|(service, need)| (&service.effective, "needs", need, &service.name, &services));
    for (effective, key, named, own, known) in after.chain(needs) {
        let source = effective.iter().find(|it| is_of(it, key)).map(|it| &it.source);
        let place = match source {
            Some(Source::Variable(name)) => format!("`{name}`"),
            Some(Source::DotEnv { file, line, variable }) => format!("{file}:{line}: `{variable}`"),
            _ => continue,
        };
        let what = if key == "after" { "environment" } else { "service" };
        let message = if named == own {
            format!("it names `{own}` itself")
        } else if known.contains(named) {
            continue;
        } else {
            format!("it names `{}`, which is no {what}", named.escape_debug())
        };
        let all: Vec<&str> = known
            .iter()
            .map(String::as_str)
            .filter(|name| name != own)
            .collect();
        let hint = match nearest(named, all.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if all.is_empty() => format!("there is no other {what}"),
            None => format!("{what}s are {}", all_of(&all)),
        };
        problems.push(Problem::of_value(&place, message).hint(hint));
    }
    problems
}

fn is_of(effective: &Effective, key: &str) -> bool {
    effective.key.rsplit('.').next() == Some(key)
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
