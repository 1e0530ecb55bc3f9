//! Replaying the recorded calls of the real flyctl against the stand-in.

pub(crate) mod compare;
pub(crate) mod deviations;
pub(crate) mod scene;
