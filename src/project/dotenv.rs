//! `.env` and `.env.<env>`: of them shipctl reads its own variables; the rest is the app's and not looked at.

use std::path::Path;

use super::diagnostics::Problem;
use super::document::{LARGEST, Unreadable, read_bytes};

/// A file of variables, and those of it that may be read.
#[derive(Clone, Default)]
pub(crate) struct DotEnv {
    /// Its name in messages.
    pub(crate) file: String,
    /// In the order of the file; the last one of a name stands.
    entries: Vec<Entry>,
    /// Others than its owner may read it.
    is_open: bool,
}

#[derive(Clone)]
struct Entry {
    name: String,
    value: String,
    line: usize,
}

impl DotEnv {
    /// Reads the file; a missing one is empty, and so is one that cannot be read, with a problem.
    pub(crate) fn read(path: &Path, file: &str) -> (Self, Option<Problem>) {
        let empty = Self {
            file: file.to_owned(),
            ..Self::default()
        };
        let bytes = match read_bytes(path, LARGEST) {
            Ok(bytes) => bytes,
            Err(Unreadable::Missing) => return (empty, None),
            Err(cause) => {
                let cause = match cause {
                    Unreadable::Other(error) => format!("cannot be read: {error}"),
                    Unreadable::TooLarge => format!("is larger than {} KiB", LARGEST / 1024),
                    _ => "is no regular file".to_owned(),
                };
                return (empty, Some(Problem::whole(file, cause)));
            }
        };
        let dotenv = Self {
            file: file.to_owned(),
            // The rest of the file is the app's, in whatever encoding.
            entries: parse(&String::from_utf8_lossy(&bytes)),
            is_open: is_open(path),
        };
        (dotenv, None)
    }

    /// The value of a variable and its line; an empty one counts as unset.
    pub(crate) fn get(&self, name: &str) -> Option<(&str, usize)> {
        let entry = self.entries.iter().rev().find(|entry| entry.name == name)?;
        (!entry.value.is_empty()).then_some((entry.value.as_str(), entry.line))
    }

    /// The names in it that satisfy `wanted`.
    pub(crate) fn names(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .map(|entry| entry.name.as_str())
            .filter(move |name| wanted(name))
    }

    /// Whether others than its owner may read or change it.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

/// `NAME=value`, `export NAME=value`, quoted values over several lines, comments; what is none of these is skipped.
fn parse(text: &str) -> Vec<Entry> {
    let text = text.trim_start_matches('\u{feff}');
    let mut entries = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = line.trim_start();
        let (name, value) = trimmed.split_once('=').unwrap_or(("", ""));
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        let is_name = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        if trimmed.starts_with('#') || !is_name {
            rest = after;
            continue;
        }
        let value = value.trim_start_matches([' ', '\t']);
        let start = line.as_ptr() as usize - text.as_ptr() as usize + (line.len() - value.len());
        let quoted = match value.as_bytes().first() {
            Some(b'"') => double_quoted(&text[start + 1..]),
            Some(b'\'') => single_quoted(&text[start + 1..]),
            _ => None,
        };
        let value = if let Some((value, length)) = quoted {
            let end = start + 1 + length;
            rest = text[end..].split_once('\n').map_or("", |(_, after)| after);
            value
        } else {
            rest = after;
            unquoted(value)
        };
        entries.push(Entry {
            name: name.to_owned(),
            value,
            line: text[..at].matches('\n').count() + 1,
        });
    }
    entries
}

/// The value up to the closing quote, and how many bytes it took with it; `None` where it is never closed.
fn double_quoted(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

fn single_quoted(text: &str) -> Option<(String, usize)> {
    let end = text.find('\'')?;
    Some((text[..end].to_owned(), end + 1))
}

/// Up to a `#` after a blank.
fn unquoted(text: &str) -> String {
    let end = text
        .char_indices()
        .find(|(at, c)| *c == '#' && text[..*at].ends_with([' ', '\t']))
        .map_or(text.len(), |(at, _)| at);
    text[..end].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{DotEnv, parse};

    fn of(text: &str) -> DotEnv {
        DotEnv {
            file: ".env".to_owned(),
            entries: parse(text),
            is_open: false,
        }
    }

    #[test]
    fn the_usual_forms_are_read() {
        let file = of(
            "# comment\r\nA=1\r\nexport B = two words # why\nC=\"a\\n\\\"b\\\" # c\" # d\nD='x\\n'\nE=a#b\nF=\n\
             G=\"-----BEGIN\nSHIPCTL_FAKE=1\n-----END\"\nH=last\nA=2\nnonsense\n=x\nI=\"open\nJ=9",
        );
        for (name, value) in [
            ("A", Some("2")),
            ("B", Some("two words")),
            ("C", Some("a\n\"b\" # c")),
            ("D", Some("x\\n")),
            ("E", Some("a#b")),
            ("F", None),
            ("G", Some("-----BEGIN\nSHIPCTL_FAKE=1\n-----END")),
            ("SHIPCTL_FAKE", None),
            ("H", Some("last")),
            ("I", Some("\"open")),
            ("J", Some("9")),
        ] {
            assert_eq!(file.get(name).map(|(value, _)| value), value, "{name}");
        }
        assert_eq!(file.get("H").map(|(_, line)| line), Some(11));
    }

    #[test]
    fn who_may_read_it_is_seen() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        assert!(DotEnv::read(&path, ".env").1.is_none());
        std::fs::write(&path, b"A=\xff1\n").unwrap();
        for (mode, open) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(DotEnv::read(&path, ".env").0.is_open(), open, "{mode:o}");
        }
        assert!(DotEnv::read(folder.path(), ".env").1.is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn any_text_is_read(text in any::<String>(), lines in "[A-C=\"'#\\\\ \n\r]{0,60}") {
            of(&text);
            of(&lines);
        }
    }
}
