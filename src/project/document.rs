//! A TOML file with the place of every value, read as far as it can be read.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::diagnostics::{Problem, line_of};

/// Larger files are no configuration, in bytes.
pub(crate) const LARGEST: u64 = 1024 * 1024;

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unread {
    Missing,
    Wrong(Problem),
}

/// Reads a whole file of text; `shown` is its name in messages.
pub(crate) fn read(path: &Path, shown: &str) -> Result<String, Unread> {
    let wrong = |message: String, hint: &str| Unread::Wrong(Problem::whole(shown, message).hint(hint));
    let bytes = read_bytes(path, LARGEST).map_err(|cause| match cause {
        Unreadable::Missing => Unread::Missing,
        Unreadable::Directory => wrong(
            "is a directory".to_owned(),
            "name the file in it, for example `fly.toml`",
        ),
        Unreadable::NoFile => wrong("is no regular file".to_owned(), "name a file on disk"),
        Unreadable::TooLarge => wrong(
            format!("is larger than {} KiB, which no configuration is", LARGEST / 1024),
            "check that the right file is named",
        ),
        Unreadable::Other(cause) => wrong(format!("cannot be read: {cause}"), "check its permissions"),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
        let line = line_of(&before, before.len());
        Unread::Wrong(Problem::on_line(shown, line, "the file is not UTF-8").hint("save the file as UTF-8"))
    })
}

/// Why bytes could not be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Missing,
    Directory,
    NoFile,
    TooLarge,
    Other(std::io::Error),
}

/// Reads a regular file of at most `largest` bytes; a pipe or a device would hold everything up.
pub(crate) fn read_bytes(path: &Path, largest: u64) -> Result<Vec<u8>, Unreadable> {
    let other = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Unreadable::Missing,
        _ => Unreadable::Other(error),
    };
    let about = std::fs::metadata(path).map_err(other)?;
    if about.is_dir() {
        return Err(Unreadable::Directory);
    }
    if !about.is_file() {
        return Err(Unreadable::NoFile);
    }
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(largest + 1).read_to_end(&mut bytes))
        .map_err(other)?;
    if read as u64 > largest {
        return Err(Unreadable::TooLarge);
    }
    Ok(bytes)
}

/// A value and where it stands, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) tree: Tree,
}

#[derive(Clone, Debug)]
pub(crate) enum Tree {
    /// In the order of the file.
    Table(Vec<(Name, Node)>),
    Array(Vec<Node>),
    Scalar(Value),
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Range<usize>,
}

/// A file's text, its name in messages and what stands in it.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) root: Node,
}

impl Document {
    /// Reads what can be read, and says what cannot.
    pub(crate) fn parse(file: &str, text: &str) -> (Self, Vec<Problem>) {
        let (table, mut errors) = DeTable::parse_recoverable(text);
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let document = Self {
            file: file.to_owned(),
            text: text.to_owned(),
            root: Node {
                span: table.span(),
                tree: Tree::of_table(table.get_ref()),
            },
        };
        let problems = errors
            .into_iter()
            .map(|error| {
                let span = error.span().unwrap_or(0..0);
                let mut lines = error.message().lines();
                let message = format!("no valid TOML: {}", lines.next().unwrap_or_default());
                let label = lines.collect::<Vec<_>>().join(", ");
                let label = if label.is_empty() { "here" } else { &label };
                document
                    .problem(span, message, label)
                    .hint("mend the line, then `shipctl config check`")
            })
            .collect();
        (document, problems)
    }

    pub(crate) fn problem(&self, span: Range<usize>, message: impl Into<String>, label: &str) -> Problem {
        Problem::at(&self.file, &self.text, span, message, label)
    }
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|(name, _)| name.text == key)
            .map(|(_, node)| node)
    }

    /// The value at a path of keys and, where a step is a number, indexes.
    pub(crate) fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Self> {
        path.into_iter().try_fold(self, |node, step| match &node.tree {
            Tree::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => node.get(step),
        })
    }

    /// Nothing where it is no table.
    pub(crate) fn entries(&self) -> &[(Name, Self)] {
        match &self.tree {
            Tree::Table(entries) => entries,
            Tree::Array(_) | Tree::Scalar(_) => &[],
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.tree {
            Tree::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// What it is, with an article, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.tree {
            Tree::Table(_) => "a table",
            Tree::Array(_) => "an array",
            Tree::Scalar(Value::String(_)) => "a string",
            Tree::Scalar(Value::Integer(_)) => "an integer",
            Tree::Scalar(Value::Float(_)) => "a decimal number",
            Tree::Scalar(Value::Boolean(_)) => "a boolean",
            Tree::Scalar(_) => "a date",
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Table(_) => Value::Table(self.to_table()),
            Tree::Array(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Tree::Scalar(value) => value.clone(),
        }
    }

    /// Empty where it is no table.
    pub(crate) fn to_table(&self) -> Table {
        self.entries()
            .iter()
            .map(|(name, node)| (name.text.clone(), node.to_value()))
            .collect()
    }
}

impl Tree {
    fn of_table(table: &DeTable<'_>) -> Self {
        Self::Table(
            table
                .iter()
                .map(|(name, value)| {
                    let name = Name {
                        text: name.get_ref().to_string(),
                        span: name.span(),
                    };
                    (name, Node::of(value))
                })
                .collect(),
        )
    }
}

impl Node {
    fn of(value: &Spanned<DeValue<'_>>) -> Self {
        let tree = match value.get_ref() {
            DeValue::String(text) => Tree::Scalar(Value::String(text.to_string())),
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).map_or_else(
                // Beyond 64 bits nothing in these files has a meaning: kept as text, it is of the wrong type.
                |_| Tree::Scalar(Value::String(digits.to_string())),
                |number| Tree::Scalar(Value::Integer(number)),
            ),
            DeValue::Float(digits) => Tree::Scalar(Value::Float(digits.as_str().parse().unwrap_or(f64::NAN))),
            DeValue::Boolean(on) => Tree::Scalar(Value::Boolean(*on)),
            DeValue::Datetime(date) => Tree::Scalar(Value::Datetime(*date)),
            DeValue::Array(items) => Tree::Array(items.iter().map(Self::of).collect()),
            DeValue::Table(table) => Tree::of_table(table),
        };
        Self {
            span: value.span(),
            tree,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{Document, Unread, read};

    #[test]
    fn values_keep_their_places() {
        let text = "app = \"shop\"\n[[services]]\ninternal_port = 0x1F90\n";
        let (document, problems) = Document::parse("fly.toml", text);
        assert!(problems.is_empty());
        let port = document.root.at(["services", "0", "internal_port"]).unwrap();
        assert_eq!(&text[port.span.clone()], "0x1F90");
        assert_eq!(port.to_value().as_integer(), Some(8080));
        assert_eq!(
            toml::from_str::<toml::Table>(text).unwrap(),
            document.root.to_table()
        );
    }

    #[test]
    fn a_broken_line_does_not_hide_the_others() {
        let (document, problems) = Document::parse(
            "fly.toml",
            "app = \"shop\"\nprimary_region = \"fra\n[env]\nA = \"1\"\n",
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].place(), "fly.toml:2");
        assert_eq!(
            document.root.get("app").and_then(|app| app.as_str()),
            Some("shop")
        );
        assert_eq!(
            document.root.at(["env", "A"]).and_then(|value| value.as_str()),
            Some("1")
        );
    }

    #[test]
    fn what_is_no_file_of_text_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = |name: &str| match read(&folder.path().join(name), name) {
            Err(Unread::Wrong(problem)) => problem.message,
            other => panic!("{name}: {other:?}"),
        };
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        std::fs::write(folder.path().join("latin"), b"a = 1\nb = \"\xe4\"\n").unwrap();
        std::fs::write(folder.path().join("large"), vec![b'#'; 10 * 1024 * 1024]).unwrap();
        assert_eq!(wrong("folder"), "is a directory");
        assert_eq!(wrong("latin"), "the file is not UTF-8");
        assert!(wrong("large").starts_with("is larger than"));
        assert_eq!(read(&folder.path().join("none"), "none"), Err(Unread::Missing));
        assert!(matches!(
            read(std::path::Path::new("/dev/null"), "null"),
            Err(Unread::Wrong(problem)) if problem.message == "is no regular file"
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn any_text_is_read(text in any::<String>(), lines in "([a-z\\[\\]={}\"'., #0-9\n]{0,60})") {
            let _ = Document::parse("f", &text);
            let _ = Document::parse("f", &lines);
        }
    }
}
