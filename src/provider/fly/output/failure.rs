//! Why a call failed, by flyctl's own words (REFERENCE 2.8).

use serde::{Deserialize, Serialize};

use super::transcript::Transcript;
use crate::effect::process::Ended;

/// The classes of REFERENCE 2.8, and those of a flyctl that does not run as it should.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureClass {
    /// There is no token.
    Unauthenticated,
    /// The token is refused.
    Unauthorized,
    NoAppName,
    /// Also what a token for another app sees.
    AppNotFound,
    ConfigFile,
    ConfigInvalid,
    BuildOrImage,
    /// The registry has no such image.
    ImageMissing,
    ReleaseRecord,
    ReleaseCommand,
    ReleaseCommandTimeout,
    LeaseHeld,
    Capacity,
    Limits,
    Unhealthy,
    Volumes,
    BluegreenState,
    /// Fly cannot be reached, or answers 5xx or 429.
    Network,
    /// Only the question for the app's address failed, after a deployment that was done (REFERENCE 7).
    DnsCheck,
    Interrupted,
    /// flyctl is not there or cannot be executed.
    Missing,
    TooOld,
    Crashed,
    /// shipctl ended the call because its time was over.
    TimedOut,
    Unknown,
}

impl FailureClass {
    /// As in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Unauthorized => "unauthorized",
            Self::NoAppName => "no_app_name",
            Self::AppNotFound => "app_not_found",
            Self::ConfigFile => "config_file",
            Self::ConfigInvalid => "config_invalid",
            Self::BuildOrImage => "build_or_image",
            Self::ImageMissing => "image_missing",
            Self::ReleaseRecord => "release_record",
            Self::ReleaseCommand => "release_command",
            Self::ReleaseCommandTimeout => "release_command_timeout",
            Self::LeaseHeld => "lease_held",
            Self::Capacity => "capacity",
            Self::Limits => "limits",
            Self::Unhealthy => "unhealthy",
            Self::Volumes => "volumes",
            Self::BluegreenState => "bluegreen_state",
            Self::Network => "network",
            Self::DnsCheck => "dns_check",
            Self::Interrupted => "interrupted",
            Self::Missing => "missing",
            Self::TooOld => "too_old",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
        }
    }

    /// What may be gone at the next attempt: a return repeats on it within its budget (DESIGN 5).
    pub(crate) fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unauthenticated
                | Self::Unauthorized
                | Self::ReleaseRecord
                | Self::LeaseHeld
                | Self::Network
                | Self::TimedOut
        )
    }

    /// Exit 10 when no release was made: flyctl or Fly cannot do what is needed (DESIGN 9).
    pub(crate) fn is_provider(self) -> bool {
        matches!(
            self,
            Self::Unauthenticated
                | Self::Unauthorized
                | Self::AppNotFound
                | Self::ReleaseRecord
                | Self::Network
                | Self::Missing
                | Self::TooOld
                | Self::Crashed
                | Self::TimedOut
        )
    }

    /// Exit 4 when no release was made.
    pub(crate) fn is_configuration(self) -> bool {
        matches!(self, Self::NoAppName | Self::ConfigFile | Self::ConfigInvalid)
    }
}

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

/// In this order the first match wins. `…` stands for anything.
const CATALOGUE: [(FailureClass, &[&str]); 21] = [
    (FailureClass::Unauthenticated, &["no access token available"]),
    (
        FailureClass::Unauthorized,
        &[
            "failed to fetch discharge tokens",
            "tp error (401)",
            "not authorized to",
            "unauthorized",
            "you must be authenticated",
            "status 401",
            "status 403",
            "status code: 401",
            "status code: 403",
            "returned error 401",
            "returned error 403",
            "mpg commands require updated tokens",
        ],
    ),
    (
        FailureClass::NoAppName,
        &["the config for your app is missing an app name"],
    ),
    (
        FailureClass::AppNotFound,
        &["could not find app", "could not be found, did you create the app"],
    ),
    (
        FailureClass::ConfigFile,
        &[
            "failed loading app config from",
            "config file not found at specified path",
        ],
    ),
    (
        FailureClass::ConfigInvalid,
        &[
            "app configuration is not valid",
            "strict validation failed",
            "cannot unmarshal…go struct field",
        ],
    ),
    (
        // Fly failing while the image is looked for is no fault of the image.
        FailureClass::Network,
        &[
            "failed to fetch an image or build from source:…status code: 5",
            "failed to fetch an image or build from source:…status code: 429",
            "failed to fetch an image or build from source:…returned error 5",
            "failed to fetch an image or build from source:…returned error 429",
            "failed to fetch an image or build from source:…/graphql\": ",
        ],
    ),
    (FailureClass::ImageMissing, &["could not find image \""]),
    (
        FailureClass::BuildOrImage,
        &[
            "failed to fetch an image or build from source:",
            "app does not have a dockerfile or buildpacks configured",
            "dockerfile '…' not found",
            "docker is unavailable to build",
            "no docker daemon available",
            "failed to send first heartbeat",
            "remote builder app unavailable",
        ],
    ),
    (
        FailureClass::ReleaseRecord,
        &[
            "failed to create release (status ",
            "failed to set release status to 'running'",
        ],
    ),
    (
        FailureClass::ReleaseCommandTimeout,
        &["release command failed - aborting deployment…timeout reached"],
    ),
    (
        FailureClass::Capacity,
        &["release command failed - aborting deployment…could not reserve resource for machine"],
    ),
    (
        FailureClass::ReleaseCommand,
        &[
            "release command failed - aborting deployment",
            "release_command failed",
        ],
    ),
    (
        FailureClass::LeaseHeld,
        &[
            "failed to get lease on vm",
            "lease currently held by",
            "failed to acquire leases",
            "did not acquire lease",
            "failed to obtain lease",
        ],
    ),
    (
        FailureClass::Capacity,
        &[
            "could not reserve resource for machine",
            "deploys to this host are temporarily disabled",
            "insufficient_capacity",
            "try choosing a different region for machine creation",
        ],
    ),
    (
        FailureClass::Limits,
        &["please add a payment method", "due to org limits"],
    ),
    (FailureClass::Interrupted, &["deployment aborted by user"]),
    (
        FailureClass::Unhealthy,
        &[
            "timeout reached waiting for health checks to pass",
            "timeout reached waiting for healthchecks to pass",
            "smoke checks for …failed",
            "timeout reached waiting for machine's state to change",
            "test command machine …exited with non-zero status",
            "could not get all green machines to be healthy",
            "could not get all green machines into started state",
            "wait timeout",
        ],
    ),
    (
        FailureClass::Volumes,
        &[
            "needs an unattached volume",
            "needs volumes with name",
            "requires an unattached",
            "can't update the attached volume",
            "requires manual intervention",
        ],
    ),
    (
        FailureClass::BluegreenState,
        &[
            "found multiple image versions",
            "app not in valid state for bluegreen",
            "active machines outside fly launch management",
        ],
    ),
    (
        FailureClass::Network,
        &[
            "connection refused",
            "connection reset by peer",
            "no such host",
            "network is unreachable",
            "temporary failure in name resolution",
            ": eof",
            "unexpected eof",
            "i/o timeout",
            "tls handshake timeout",
            "net/http: request canceled",
            "context deadline exceeded",
            "non-2xx status: 408",
            "non-2xx status: 429",
            "non-2xx status: 5",
            "non-200 status code: 429",
            "non-200 status code: 5",
            "returned error 429",
            "returned error 5",
            "internal server error",
            "bad gateway",
            "service unavailable",
            "gateway timeout",
            "too many requests",
            "rate limit exceeded",
        ],
    ),
];

fn look_up(text: &str) -> Option<FailureClass> {
    if text.is_empty() {
        return None;
    }
    let text = text.to_lowercase();
    let class = CATALOGUE
        .iter()
        .find(|(_, phrases)| phrases.iter().any(|phrase| says(&text, phrase)))
        .map(|(class, _)| *class);
    // Asked of a resolver of its own, so that the words of the network above may be in it.
    if matches!(class, None | Some(FailureClass::Network)) && is_dns_question(&text) {
        return Some(FailureClass::DnsCheck);
    }
    class
}

/// `expected 1 A records for shop.fly.dev., got 0`, and the question itself not getting through.
fn is_dns_question(text: &str) -> bool {
    says(text, "expected …records for …, got ") || says(text, "dns …lookup for …failed")
}

/// Whether the parts between `…` stand in `text` in this order.
fn says(text: &str, phrase: &str) -> bool {
    let mut rest = text;
    phrase.split('…').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
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
