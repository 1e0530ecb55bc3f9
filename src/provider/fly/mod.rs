//! Fly through flyctl.

pub(crate) mod environment;
pub(crate) mod flags;
pub(crate) mod invocation;
pub(crate) mod output;
pub(crate) mod passthrough;
