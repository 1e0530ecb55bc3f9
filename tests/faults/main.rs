//! The fault matrix (`FAULTS.md`): what a deployment must survive and what it must say, through the real binary
//! in the sandbox. Each test begins with its row, asserts first what bare flyctl would have said, then shipctl's
//! answer, and last, from the world, what really serves.

mod count;
mod rows_01_16;
mod rows_17_29;
mod rows_30_36;
mod rows_37_71;
mod support;
