//! The decision whether what was shipped is what serves.
