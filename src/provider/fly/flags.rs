//! Which flags this flyctl's `deploy` knows, as its help names them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The flags of a help text. Hidden ones are not among them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Flags {
    /// Long names without dashes; whether the next argument is the value.
    known: BTreeMap<String, bool>,
    /// Short names and the long ones that they stand for.
    short: BTreeMap<char, String>,
}

impl Flags {
    /// Reads the lines that look like `  -a, --app string   Application name` or `      --yes   …`. Explanations are
    /// indented further, also where they quote a flag.
    pub(crate) fn parse(help: &str) -> Self {
        let mut flags = Self::default();
        for line in help.lines() {
            let text = line.trim_start();
            if line.len() - text.len() > 8 {
                continue;
            }
            let (short, long) = match text.strip_prefix('-') {
                Some(rest) if rest.starts_with('-') => (None, &rest[1..]),
                Some(rest) => match rest.split_once(", --") {
                    Some((short, long)) if short.chars().count() == 1 => (short.chars().next(), long),
                    _ => continue,
                },
                None => continue,
            };
            let name_end = long
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                .unwrap_or(long.len());
            let (name, rest) = long.split_at(name_end);
            if name.is_empty() {
                continue;
            }
            // One blank and a type: it takes a value. `string[="auto"]` has a default, so that only `=` gives one.
            let kind = rest
                .strip_prefix(' ')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or("");
            let kind = kind.split_whitespace().next().unwrap_or("");
            flags
                .known
                .insert(name.to_owned(), !kind.is_empty() && !kind.contains("[="));
            if let Some(short) = short {
                flags.short.insert(short, name.to_owned());
            }
        }
        flags
    }

    /// Whether `--name` is known.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// Whether `--name VALUE` is read as one flag; `None` if the flag is unknown.
    pub(crate) fn takes_value(&self, name: &str) -> Option<bool> {
        self.known.get(name).copied()
    }

    /// The long name of `-x`.
    pub(crate) fn long_name(&self, short: char) -> Option<&str> {
        self.short.get(&short).map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::output::captures::capture;
    use super::Flags;

    #[test]
    fn the_recorded_help_is_read() {
        let flags = Flags::parse(&capture("help_deploy").stdout);
        for (name, takes_value) in [
            ("app", Some(true)),
            ("config", Some(true)),
            ("env", Some(true)),
            ("image", Some(true)),
            ("image-label", Some(true)),
            ("strategy", Some(true)),
            ("wait-timeout", Some(true)),
            ("release-command-timeout", Some(true)),
            ("vm-memory", Some(true)),
            ("file-local", Some(true)),
            ("max-unavailable", Some(true)),
            ("smoke-checks", Some(false)),
            ("dns-checks", Some(false)),
            ("detach", Some(false)),
            ("yes", Some(false)),
            ("access-token", Some(true)),
            ("verbose", Some(false)),
            ("deploy-retries", None),
            ("skip-release-command", None),
            ("exclude", None),
        ] {
            assert_eq!(flags.takes_value(name), takes_value, "{name}");
            assert_eq!(flags.knows(name), takes_value.is_some(), "{name}");
        }
        let shorts: Vec<_> = "aceihrtyx".chars().map(|short| flags.long_name(short)).collect();
        assert_eq!(
            shorts,
            [
                Some("app"),
                Some("config"),
                Some("env"),
                Some("image"),
                Some("help"),
                Some("region"),
                Some("access-token"),
                Some("yes"),
                None
            ]
        );
    }

    #[test]
    fn a_flag_with_a_value_of_its_own_does_not_take_the_next_argument() {
        let flags = Flags::parse(
            "Flags:\n      --depot string[=\"auto\"]   Deploy using the depot builder\n      --buildkit   x\n  -s, --signal string   y\n",
        );
        assert_eq!(flags.takes_value("depot"), Some(false));
        assert_eq!(flags.takes_value("buildkit"), Some(false));
        assert_eq!(flags.takes_value("signal"), Some(true));
        assert_eq!(flags.long_name('s'), Some("signal"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in any::<String>()) {
            let _ = Flags::parse(&text);
        }

        #[test]
        fn no_help_like_text_breaks_it(text in "[ \\-,a-z=\\[\\]\n\u{e9}]{0,80}") {
            let _ = Flags::parse(&text);
        }
    }
}
