//! The decision whether what was shipped is what serves.

use serde::{Deserialize, Serialize};

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
