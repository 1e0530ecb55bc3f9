//! Which release to go back to.
