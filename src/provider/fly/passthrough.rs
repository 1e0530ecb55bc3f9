//! What stands after `--`: flags for `flyctl deploy` that shipctl passes on, read as flyctl would read them.

use super::flags::Flags;
use crate::error::{Error, Result};

/// Arguments that may be passed on, and what shipctl must know of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Passthrough {
    /// As they were given.
    pub(crate) args: Vec<String>,
    /// Those that form the release (`-e`, `--vm-*`, `--file-*`), each as one argument `--name=value`: a return of this
    /// release needs them.
    pub(crate) forming: Vec<String>,
    /// Those that leave instances out, as given, for people.
    pub(crate) filters: Vec<String>,
    pub(crate) strategy: Option<String>,
    pub(crate) image_label: Option<String>,
}

impl Passthrough {
    pub(crate) fn has_filter(&self) -> bool {
        !self.filters.is_empty()
    }
}

/// Flags that choose another place or another thing to ship, with what shipctl has instead.
const FORBIDDEN: [(&str, &str); 6] = [
    ("app", "the app is that of the environment"),
    ("config", "use shipctl's own `--config`"),
    (
        "access-token",
        "set `FLY_API_TOKEN` or the environment's own variable",
    ),
    ("image", "use shipctl's own `--image`"),
    ("from-manifest", "a manifest names another thing to ship"),
    ("export-manifest", "it ships nothing"),
];

/// Short names of the forbidden flags, also for a flyctl whose help does not name them.
const FORBIDDEN_SHORT: [(char, &str); 4] = [
    ('a', "app"),
    ('c', "config"),
    ('t', "access-token"),
    ('i', "image"),
];

const FILTERS: [&str; 7] = [
    "regions",
    "only-regions",
    "exclude-regions",
    "only-machines",
    "exclude-machines",
    "process-groups",
    "update-only",
];

/// Flags with a value that flyctl's help hides (REFERENCE 2.1).
const HIDDEN_WITH_VALUE: [&str; 2] = ["immediate-max-concurrent", "only-regions"];

/// Reads `args` by the rules of flyctl's flag parser, with the flags that its help names.
///
/// # Errors
/// A usage error that names the argument which may not be passed on.
pub(crate) fn check(args: &[String], flags: &Flags) -> Result<Passthrough> {
    let mut found = Passthrough {
        args: args.to_vec(),
        ..Passthrough::default()
    };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if let Some(long) = arg.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None if takes_value(long, flags) => (long, rest.next().cloned()),
                None => (long, None),
            };
            found.note(name, value, arg)?;
        } else if arg.len() > 1 && arg.starts_with('-') && arg != "--" {
            found.note_bundle(arg, flags, &mut rest)?;
        } else {
            return Err(positional(arg));
        }
    }
    Ok(found)
}

fn takes_value(name: &str, flags: &Flags) -> bool {
    flags
        .takes_value(name)
        .unwrap_or_else(|| HIDDEN_WITH_VALUE.contains(&name))
}

fn positional(arg: &str) -> Error {
    if arg == "--" {
        return Error::usage("a second `--` cannot be passed on to `flyctl deploy`");
    }
    Error::usage(format!("`{arg}` cannot be passed on to `flyctl deploy`"))
        .cause("it would be read as another working directory")
        .hint("write the value of a flag as `--flag=value`")
}

impl Passthrough {
    /// `-y`, `-eA=B`, `-e A=B`, or several in one, as `-ye A=B`.
    fn note_bundle(
        &mut self,
        arg: &str,
        flags: &Flags,
        rest: &mut std::slice::Iter<'_, String>,
    ) -> Result<()> {
        for (at, letter) in arg[1..].char_indices() {
            let after = &arg[1 + at + letter.len_utf8()..];
            let long = FORBIDDEN_SHORT
                .iter()
                .find(|(short, _)| *short == letter)
                .map(|(_, long)| *long)
                .or_else(|| flags.long_name(letter));
            let Some(long) = long else {
                if let Some(value) = after.strip_prefix('=') {
                    return self.note(&letter.to_string(), Some(value.to_owned()), arg);
                }
                continue;
            };
            if let Some(value) = after.strip_prefix('=') {
                return self.note(long, Some(value.to_owned()), arg);
            }
            if takes_value(long, flags) {
                let value = if after.is_empty() {
                    rest.next().cloned()
                } else {
                    Some(after.to_owned())
                };
                return self.note(long, value, arg);
            }
            self.note(long, None, arg)?;
        }
        Ok(())
    }

    fn note(&mut self, name: &str, value: Option<String>, arg: &str) -> Result<()> {
        if let Some((_, instead)) = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == name) {
            return Err(
                Error::usage(format!("`{arg}` cannot be passed on to `flyctl deploy`"))
                    .cause(format!(
                        "`--{name}` chooses another place or another thing to ship"
                    ))
                    .hint(*instead),
            );
        }
        let on = value.as_deref().is_none_or(is_true);
        if FILTERS.contains(&name) && (name != "update-only" || on) {
            self.filters.push(match &value {
                Some(value) => format!("--{name}={value}"),
                None => format!("--{name}"),
            });
        }
        if name == "env" || name.starts_with("vm-") || name.starts_with("file-") {
            self.forming
                .extend(value.as_ref().map(|value| format!("--{name}={value}")));
        }
        match name {
            "strategy" => self.strategy = value,
            "image-label" => self.image_label = value,
            _ => {}
        }
        Ok(())
    }
}

/// As Go reads a boolean; what it cannot read, flyctl refuses by itself.
fn is_true(value: &str) -> bool {
    !matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::super::flags::Flags;
    use super::super::output::captures::capture;
    use super::{Passthrough, check};
    use crate::error::{ErrorKind, Result};

    fn checked(line: &str) -> Result<Passthrough> {
        let args: Vec<_> = line
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        check(&args, &Flags::parse(&capture("help_deploy").stdout))
    }

    #[test]
    fn another_place_or_another_thing_is_a_usage_error_in_every_spelling() {
        for line in [
            "-a other",
            "-aother",
            "-a=other",
            "--app other",
            "--app=other",
            "-c x.toml",
            "--config=x.toml",
            "-t token",
            "--access-token token",
            "-i image",
            "--image image",
            "--image=image",
            "-ia",
            "-yi image",
            "-ya other",
            "-hta",
            "--yes -a other",
            "--strategy rolling -a other",
            "--detach other-directory",
            "other-directory",
            "-",
            "--",
            "-- x",
            "-e A=B other-directory",
            "--strategy=rolling other-directory",
            "--from-manifest=-",
            "--new-unknown-flag value",
            "-za other",
        ] {
            let error = checked(line).map(|_| ()).expect_err(line);
            assert_eq!(error.kind, ErrorKind::Usage, "{line}");
        }
    }

    #[test]
    fn everything_else_passes_as_it_was_given() {
        for line in [
            "",
            "--strategy rolling",
            "--strategy=rolling",
            "--detach",
            "--wait-timeout 10m --remote-only",
            "-y",
            "-e A=B -eC=D --env E=F -e -a",
            "--build-arg -a",
            "--vm-memory 512",
            "--image-label x",
            "--new-unknown-flag=value",
            "--depot=auto",
            "-r ams",
        ] {
            assert_eq!(checked(line).expect(line).args.join(" "), line);
        }
    }

    #[test]
    fn what_forms_the_release_is_kept_and_filters_are_seen() {
        let found = checked(
            "-e A=B -yeC=D=E --vm-memory 512 --file-local=/a=b --only-regions ams,fra --update-only --strategy canary \
             --detach --image-label x",
        )
        .unwrap();
        assert_eq!(
            found.forming,
            ["--env=A=B", "--env=C=D=E", "--vm-memory=512", "--file-local=/a=b"]
        );
        assert_eq!(found.filters, ["--only-regions=ams,fra", "--update-only"]);
        assert!(found.has_filter());
        assert_eq!(found.strategy.as_deref(), Some("canary"));
        assert_eq!(found.image_label.as_deref(), Some("x"));
        let none = checked("--update-only=false --detach=false --strategy immediate").unwrap();
        assert!(!none.has_filter());
        for flag in [
            "regions",
            "exclude-regions",
            "only-machines",
            "exclude-machines",
            "process-groups",
        ] {
            assert!(checked(&format!("--{flag}=x")).unwrap().has_filter(), "{flag}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(args in any::<Vec<String>>()) {
            let _ = check(&args, &Flags::default());
        }

        #[test]
        fn no_bundle_smuggles_an_app(before in "[yhz]{0,4}", value in "[a-z]{0,5}") {
            let line = ["-", &before, "a", &value].concat();
            prop_assert!(checked(&line).is_err());
        }
    }
}
