//! Failure bundles: what was seen when a deployment was refuted. They stay on this machine (DESIGN 8).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::state::keys::{from_path_safe, path_safe};
use crate::state::store::Store;

const FOLDER: &str = "bundles";

/// Older ones are removed when a new one is written.
const KEPT: usize = 50;

pub(crate) struct Bundles {
    store: Arc<dyn Store>,
    /// Where the store keeps them on this machine.
    folder: PathBuf,
}

impl Bundles {
    pub(crate) fn new(store: Arc<dyn Store>, state: &Path) -> Self {
        Self {
            store,
            folder: state.join(FOLDER),
        }
    }

    /// Where the files of a deployment's bundle lie.
    pub(crate) fn folder(&self, id: &str) -> PathBuf {
        self.folder.join(path_safe(id))
    }

    /// Writes the files of a deployment's bundle and removes all bundles but the newest.
    ///
    /// Ids are `UUIDv7`, so the order of their names is the order of their making.
    pub(crate) fn write(&self, id: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        let bundle = format!("{FOLDER}/{}", path_safe(id));
        self.store.remove(&bundle)?;
        for (name, bytes) in files {
            self.store
                .create(&format!("{bundle}/{}", path_safe(name)), bytes)?;
        }
        let kept = self.store.list(FOLDER)?;
        for old in kept.iter().rev().skip(KEPT) {
            self.store.remove(&format!("{FOLDER}/{old}"))?;
        }
        Ok(())
    }

    /// The files of a bundle by name; empty where there is none.
    pub(crate) fn read(&self, id: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let bundle = format!("{FOLDER}/{}", path_safe(id));
        let mut files = BTreeMap::new();
        for component in self.store.list(&bundle)? {
            let object = self.store.get(&format!("{bundle}/{component}"))?;
            if let (Some(name), Some(object)) = (from_path_safe(&component), object) {
                files.insert(name, object.bytes);
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::KEPT;
    use crate::state::EnvironmentState;

    #[test]
    fn a_bundle_comes_back_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let bundles = EnvironmentState::at(folder.path().to_owned(), "p").bundles();
        let files = BTreeMap::from([
            ("logs.txt".to_owned(), b"a\nb\n".to_vec()),
            ("../escape".to_owned(), vec![0xff]),
        ]);
        bundles.write("019aa1c2", &files).unwrap();
        bundles.write("019aa1c2", &files).unwrap();
        assert_eq!(bundles.read("019aa1c2").unwrap(), files);
        assert!(bundles.folder("019aa1c2").join("logs.txt").exists());
        assert!(bundles.read("none").unwrap().is_empty());
        let mode = |name: &str| {
            fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(
            (mode("bundles/019aa1c2"), mode("bundles/019aa1c2/logs.txt")),
            (0o700, 0o600)
        );
        assert!(!folder.path().join("escape").exists());
    }

    #[test]
    fn the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let bundles = EnvironmentState::at(folder.path().to_owned(), "p").bundles();
        let files = BTreeMap::from([("a".to_owned(), Vec::new())]);
        for number in 0..KEPT + 2 {
            bundles.write(&format!("{number:04}"), &files).unwrap();
        }
        assert!(bundles.read("0001").unwrap().is_empty());
        assert!(!bundles.read("0002").unwrap().is_empty());
    }
}
