//! One line of the ledger as bytes: format version, the hash of the line before, and the record.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::state::keys;
use crate::state::record::{FORMAT, Record};

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    /// SHA-256 of the line before, without its newline; empty in the first line.
    after: &'a str,
    #[serde(flatten)]
    record: &'a Record,
}

/// What surrounds the record; read alone where the record itself may be of a newer format.
#[derive(Deserialize)]
pub(crate) struct Envelope {
    pub(crate) format: u32,
    #[serde(default)]
    pub(crate) after: String,
}

/// The line for `record`, newline included, that follows the line `before`.
pub(crate) fn write(record: &Record, before: Option<&[u8]>) -> Result<Vec<u8>> {
    let after = before.map(keys::hash).unwrap_or_default();
    let mut line = serde_json::to_vec(&Written {
        format: FORMAT,
        after: &after,
        record,
    })
    .map_err(|error| Error::internal("cannot write a record of the ledger as JSON").cause(error))?;
    line.push(b'\n');
    Ok(line)
}

/// `None` where the line is no record that this version knows.
pub(crate) fn read(line: &[u8]) -> Option<Record> {
    serde_json::from_slice(line).ok()
}

pub(crate) fn envelope(line: &[u8]) -> Option<Envelope> {
    serde_json::from_slice(line).ok()
}
