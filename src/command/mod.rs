//! One file per command: its arguments, its help, and what it does.
pub(crate) mod config;
