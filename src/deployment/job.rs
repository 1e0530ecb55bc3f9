//! One service in a deployment: where it lives, what is shipped, what must be true, and where it can go back to.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::deployment::baseline::Baseline;
use crate::deployment::ship::ProviderEnd;
use crate::deployment::witnesses::FlyWitnesses;
use crate::instance::Instance;
use crate::project::Service;
use crate::project::fly_toml::FlyToml;
use crate::provider::fly::Flyctl;
use crate::release::{Image, Release, ReleaseNumber};
use crate::state::history::Known;
use crate::state::record::Configuration;
use crate::verification::Judgement;
use crate::verification::expectation::Expectation;

/// One service of the deployment, prepared.
pub(crate) struct Job<'a> {
    pub(crate) service: &'a Service,
    pub(crate) flyctl: Flyctl,
    pub(crate) witnesses: FlyWitnesses,
    pub(crate) baseline: Baseline,
    /// As listed at the baseline.
    pub(crate) releases: Vec<Release>,
    pub(crate) shipment: Shipment,
    pub(crate) expectation: Expectation,
    /// Where a return goes; `None` with the reason where it cannot go anywhere.
    pub(crate) destination: Result<Destination, NoWay>,
    /// A release command of somebody else still runs.
    pub(crate) migration_runs: bool,
    /// Instances that no request reaches, made by a deployment of ours that was cut off.
    pub(crate) unreached: Vec<String>,
    pub(crate) course: Course,
}

/// What is shipped, and with what.
#[derive(Debug)]
pub(crate) struct Shipment {
    /// `None` where flyctl builds it and names it by the label.
    pub(crate) image: Option<Image>,
    pub(crate) label: Option<String>,
    /// As read; flyctl gets a copy, so that an edit meanwhile changes nothing.
    pub(crate) configuration: Option<Configuration>,
    pub(crate) file: FlyToml,
    /// The copy that flyctl reads.
    pub(crate) config_path: PathBuf,
    /// flyctl's working directory, and the build context.
    pub(crate) directory: PathBuf,
    pub(crate) strategy: Option<String>,
    /// Flags after `--`, or those that formed the release that is shipped again.
    pub(crate) flags: Vec<String>,
    /// flyctl runs the release command of this configuration.
    pub(crate) release_command: bool,
    /// Keeps the copy until the deployment has ended.
    pub(crate) workspace: TempDir,
}

/// A release to go back to.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) image: Image,
    pub(crate) release: Option<ReleaseNumber>,
    pub(crate) configuration: Option<Configuration>,
    /// What it answered when it served.
    pub(crate) version: Option<String>,
    /// Whether that names this very release.
    pub(crate) named: bool,
    /// What is known of how its health path was answered when it served.
    pub(crate) heard: Heard,
}

/// What is known of how a release answered: on a path that was no witness then, it need not be one now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Heard {
    /// Nobody knows.
    #[default]
    Unknown,
    /// It was asked, and these paths answered 2xx.
    Well(Vec<String>),
}

impl Heard {
    /// What an entry of the ledger says.
    pub(crate) fn of(entry: Option<&Known>) -> Self {
        entry.map_or(Self::Unknown, |entry| {
            Self::Well(entry.answered_path.iter().cloned().collect())
        })
    }

    /// Whether `path` answered 2xx.
    pub(crate) fn answered(&self, path: &str) -> bool {
        matches!(self, Self::Well(paths) if paths.iter().any(|known| known == path))
    }
}

/// Why a return cannot go anywhere, and the command with which a person could all the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct NoWay {
    pub(crate) reason: String,
    pub(crate) command: Option<String>,
}

impl NoWay {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            command: None,
        }
    }
}

/// What became of it, filled as the deployment goes.
#[derive(Debug, Default)]
pub(crate) struct Course {
    pub(crate) provider: Option<ProviderEnd>,
    /// Of what was shipped.
    pub(crate) judgement: Option<Judgement>,
    /// Of what served before, looked at again, or of the return.
    pub(crate) afterwards: Option<Judgement>,
    pub(crate) stage: Stage,
    /// The last list after flyctl had ended.
    pub(crate) now: Option<Vec<Instance>>,
    pub(crate) releases_now: Option<Vec<Release>>,
    /// The newest release when the first return began; what is newer and holds its target is the return's own.
    pub(crate) returning_since: Option<ReleaseNumber>,
    pub(crate) reasons: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) hints: Vec<String>,
    pub(crate) log: Vec<String>,
    /// Copies that flyctl reads while a return runs.
    pub(crate) workspaces: Vec<TempDir>,
}

/// How far a service came, and what is to be said of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Its turn did not come.
    #[default]
    NotShipped,
    Verified,
    /// Refuted, at least one instance has moved, and it is there still.
    Refuted,
    /// Nothing moved, and what served before is verified again.
    Untouched,
    /// Nothing was released: flyctl or Fly cannot do it.
    NoRelease,
    /// Nothing was released: flyctl refused the configuration.
    NoReleaseConfig,
    Returned,
    Broken,
    Inconclusive,
}

impl Job<'_> {
    pub(crate) fn app(&self) -> &str {
        &self.service.app
    }

    /// The configured process groups of what is shipped.
    pub(crate) fn groups(&self) -> Vec<String> {
        self.shipment.file.groups()
    }
}
