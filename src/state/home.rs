//! Where state lies on this machine (DESIGN 8).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::state::EnvironmentState;
use crate::state::keys::{from_path_safe, path_safe};
use crate::state::lock::Locks;

/// Names in the state folder that no project may take.
const TAKEN: [&str; 2] = ["locks", "sandbox"];

/// The folders of ledgers and of locks.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// Holds `<project>/<environment>/`; of the sandbox, `<environment>/`.
    folder: PathBuf,
    locks: PathBuf,
    one_project: bool,
}

/// An environment that some ledger on this machine binds to an app.
pub(crate) struct Found {
    pub(crate) project: String,
    pub(crate) state: EnvironmentState,
}

impl Home {
    /// `url` is what `SHIPCTL_STATE` or `[state] url` says, relative folders taken from `base`.
    ///
    /// Locks lie in the user's state folder whatever `url` says: two projects can name one app.
    ///
    /// # Errors
    /// Of kind `Config` for a URL that this version cannot use, and where no variable names a folder.
    pub(crate) fn resolve(
        url: Option<&str>,
        base: &Path,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self> {
        let own = own_folder(variable);
        match url.filter(|url| !url.is_empty()) {
            Some(url) if url.starts_with("git+") || url.contains("://") => Err(Error::config(format!(
                "state cannot be kept at `{url}` yet: only a folder can"
            ))
            .hint("leave `[state] url` and `SHIPCTL_STATE` out, or name a folder")),
            Some(folder) => {
                let folder = base.join(folder);
                let locks = own.unwrap_or_else(|| folder.clone()).join("locks");
                Ok(Self {
                    folder,
                    locks,
                    one_project: false,
                })
            }
            None => {
                let folder = own.ok_or_else(|| {
                    Error::config(
                        "there is no place for the ledger: neither `XDG_STATE_HOME` nor `HOME` is set",
                    )
                    .hint("name one with `SHIPCTL_STATE=FOLDER`")
                })?;
                Ok(Self {
                    locks: folder.join("locks"),
                    folder,
                    one_project: false,
                })
            }
        }
    }

    /// Where the sandbox of a project lies (DESIGN 10).
    ///
    /// # Errors
    /// Where no variable names a folder for state.
    pub(crate) fn sandbox_folder(
        project: &str,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<PathBuf> {
        Ok(sandboxes(variable)?.join(path_safe(project)))
    }

    /// The sandboxes of this machine, by project.
    ///
    /// # Errors
    /// Where no variable names a folder for state.
    pub(crate) fn sandboxes(variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<(String, Self)>> {
        let all = folders(&sandboxes(variable)?).into_iter();
        let named = all.filter_map(|(component, folder)| {
            let project = from_path_safe(&component)?;
            Some((project, Self::sandbox(&folder)))
        });
        Ok(named.collect())
    }

    /// The home of one sandbox: everything below `root`, nothing elsewhere.
    pub(crate) fn sandbox(root: &Path) -> Self {
        Self {
            folder: root.join("environments"),
            locks: root.join("locks"),
            one_project: true,
        }
    }

    pub(crate) fn locks(&self) -> Locks {
        Locks::new(self.locks.clone())
    }

    /// The folder of one environment.
    pub(crate) fn environment(&self, project: &str, environment: &str) -> PathBuf {
        let environment = path_safe(environment);
        if self.one_project {
            return self.folder.join(environment);
        }
        self.folder.join(project_component(project)).join(environment)
    }

    /// The environments whose ledger names `app` last, of all projects: for `-a APP` without a checkout.
    pub(crate) fn environments_of_app(&self, app: &str) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        let projects = if self.one_project {
            vec![(String::new(), self.folder.clone())]
        } else {
            folders(&self.folder)
                .into_iter()
                .filter(|(component, _)| !TAKEN.contains(&component.as_str()))
                .collect()
        };
        for (component, folder) in projects {
            for (environment, folder) in folders(&folder) {
                let (Some(project), Some(environment)) =
                    (from_path_safe(&component), from_path_safe(&environment))
                else {
                    continue;
                };
                let state = EnvironmentState::at(folder, &environment);
                if state.ledger().read()?.is_bound_to(app) {
                    found.push(Found { project, state });
                }
            }
        }
        Ok(found)
    }
}

/// Where all sandboxes lie.
fn sandboxes(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let folder = own_folder(variable).ok_or_else(|| {
        Error::config("neither `XDG_STATE_HOME` nor `HOME` names a folder for state")
            .hint("set `HOME`, or `XDG_STATE_HOME` to an absolute path")
    })?;
    Ok(folder.join("sandbox"))
}

/// `$XDG_STATE_HOME/shipctl`, else `~/.local/state/shipctl`; a relative one does not count, as that standard says.
fn own_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|folder| folder.join("shipctl"))
}

fn project_component(project: &str) -> String {
    let component = path_safe(project);
    if TAKEN.contains(&component.as_str()) {
        // Reads back as the same name, and is no longer the taken one.
        let first = component.as_bytes()[0];
        return format!("%{first:02X}{}", &component[1..]);
    }
    component
}

/// The folders right below `folder`, sorted by name; none where it cannot be read.
fn folders(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use super::Home;
    use crate::error::ErrorKind;

    fn home(url: Option<&str>, variables: &[(&str, &str)]) -> Result<(PathBuf, PathBuf), ErrorKind> {
        Home::resolve(url, Path::new("/src/shop"), |name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        })
        .map(|home| (home.environment("github.com/o/shop", "production"), home.locks))
        .map_err(|error| error.kind)
    }

    #[test]
    fn state_lies_where_variables_and_settings_say() {
        let both = [("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        for (url, variables, folder, locks) in [
            (None, &both[..], "/x/shipctl", "/x/shipctl/locks"),
            (
                None,
                &both[1..],
                "/h/.local/state/shipctl",
                "/h/.local/state/shipctl/locks",
            ),
            (
                None,
                &[("XDG_STATE_HOME", "relative"), ("HOME", "/h")],
                "/h/.local/state/shipctl",
                "/h/.local/state/shipctl/locks",
            ),
            (Some("/srv/state"), &both[..], "/srv/state", "/x/shipctl/locks"),
            (Some("state"), &both[..], "/src/shop/state", "/x/shipctl/locks"),
            (Some("/srv/state"), &[], "/srv/state", "/srv/state/locks"),
            (Some(""), &both[..], "/x/shipctl", "/x/shipctl/locks"),
        ] {
            let expected = Path::new(folder).join("github.com%2Fo%2Fshop/production");
            assert_eq!(
                home(url, variables),
                Ok((expected, PathBuf::from(locks))),
                "{url:?}"
            );
        }
        for url in ["git+origin", "s3://bucket/prefix"] {
            assert_eq!(home(Some(url), &both), Err(ErrorKind::Config));
        }
        assert_eq!(home(None, &[]), Err(ErrorKind::Config));
    }

    #[test]
    fn no_project_takes_the_folder_of_the_locks() {
        let home = Home::resolve(Some("/s"), Path::new("/"), |_| None).unwrap();
        assert_eq!(home.environment("locks", "x"), Path::new("/s/%6Cocks/x"));
    }
}
