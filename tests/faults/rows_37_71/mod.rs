//! Rows 37 to 71 of the matrix.

mod answers;
mod concurrency;
mod files;
mod first;
mod flyctl;
mod groups;
mod migration;
mod repetition;
mod returns;
mod rollbacks;
mod services;
mod sizes;
mod state;
mod stopped;
mod then;
mod times;
pub(crate) mod tools;
