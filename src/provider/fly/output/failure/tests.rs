//! The recorded failures, and texts of other versions (REFERENCE 2.8).

use proptest::prelude::{any, proptest};

use super::super::captures::capture;
use super::super::transcript::Transcript;
use super::{EndedBy, Failure, FailureClass, LeaseHolder, Place, classify};
use crate::effect::process::Ended;
use crate::secret::sanitise;

fn ended(code: i32) -> Ended {
    Ended {
        code: (code >= 0).then_some(code),
        signal: (code < 0).then_some(-code),
    }
}

fn recorded(name: &str) -> Failure {
    let capture = capture(name);
    let transcript = Transcript::of(&sanitise(&capture.stdout), &sanitise(&capture.stderr));
    classify(&transcript, ended(capture.exit_code), EndedBy::Itself)
}

fn said(stderr: &str) -> Failure {
    classify(&Transcript::of("", stderr), ended(1), EndedBy::Itself)
}

#[test]
fn recorded_failures_have_their_class() {
    use FailureClass as Class;
    for (name, class) in [
        ("deploy_token_none", Class::Unauthenticated),
        ("token_empty_status", Class::Unauthenticated),
        ("config_validate_no_token", Class::Unauthenticated),
        ("deploy_token_wrong", Class::Unauthorized),
        ("deploy_401_midway", Class::Unauthorized),
        ("status_json_401", Class::Unauthorized),
        ("releases_json_401", Class::Unauthorized),
        ("token_broken_macaroon_status", Class::Unauthorized),
        ("deploy_token_other_org", Class::AppNotFound),
        ("deploy_unknown_app", Class::AppNotFound),
        ("status_unknown_app_json", Class::AppNotFound),
        ("releases_unknown_app_json", Class::AppNotFound),
        ("status_no_app_name", Class::NoAppName),
        ("deploy_config_empty", Class::NoAppName),
        ("deploy_config_no_app", Class::NoAppName),
        ("deploy_config_invalid", Class::ConfigFile),
        ("config_choice_directory", Class::ConfigFile),
        ("deploy_config_bad_strategy", Class::ConfigInvalid),
        ("deploy_config_wrong_type", Class::ConfigInvalid),
        ("config_validate_wrong_type", Class::ConfigInvalid),
        ("deploy_image_missing", Class::ImageMissing),
        ("deploy_nothing_to_build", Class::BuildOrImage),
        ("deploy_release_command_fails", Class::ReleaseCommand),
        ("deploy_release_command_timeout", Class::ReleaseCommandTimeout),
        ("deploy_lease_conflict", Class::LeaseHeld),
        ("deploy_concurrent_second", Class::LeaseHeld),
        ("redeploy_right_after_sigint", Class::LeaseHeld),
        ("deploy_unhealthy", Class::Unhealthy),
        ("deploy_unhealthy_dns_question", Class::Unhealthy),
        ("deploy_crash", Class::Unhealthy),
        ("deploy_crash_no_smoke_checks", Class::Unhealthy),
        ("deploy_partial", Class::Unhealthy),
        ("deploy_hang", Class::Unhealthy),
        ("deploy_canary_unhealthy", Class::Unhealthy),
        ("deploy_bluegreen_unhealthy", Class::Unhealthy),
        ("deploy_dns_question", Class::DnsCheck),
        ("deploy_dns_question_flag", Class::DnsCheck),
        ("deploy_500_whoami", Class::Network),
        ("deploy_500_machine_list", Class::Network),
        ("deploy_500_create_release", Class::Network),
        ("deploy_500_final_status", Class::Network),
        ("deploy_429", Class::Network),
        ("deploy_drop", Class::Network),
        ("deploy_unreachable", Class::Network),
        ("status_json_429", Class::Network),
        ("status_json_drop", Class::Network),
        ("releases_json_unreachable", Class::Network),
        ("deploy_sigterm_bluegreen", Class::Interrupted),
        ("deploy_sigint_health", Class::Crashed),
        ("deploy_sigkill_health", Class::Crashed),
        ("machine_list_json_401", Class::Unknown),
        ("unknown_flag", Class::Unknown),
    ] {
        assert_eq!(recorded(name).class, class, "{name}: {:?}", recorded(name));
    }
}

#[test]
fn the_most_telling_line_is_the_message() {
    for (name, message) in [
        (
            "deploy_token_none",
            "No access token available. Please login with 'flyctl auth login'",
        ),
        ("deploy_unknown_app", "Could not find App \"shop\""),
        (
            "deploy_release_command_fails",
            "release command failed - aborting deployment. error release_command machine b7a767c76fb008 exited with \
             non-zero status of 1",
        ),
        (
            "deploy_lease_conflict",
            "failed to acquire lease: failed to get lease on VM 6fdaeeb9757298: machine ID 6fdaeeb9757298 lease \
             currently held by someone-else@example.com, expires at 2026-11-21T03:46:18.000Z",
        ),
        (
            "deploy_500_lease",
            "failed to acquire lease: failed to get lease on VM 6fdaeeb9757298: internal server error",
        ),
        (
            "deploy_dns_question",
            "expected 1 A records for shop.fly.dev., got 0",
        ),
        (
            "deploy_sigint_health",
            "panic: interface conversion: interface {} is nil, not *client.Client [recovered, repanicked]",
        ),
        ("machine_list_json_500", "machines could not be retrieved"),
    ] {
        assert_eq!(recorded(name).message, message, "{name}");
    }
    let hidden = recorded("deploy_unhealthy_dns_question");
    assert!(
        hidden.message.contains("waiting for health checks to pass"),
        "{hidden:?}"
    );
    let graphql = said(
        "Error: failed to get app: failed to run query ($a: String!) { app(name: $a) { id } }: Could not find App\n",
    );
    assert_eq!(graphql.message, "failed to get app: Could not find App");
    assert_eq!(said("").message, "it ended with code 1 and said nothing");
}

#[test]
fn the_holder_of_a_lease_is_named() {
    assert_eq!(
        recorded("deploy_lease_conflict").lease,
        Some(LeaseHolder {
            account: "someone-else@example.com".into(),
            expires_at: Some("2026-11-21T03:46:18.000Z".into())
        })
    );
    assert_eq!(recorded("deploy_500_lease").lease, None);
    let retried = said(
        "Error: failed to acquire leases: Unrecoverable error: failed to get lease on VM 1: machine ID 1 lease currently held by a@b.c, expires at 2026-01-01T00:00:00Z (Request ID: 1)",
    );
    assert_eq!(
        retried.lease.unwrap().expires_at.as_deref(),
        Some("2026-01-01T00:00:00Z")
    );
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let failure = recorded("deploy_config_invalid");
    assert_eq!(
        failure.place,
        Some(Place {
            file: "invalid.toml".into(),
            line: Some(1),
            column: Some(12)
        })
    );
    assert!(
        failure
            .details
            .iter()
            .any(|line| line.contains("basic strings cannot have new lines"))
    );
    assert!(
        recorded("deploy_config_wrong_type")
            .details
            .iter()
            .any(|line| line.contains("internal_port"))
    );
}

#[test]
fn words_of_other_versions() {
    use FailureClass as Class;
    for (stderr, class) in [
        (
            "Error: no access token available. Please login with 'flyctl auth login'",
            Class::Unauthenticated,
        ),
        (
            "Error: failed to create release (status 500): x",
            Class::ReleaseRecord,
        ),
        (
            "Error: failed to create release (status 401): x",
            Class::Unauthorized,
        ),
        (
            "Error: release command failed - aborting deployment. error creating a release_command machine: could not \
             reserve resource for machine: insufficient memory",
            Class::Capacity,
        ),
        (
            "Error: failed to update machine 1: Unrecoverable error: timeout reached waiting for health checks to pass for machine 1: net/http: request canceled",
            Class::Unhealthy,
        ),
        (
            "Error: failed to update machine 1: Unrecoverable error: timeout reached waiting for healthchecks to pass",
            Class::Unhealthy,
        ),
        ("Error: request returned non-2xx status: 503", Class::Network),
        (
            "Error: failed to fetch an image or build from source: server returned a non-200 status code: 500",
            Class::Network,
        ),
        (
            "Error: failed to fetch an image or build from source: dockerfile '/x/Dockerfile' not found",
            Class::BuildOrImage,
        ),
        (
            "Error: To create more machines, please add a payment method",
            Class::Limits,
        ),
        (
            "Error: machine 1 [app] needs an unattached volume named 'data'",
            Class::Volumes,
        ),
        ("Error: found multiple image versions", Class::BluegreenState),
        ("Error: read tcp: connection reset by peer", Class::Network),
        ("Error: something new", Class::Unknown),
        ("Error: geofence of the app", Class::Unknown),
    ] {
        assert_eq!(said(stderr).class, class, "{stderr}");
    }
}

#[test]
fn neither_warnings_nor_the_apps_own_words_outdo_the_error() {
    let failure = classify(
        &Transcript::of(
            "WARN failed to acquire lease: failed to get lease on VM 1: lease currently held by me\n",
            "Warn: not authorized to retrieve app logs\nCheck its logs:\n  Error: unauthorized: connection refused\n\
             Error: smoke checks for 1 failed: the app appears to be crashing\n",
        ),
        ended(1),
        EndedBy::Itself,
    );
    assert_eq!(failure.class, FailureClass::Unhealthy);
    let only_logs = classify(
        &Transcript::of(
            "",
            "Warn: not authorized to retrieve app logs\n  connection refused\nError: some other thing\n",
        ),
        ended(1),
        EndedBy::Itself,
    );
    assert_eq!(only_logs.class, FailureClass::Unknown);
}

#[test]
fn a_cancelled_pool_is_a_failure_of_the_machine_that_failed() {
    // REFERENCE 2.3: exit 127 without a word of an error, though nobody interrupted it.
    let transcript = Transcript::of(
        "✖ [1/2] Machine 1 [app] update failed: timeout reached waiting for health checks to pass\n\
         ✖ [2/2] Machine 2 [app] update canceled while it was in progress\n",
        "",
    );
    let failure = classify(&transcript, ended(127), EndedBy::Itself);
    assert_eq!(failure.class, FailureClass::Unhealthy);
    assert!(
        failure.message.starts_with("[1/2] Machine 1"),
        "{}",
        failure.message
    );
    assert_eq!(
        classify(&transcript, ended(127), EndedBy::Signal).class,
        FailureClass::Interrupted
    );
    assert_eq!(
        classify(&transcript, ended(-9), EndedBy::Deadline).class,
        FailureClass::TimedOut
    );
}

#[test]
fn names_are_those_of_the_json() {
    for class in [
        FailureClass::DnsCheck,
        FailureClass::NoAppName,
        FailureClass::ReleaseCommandTimeout,
        FailureClass::TooOld,
    ] {
        assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
    }
    assert!(FailureClass::Network.is_transient() && FailureClass::Network.is_provider());
    assert!(!FailureClass::Unhealthy.is_provider() && !FailureClass::ImageMissing.is_provider());
    assert!(FailureClass::ConfigFile.is_configuration() && !FailureClass::ConfigFile.is_provider());
}

proptest! {
    #[test]
    fn no_words_break_it(stdout in any::<String>(), stderr in any::<String>(), code in -20..200_i32) {
        let _ = classify(&Transcript::of(&stdout, &stderr), ended(code), EndedBy::Itself);
    }

    #[test]
    fn no_half_sentences_break_it(text in "(Error: |✖ |WARN )?(failed loading app config from |lease currently held by |: failed to run )?[a-z:, é0-9}]{0,20}(row |, expires at )?[é0-9 ]{0,4}") {
        let _ = classify(&Transcript::of(&text, &text), ended(1), EndedBy::Itself);
    }
}
