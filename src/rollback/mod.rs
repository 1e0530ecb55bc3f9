//! Which release to go back to (DESIGN 7). Decides over facts; asks nothing and changes nothing.

mod candidate;
mod listed;
mod named;
mod no_target;
mod pick;
mod returning;
mod secrets;
mod serving;

pub(crate) use candidate::Candidate;
pub(crate) use pick::{Answer, Pick, Question, Rule, pick};
pub(crate) use returning::{ReturnQuestion, ReturnTarget, return_target};
pub(crate) use secrets::{secrets_left_by_a_return, secrets_since};
pub(crate) use serving::Running;
