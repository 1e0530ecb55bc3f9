//! State that survives: ledger, lock, freeze and failure bundles.

pub(crate) mod record;
