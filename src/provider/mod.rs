//! Adapters to platforms.

pub(crate) mod fly;
