//! The command line: global flags and one variant per command.
