//! What lies outside the program: children, HTTP and the wall clock.
