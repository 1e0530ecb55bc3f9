//! Fly without Fly: a stand-in for flyctl and a small simulation of the platform.
