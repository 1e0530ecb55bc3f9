//! Parts of documents that several commands print.

use jiff::Timestamp;
use serde::Serialize;

use crate::output::text::ago;
use crate::state::freeze::Freeze;
use crate::state::lock::Holder;

/// Who holds the lock of an app.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LockView {
    app: String,
    owner: String,
    reason: Option<String>,
    since: String,
    run_url: Option<String>,
    /// Taken by a person; no process stands behind it.
    manual: bool,
}

impl From<Holder> for LockView {
    fn from(holder: Holder) -> Self {
        Self {
            app: holder.app,
            owner: holder.owner,
            reason: holder.reason,
            since: holder.since,
            run_url: holder.run_url,
            manual: holder.manual,
        }
    }
}

impl LockView {
    pub(crate) fn words(&self, now: Timestamp) -> String {
        let reason = self
            .reason
            .as_deref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        format!("by {}, {}{reason}", self.owner, ago(&self.since, now))
    }
}

/// Why forward deploys are held off.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FreezeView {
    reason: String,
    by: String,
    since: String,
}

impl From<Freeze> for FreezeView {
    fn from(freeze: Freeze) -> Self {
        Self {
            reason: freeze.reason,
            by: freeze.by,
            since: freeze.since,
        }
    }
}

impl FreezeView {
    pub(crate) fn words(&self, now: Timestamp) -> String {
        format!("by {}, {}: {}", self.by, ago(&self.since, now), self.reason)
    }
}
