//! The few things that state asks of the place where it is kept.

use std::fs::File;

use crate::error::Result;

/// A small object together with the mark by which a later writer recognises it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) etag: Etag,
}

/// What an object held when it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Etag(pub(crate) String);

/// A journal opened for reading: whole lines alone.
pub(crate) struct Journal {
    pub(crate) file: File,
    /// Length up to the end of its last whole line, in bytes.
    pub(crate) length: u64,
    /// What was found wrong and mended while opening it.
    pub(crate) warnings: Vec<String>,
}

/// A place for small objects and for journals that only grow. Keys are relative paths with `/`.
pub(crate) trait Store: Send + Sync {
    /// `None` where there is no such object.
    fn get(&self, key: &str) -> Result<Option<Object>>;
    /// Writes a new object; `false` if there is one already.
    fn create(&self, key: &str, bytes: &[u8]) -> Result<bool>;
    /// Writes over the object that was `seen`; `false` if it has changed or gone since.
    fn replace(&self, key: &str, bytes: &[u8], seen: &Etag) -> Result<bool>;
    /// `false` if there was none.
    fn remove(&self, key: &str) -> Result<bool>;
    /// The names right under `key`, sorted; empty where there is none.
    fn list(&self, key: &str) -> Result<Vec<String>>;
    /// Opens a journal on this machine, fetched where it lies elsewhere; `None` where there is none.
    fn open(&self, key: &str) -> Result<Option<Journal>>;
    /// Adds a whole line, durable once this returns; `false` if the journal is no longer `length` bytes long.
    fn append(&self, key: &str, length: u64, line: &[u8]) -> Result<bool>;
}
