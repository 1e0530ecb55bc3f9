//! `shipctl.toml` as written: what stands in it is known and of the right kind, or is said to be wrong.
//!
//! It is walked along the table of [`keys`] instead of being read into types in one go, so that every mistake is
//! named with its place at once, and so that what is right still holds where something else is wrong.

use super::diagnostics::{Problem, nearest};
use super::document::{Document, Name, Node, Tree};
use super::fly_toml::check::all_of;
use super::keys::{KEYS, Key, LATER, Place};

pub(crate) const FILE_NAME: &str = "shipctl.toml";

/// The tables that this version reads.
const TABLES: [&str; 9] = [
    "project",
    "environments",
    "services",
    "verify",
    "rollback",
    "state",
    "deploy",
    "lock",
    "flyctl",
];

/// Reads the text; the document holds what could be read all the same.
pub(crate) fn read(file: &str, text: &str) -> (Document, Vec<Problem>) {
    // Editors on Windows write one; nobody but shipctl reads this file.
    let (document, problems) = Document::parse(file, text.trim_start_matches('\u{feff}'));
    // What follows a broken line is often said to be broken because of it.
    if let Some(first) = problems.into_iter().next() {
        return (document, vec![first]);
    }
    let problems = problems_of(&document);
    (document, problems)
}

fn problems_of(document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, node) in document.root.entries() {
        match name.text.as_str() {
            "environments" => named(document, name, node, Place::Environment, &mut problems),
            "services" => named(document, name, node, Place::Service, &mut problems),
            "verify" => table(document, "verify", node, Place::Verify, &mut problems),
            later if LATER.contains(&later) => problems.push(
                document
                    .problem(
                        name.span.clone(),
                        format!("`[{later}]` is not supported by this version"),
                        "unknown table",
                    )
                    .hint(format!("remove `[{later}]`")),
            ),
            other => match TABLES.iter().find(|table| **table == other) {
                Some(known) => table(document, known, node, Place::Table(known), &mut problems),
                None => problems.push(unknown(document, name, "", &TABLES)),
            },
        }
    }
    needs(document, &mut problems);
    after(document, &mut problems);
    problems
}

/// `[environments.*]` or `[services.*]`.
fn named(document: &Document, name: &Name, node: &Node, place: Place, problems: &mut Vec<Problem>) {
    if !is_table(document, &name.text, node, problems) {
        return;
    }
    for (own, inner) in node.entries() {
        let path = format!("{}.{}", name.text, own.text);
        if !is_name(&own.text) {
            let message = format!(
                "`{}` is no name for one of `{}`",
                own.text.escape_debug(),
                name.text
            );
            let problem = document.problem(own.span.clone(), message, "");
            problems.push(
                problem.hint("use letters, digits, `-`, `_` and `.`, beginning with a letter or digit"),
            );
        }
        table(document, &path, inner, place, problems);
    }
}

/// One table with its keys, and with a `verify` of its own where that may stand.
fn table(document: &Document, path: &str, node: &Node, place: Place, problems: &mut Vec<Problem>) {
    if !is_table(document, path, node, problems) {
        return;
    }
    let holds_verify = matches!(place, Place::Environment | Place::Service);
    for (own, value) in node.entries() {
        if holds_verify && own.text == "verify" {
            table(
                document,
                &format!("{path}.verify"),
                value,
                Place::Verify,
                problems,
            );
            continue;
        }
        let keys = KEYS.iter().filter(|key| key.place == place);
        if let Some(key) = keys.clone().find(|key| key.name == own.text) {
            problems.extend(wrong(document, path, key, value));
        } else {
            let mut names: Vec<&str> = keys.map(|key| key.name).collect();
            if holds_verify {
                names.push("verify");
            }
            problems.push(unknown(document, own, path, &names));
        }
    }
}

fn wrong(document: &Document, path: &str, key: &Key, value: &Node) -> Option<Problem> {
    let cause = key.of_node(value).err()?;
    let message = format!("`{path}.{}`: {cause}", key.name);
    let problem = document.problem(value.span.clone(), message, "");
    let problem = problem.hint(format!("give `{}` {}", key.name, key.kind));
    // A token that was written where its variable belongs must not be shown.
    Some(if key.name == "token" || key.name == "headers" {
        problem.without_excerpt()
    } else {
        problem
    })
}

fn unknown(document: &Document, name: &Name, path: &str, known: &[&str]) -> Problem {
    let written = name.text.escape_debug();
    let (what, message) = if path.is_empty() {
        ("table", format!("there is no `[{written}]`"))
    } else {
        ("key", format!("`[{path}]` has no key `{written}`"))
    };
    let problem = document.problem(name.span.clone(), message, &format!("unknown {what}"));
    problem.hint(match nearest(&name.text, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", all_of(known)),
    })
}

fn is_table(document: &Document, path: &str, node: &Node, problems: &mut Vec<Problem>) -> bool {
    if matches!(node.tree, Tree::Table(_)) {
        return true;
    }
    let message = format!("`{path}` must be a table");
    let problem = document.problem(node.span.clone(), message, &format!("this is {}", node.kind()));
    problems.push(problem.hint(format!("write `[{path}]`")));
    false
}

/// It becomes a part of file names and of variables.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Each service that another one needs must be there, and none may wait for itself.
fn needs(document: &Document, problems: &mut Vec<Problem>) {
    let services = document.root.get("services").map_or(&[][..], Node::entries);
    let names: Vec<&str> = services.iter().map(|(name, _)| name.text.as_str()).collect();
    for (name, service) in services {
        let Some(Node {
            tree: Tree::Array(items),
            ..
        }) = service.get("needs")
        else {
            continue;
        };
        for item in items {
            let Some(needed) = item.as_str() else { continue };
            if !names.contains(&needed) {
                let message = format!(
                    "`services.{}.needs` names `{}`, which is no service",
                    name.text,
                    needed.escape_debug()
                );
                let problem = document.problem(item.span.clone(), message, "unknown service");
                problems.push(match nearest(needed, names.iter().copied()) {
                    Some(near) => problem.hint(format!("did you mean `{near}`?")),
                    None => problem.hint(format!("services are {}", all_of(&names))),
                });
            } else if waits_for(services, needed, &name.text, &mut Vec::new()) {
                let message = format!("`{}` and `{needed}` need each other", name.text);
                let problem = document.problem(item.span.clone(), message, "a circle");
                problems.push(problem.hint("remove one of the two"));
            }
        }
    }
}

/// Whether `from` waits for `to`, directly or not.
fn waits_for<'a>(services: &'a [(Name, Node)], from: &'a str, to: &str, seen: &mut Vec<&'a str>) -> bool {
    if from == to {
        return true;
    }
    if seen.contains(&from) {
        return false;
    }
    seen.push(from);
    let service = services.iter().find(|(name, _)| name.text == from);
    match service
        .and_then(|(_, service)| service.get("needs"))
        .map(|node| &node.tree)
    {
        Some(Tree::Array(items)) => items
            .iter()
            .filter_map(Node::as_str)
            .any(|next| waits_for(services, next, to, seen)),
        _ => false,
    }
}

/// An environment cannot wait for itself; whether the other one is there is known once files are looked for.
fn after(document: &Document, problems: &mut Vec<Problem>) {
    for (name, environment) in document.root.get("environments").map_or(&[][..], Node::entries) {
        if let Some(node) = environment.get("after")
            && node.as_str() == Some(&name.text)
        {
            let message = format!("`environments.{0}.after` names `{0}` itself", name.text);
            let problem = document.problem(node.span.clone(), message, "");
            problems.push(problem.hint("name the environment that comes before it"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn every_mistake_has_its_line_and_its_mend() {
        for (text, place, word, mend) in [
            (
                "[verify]\ntimeuot = \"5m\"\n",
                "s:2",
                "`[verify]` has no key `timeuot`",
                "did you mean `timeout`?",
            ),
            (
                "[verfiy]\n",
                "s:1",
                "there is no `[verfiy]`",
                "did you mean `verify`?",
            ),
            ("[colours]\n", "s:1", "there is no `[colours]`", "known here"),
            ("[verify]\ntimeout = 90\n", "s:2", "90 has no unit", "duration"),
            (
                "[snapshot]\nwhen = \"always\"\n",
                "s:1",
                "`[snapshot]` is not supported by this version",
                "remove",
            ),
            (
                "[notify]\n",
                "s:1",
                "`[notify]` is not supported by this version",
                "remove",
            ),
            ("verify = 1\n", "s:1", "`verify` must be a table", "[verify]"),
            (
                "[environments.production]\nprotect = true\n",
                "s:2",
                "has no key `protect`",
                "`protected`",
            ),
            (
                "[environments.x.verify]\nbak = \"1s\"\n",
                "s:2",
                "`[environments.x.verify]` has no key `bak`",
                "`bake`",
            ),
            (
                "[environments]\nproduction = true\n",
                "s:2",
                "must be a table",
                "[environments.production]",
            ),
            (
                "[environments.\"a/b\"]\n",
                "s:1",
                "no name for one of `environments`",
                "letters",
            ),
            (
                "[services.web]\nneeds = [\"al\"]\n[services.ai]\n",
                "s:2",
                "names `al`",
                "did you mean `ai`?",
            ),
            (
                "[services.a]\nneeds = [\"b\"]\n[services.b]\nneeds = [\"c\"]\n[services.c]\nneeds = [\"a\"]\n",
                "s:2",
                "need each other",
                "remove",
            ),
            ("[environments.a]\nafter = \"a\"\n", "s:2", "itself", "before it"),
            (
                "[rollback]\nfreeze = \"protect\"\n",
                "s:2",
                "`protect` is not",
                "`never`",
            ),
            ("[verify\n", "s:1", "no valid TOML", "mend"),
        ] {
            let (_, problems) = read("s", text);
            let first = problems
                .first()
                .unwrap_or_else(|| panic!("nothing said of {text:?}"));
            assert_eq!(first.place(), place, "{text:?}");
            assert!(first.message.contains(word), "{text:?}: {}", first.message);
            let hint = first.hint.as_deref().unwrap_or_default();
            assert!(hint.contains(mend), "{text:?}: {hint}");
        }
    }

    #[test]
    fn a_token_is_not_repeated() {
        let (_, problems) = read("s", "[environments.production]\ntoken = \"FlyV1 fm2_abc\"\n");
        assert_eq!(problems.len(), 1);
        assert!(!format!("{problems:?}").contains("fm2_abc"), "{problems:?}");
    }

    #[test]
    fn the_example_of_the_contract_is_right() {
        let text = r#"
[project]
name = "reify"

[environments.production]
protected = true
app = "reify"
token = "FLY_API_TOKEN_PRODUCTION"
org = "reify-production"
allowed_refs = ["refs/tags/v*"]
after = "staging"
regions = ["iad", "sjc"]
min_instances = 2

[services.web]
[services.ai]
path = "python_service"
context = "."
needs = ["web"]

[verify]
path = "/health"
host = "www.example.com"
headers = { Authorization = "env:HEALTH_TOKEN" }
timeout = "5m"
successes = 3
bake = "10s"
identity = "auto"
version_field = "/version"
min_evidence = "state"

[services.ai.verify]
path = "/up"
[environments.production.verify]
bake = "1m"

[rollback]
freeze = "protected"
across_contracting = "stop"

[state]
url = "/srv/shipctl"
bundles = "local"

[deploy]
timeout = "20m"
[lock]
ttl = "10m"
[flyctl]
pass = ["MY_VARIABLE"]
"#;
        assert_eq!(read("s", text).1, []);
        assert_eq!(
            read("s", &format!("\u{feff}{}", text.replace('\n', "\r\n"))).1,
            []
        );
        assert_eq!(read("s", "").1, []);
    }
}
