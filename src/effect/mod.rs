//! What lies outside the program: children, HTTP, signals and the wall clock.

pub(crate) mod clock;
pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod signals;
