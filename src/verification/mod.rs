//! The decision whether what was shipped is what serves.
//!
//! Three things are looked at: the instances as the provider lists them, their checks, and the app's own answers.
//! [`watch`] gathers, [`memory`] remembers what was seen of each instance, [`standing`] says how each one stands,
//! and [`judge`] draws the verdict from that and an [`expectation::Expectation`]; only `watch` waits for anything.

pub(crate) mod expectation;
pub(crate) mod identity;
pub(crate) mod judge;
#[cfg(test)]
mod judge_tests;
pub(crate) mod memory;
pub(crate) mod probe;
#[cfg(test)]
mod stage;
pub(crate) mod standing;
pub(crate) mod watch;
#[cfg(test)]
mod watch_tests;
#[cfg(test)]
mod worlds;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::instance::Instance;
use crate::release::{Digest, ReleaseNumber};

/// What a verification comes to; ambiguity is never `Verified` (DESIGN 1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Verified,
    Refuted,
    Inconclusive,
}

impl Verdict {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much was seen of a release that is good; each word is worth more than the one before it (DESIGN 6).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Evidence {
    /// Started for 10 s without a restart.
    State,
    /// All configured checks pass.
    Checks,
    /// It answered well.
    Http,
    /// It answered well and named this release.
    App,
}

impl Evidence {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Checks => "checks",
            Self::Http => "http",
            Self::App => "app",
        }
    }
}

/// A verdict with everything that the report, the ledger and the next phase need of it.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    /// Of a good release what it was judged by; of another one the strongest witness that spoke.
    pub(crate) evidence: Evidence,
    /// Why it is not verified, the weightiest first; empty where it is.
    pub(crate) reasons: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// The counted instances, by id.
    pub(crate) instances: Vec<InstanceReport>,
    /// Counted instances that were seen on the release that was shipped.
    pub(crate) moved: usize,
    /// Counted instances in the last list.
    pub(crate) counted: usize,
    /// A newer release with another image, which an instance runs.
    pub(crate) superseded_by: Option<ReleaseNumber>,
    /// What the answers of this release name as its version.
    pub(crate) version: Option<String>,
    /// An instance on this release answered 2xx on the path.
    pub(crate) answered: bool,
    /// The counted instances run more than one image.
    pub(crate) mixed: bool,
    /// Of the release that was shipped, as far as an instance that runs it has shown them.
    pub(crate) digest: Option<Digest>,
    pub(crate) release: Option<ReleaseNumber>,
    /// flyctl still runs, and nothing that it does can change the verdict.
    pub(crate) early: bool,
    /// Instances on hosts that cannot be reached, by id.
    pub(crate) unreachable: Vec<String>,
    /// The counted instances of the last list; empty where none ever came.
    pub(crate) listed: Vec<Instance>,
}

/// One of the `instances` of the JSON document (DESIGN 9).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct InstanceReport {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) group: String,
    pub(crate) state: String,
    pub(crate) release: Option<ReleaseNumber>,
    pub(crate) digest: Option<Digest>,
    /// `passing`, `warning`, `critical`, or another word of the platform; `missing` where a configured one is
    /// absent, `null` where none is configured.
    pub(crate) checks: Option<String>,
    pub(crate) probes: ProbeReport,
}

impl InstanceReport {
    /// Of an instance that nobody asked.
    pub(crate) fn unasked(instance: &Instance) -> Self {
        let worst = instance.checks.iter().find(|check| !check.is_passing());
        Self {
            id: instance.id.clone(),
            region: instance.region.clone(),
            group: instance.group.clone().unwrap_or_default(),
            state: instance.state.as_str().to_owned(),
            release: instance.release,
            digest: instance.image.digest.clone(),
            checks: worst
                .or(instance.checks.first())
                .map(|check| check.status.clone()),
            probes: ProbeReport::default(),
        }
    }
}

/// What an instance answered since it got this release.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct ProbeReport {
    pub(crate) good: u32,
    pub(crate) bad: u32,
    pub(crate) last_status: Option<u16>,
    pub(crate) last_version: Option<String>,
    pub(crate) latency_ms: Option<u64>,
}

impl Judgement {
    /// Of something that was never seen.
    pub(crate) fn nothing() -> Self {
        Self {
            verdict: Verdict::Inconclusive,
            evidence: Evidence::State,
            reasons: Vec::new(),
            warnings: Vec::new(),
            instances: Vec::new(),
            moved: 0,
            counted: 0,
            superseded_by: None,
            version: None,
            answered: false,
            mixed: false,
            digest: None,
            release: None,
            early: false,
            unreachable: Vec::new(),
            listed: Vec::new(),
        }
    }
}
