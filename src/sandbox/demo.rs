//! The demo: the four things that matter, played in a fresh world of its own in a few seconds.

use crate::error::Result;
use crate::output::Printer;

pub(crate) async fn run(printer: &Printer) -> Result<u8> {
    printer.talk("soon");
    Ok(0)
}
