//! What flyctl takes and does something else with than was meant (REFERENCE 3.2).

use std::collections::BTreeSet;

use toml::Value;

use super::groups::CheckKind;
use super::schema::{Fields, Kind, TOP};
use super::secrets::{entries, looks_secret};
use super::{BareNumber, FlyToml, duration_of};
use crate::project::diagnostics::{Problem, nearest};
use crate::project::document::{Document, Node, Tree};
use crate::project::duration;

/// A finding, and whether a deployment is warned of it: flyctl refuses or ignores what was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lint {
    pub(crate) problem: Problem,
    pub(crate) is_trap: bool,
}

impl Lint {
    fn trap(problem: Problem) -> Self {
        Self {
            problem,
            is_trap: true,
        }
    }

    fn advice(problem: Problem) -> Self {
        Self {
            problem,
            is_trap: false,
        }
    }
}

/// Everything that is worth saying of a configuration without mistakes, in the order of its lines.
pub(crate) fn lints(document: &Document) -> Vec<Lint> {
    let toml = FlyToml::of_table(document.root.to_table());
    let mut found = Vec::new();
    durations(document, &mut found);
    groups(document, &toml, &mut found);
    autostop(document, &toml, &mut found);
    checks(document, &toml, &mut found);
    deploy(document, &toml, &mut found);
    misspelt(document, &document.root, TOP, &mut found);
    for (name, node) in entries(document) {
        if node.as_str().is_some_and(|value| looks_secret(name, value)) {
            let problem = document.problem(
                node.span.clone(),
                format!("`[env] {name}` looks like a secret"),
                "",
            );
            let hint = format!("remove it and run `flyctl secrets set {name}=…`");
            found.push(Lint::advice(problem.without_excerpt().hint(hint)));
        }
    }
    found.sort_by_key(|lint| lint.problem.line);
    found
}

/// Numbers without a unit, which mean another one at each place.
fn durations(document: &Document, found: &mut Vec<Lint>) {
    let root = &document.root;
    let mut look = |node: Option<&Node>, path: String, keys: &[&str], bare: BareNumber| {
        for key in keys {
            let Some(value) = node.and_then(|node| node.get(key)) else {
                continue;
            };
            let Tree::Scalar(number @ (Value::Integer(_) | Value::Float(_))) = &value.tree else {
                continue;
            };
            let meant = duration_of(Some(number), bare).unwrap_or_default();
            let problem = document.problem(
                value.span.clone(),
                format!(
                    "`{path}.{key} = {number}` means {} to flyctl",
                    duration::show(meant)
                ),
                "a number without a unit",
            );
            found.push(Lint::trap(
                problem.hint(format!("write a duration: `{key} = \"{number}s\"`")),
            ));
        }
    };
    let times = ["interval", "timeout", "grace_period"];
    look(
        root.get("deploy"),
        "deploy".to_owned(),
        &["wait_timeout", "release_command_timeout"],
        BareNumber::Nanoseconds,
    );
    for check in items(root.at(["http_service", "checks"])) {
        look(
            Some(check),
            "http_service.checks".to_owned(),
            &times,
            BareNumber::Nanoseconds,
        );
    }
    for service in items(root.get("services")) {
        for list in ["tcp_checks", "http_checks"] {
            for check in items(service.get(list)) {
                look(
                    Some(check),
                    format!("services.{list}"),
                    &times,
                    BareNumber::Milliseconds,
                );
            }
        }
    }
    for (name, check) in root.get("checks").map_or(&[][..], Node::entries) {
        look(
            Some(check),
            format!("checks.{}", name.text),
            &times,
            BareNumber::Milliseconds,
        );
    }
}

/// Services that belong to no group, or to one that there is not.
fn groups(document: &Document, toml: &FlyToml, found: &mut Vec<Lint>) {
    let groups = toml.groups();
    let services = document.root.get("http_service").into_iter();
    for (path, part) in services
        .map(|node| ("http_service", node))
        .chain(items(document.root.get("services")).map(|node| ("services", node)))
    {
        match part.get("processes") {
            Some(named) if items(Some(named)).next().is_some() => {
                for name in items(Some(named)) {
                    let Some(group) = name.as_str() else { continue };
                    if !groups.iter().any(|known| known == group) {
                        let problem = document.problem(
                            name.span.clone(),
                            format!("`{path}.processes` names `{group}`, which `[processes]` does not"),
                            "flyctl refuses this",
                        );
                        let near = nearest(group, groups.iter().map(String::as_str));
                        found.push(Lint::trap(match near {
                            Some(near) => problem.hint(format!("did you mean `{near}`?")),
                            None => {
                                problem.hint(format!("add `{group}` to `[processes]`, or name another group"))
                            }
                        }));
                    }
                }
            }
            _ if !toml.processes.is_empty() => {
                let problem = document.problem(
                    part.span.clone(),
                    format!("`{path}` names no `processes`, though there are groups; flyctl refuses this"),
                    "which group is this for?",
                );
                found.push(Lint::trap(
                    problem.hint(format!("add `processes = [\"{}\"]`", groups[0])),
                ));
            }
            _ => {}
        }
    }
}

fn autostop(document: &Document, toml: &FlyToml, found: &mut Vec<Lint>) {
    let services = document.root.get("http_service").into_iter();
    for part in services.chain(items(document.root.get("services"))) {
        if let Some(node) = part.get("auto_stop_machines")
            && let Some(word) = node.as_str()
        {
            let problem = document.problem(
                node.span.clone(),
                format!(
                    "`auto_stop_machines = \"{}\"` is refused by flyctl v0.2.4, which knows booleans alone",
                    word.escape_debug()
                ),
                "a string",
            );
            let mend = if word == "off" { "false" } else { "true" };
            found.push(Lint::advice(
                problem.hint(format!("write `auto_stop_machines = {mend}`")),
            ));
        }
        if let Some(node) = part.get("min_machines_running")
            && node.to_value().as_integer().is_some_and(|count| count > 0)
            && toml.primary_region.is_none()
        {
            let problem = document.problem(
                node.span.clone(),
                "`min_machines_running` counts in the primary region, and none is named",
                "",
            );
            found.push(Lint::advice(problem.hint("add `primary_region = \"…\"`")));
        }
    }
}

/// Checks that flyctl stumbles over, and groups without any.
fn checks(document: &Document, toml: &FlyToml, found: &mut Vec<Lint>) {
    let groups = toml.groups();
    for (name, node) in document.root.get("checks").map_or(&[][..], Node::entries) {
        let kind = node.get("type").and_then(Node::as_str);
        if !matches!(kind, Some("http" | "tcp")) {
            let at = node.get("type").map_or(&name.span, |kind| &kind.span);
            let problem = document.problem(
                at.clone(),
                format!(
                    "`checks.{}` has no `type` that flyctl knows; flyctl refuses this",
                    name.text
                ),
                "",
            );
            found.push(Lint::trap(
                problem.hint("write `type = \"http\"` or `type = \"tcp\"`"),
            ));
            continue;
        }
        let lost = groups.iter().any(|group| {
            let checks = toml.group(group).checks;
            checks
                .iter()
                .any(|check| check.name.as_deref() == Some(&name.text) && check.port.is_none())
        });
        if lost {
            let problem = document.problem(
                name.span.clone(),
                format!(
                    "`checks.{}` has no `port`, and its group no `http_service` to take one from; flyctl fails in the middle of the deploy",
                    name.text
                ),
                "",
            );
            found.push(Lint::trap(problem.hint("add `port = …`")));
        }
    }
    for name in &groups {
        let group = toml.group(name);
        if group.public_http && group.checks.is_empty() {
            let problem = Problem::whole(
                &document.file,
                format!(
                    "checks nothing of group `{name}`: flyctl alone would call a release good that never answers"
                ),
            );
            found.push(Lint::advice(problem.hint(
                "add `[[http_service.checks]]` with `path`, `interval`, `timeout` and `grace_period`",
            )));
        } else if group.public_http && group.checks.iter().all(|check| check.kind == CheckKind::Tcp) {
            let problem = Problem::whole(
                &document.file,
                format!("checks TCP connections alone of group `{name}`, which answers HTTP"),
            );
            found.push(Lint::advice(
                problem.hint("add an HTTP check, or name `[verify] path` in shipctl.toml"),
            ));
        }
    }
}

fn deploy(document: &Document, toml: &FlyToml, found: &mut Vec<Lint>) {
    if toml.release_command.is_some()
        && toml.release_command_timeout.is_none()
        && let Some(node) = document.root.at(["deploy", "release_command"])
    {
        let problem = document.problem(
            node.span.clone(),
            "the release command has no `release_command_timeout`: flyctl ends it after 5m",
            "",
        );
        found.push(Lint::trap(
            problem.hint("add `release_command_timeout = \"15m\"` below it"),
        ));
    }
    if let Some(node) = document.root.at(["experimental", "auto_rollback"]) {
        let problem = document.problem(
            node.span.clone(),
            "`[experimental] auto_rollback` is ignored by flyctl",
            "does nothing",
        );
        found.push(Lint::trap(
            problem.hint("remove it: shipctl returns to the release from before by itself"),
        ));
    }
}

/// Keys that nearly are others: flyctl ignores what it does not know, silently.
fn misspelt(document: &Document, node: &Node, fields: Fields, found: &mut Vec<Lint>) {
    let present: BTreeSet<&str> = node
        .entries()
        .iter()
        .map(|(name, _)| name.text.as_str())
        .collect();
    for (name, value) in node.entries() {
        match fields.iter().find(|(field, _)| *field == name.text) {
            Some((_, Kind::Table(inner) | Kind::Tables(inner) | Kind::TableOrTables(inner))) => {
                for item in items(Some(value)) {
                    misspelt(document, item, inner, found);
                }
            }
            Some((_, Kind::Named(inner))) => {
                for (_, item) in value.entries() {
                    misspelt(document, item, inner, found);
                }
            }
            Some(_) => {}
            None => {
                // A table may be named twice, once misspelt: `[http_servce]` beside `[[http_service.checks]]`.
                let is_table = !value.entries().is_empty();
                let free = fields
                    .iter()
                    .map(|(field, _)| *field)
                    .filter(|field| is_table || !present.contains(field));
                // Short names are near to everything.
                if name.text.len() >= 4
                    && let Some(near) = nearest(&name.text, free)
                {
                    let problem = document.problem(
                        name.span.clone(),
                        format!("`{}` is no key that flyctl knows: it is ignored", name.text),
                        "unknown key",
                    );
                    found.push(Lint::trap(problem.hint(format!("did you mean `{near}`?"))));
                }
            }
        }
    }
}

/// A table or value by itself, or the items of an array.
fn items(node: Option<&Node>) -> impl Iterator<Item = &Node> {
    let (one, many) = match node {
        Some(Node {
            tree: Tree::Array(items),
            ..
        }) => (None, items.as_slice()),
        other => (other, &[][..]),
    };
    one.into_iter().chain(many)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::lints;

    fn said(text: &str) -> Vec<String> {
        let (document, problems) = check::read("f.toml", text);
        assert!(problems.is_empty(), "{text:?}: {problems:?}");
        lints(&document)
            .iter()
            .map(|lint| lint.problem.summary())
            .collect()
    }

    #[test]
    fn each_trap_is_named() {
        for (text, word) in [
            (
                "[deploy]\nwait_timeout = 300\n",
                "f.toml:3: `deploy.wait_timeout = 300` means 300ns",
            ),
            (
                "[http_service]\n[[http_service.checks]]\npath = \"/\"\ninterval = 10\n",
                "f.toml:5: `http_service.checks.interval = 10` means 10ns",
            ),
            (
                "[[services]]\n[[services.tcp_checks]]\ntimeout = 2\n",
                "f.toml:4: `services.tcp_checks.timeout = 2` means 2ms",
            ),
            (
                "[checks.alive]\ntype = \"tcp\"\nport = 1\ngrace_period = 5\n",
                "f.toml:5: `checks.alive.grace_period = 5` means 5ms",
            ),
            (
                "[processes]\nweb = \"a\"\n[http_service]\ninternal_port = 1\n",
                "names no `processes`",
            ),
            (
                "[processes]\nweb = \"a\"\n[http_service]\nprocesses = [\"wep\"]\n",
                "f.toml:5: `http_service.processes` names `wep`",
            ),
            (
                "[http_service]\nauto_stop_machines = \"stop\"\n",
                "refused by flyctl v0.2.4",
            ),
            ("[http_service]\nmin_machines_running = 1\n", "none is named"),
            ("[checks.a]\nport = 1\n", "no `type` that flyctl knows"),
            (
                "[checks.a]\ntype = \"tcp\"\n",
                "fails in the middle of the deploy",
            ),
            (
                "[http_service]\ninternal_port = 8080\n",
                "`f.toml` checks nothing of group `app`",
            ),
            ("[deploy]\nrelease_command = \"m\"\n", "flyctl ends it after 5m"),
            ("[experimental]\nauto_rollback = true\n", "ignored by flyctl"),
            (
                "[http_service]\nintenal_port = 8080\n",
                "f.toml:3: `intenal_port` is no key that flyctl knows",
            ),
            (
                "[http_servce]\ninternal_port = 1\n[[http_service.checks]]\npath = \"/\"\n",
                "f.toml:2: `http_servce` is no key that flyctl knows",
            ),
            (
                "[env]\nAPI_SECRET = \"hunter2\"\n",
                "f.toml:3: `[env] API_SECRET` looks like a secret",
            ),
        ] {
            let lints = said(&format!("app = \"a\"\n{text}"));
            assert!(
                lints.iter().any(|lint| lint.contains(word)),
                "{text:?}: {lints:?}"
            );
            assert!(lints.iter().all(|lint| !lint.contains("hunter2")), "{lints:?}");
        }
    }

    #[test]
    fn a_good_file_has_none() {
        let lints = said(
            "app = \"a\"\nprimary_region = \"fra\"\nconsole_command = \"sh\"\n[deploy]\nrelease_command = \"m\"\n\
             release_command_timeout = \"15m\"\n[processes]\nweb = \"w\"\nworker = \"x\"\n[http_service]\n\
             internal_port = 8080\nauto_stop_machines = true\nmin_machines_running = 1\nprocesses = [\"web\"]\n\
             [[http_service.checks]]\npath = \"/health\"\ninterval = \"10s\"\n[env]\nLOG = \"info\"\n\
             [checks.q]\ntype = \"tcp\"\nport = 9\nprocesses = [\"worker\"]\n[custom]\na = 1\n",
        );
        assert_eq!(lints, Vec::<String>::new());
    }
}
