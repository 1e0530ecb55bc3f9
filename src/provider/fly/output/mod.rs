//! What flyctl prints, read into domain types: pure functions over bytes and lines.
//!
//! They are tolerant where flyctl's versions differ (REFERENCE 7): `null` is an empty list, unknown keys are passed
//! over, and what is missing is `None`.

use std::fmt;

use serde_json::{Deserializer, Value};

#[cfg(test)]
pub(super) mod captures;
pub(crate) mod failure;
pub(crate) mod ips;
pub(crate) mod machines;
pub(crate) mod progress;
pub(super) mod releases;
pub(super) mod secrets;
pub(super) mod status;
pub(crate) mod transcript;
pub(super) mod version;

/// Output that is not what was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Unreadable(String);

impl Unreadable {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A notice before or after the document is passed over, as some versions print one to standard output; no more
/// places than this are tried for its start.
const STARTS: usize = 64;

/// The first JSON document in an output.
pub(super) fn document(output: &[u8]) -> Result<Value, Unreadable> {
    let first = match serde_json::from_slice(output) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    line_starts(output)
        .filter(|start| matches!(output[*start..].first(), Some(b'[' | b'{')))
        .take(STARTS)
        .find_map(|start| {
            Deserializer::from_slice(&output[start..])
                .into_iter()
                .next()?
                .ok()
        })
        .ok_or_else(|| Unreadable::new(format!("no JSON in {} bytes of output: {first}", output.len())))
}

fn line_starts(output: &[u8]) -> impl Iterator<Item = usize> {
    let after = output
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1);
    std::iter::once(0).chain(after)
}

/// A list of objects; `null` is none (REFERENCE 8, `c69977d9c`).
pub(super) fn list(output: &[u8]) -> Result<Vec<Value>, Unreadable> {
    match document(output)? {
        Value::Array(items) => Ok(items),
        Value::Null => Ok(Vec::new()),
        other => Err(Unreadable::new(format!(
            "expected a list, found {}",
            kind(&other)
        ))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The text of a field, empty where there is none.
pub(super) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{document, list};

    #[test]
    fn the_document_is_found_between_notices() {
        for output in [
            "[1]",
            "WARN old\n[1]\n",
            "[notice] about a release\n[1]",
            "[1]\nA newer version is available.\n",
            "{broken\n[1]",
        ] {
            assert_eq!(
                document(output.as_bytes()).unwrap().to_string(),
                "[1]",
                "{output}"
            );
        }
        for output in ["", "Error: no", "\u{1b}[33m", "{", "[1"] {
            assert!(document(output.as_bytes()).is_err(), "{output}");
        }
        assert!(document(b"\xff\xfe").is_err());
    }

    #[test]
    fn null_is_an_empty_list_and_an_object_is_none() {
        assert!(list(b"null").unwrap().is_empty());
        assert_eq!(
            list(b"{}").unwrap_err().to_string(),
            "expected a list, found an object"
        );
    }
}
