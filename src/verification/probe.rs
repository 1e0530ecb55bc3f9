//! One answer to one question: is it good, bad, or does it say nothing?

use std::time::Duration;

/// Stands in until `effect::http` is there.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        latency: Duration,
    },
    NoConnection(String),
    Cut(String),
    Slow,
    TooLarge,
}
