//! One running copy of a service: a Fly machine, as flyctl's JSON shows it.

use serde_json::Value;

use crate::release::{Image, ReleaseNumber};

/// A machine of `machine list --json` (REFERENCE 1.2). What that flyctl does not print is `None`.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) state: InstanceState,
    /// `config.metadata.fly_process_group`, else the `FLY_PROCESS_GROUP` variable.
    pub(crate) group: Option<String>,
    /// `config.image` for the name, the digest of `image_ref`.
    pub(crate) image: Image,
    /// `config.metadata.fly_release_version`.
    pub(crate) release: Option<ReleaseNumber>,
    /// Changes with each update of the machine; `instance_id`.
    pub(crate) version: String,
    pub(crate) checks: Vec<CheckState>,
    /// As listed, which is not sorted.
    pub(crate) events: Vec<InstanceEvent>,
    /// RFC 3339.
    pub(crate) updated_at: String,
    /// `None` where this flyctl does not say.
    pub(crate) host_reachable: Option<bool>,
    /// `None` where this flyctl does not say.
    pub(crate) cordoned: Option<bool>,
    /// Machines that this one stands by for; a standby is not counted.
    pub(crate) standbys: Vec<String>,
    pub(crate) canary: bool,
    /// The whole `config` object, as printed.
    pub(crate) config: Value,
}

/// The states of REFERENCE 6, and whatever else is printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum InstanceState {
    Started,
    Stopped,
    Suspended,
    Created,
    Failed,
    /// `starting`, `stopping`, `restarting`, `suspending`, `creating`, `updating`, `replacing`.
    Changing(String),
    /// `destroyed`, `destroying`, `replaced`, `migrated`.
    Gone(String),
    Other(String),
}

impl InstanceState {
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "started" => Self::Started,
            "stopped" => Self::Stopped,
            "suspended" => Self::Suspended,
            "created" => Self::Created,
            "failed" | "launch_failed" => Self::Failed,
            "starting" | "stopping" | "restarting" | "suspending" | "creating" | "updating" | "replacing" => {
                Self::Changing(word.to_owned())
            }
            "destroyed" | "destroying" | "replaced" | "migrated" => Self::Gone(word.to_owned()),
            other => Self::Other(other.to_owned()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::Created => "created",
            Self::Failed => "failed",
            Self::Changing(word) | Self::Gone(word) | Self::Other(word) => word,
        }
    }
}

/// One health check of one machine, as the platform sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CheckState {
    /// The key of `[checks]`, or `servicecheck-00-http-8080`.
    pub(crate) name: String,
    /// `passing`, `warning`, `critical`, or another word.
    pub(crate) status: String,
    pub(crate) output: String,
}

impl CheckState {
    pub(crate) fn is_passing(&self) -> bool {
        self.status == "passing"
    }
}

/// One entry of a machine's `events`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct InstanceEvent {
    /// `launch`, `start`, `exit`, `update`, …
    pub(crate) kind: String,
    pub(crate) status: String,
    /// Milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Only of kind `exit`.
    pub(crate) exit: Option<Exit>,
}

/// `request.exit_event`; absent fields are zero and false.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Exit {
    pub(crate) code: i64,
    pub(crate) requested_stop: bool,
    pub(crate) oom_killed: bool,
}

impl Exit {
    /// Neither asked for nor with code 0.
    pub(crate) fn is_crash(self) -> bool {
        !self.requested_stop && self.code != 0
    }
}

/// The groups that flyctl makes for itself (REFERENCE 2.6).
pub(crate) const RELEASE_COMMAND_GROUP: &str = "fly_app_release_command";
const OWN_GROUPS: [&str; 3] = [
    RELEASE_COMMAND_GROUP,
    "fly_app_test_machine_command",
    "fly_app_console",
];

impl Instance {
    /// Whether it can count in one of `groups`: neither flyctl's own, nor a canary, a standby or gone.
    pub(crate) fn counts(&self, groups: &[String]) -> bool {
        let Some(group) = &self.group else { return false };
        !OWN_GROUPS.contains(&group.as_str())
            && groups.iter().any(|name| name == group)
            && !self.canary
            && self.standbys.is_empty()
            && !matches!(self.state, InstanceState::Gone(_))
    }

    /// A migration that runs right now.
    pub(crate) fn is_running_release_command(&self) -> bool {
        self.group.as_deref() == Some(RELEASE_COMMAND_GROUP)
            && matches!(self.state, InstanceState::Started | InstanceState::Changing(_))
    }

    /// The newest `exit` by time; the list is not sorted.
    pub(crate) fn last_exit(&self) -> Option<(i64, Exit)> {
        self.events
            .iter()
            .filter_map(|event| event.exit.map(|exit| (event.at_ms, exit)))
            .max_by_key(|(at, _)| *at)
    }

    /// Stopped, and its last exit was neither asked for nor clean.
    pub(crate) fn has_crashed(&self) -> bool {
        self.state == InstanceState::Failed
            || (self.state == InstanceState::Stopped
                && self.last_exit().is_some_and(|(_, exit)| exit.is_crash()))
    }

    /// Whether the proxy leads to it at all: `config.services`.
    pub(crate) fn has_services(&self) -> bool {
        self.config["services"]
            .as_array()
            .is_some_and(|services| !services.is_empty())
    }

    /// Whether any of its services lets the proxy stop it: `config.services[].autostop`.
    pub(crate) fn has_autostop(&self) -> bool {
        self.config["services"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|service| match &service["autostop"] {
                Value::Bool(on) => *on,
                Value::String(word) => word == "stop" || word == "suspend",
                _ => false,
            })
    }
}
