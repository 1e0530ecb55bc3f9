//! The streams: who may print, in which form, with or without colour.
