//! What the ledger holds, as it stands on disk: one JSON object a line.
//!
//! An attempt writes a start before it changes anything, a mark when flyctl runs, and an end. A start without an
//! end whose deployer is gone is unfinished.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::release::{Digest, Image, ReleaseNumber};

/// The version of the format that this program writes. A newer one is read, but nothing is appended to it.
pub(crate) const FORMAT: u32 = 1;

/// One line of the ledger, without the hash that chains it to the line before.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(crate) enum Record {
    Start(Box<Start>),
    Mark(Mark),
    End(Box<End>),
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Deploy,
    Rollback,
    Verify,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Verify => "verify",
        }
    }
}

/// How an attempt ended (DESIGN 9).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Verified,
    Failed,
    RolledBack,
    Broken,
    Inconclusive,
    Interrupted,
    Refused,
    Abandoned,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Broken => "broken",
            Self::Inconclusive => "inconclusive",
            Self::Interrupted => "interrupted",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct GitFacts {
    pub(crate) sha: Option<String>,
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
    pub(crate) describe: Option<String>,
    pub(crate) dirty: bool,
}

/// Who deploys, so that the next command can tell whether it still does.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Deployer {
    pub(crate) host: String,
    pub(crate) pid: i32,
    /// Clock ticks since boot, which tell a reused process number apart; 0 where unknown.
    pub(crate) start_time: u64,
    pub(crate) run_url: Option<String>,
}

/// The first line of an attempt.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Start {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) environment: String,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    /// Policy rules that a person overrode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) overridden: Vec<String>,
    pub(crate) git: GitFacts,
    /// RFC 3339.
    pub(crate) started_at: String,
    pub(crate) deployer: Deployer,
    pub(crate) services: Vec<ServiceStart>,
}

/// What is about to be shipped for one service, and what served before.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct ServiceStart {
    pub(crate) service: String,
    pub(crate) app: String,
    pub(crate) image: Option<Image>,
    /// Whether the file runs a release command, that is a migration.
    pub(crate) release_command: bool,
    pub(crate) configuration: Option<Configuration>,
    pub(crate) previous: Option<Served>,
    /// Whether the image is built by this attempt, so that it holds the commit of `git`.
    #[serde(default)]
    pub(crate) built: bool,
}

/// The configuration that a release was formed with; values that look secret are redacted.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Configuration {
    /// Name of the file, for people.
    pub(crate) file: String,
    /// The whole text of `fly.<env>.toml`.
    pub(crate) text: String,
    /// Contents of its `[[files]]`, by local path; base64 is not needed for text, `lossy` marks the rest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<String, String>,
    /// Flags that form the release: `-e`, `--vm-*`, `--file-*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) flags: Vec<String>,
    /// Names of `[env]` values that were redacted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) redacted: Vec<String>,
}

/// A release together with what runs it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Served {
    pub(crate) release: Option<ReleaseNumber>,
    pub(crate) image: String,
    pub(crate) digest: Option<Digest>,
}

/// Written when flyctl has been started, and when a phase begins that a later command must know of.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Mark {
    pub(crate) id: String,
    pub(crate) at: String,
    pub(crate) phase: String,
    pub(crate) service: String,
    /// flyctl's process group and its start time in clock ticks.
    pub(crate) process_group: i32,
    pub(crate) start_time: u64,
    /// Set once an instance was seen on the new release.
    #[serde(default)]
    pub(crate) moved: bool,
}

/// The last line of an attempt.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct End {
    pub(crate) id: String,
    pub(crate) ended_at: String,
    pub(crate) outcome: Outcome,
    pub(crate) services: Vec<ServiceEnd>,
    /// The document that `--json` prints (`shipctl/deployment/1`).
    pub(crate) report: Value,
}

/// What is remembered of a service for later verdicts and rollbacks.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct ServiceEnd {
    pub(crate) service: String,
    pub(crate) app: String,
    /// `verified`, `refuted` or `inconclusive`, of the release that was shipped.
    pub(crate) verdict: String,
    pub(crate) release: Option<ReleaseNumber>,
    pub(crate) image: Option<String>,
    pub(crate) digest: Option<Digest>,
    /// What the answer named as its version, if it named one.
    pub(crate) version: Option<String>,
    /// Whether that names this very release, rather than being a word that others answer, too.
    #[serde(default)]
    pub(crate) named: bool,
    /// The path that answered 2xx, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answered_path: Option<String>,
    /// What serves at the end.
    pub(crate) serving: Option<Served>,
    /// Whether what serves was itself verified, as a return does; only said where it is not what was shipped.
    #[serde(default)]
    pub(crate) serving_verified: bool,
    /// The machine `config` of one instance per group, without image, metadata and guest, as verified.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) machine_configs: BTreeMap<String, Value>,
}
