//! Fly through flyctl.
