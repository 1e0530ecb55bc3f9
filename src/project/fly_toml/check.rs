//! What is wrong with a configuration, as far as it can be seen without flyctl (FAULTS 39).

use toml::Value;

use super::STRATEGIES;
use super::schema::{Fields, Kind, TOP};
use crate::project::diagnostics::{Problem, nearest};
use crate::project::document::{Document, Node, Tree};
use crate::project::duration;

/// flyctl v0.2.4 answers it with `invalid character at start of key` (seen).
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a configuration strictly. The document holds what could be read all the same.
pub(crate) fn read(file: &str, text: &str) -> (Document, Vec<Problem>) {
    let marked = text.starts_with(BYTE_ORDER_MARK);
    let (document, syntax) = Document::parse(file, text.trim_start_matches(BYTE_ORDER_MARK));
    if marked {
        let problem = Problem::on_line(file, 1, "a byte order mark, which flyctl does not read")
            .hint("save the file as UTF-8 without BOM");
        return (document, vec![problem]);
    }
    // What follows a broken line is often said to be broken because of it.
    if let Some(first) = syntax.into_iter().next() {
        return (document, vec![first]);
    }
    if document.root.entries().is_empty() {
        let problem =
            Problem::whole(file, "is empty").hint("write at least `app = \"…\"`, the name of the Fly app");
        return (document, vec![problem]);
    }
    let mut problems = Vec::new();
    walk(&document, &document.root, TOP, "", &mut problems);
    problems.extend(app(&document));
    problems.extend(strategy(&document));
    (document, problems)
}

fn app(document: &Document) -> Option<Problem> {
    let Some(node) = document.root.get("app") else {
        return Some(
            Problem::whole(&document.file, "names no app")
                .hint("add `app = \"…\"`, the name of the Fly app, as its first line"),
        );
    };
    let name = node.as_str()?;
    if name.is_empty() {
        let problem = document.problem(node.span.clone(), "`app` is empty", "empty");
        return Some(problem.hint("write the name of the Fly app"));
    }
    // It becomes an argument of flyctl and a part of an address.
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.starts_with('-') || !name.chars().all(fits) {
        let problem = document.problem(
            node.span.clone(),
            format!("`{}` is no name of an app", name.escape_debug()),
            "here",
        );
        return Some(problem.hint("names of Fly apps have lower-case letters, digits and dashes"));
    }
    None
}

fn strategy(document: &Document) -> Option<Problem> {
    let node = document.root.at(["deploy", "strategy"])?;
    let word = node.as_str().filter(|word| !word.is_empty())?;
    if STRATEGIES.contains(&word) {
        return None;
    }
    let problem = document.problem(
        node.span.clone(),
        format!("`{}` is no strategy that flyctl knows", word.escape_debug()),
        "unknown strategy",
    );
    Some(match nearest(&word.to_lowercase(), STRATEGIES) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!("use one of {}", listed(&STRATEGIES))),
    })
}

/// `` `a`, `b` or `c` ``.
pub(crate) fn listed(names: &[&str]) -> String {
    joined(names, "or")
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn all_of(names: &[&str]) -> String {
    joined(names, "and")
}

fn joined(names: &[&str], word: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {word} {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Compares each value with what flyctl wants there. Unknown keys pass, as they do with flyctl.
fn walk(document: &Document, node: &Node, fields: Fields, path: &str, problems: &mut Vec<Problem>) {
    for (name, value) in node.entries() {
        if let Some((_, kind)) = fields.iter().find(|(field, _)| *field == name.text) {
            let path = if path.is_empty() {
                name.text.clone()
            } else {
                format!("{path}.{}", name.text)
            };
            check(document, value, *kind, &path, problems);
        }
    }
}

fn check(document: &Document, node: &Node, kind: Kind, path: &str, problems: &mut Vec<Problem>) {
    let wanted = match (kind, &node.tree) {
        (Kind::Any, _)
        | (Kind::Text, Tree::Scalar(Value::String(_)))
        | (Kind::Boolean, Tree::Scalar(Value::Boolean(_)))
        | (Kind::Integer | Kind::Port, Tree::Scalar(Value::Integer(_)))
        | (Kind::Autostop, Tree::Scalar(Value::Boolean(_) | Value::String(_)))
        | (Kind::Number | Kind::Duration, Tree::Scalar(Value::Integer(_) | Value::Float(_))) => return,
        (Kind::Port, Tree::Scalar(Value::String(port))) if port.parse::<u16>().is_ok() => return,
        (Kind::Duration, Tree::Scalar(Value::String(text))) => match duration::parse_go(text) {
            Some(_) => return,
            None => "a duration such as \"10s\"",
        },
        (Kind::Texts, Tree::Array(items)) if items.iter().all(|item| item.as_str().is_some()) => return,
        (Kind::Table(fields) | Kind::TableOrTables(fields), Tree::Table(_)) => {
            return walk(document, node, fields, path, problems);
        }
        (Kind::Tables(fields) | Kind::TableOrTables(fields), Tree::Array(items)) if all_tables(items) => {
            for item in items {
                walk(document, item, fields, path, problems);
            }
            return;
        }
        (Kind::Named(fields), Tree::Table(entries)) => {
            for (name, entry) in entries {
                check(
                    document,
                    entry,
                    Kind::Table(fields),
                    &format!("{path}.{}", name.text),
                    problems,
                );
            }
            return;
        }
        (Kind::Map, Tree::Table(entries)) => {
            for (name, entry) in entries {
                if !matches!(entry.tree, Tree::Scalar(_)) {
                    problems.push(wrong(
                        document,
                        entry,
                        &format!("{path}.{}", name.text),
                        "a string",
                    ));
                }
            }
            return;
        }
        (Kind::Map, Tree::Array(items)) if all_tables(items) => return,
        (Kind::Text, _) => "a string",
        (Kind::Boolean, _) => "`true` or `false`",
        (Kind::Integer | Kind::Port, _) => "an integer",
        (Kind::Autostop, _) => "`true`, `false`, or one of \"off\", \"stop\" and \"suspend\"",
        (Kind::Number, _) => "a number",
        (Kind::Duration, _) => "a duration such as \"10s\"",
        (Kind::Texts, _) => "an array of strings",
        (Kind::Table(_) | Kind::TableOrTables(_) | Kind::Named(_) | Kind::Map, _) => "a table",
        (Kind::Tables(_), _) => "an array of tables",
    };
    problems.push(wrong(document, node, path, wanted));
}

fn all_tables(items: &[Node]) -> bool {
    items.iter().all(|item| matches!(item.tree, Tree::Table(_)))
}

fn wrong(document: &Document, node: &Node, path: &str, wanted: &str) -> Problem {
    let hint = match node.tree {
        Tree::Table(_) if wanted == "an array of tables" => {
            format!("write `[[{path}]]` instead of `[{path}]`")
        }
        Tree::Array(_) if wanted == "a table" => format!("write `[{path}]` instead of `[[{path}]]`"),
        _ => format!("give `{path}` {wanted}"),
    };
    document
        .problem(
            node.span.clone(),
            format!("`{path}` has the wrong type: flyctl wants {wanted}"),
            &format!("this is {}", node.kind()),
        )
        .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::read;

    /// Each of these was given to flyctl v0.2.4, which refused it.
    #[test]
    fn what_flyctl_refuses_is_named_with_line_and_mend() {
        for (text, place, word, mend) in [
            ("app = \"shop\n[broken\n", "f.toml:1", "no valid TOML", "mend"),
            ("app = \"x\"\napp = \"x\"\n", "f.toml:2", "duplicate key", "mend"),
            ("", "f.toml", "is empty", "app ="),
            ("# nothing\n", "f.toml", "is empty", "app ="),
            (
                "[http_service]\ninternal_port = 8080\n",
                "f.toml",
                "names no app",
                "app =",
            ),
            (
                "app = \"\"\n",
                "f.toml:1",
                "`app` is empty",
                "name of the Fly app",
            ),
            ("app = 5\n", "f.toml:1", "`app` has the wrong type", "a string"),
            ("app = \"a b\"\n", "f.toml:1", "no name of an app", "dashes"),
            (
                "app = \"a\"\n[http_service]\ninternal_port = \"many\"\n",
                "f.toml:3",
                "`http_service.internal_port` has the wrong type: flyctl wants an integer",
                "an integer",
            ),
            (
                "app = \"a\"\n[deploy]\nstrategy = \"yolo\"\n",
                "f.toml:3",
                "`yolo` is no strategy",
                "`bluegreen`",
            ),
            (
                "app = \"a\"\n[deploy]\nstrategy = \"Rolling\"\n",
                "f.toml:3",
                "no strategy",
                "did you mean `rolling`",
            ),
            (
                "app = \"a\"\n[http_service.checks]\npath = \"/\"\n",
                "f.toml:2",
                "wants an array of tables",
                "`[[http_service.checks]]`",
            ),
            (
                "app = \"a\"\n[[http_service]]\ninternal_port = 1\n",
                "f.toml:2",
                "wants a table",
                "`[http_service]`",
            ),
            (
                "app = \"a\"\n[[checks]]\ntype = \"tcp\"\n",
                "f.toml:2",
                "wants a table",
                "`[checks]`",
            ),
            (
                "app = \"a\"\n[[http_service.checks]]\ninterval = \"10\"\n",
                "f.toml:3",
                "a duration such as \"10s\"",
                "10s",
            ),
            (
                "\u{feff}app = \"a\"\n",
                "f.toml:1",
                "byte order mark",
                "without BOM",
            ),
        ] {
            let (_, problems) = read("f.toml", text);
            let first = problems
                .first()
                .unwrap_or_else(|| panic!("nothing said of {text:?}"));
            assert_eq!(first.place(), place, "{text:?}");
            assert!(first.message.contains(word), "{text:?}: {}", first.message);
            let hint = first.hint.as_deref().unwrap_or_default();
            assert!(hint.contains(mend), "{text:?}: {hint}");
        }
    }

    /// Each of these was taken by flyctl v0.2.4, or is taken by a newer one.
    #[test]
    fn what_flyctl_takes_passes() {
        for text in [
            "app = \"shop\"\r\nprimary_region = \"fra\"\r\n[http_service]\r\n  internal_port = 8080\r\n",
            "app = \"a\"\nshipctl = 1\n[foo]\na = 1\n",
            "app = \"a\"\n[services]\ninternal_port = \"8080\"\n[[services.ports]]\nport = \"443\"\n",
            "app = \"a\"\n[[env]]\nA = \"1\"\n",
            "app = \"a\"\n[env]\nA = 1\nB = true\nC = 1.5\n",
            "app = \"a\"\n[[processes]]\nweb = \"a\"\n",
            "app = \"a\"\n[deploy]\nstrategy = \"\"\nwait_timeout = 300\nmax_unavailable = 0.5\n",
            "app = \"a\"\n[http_service]\nauto_stop_machines = \"suspend\"\n",
            "app = \"a\"\n[[http_service.checks]]\ninterval = 10.5\ntimeout = \"1.5m\"\ntype = \"tcp\"\n",
            "app = \"a\"\n[[services]]\nconcurrency = \"20,25\"\n",
            "app = \"a\"\nx = 1979-05-27\n",
        ] {
            let (_, problems) = read("f.toml", text);
            assert!(problems.is_empty(), "{text:?}: {problems:?}");
        }
    }
}
