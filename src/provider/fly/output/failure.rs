//! Why a call failed, by flyctl's own words (REFERENCE 2.8).

use super::transcript::Transcript;
use crate::effect::process::Ended;

mod catalogue;
mod class;

use catalogue::look_up;
pub(crate) use class::FailureClass;

/// Who made the call end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EndedBy {
    Itself,
    /// A signal that shipctl sent, for a person or for a verdict.
    Signal,
    /// shipctl, because time was over.
    Deadline,
}

/// Who holds a machine's lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LeaseHolder {
    /// An account, not a program: it may be our own.
    pub(crate) account: String,
    /// RFC 3339.
    pub(crate) expires_at: Option<String>,
}

/// Where a configuration file is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
}

/// A failure with what flyctl said of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    pub(crate) class: FailureClass,
    /// The most telling line.
    pub(crate) message: String,
    /// Further lines, at most a dozen.
    pub(crate) details: Vec<String>,
    pub(crate) lease: Option<LeaseHolder>,
    pub(crate) place: Option<Place>,
}

const DETAILS: usize = 12;

/// Sorts a call that failed. What flyctl itself calls the error comes first, then the steps that it marks as failed,
/// then its warnings: alone, they are noise (REFERENCE 8, `f6a317fac`).
pub(crate) fn classify(transcript: &Transcript, ended: Ended, by: EndedBy) -> Failure {
    let error = transcript.error.join("\n");
    let crosses = transcript.crosses.join("\n");
    let (class, decided_by_cross) = match by {
        EndedBy::Signal => (FailureClass::Interrupted, false),
        EndedBy::Deadline => (FailureClass::TimedOut, false),
        EndedBy::Itself => sort(transcript, &error, &crosses, ended),
    };
    let lease = (transcript
        .warnings
        .iter()
        .chain(&transcript.crosses)
        .chain(&transcript.error))
    .find_map(|line| lease_holder(line));
    Failure {
        message: message(transcript, class, decided_by_cross, ended),
        details: details(transcript),
        lease,
        place: transcript.error.first().and_then(|line| place(line)),
        class,
    }
}

/// The class, and whether a `✖` line and not the `Error:` line decided it.
fn sort(transcript: &Transcript, error: &str, crosses: &str, ended: Ended) -> (FailureClass, bool) {
    let by_cross = look_up(crosses).map(|class| (class, true));
    match look_up(error) {
        // The question is asked after a failed deployment too, and then hides its cause.
        Some(FailureClass::DnsCheck) => return by_cross.unwrap_or((FailureClass::DnsCheck, false)),
        Some(class) => return (class, false),
        None => {}
    }
    if let Some(found) = by_cross {
        return found;
    }
    if transcript.panic.is_some() || ended.signal.is_some() || matches!(ended.code, Some(2 | 3)) {
        return (FailureClass::Crashed, false);
    }
    let warnings = transcript
        .warnings
        .iter()
        .filter(|line| !line.contains("not authorized to retrieve app logs"));
    let warnings: Vec<_> = warnings.map(String::as_str).collect();
    if let Some(class) = look_up(&warnings.join("\n")) {
        return (class, false);
    }
    // Without any word of an error, the last lines; the app's own are indented.
    let tail = || {
        let lines: Vec<_> = transcript
            .last_lines()
            .filter(|line| !line.starts_with(' '))
            .collect();
        look_up(&lines.join("\n"))
    };
    let class = if error.is_empty() { tail() } else { None };
    (class.unwrap_or(FailureClass::Unknown), false)
}

/// `… lease currently held by X, expires at T`.
fn lease_holder(line: &str) -> Option<LeaseHolder> {
    let (_, rest) = line.split_once("lease currently held by ")?;
    let (account, expires) = match rest.split_once(", expires at ") {
        Some((account, expires)) => (account, expires.split_whitespace().next()),
        None => (rest.split([',', ' ']).next().unwrap_or(rest), None),
    };
    Some(LeaseHolder {
        account: account.trim().to_owned(),
        expires_at: expires.map(|time| time.trim_end_matches([',', ')']).to_owned()),
    })
}

/// `failed loading app config from P: row R column C`.
fn place(line: &str) -> Option<Place> {
    let (_, rest) = line.split_once("failed loading app config from ")?;
    let (file, rest) = rest.split_once(": ").unwrap_or((rest, ""));
    let number = |word: &str| {
        let (_, after) = rest.split_once(word)?;
        after
            .split_whitespace()
            .next()?
            .trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .ok()
    };
    Some(Place {
        file: file.to_owned(),
        line: number("row "),
        column: number("column "),
    })
}

fn message(transcript: &Transcript, class: FailureClass, by_cross: bool, ended: Ended) -> String {
    let error = transcript
        .error
        .first()
        .map(|line| line.trim_start_matches("Error: "));
    let cross = transcript
        .crosses
        .iter()
        .map(|line| line.trim_start_matches(['✖', ' ']))
        .find(|line| {
            // `✖ release_command failed` is followed by the one that says why.
            *line != "release_command failed"
        });
    let lease = transcript
        .warnings
        .iter()
        .find(|line| look_up(line) == Some(FailureClass::LeaseHeld));
    let chosen = match class {
        FailureClass::Crashed => transcript.panic.as_deref(),
        FailureClass::LeaseHeld if error.is_none_or(|error| look_up(error) != Some(class)) => {
            lease.map(|line| line.trim_start_matches("WARN ").trim())
        }
        FailureClass::Interrupted | FailureClass::TimedOut => cross.or(error),
        _ if by_cross => cross,
        _ => error,
    };
    let last = transcript.tail.back().map(String::as_str);
    match chosen.or(error).or(cross).or(last) {
        Some(line) => shorten(line.trim()),
        None => match (ended.code, ended.signal) {
            (Some(code), _) => format!("it ended with code {code} and said nothing"),
            (None, Some(signal)) => format!("it was killed by signal {signal} and said nothing"),
            (None, None) => "it ended and said nothing".to_owned(),
        },
    }
}

/// A GraphQL error repeats the whole query; its end is what the server said (REFERENCE 0).
fn shorten(line: &str) -> String {
    const QUERY: &str = ": failed to run ";
    if let Some((context, rest)) = line.split_once(QUERY)
        && let Some((_, said)) = rest.rsplit_once("}: ").or_else(|| rest.rsplit_once(": "))
    {
        return format!("{context}: {said}");
    }
    line.to_owned()
}

fn details(transcript: &Transcript) -> Vec<String> {
    let invalid = transcript
        .warnings
        .iter()
        .filter(|line| line.contains("the config file at"));
    let mut details: Vec<String> = Vec::new();
    for line in transcript.error.iter().chain(&transcript.crosses).chain(invalid) {
        // A trace of flyctl's own is nobody's help, nor is the text that it forgot to fill in.
        let is_noise = line.starts_with(['\t', ' ']) && line.contains(".go:") || line.contains("\"%s\"");
        if details.len() < DETAILS && !is_noise && !details.contains(line) {
            details.push(line.clone());
        }
    }
    details
}

#[cfg(test)]
mod tests;
