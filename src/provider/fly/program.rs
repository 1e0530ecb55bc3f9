//! Where flyctl is.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::call::CallFailure;
use super::environment::Variables;
use super::output::failure::FailureClass;

/// The names that it is installed under.
const NAMES: [&str; 2] = ["flyctl", "fly"];

/// A flyctl, or the stand-in that takes its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// The name that it is started under, if not its path.
    pub(crate) arg0: Option<String>,
    /// Variables that it needs besides those of flyctl.
    pub(crate) env: Vec<(String, String)>,
}

impl Program {
    /// `SHIPCTL_FLYCTL`, else the first `flyctl`, else the first `fly` on `PATH` that can be executed.
    ///
    /// # Errors
    /// A failure of class `missing`.
    pub(crate) fn find(given: &Variables) -> Result<Self, CallFailure> {
        let path = given.get("PATH").map(String::as_str).unwrap_or_default();
        match given.get("SHIPCTL_FLYCTL").filter(|name| !name.is_empty()) {
            Some(name) if name.contains('/') => Self::at(Path::new(name)),
            Some(name) => search(path, &[name]).ok_or_else(|| {
                missing(
                    format!("`SHIPCTL_FLYCTL` names `{name}`, which is not on `PATH`"),
                    "set `SHIPCTL_FLYCTL` to the path of flyctl",
                )
            }),
            None => search(path, &NAMES).ok_or_else(|| {
                missing(
                    "neither `flyctl` nor `fly` is on `PATH`".to_owned(),
                    "install flyctl (https://fly.io/docs/flyctl/install/), or set `SHIPCTL_FLYCTL` to its path",
                )
            }),
        }
    }

    /// This very binary, started under another name.
    ///
    /// # Errors
    /// A failure of class `missing` where this binary cannot be found any more.
    pub(crate) fn this_binary(name: &str, env: Vec<(String, String)>) -> Result<Self, CallFailure> {
        let own = std::env::current_exe().map_err(|error| unusable(&"shipctl", &error))?;
        Ok(Self {
            path: own,
            arg0: Some(name.to_owned()),
            env,
        })
    }

    /// A file that can be executed.
    fn at(path: &Path) -> Result<Self, CallFailure> {
        let name = path.display();
        // The child may run in another directory.
        let full = std::path::absolute(path).map_err(|error| unusable(&name, &error))?;
        match std::fs::metadata(&full) {
            Ok(file) if !file.is_file() => Err(missing(
                format!("`{name}` is not a file"),
                "set `SHIPCTL_FLYCTL` to the path of flyctl",
            )),
            Ok(file) if file.permissions().mode() & 0o111 == 0 => Err(missing(
                format!("`{name}` is not executable"),
                &format!("run `chmod +x {name}`"),
            )),
            Ok(_) => Ok(Self {
                path: full,
                arg0: None,
                env: Vec::new(),
            }),
            Err(error) => Err(unusable(&name, &error)),
        }
    }
}

fn search(path: &str, names: &[&str]) -> Option<Program> {
    names.iter().find_map(|name| {
        std::env::split_paths(path)
            .filter(|dir| !dir.as_os_str().is_empty())
            .find_map(|dir| Program::at(&dir.join(name)).ok())
    })
}

fn unusable(name: &dyn std::fmt::Display, error: &io::Error) -> CallFailure {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no `{name}`"),
        _ => format!("`{name}` cannot be used: {error}"),
    };
    missing(reason, "set `SHIPCTL_FLYCTL` to the path of flyctl")
}

fn missing(message: String, hint: &str) -> CallFailure {
    CallFailure::new("flyctl", FailureClass::Missing, message).hinted(vec![hint.to_owned()])
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions, create_dir, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{Program, Variables};
    use crate::provider::fly::output::failure::FailureClass;

    fn program(dir: &Path, name: &str, mode: u32) {
        File::create(dir.join(name)).unwrap();
        set_permissions(dir.join(name), Permissions::from_mode(mode)).unwrap();
    }

    fn find(pairs: &[(&str, &str)]) -> Result<String, (FailureClass, String)> {
        let given: Variables = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        Program::find(&given)
            .map(|program| program.path.display().to_string())
            .map_err(|failure| (failure.class, failure.message.clone()))
    }

    #[test]
    fn the_first_that_can_be_executed_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display().to_string();
        for sub in ["a", "b", "c"] {
            create_dir(dir.path().join(sub)).unwrap();
        }
        create_dir(dir.path().join("a/flyctl")).unwrap();
        program(&dir.path().join("a"), "fly", 0o755);
        program(&dir.path().join("b"), "flyctl", 0o644);
        let path = format!("{root}/a::{root}/b:{root}/c");
        assert_eq!(find(&[("PATH", &path)]).unwrap(), format!("{root}/a/fly"));
        program(&dir.path().join("c"), "flyctl", 0o755);
        assert_eq!(find(&[("PATH", &path)]).unwrap(), format!("{root}/c/flyctl"));
        let named = format!("{root}/a/fly");
        assert_eq!(
            find(&[("PATH", &path), ("SHIPCTL_FLYCTL", &named)]).unwrap(),
            named
        );
        assert_eq!(
            find(&[("PATH", &path), ("SHIPCTL_FLYCTL", "fly")]).unwrap(),
            named
        );
        assert_eq!(
            find(&[("PATH", &path), ("SHIPCTL_FLYCTL", "")]).unwrap(),
            format!("{root}/c/flyctl")
        );
    }

    #[test]
    fn what_cannot_be_used_is_missing_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        program(dir.path(), "plain", 0o644);
        let root = dir.path().display().to_string();
        for (name, reason) in [
            (format!("{root}/nowhere"), "there is no"),
            (format!("{root}/plain"), "is not executable"),
            (root.clone(), "is not a file"),
            ("no-such-program".into(), "is not on `PATH`"),
        ] {
            let (class, message) = find(&[("PATH", &root), ("SHIPCTL_FLYCTL", &name)]).unwrap_err();
            assert_eq!(class, FailureClass::Missing);
            assert!(message.contains(reason), "{message}");
        }
        assert!(find(&[]).unwrap_err().1.contains("neither"));
    }
}
