//! The real binary, as a person or a script meets it: wording, exit codes, documents, and what a terminal shows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "the program under test is a child of the test"
)]

mod command_line;
mod completions;
mod config;
mod deploy;
mod documents;
mod freeze;
mod history;
mod json;
mod lock;
mod pictures;
mod releases;
mod rollback;
mod sandbox;
mod status;
mod streams;
mod support;
mod terminal;
mod verify;
