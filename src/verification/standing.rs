//! How one instance stands at one moment.
