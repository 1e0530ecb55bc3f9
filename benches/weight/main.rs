//! `cargo bench`: the figures of DESIGN 12, as ratios with their counts. A report, never a pass or a failure.
//!
//! What needs a flyctl is measured where `SHIPCTL_REAL_FLYCTL` and `SHIPCTL_DOUBLE` name one and its platform, as the
//! scenarios of `tests/real` do; elsewhere it is `not measured`. Words on the command line choose the lines that hold one.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::format_push_string, reason = "the pages of a support are small")]

mod alone;
mod beside;
mod ledger;
mod relay;
#[path = "../../tests/real/support/mod.rs"]
#[expect(dead_code, reason = "a bench plays less than the scenarios do")]
mod support;

use std::time::Duration;

/// One line of the report.
fn say(what: &str, found: &str) {
    println!("{what:<58} {found}");
}

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn main() {
    if relay::is_one() {
        relay::run();
        return;
    }
    // `cargo test --benches` runs this, too, without the word.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let is_wanted = |what: &str| words.is_empty() || words.iter().any(|word| what.contains(word));
    let flyctl = std::env::var("SHIPCTL_REAL_FLYCTL").ok();
    let double = std::env::var("SHIPCTL_DOUBLE").ok();
    if is_wanted(alone::SIZE) {
        alone::size();
    }
    if is_wanted(alone::COLD_START) {
        alone::cold_start(flyctl.as_deref());
    }
    if is_wanted(ledger::PICKING) {
        ledger::picking();
    }
    match (flyctl, double) {
        (Some(flyctl), Some(double)) => beside::all(&flyctl, &double, is_wanted),
        _ => {
            for what in beside::NAMES.into_iter().filter(|what| is_wanted(what)) {
                say(what, "not measured: SHIPCTL_REAL_FLYCTL is not set");
            }
        }
    }
}
