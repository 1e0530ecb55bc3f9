//! May this start? Facts in, a refusal or warnings out; nothing is looked up here (DESIGN 4).

pub(crate) mod bound;
pub(crate) mod choice;
pub(crate) mod consent;
pub(crate) mod forward;
pub(crate) mod refs;
