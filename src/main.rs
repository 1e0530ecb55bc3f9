//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    shipctl::run(std::env::args_os())
}
