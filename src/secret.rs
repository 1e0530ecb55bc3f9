//! Values that must not be seen, and making foreign text harmless.
