//! Commands in answers and hints, as they can be pasted where the program was called.

use crate::cli::Globals;

/// Verbs that take an environment, which `-a APP` stands for.
const OF_AN_ENVIRONMENT: [&str; 6] = ["rollback", "status", "verify", "releases", "freeze", "unfreeze"];

/// The global flags that say where a command acts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// `--sandbox -C DIR`, quoted for a shell; empty where the command acts here.
    flags: &'static str,
    /// `-a APP`.
    app: Option<&'static str>,
}

impl Place {
    /// Kept until the program ends: the printer that carries it is copied freely.
    pub(crate) fn of(globals: &Globals) -> Self {
        let sandbox = globals.sandbox.then(|| "--sandbox".to_owned());
        let folder = globals
            .directory
            .as_ref()
            .map(|folder| format!("-C {}", quoted(&folder.to_string_lossy())));
        let flags: Vec<String> = sandbox.into_iter().chain(folder).collect();
        Self {
            flags: flags.join(" ").leak(),
            app: globals.app.as_ref().map(|app| &*quoted(app).leak()),
        }
    }

    /// The text with each command made to act in the same place; commands that name the sandbox already are known.
    pub(crate) fn pasteable(self, text: &str) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut rest = text.split(' ').peekable();
        while let Some(word) = rest.next() {
            words.push(word.to_owned());
            if word.trim_start_matches('`') != "shipctl" {
                continue;
            }
            rest.next_if_eq(&"--sandbox");
            words.extend((!self.flags.is_empty()).then(|| self.flags.to_owned()));
            let Some(app) = self.app else { continue };
            let takes_an_app =
                |verb: &&str| OF_AN_ENVIRONMENT.contains(verb) || ["history", "lock"].contains(verb);
            let Some(verb) = rest.next_if(takes_an_app) else {
                continue;
            };
            if verb == "history" {
                // Its subcommand may follow, and takes no global flag before its own.
                words.extend([format!("-a {app}"), verb.to_owned()]);
                continue;
            }
            words.push(verb.to_owned());
            if verb == "lock" {
                words.extend(rest.next().map(str::to_owned));
            }
            if let Some(environment) = rest.next_if(|word| !word.starts_with('-')) {
                // What closes the quote or the clause stays.
                let end =
                    environment.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c));
                words.push(format!("-a {app}{end}"));
            }
        }
        words.join(" ")
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, quoted};

    #[test]
    fn a_command_acts_where_it_was_called() {
        let here = Place::default();
        let sandbox = Place {
            flags: "--sandbox",
            app: None,
        };
        let folder = Place {
            flags: "--sandbox -C '../my shop'",
            app: None,
        };
        let app = Place {
            flags: "",
            app: Some("shop"),
        };
        for (place, text, pasted) in [
            (here, "shipctl rollback staging", "shipctl rollback staging"),
            (
                sandbox,
                "shipctl rollback staging",
                "shipctl --sandbox rollback staging",
            ),
            (
                sandbox,
                "run `shipctl --sandbox verify x`",
                "run `shipctl --sandbox verify x`",
            ),
            (
                folder,
                "shipctl history",
                "shipctl --sandbox -C '../my shop' history",
            ),
            (
                app,
                "shipctl rollback shop --yes",
                "shipctl rollback -a shop --yes",
            ),
            (
                app,
                "frozen: shipctl unfreeze shop, or not",
                "frozen: shipctl unfreeze -a shop, or not",
            ),
            (
                app,
                "shipctl history show 7f3a",
                "shipctl -a shop history show 7f3a",
            ),
            (
                app,
                "run `shipctl lock release shop` once that is over",
                "run `shipctl lock release -a shop` once that is over",
            ),
            (app, "`shipctl verify shop`", "`shipctl verify -a shop`"),
            (app, "a shipctl-like word", "a shipctl-like word"),
        ] {
            assert_eq!(place.pasteable(text), pasted);
        }
    }

    #[test]
    fn what_a_shell_would_split_is_quoted() {
        for (word, shell) in [
            ("../shop", "../shop"),
            ("my shop", "'my shop'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shell);
        }
    }
}
