//! Which release an answer names.

use std::collections::BTreeSet;

use crate::project::{Identity, VersionField};
use crate::release::Image;

/// What an answer may call a release.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Tags, labels, describes, `SHIPCTL_VERSION`, or what it answered when it was last verified.
    pub(crate) words: BTreeSet<String>,
    /// Images: named by reference (digest, else `repo:tag`), digest or tag.
    pub(crate) images: Vec<Image>,
    /// Whole git shas; seven characters or more name one.
    pub(crate) shas: BTreeSet<String>,
}

/// How the version in an answer is judged.
#[derive(Clone, Debug)]
pub(crate) struct IdentityRule {
    pub(crate) mode: Identity,
    pub(crate) field: VersionField,
    /// What names the target. A target that named nothing when it was verified has no names: not judged.
    pub(crate) expected: Names,
    /// What names others: the baseline's answer, and the other releases of the ledger.
    pub(crate) others: Names,
    /// The service named its own release at the baseline or when it was last verified.
    pub(crate) named_before: bool,
    /// Names both: the nearest tag of describe, the same before and after.
    pub(crate) both: BTreeSet<String>,
}
