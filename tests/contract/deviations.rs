//! Where the stand-in differs from the recorded flyctl on purpose, and why.

/// What is compared instead of the whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Instead {
    /// The flags with their short forms and kinds, not the words that describe them.
    Flags,
    /// The form of the version, not its value.
    Version,
    /// The lines as a set: their order is chance.
    AnyOrder,
    /// stderr's first line, and what went before it.
    FirstLine,
    /// That stdout holds the document amid lines that are none.
    SpoiledJson,
    /// Machines may have come further, or not as far: nobody waited for them.
    MachineStates,
}

/// One deliberate difference.
pub(crate) struct Deviation {
    pub(crate) capture: &'static str,
    pub(crate) instead: Instead,
    pub(crate) reason: &'static str,
}

const fn deviation(capture: &'static str, instead: Instead, reason: &'static str) -> Deviation {
    Deviation {
        capture,
        instead,
        reason,
    }
}

const OWN_WORDS: &str = "help is described in our own words; a wrapper reads names, short forms and kinds";
const RELEASED: &str = "the recorded flyctl is a development build, the stand-in prints as a released one";
const NOT_WAITED: &str =
    "the command returns before its machines have started, and how far they came by then is chance";

const LEASES: &str = "leases are given back side by side";

/// All of them.
pub(crate) const ALL: &[Deviation] = &[
    deviation("help_deploy", Instead::Flags, OWN_WORDS),
    deviation("help_machine_list", Instead::Flags, OWN_WORDS),
    deviation("help_releases", Instead::Flags, OWN_WORDS),
    deviation("help_status", Instead::Flags, OWN_WORDS),
    deviation("deploy_json_flag", Instead::Flags, OWN_WORDS),
    deviation("unknown_flag", Instead::Flags, OWN_WORDS),
    deviation("version", Instead::Version, RELEASED),
    deviation("version_json", Instead::Version, RELEASED),
    deviation(
        "groups_deploy_again",
        Instead::AnyOrder,
        "process groups are updated side by side",
    ),
    deviation(
        "deploy_config_invalid",
        Instead::FirstLine,
        "each parser of TOML words a mistake in its own way",
    ),
    deviation(
        "log_level_debug_status_json",
        Instead::SpoiledJson,
        "what the debug log says is flyctl's own affair; that it spoils the document is not",
    ),
    deviation(
        "deploy_crash",
        Instead::MachineStates,
        "in a crash loop it is chance at which point one looks",
    ),
    deviation("deploy_sigint_health", Instead::AnyOrder, LEASES),
    deviation("deploy_sigint_smoke", Instead::AnyOrder, LEASES),
    deviation("deploy_sigterm_health", Instead::AnyOrder, LEASES),
    deviation("deploy_sigterm_smoke", Instead::AnyOrder, LEASES),
    deviation("deploy_immediate", Instead::MachineStates, NOT_WAITED),
    deviation("deploy_immediate_unhealthy", Instead::MachineStates, NOT_WAITED),
    deviation("deploy_detach", Instead::MachineStates, NOT_WAITED),
    deviation("deploy_detach_unhealthy", Instead::MachineStates, NOT_WAITED),
    deviation("machine_start", Instead::MachineStates, NOT_WAITED),
];

/// What is compared for a capture, if not the whole.
pub(crate) fn of(capture: &str) -> Option<Instead> {
    ALL.iter()
        .find(|deviation| deviation.capture == capture)
        .map(|deviation| deviation.instead)
}
