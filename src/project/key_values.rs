//! Reading the value of a key, from a file or from a text, and what can be wrong with it.

use std::time::Duration;

use toml::Value;

use super::diagnostics::nearest;
use super::document::{Document, Node, Tree};
use super::duration;
use super::fly_toml::check::listed;
use super::keys::{Key, Kind, Setting};

impl Key {
    /// Reads a value of the file.
    pub(crate) fn of_node(&self, node: &Node) -> Result<Setting, String> {
        let setting = match (self.kind, &node.tree) {
            (Kind::Text | Kind::Word(_), Tree::Scalar(Value::String(text))) => Setting::Text(text.clone()),
            (Kind::Boolean, Tree::Scalar(Value::Boolean(on))) => Setting::Boolean(*on),
            (Kind::Count, Tree::Scalar(Value::Integer(count))) => Setting::Count(
                u32::try_from(*count)
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or_else(|| format!("{count} is no count from 1 on"))?,
            ),
            (Kind::Duration, Tree::Scalar(Value::String(text))) => Setting::Duration(duration::parse(text)?),
            (Kind::Duration, Tree::Scalar(Value::Integer(count))) => {
                return Err(format!("{count} has no unit; write for example `\"{count}s\"`"));
            }
            (Kind::Texts, Tree::Array(items)) => Setting::Texts(
                items
                    .iter()
                    .map(|item| {
                        let text = item.as_str().map(str::to_owned);
                        text.ok_or_else(|| format!("{} stands in it; all must be strings", item.kind()))
                    })
                    .collect::<Result<_, _>>()?,
            ),
            (Kind::Headers, Tree::Table(entries)) => Setting::Headers(
                entries
                    .iter()
                    .map(|(name, value)| {
                        let text = value.as_str().map(str::to_owned);
                        let text = text.ok_or_else(|| format!("`{}` is no string", name.text))?;
                        Ok((name.text.clone(), text))
                    })
                    .collect::<Result<_, String>>()?,
            ),
            _ => return Err(format!("it is {}; {} is needed", node.kind(), self.kind)),
        };
        self.checked(setting)
    }

    /// Reads the value of a variable or a flag.
    pub(crate) fn of_text(&self, text: &str) -> Result<Setting, String> {
        let setting = match self.kind {
            Kind::Text | Kind::Word(_) => Setting::Text(text.to_owned()),
            Kind::Boolean => match text {
                "true" | "1" => Setting::Boolean(true),
                "false" | "0" => Setting::Boolean(false),
                _ => return Err(format!("`{}` is neither `true` nor `false`", text.escape_debug())),
            },
            Kind::Count => Setting::Count(
                text.parse()
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or_else(|| format!("`{}` is no count from 1 on", text.escape_debug()))?,
            ),
            Kind::Duration => Setting::Duration(duration::parse(text)?),
            Kind::Texts => Setting::Texts(
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            Kind::Headers => {
                let (document, problems) = Document::parse("", &format!("headers = {text}"));
                return match document.root.get("headers") {
                    Some(node) if problems.is_empty() => self.of_node(node),
                    _ => Err("it is no table; write `{ Name = \"value\" }`".to_owned()),
                };
            }
        };
        self.checked(setting)
    }

    fn checked(&self, setting: Setting) -> Result<Setting, String> {
        if let (Kind::Word(words), Setting::Text(word)) = (self.kind, &setting)
            && !words.contains(&word.as_str())
        {
            let near = nearest(word, words.iter().copied())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(format!(
                "`{}` is not {}{near}",
                word.escape_debug(),
                listed(words)
            ));
        }
        (self.check)(&setting).map(|()| setting)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of the checks that a key can have")]
pub(super) fn any(_: &Setting) -> Result<(), String> {
    Ok(())
}

pub(super) fn not_empty(setting: &Setting) -> Result<(), String> {
    match setting {
        Setting::Text(text) if text.trim().is_empty() => Err("it is empty".to_owned()),
        Setting::Text(text) if text.chars().any(char::is_control) => {
            Err("it holds control characters".to_owned())
        }
        _ => Ok(()),
    }
}

/// A place that this version can keep state in (`state/home.rs` says the same of `SHIPCTL_STATE`).
pub(super) fn folder(setting: &Setting) -> Result<(), String> {
    not_empty(setting)?;
    match setting {
        Setting::Text(text) if text.starts_with("git+") || text.contains("://") => Err(format!(
            "this version keeps state in a folder alone, not at `{text}`"
        )),
        _ => Ok(()),
    }
}

pub(super) fn no_empty_item(setting: &Setting) -> Result<(), String> {
    match setting {
        Setting::Texts(items) if items.iter().any(|item| item.trim().is_empty()) => {
            Err("one of its strings is empty".to_owned())
        }
        _ => Ok(()),
    }
}

/// `main` would fit no ref: they are compared whole.
pub(super) fn whole_refs(setting: &Setting) -> Result<(), String> {
    let is_whole = |glob: &String| glob.starts_with("refs/") || glob.starts_with("**");
    match setting {
        Setting::Texts(globs) => match globs.iter().find(|glob| !is_whole(glob)) {
            Some(glob) => Err(format!(
                "`{0}` fits no ref; write for example `refs/heads/{0}`",
                glob.escape_debug()
            )),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

pub(super) fn not_zero(setting: &Setting) -> Result<(), String> {
    match setting {
        Setting::Duration(Duration::ZERO) => Err("it must be longer than nothing".to_owned()),
        _ => Ok(()),
    }
}

pub(super) fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The value is not repeated: it may be the token itself.
pub(super) fn variable_name(setting: &Setting) -> Result<(), String> {
    match setting {
        Setting::Text(name)
            if !is_variable_name(name) || name.starts_with("fo1_") || name.starts_with("fm2_") =>
        {
            Err("it names no variable; a token itself must never stand here".to_owned())
        }
        _ => Ok(()),
    }
}

pub(super) fn variable_names(setting: &Setting) -> Result<(), String> {
    match setting {
        Setting::Texts(names) => match names.iter().find(|name| !is_variable_name(name)) {
            Some(name) => Err(format!("`{}` is no name of a variable", name.escape_debug())),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

pub(super) fn url_path(setting: &Setting) -> Result<(), String> {
    match setting {
        Setting::Text(path) if !path.starts_with('/') => Err(format!(
            "`{}` is no path; it must begin with `/`",
            path.escape_debug()
        )),
        Setting::Text(path) if path.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Err("it holds blanks or control characters".to_owned())
        }
        _ => Ok(()),
    }
}

pub(super) fn host(setting: &Setting) -> Result<(), String> {
    match setting {
        Setting::Text(host)
            if host.is_empty()
                || !host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c)) =>
        {
            Err(format!("`{}` is no host", host.escape_debug()))
        }
        _ => Ok(()),
    }
}

pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

pub(super) fn header_names(setting: &Setting) -> Result<(), String> {
    let Setting::Headers(headers) = setting else {
        return Ok(());
    };
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("host") {
            return Err("`Host` is set by the key `host`".to_owned());
        }
        if !is_token(name) {
            return Err(format!("`{}` is no name of a header", name.escape_debug()));
        }
        if value.chars().any(char::is_control) {
            return Err(format!("the value of `{name}` holds control characters"));
        }
        if let Some(variable) = value.strip_prefix("env:")
            && !is_variable_name(variable)
        {
            return Err(format!("the value of `{name}` names no variable after `env:`"));
        }
    }
    Ok(())
}

pub(super) fn version_field(setting: &Setting) -> Result<(), String> {
    match setting {
        Setting::Text(field) => {
            let good = match field.strip_prefix("header:") {
                Some(name) => is_token(name),
                None => field.starts_with('/'),
            };
            if good {
                Ok(())
            } else {
                Err(format!(
                    "`{}` is neither a JSON pointer such as `/version` nor `header:NAME`",
                    field.escape_debug()
                ))
            }
        }
        _ => Ok(()),
    }
}
