//! State that survives: ledger, lock, freeze and failure bundles.
//!
//! [`Home`] says where things lie, [`EnvironmentState`] gives what one environment has of them. The ledger is the
//! source of every decision about the past; [`history`] answers the questions.

pub(crate) mod bundle;
pub(crate) mod deployer;
pub(crate) mod freeze;
pub(crate) mod heartbeat;
pub(crate) mod history;
pub(crate) mod home;
mod index;
pub(crate) mod keys;
pub(crate) mod ledger;
mod line;
pub(crate) mod local;
pub(crate) mod lock;
pub(crate) mod record;
pub(crate) mod row;
mod rows;
pub(crate) mod store;
mod summary;
#[cfg(test)]
pub(crate) mod testing;

use std::path::PathBuf;
use std::sync::Arc;

use bundle::Bundles;
use freeze::FreezeFile;
use heartbeat::Heartbeat;
use home::Home;
use ledger::Ledger;
use local::Local;
use store::Store;

/// What is kept of one environment.
#[derive(Clone)]
pub(crate) struct EnvironmentState {
    environment: String,
    folder: PathBuf,
    store: Arc<dyn Store>,
}

impl EnvironmentState {
    /// Touches nothing yet: folders appear with the first thing that is written.
    pub(crate) fn open(home: &Home, project: &str, environment: &str) -> Self {
        Self::at(home.environment(project, environment), environment)
    }

    /// The state of `environment` that lies in `folder`.
    pub(crate) fn at(folder: PathBuf, environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            store: Arc::new(Local::new(folder.clone())),
            folder,
        }
    }

    pub(crate) fn environment(&self) -> &str {
        &self.environment
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(Arc::clone(&self.store), &self.environment, &self.folder)
    }

    pub(crate) fn freeze(&self) -> FreezeFile {
        FreezeFile::new(Arc::clone(&self.store))
    }

    /// Always on this machine: it is this machine's processes that it tells of.
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        Heartbeat::new(self.folder.clone())
    }

    /// Always on this machine (DESIGN 8).
    pub(crate) fn bundles(&self) -> Bundles {
        Bundles::new(Arc::clone(&self.store), &self.folder)
    }
}
