//! What the scenarios are played with: the double, a stage around it, calls, the truth and its judge.

pub(crate) mod call;
pub(crate) mod double;
pub(crate) mod http;
pub(crate) mod mask;
pub(crate) mod oracle;
pub(crate) mod stage;
pub(crate) mod table;
pub(crate) mod truth;
