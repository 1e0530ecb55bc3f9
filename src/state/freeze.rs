//! Whether forward deploys are held off, by whom and why.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::state::store::Store;

/// What is said of a freeze that no other machine sees, with what changes that.
pub(crate) const LOCAL: &str =
    "holds on this machine only; `[state] url` in shipctl.toml names a folder that others see";

const KEY: &str = "freeze.json";

/// How often a change begins anew because somebody else's came first.
const ATTEMPTS: usize = 20;

/// Why forward deploys are refused.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Freeze {
    pub(crate) reason: String,
    pub(crate) by: String,
    /// RFC 3339.
    pub(crate) since: String,
}

#[derive(Deserialize, Serialize)]
struct Written {
    format: u32,
    #[serde(flatten)]
    freeze: Freeze,
}

pub(crate) struct FreezeFile {
    store: Arc<dyn Store>,
}

impl FreezeFile {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// `None` where the environment is not frozen. A freeze that cannot be understood still holds.
    pub(crate) fn get(&self) -> Result<Option<Freeze>> {
        let Some(object) = self.store.get(KEY)? else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_slice(&object.bytes).map_or_else(
            |_| Freeze {
                reason: "the freeze is recorded in a form that this shipctl does not know".to_owned(),
                by: "somebody".to_owned(),
                since: String::new(),
            },
            |written: Written| written.freeze,
        )))
    }

    /// Freezes, or writes over the freeze that is there; the newest reason counts.
    pub(crate) fn set(&self, freeze: &Freeze) -> Result<()> {
        let bytes = serde_json::to_vec(&Written {
            format: 1,
            freeze: freeze.clone(),
        })
        .map_err(|error| Error::internal("cannot write the freeze as JSON").cause(error))?;
        for _ in 0..ATTEMPTS {
            let is_written = match self.store.get(KEY)? {
                Some(object) => self.store.replace(KEY, &bytes, &object.etag)?,
                None => self.store.create(KEY, &bytes)?,
            };
            if is_written {
                return Ok(());
            }
        }
        Err(Error::internal(
            "cannot write the freeze: others write it all the time",
        ))
    }

    /// Answers with the freeze that held.
    pub(crate) fn clear(&self) -> Result<Option<Freeze>> {
        let before = self.get()?;
        self.store.remove(KEY)?;
        Ok(before)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::Freeze;
    use crate::state::EnvironmentState;

    #[test]
    fn a_freeze_holds_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let state = EnvironmentState::at(folder.path().join("p"), "p");
        let file = state.freeze();
        assert_eq!(file.get().unwrap(), None);
        assert_eq!(file.clear().unwrap(), None);
        let mut freeze = Freeze {
            reason: "rolled back".to_owned(),
            by: "dev@example.com".to_owned(),
            since: "2026-01-28T10:00:00Z".to_owned(),
        };
        file.set(&freeze).unwrap();
        "again".clone_into(&mut freeze.reason);
        file.set(&freeze).unwrap();
        assert_eq!(file.get().unwrap(), Some(freeze.clone()));
        let mode = |name: &str| {
            fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!((mode("p"), mode("p/freeze.json")), (0o700, 0o600));
        assert_eq!(file.clear().unwrap(), Some(freeze));
        assert_eq!(file.get().unwrap(), None);
    }

    #[test]
    fn what_cannot_be_understood_still_holds() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("freeze.json"), "{\"format\":2}").unwrap();
        let state = EnvironmentState::at(folder.path().to_owned(), "p");
        assert!(state.freeze().get().unwrap().is_some());
    }
}
