//! Where a project begins, and which environments its files name.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::shipctl_toml::{FILE_NAME, is_name};

/// The environment that a `fly.toml` alone is.
pub(crate) const DEFAULT: &str = "default";

/// The file that the bare flyctl takes.
pub(crate) const PLAIN: &str = "fly.toml";

/// The nearest folder from `start` upwards that holds a `shipctl.toml`, a `fly.*.toml` or a `fly.toml`.
pub(crate) fn find_root(start: &Path) -> Option<PathBuf> {
    start
        .ancestors()
        .find(|folder| {
            folder.join(FILE_NAME).exists()
                || folder.join(PLAIN).exists()
                || !environments_in(folder).is_empty()
        })
        .map(Path::to_owned)
}

/// The environments whose files lie in a folder: each `fly.<env>.toml`.
pub(crate) fn environments_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| environment_of(entry.ok()?.file_name().to_str()?).map(str::to_owned))
        .collect()
}

/// `fly.staging.toml` belongs to `staging`.
pub(crate) fn environment_of(file_name: &str) -> Option<&str> {
    let name = file_name.strip_prefix("fly.")?.strip_suffix(".toml")?;
    is_name(name).then_some(name)
}

/// An absolute path without `.` and `..`, which need not exist.
pub(crate) fn normal(base: &Path, path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// How a path is named to people: from the project's folder on where it lies in it.
pub(crate) fn shown(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    if inside.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        inside.display().to_string()
    }
}

/// Whether both name one file, also where one of them goes through a link.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other
        || match (one.canonicalize(), other.canonicalize()) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{environment_of, environments_in, find_root, normal};

    #[test]
    fn names_of_files_name_environments() {
        for (file, environment) in [
            ("fly.production.toml", Some("production")),
            ("fly.eu-1.toml", Some("eu-1")),
            ("fly.a.b.toml", Some("a.b")),
            ("fly.toml", None),
            ("fly..toml", None),
            ("fly.production.toml.bak", None),
            ("fly.production.json", None),
            ("fly.a b.toml", None),
            ("shipctl.toml", None),
        ] {
            assert_eq!(environment_of(file), environment, "{file}");
        }
    }

    #[test]
    fn the_nearest_folder_with_a_file_is_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let deep = root.join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(root.join("a/fly.staging.toml"), "").unwrap();
        assert_eq!(find_root(&deep), Some(root.join("a")));
        std::fs::write(root.join("a/b/shipctl.toml"), "").unwrap();
        assert_eq!(find_root(&deep), Some(root.join("a/b")));
        std::fs::write(deep.join("fly.toml"), "").unwrap();
        assert_eq!(find_root(&deep), Some(deep.clone()));
        assert_eq!(
            environments_in(&root.join("a")).into_iter().collect::<Vec<_>>(),
            ["staging"]
        );
        assert!(environments_in(&root.join("none")).is_empty());
    }

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(
            normal(Path::new("/a/b"), Path::new("../c/./d")),
            Path::new("/a/c/d")
        );
        assert_eq!(normal(Path::new("/a"), Path::new("/x/../y")), Path::new("/y"));
    }
}
