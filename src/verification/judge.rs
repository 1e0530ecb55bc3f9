//! From what was seen to the verdict.
