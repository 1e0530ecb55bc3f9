//! One file per command: its arguments, its help, and what it does.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod deploy;
pub(crate) mod freeze;
pub(crate) mod history;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod releases;
pub(crate) mod rollback;
pub(crate) mod sandbox;
pub(crate) mod status;
pub(crate) mod unfreeze;
pub(crate) mod verify;
mod view;

use std::time::Duration;

use crate::effect::signals::Signals;

/// Reads `90s`, `5m`, `1m30s`; a bare number names no unit and is refused.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    crate::project::duration::parse(text).map_err(|error| error.clone())
}

/// Reads the name of an image. An empty one is a variable that nobody set; flyctl would build what lies there instead.
pub(crate) fn image_reference(text: &str) -> Result<String, String> {
    let is_of_one = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if text.is_empty() {
        Err("it is empty".to_owned())
    } else if text.chars().all(is_of_one) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err("it is no name of an image".to_owned())
    }
}

/// Reads `90s`, `24h`, `7d`.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        Some(days) => Ok(Duration::from_secs(days.saturating_mul(86_400))),
        None => duration(text),
    }
}

/// Waits for Ctrl-C or SIGTERM; answers with the exit code that it asks for.
///
/// It listens from the call on, not from the first poll: what comes in between is not lost, and ends nothing halfway.
pub(crate) fn interrupted() -> impl Future<Output = u8> {
    let mut signals = Signals::listen();
    async move {
        let signal = signals.next().await;
        128 + u8::try_from(signal.number).unwrap_or(2)
    }
}

/// A count for a list; none at all would read as if there were nothing.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("a count such as 20 is needed".to_owned()),
    }
}
