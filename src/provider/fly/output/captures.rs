//! The recorded calls of the real flyctl, for tests.

use serde::Deserialize;

/// One call: what it printed and how it ended (`tests/fixtures/captures`).
#[derive(Debug, Deserialize)]
pub(crate) struct Capture {
    pub(crate) exit_code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn capture(name: &str) -> Capture {
    let path = format!(
        "{}/tests/fixtures/captures/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}
