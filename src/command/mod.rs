//! One file per command: its arguments, its help, and what it does.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod deploy;
// freeze
// history
// lock
pub(crate) mod man;
pub(crate) mod releases;
pub(crate) mod rollback;
pub(crate) mod sandbox;
pub(crate) mod status;
// unfreeze
pub(crate) mod verify;

use std::time::Duration;

/// Reads `90s`, `5m`, `1m30s`; a bare number names no unit and is refused.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    crate::project::duration::parse(text).map_err(|error| error.to_string())
}

/// Waits for Ctrl-C or SIGTERM; answers with the exit code that it asks for.
pub(crate) async fn interrupted() -> u8 {
    let signal = crate::effect::signals::Signals::listen().next().await;
    128 + u8::try_from(signal.number).unwrap_or(2)
}
