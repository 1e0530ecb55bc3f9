//! What a command works with: the project, its state, flyctl and the printer.
