//! The wall clock: for records and for people, never for a deadline (those are tokio's, which no jump touches).

use jiff::Timestamp;

/// The time of day in UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
pub(crate) fn now() -> Timestamp {
    shifted(Timestamp::now())
}

/// Now as records and answers show it: RFC 3339 in whole seconds.
pub(crate) fn stamp() -> String {
    format!("{:.0}", now())
}

/// `SHIPCTL_TEST_CLOCK` names a file with a number of seconds: how far this machine's clock has jumped.
/// Only in a debug build, for the test of a clock that jumps while a deployment runs.
#[cfg(debug_assertions)]
fn shifted(now: Timestamp) -> Timestamp {
    std::env::var_os("SHIPCTL_TEST_CLOCK")
        .and_then(|file| std::fs::read_to_string(file).ok())
        .and_then(|text| text.trim().parse::<i64>().ok())
        .and_then(|seconds| now.checked_add(jiff::SignedDuration::from_secs(seconds)).ok())
        .unwrap_or(now)
}

#[cfg(not(debug_assertions))]
fn shifted(now: Timestamp) -> Timestamp {
    now
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn the_clock_moves_forward_and_is_of_this_era() {
        let first = now();
        assert!(now() >= first);
        assert!(first.as_second() > 1_700_000_000, "{first}");
    }
}
