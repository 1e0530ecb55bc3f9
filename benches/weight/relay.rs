//! This program again, standing before the real flyctl: it notes when each call began and ended, and floods if asked.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Names of the variables that make this program one; `[flyctl] pass` lets them through.
pub(crate) const REAL: &str = "WEIGHT_FLYCTL";
pub(crate) const LOG: &str = "WEIGHT_LOG";
/// How many megabytes a deploy prints before it does anything.
pub(crate) const FLOOD: &str = "WEIGHT_FLOOD";

pub(crate) fn is_one() -> bool {
    std::env::var_os(REAL).is_some()
}

/// One call: its words, and when it began and ended.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub(crate) line: String,
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
}

#[expect(
    clippy::disallowed_methods,
    reason = "two processes have only the wall clock in common"
)]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a relay starts what it stands before")]
#[expect(clippy::exit, reason = "it ends as the real one did")]
pub(crate) fn run() {
    let begun = now();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let deploys = args.first().is_some_and(|arg| arg == "deploy") && !args.iter().any(|arg| arg == "--help");
    if deploys && let Some(megabytes) = std::env::var(FLOOD).ok().and_then(|text| text.parse().ok()) {
        flood(megabytes);
    }
    let status = Command::new(std::env::var_os(REAL).unwrap()).args(&args).status();
    let line = args.join(" ").replace(['\n', '\t'], " ");
    let text = format!("{}\t{}\t{line}\n", begun.as_nanos(), now().as_nanos());
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(std::env::var_os(LOG).unwrap());
    if let Ok(mut log) = log {
        let _ = log.write_all(text.as_bytes());
    }
    std::process::exit(status.ok().and_then(|status| status.code()).unwrap_or(1));
}

fn flood(megabytes: usize) {
    let line = format!("{}\n", "flood ".repeat(170));
    let mut out = std::io::stdout().lock();
    for _ in 0..megabytes * 1_000_000 / line.len() {
        if out.write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

/// What was noted so far, by its beginning.
pub(crate) fn noted(log: &Path) -> Vec<Noted> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let nanoseconds = |word: Option<&str>| {
        let number: u64 = word.and_then(|word| word.parse().ok()).unwrap_or_default();
        Duration::from_nanos(number)
    };
    let mut noted: Vec<Noted> = text
        .lines()
        .map(|line| {
            let mut words = line.splitn(3, '\t');
            Noted {
                begun: nanoseconds(words.next()),
                ended: nanoseconds(words.next()),
                line: words.next().unwrap_or_default().to_owned(),
            }
        })
        .collect();
    noted.sort_by_key(|noted| noted.begun);
    noted
}
