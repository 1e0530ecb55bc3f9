//! flyctl's words for each class of failure (REFERENCE 2.8), with those of the captures.

use super::FailureClass;

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

/// The class that a text's words stand for.
pub(super) fn look_up(text: &str) -> Option<FailureClass> {
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
