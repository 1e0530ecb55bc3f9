//! The kinds of failure, and what follows from each.

use serde::{Deserialize, Serialize};

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
