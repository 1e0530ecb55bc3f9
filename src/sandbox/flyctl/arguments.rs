//! A command line of flyctl, read as its own parser does.

use super::flags::{Command, Flag};

/// The flags and positionals of a command line.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Arguments {
    /// In the order given: long name and value; a switch has `true` or `false`.
    flags: Vec<(&'static str, String)>,
    pub(super) positionals: Vec<String>,
    pub(super) help: bool,
}

impl Arguments {
    /// Reads what follows the words of the command; a flag that it does not know is an error in flyctl's words.
    pub(super) fn parse(command: &Command, args: &[String]) -> Result<Self, String> {
        let mut found = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                found.positionals.extend(rest.by_ref().cloned());
            } else if let Some(long) = arg.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                if name == "help" {
                    found.help = true;
                    continue;
                }
                let flag = command
                    .flag(name)
                    .ok_or_else(|| format!("unknown flag: --{name}"))?;
                found.take(flag, value, &mut rest, || {
                    format!("flag needs an argument: --{name}")
                })?;
            } else if arg.starts_with('-') && arg.len() > 1 {
                found.bundle(command, &arg[1..], &mut rest)?;
            } else {
                found.positionals.push(arg.clone());
            }
        }
        Ok(found)
    }

    /// `-a NAME`, `-aNAME`, `-a=NAME`, `-jn`.
    fn bundle(
        &mut self,
        command: &Command,
        mut letters: &str,
        rest: &mut std::slice::Iter<'_, String>,
    ) -> Result<(), String> {
        let whole = letters;
        while let Some(letter) = letters.chars().next() {
            letters = &letters[letter.len_utf8()..];
            if letter == 'h' {
                self.help = true;
                continue;
            }
            let flag = command
                .short(letter)
                .ok_or_else(|| format!("unknown shorthand flag: '{letter}' in -{whole}"))?;
            if flag.kind.is_empty() && !letters.starts_with('=') {
                self.flags.push((flag.long, "true".to_owned()));
                continue;
            }
            let value = (!letters.is_empty()).then(|| letters.strip_prefix('=').unwrap_or(letters));
            return self.take(flag, value, rest, || {
                format!("flag needs an argument: '{letter}' in -{whole}")
            });
        }
        Ok(())
    }

    fn take(
        &mut self,
        flag: &'static Flag,
        value: Option<&str>,
        rest: &mut std::slice::Iter<'_, String>,
        lacking: impl FnOnce() -> String,
    ) -> Result<(), String> {
        let value = match value {
            Some(value) => value.to_owned(),
            None if flag.kind.is_empty() => "true".to_owned(),
            None => rest.next().cloned().ok_or_else(lacking)?,
        };
        self.flags.push((flag.long, value));
        Ok(())
    }

    /// The last value given.
    pub(super) fn value(&self, long: &str) -> Option<&str> {
        self.flags
            .iter()
            .rev()
            .find(|(name, _)| *name == long)
            .map(|(_, value)| value.as_str())
    }

    /// Every value given.
    pub(super) fn values<'a>(&'a self, long: &'a str) -> impl Iterator<Item = &'a str> {
        self.flags
            .iter()
            .filter(move |(name, _)| *name == long)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a list, which may also be separated by commas.
    pub(super) fn list(&self, long: &str) -> Vec<String> {
        self.values(long)
            .flat_map(|value| value.split(','))
            .map(|one| one.trim().to_owned())
            .collect()
    }

    /// A switch that is on, or off where `default` says so.
    pub(super) fn switch(&self, long: &str, default: bool) -> bool {
        self.value(long).map_or(default, |value| {
            matches!(value, "true" | "1" | "t" | "T" | "TRUE" | "True")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Command};

    fn parse(line: &str) -> Result<Arguments, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let names: Vec<&str> = words.iter().map(String::as_str).collect();
        let (command, length) = Command::find(&names).unwrap();
        Arguments::parse(command, &words[length..])
    }

    #[test]
    fn every_form_of_a_flag_is_read() {
        for line in [
            "deploy -a shop",
            "deploy -ashop",
            "deploy -a=shop",
            "deploy --app shop",
            "deploy --app=shop",
        ] {
            assert_eq!(parse(line).unwrap().value("app"), Some("shop"), "{line}");
        }
        let deploy =
            parse("deploy dir --smoke-checks=false -y -e A=1 --env B=2 --only-regions fra,ams").unwrap();
        assert!(!deploy.switch("smoke-checks", true));
        assert!(deploy.switch("dns-checks", true));
        assert_eq!(deploy.values("env").collect::<Vec<_>>(), ["A=1", "B=2"]);
        assert_eq!(deploy.list("only-regions"), ["fra", "ams"]);
        assert_eq!(deploy.positionals, ["dir"]);
        let logs = parse("logs -nj -i 6fda").unwrap();
        assert!(logs.switch("no-tail", false) && logs.switch("json", false));
    }

    #[test]
    fn wrong_flags_are_named_as_flyctl_names_them() {
        for (line, text) in [
            ("deploy --json", "unknown flag: --json"),
            ("deploy --deploy-retries 0", "unknown flag: --deploy-retries"),
            ("status -x", "unknown shorthand flag: 'x' in -x"),
            ("status -a", "flag needs an argument: 'a' in -a"),
            ("status --app", "flag needs an argument: --app"),
        ] {
            assert_eq!(parse(line).unwrap_err(), text);
        }
    }

    #[test]
    fn aliases_name_the_same_command() {
        for words in [["machine", "list"], ["machines", "ls"], ["m", "list"]] {
            assert_eq!(Command::find(&words).unwrap().0.words(), "machine list");
        }
        assert!(Command::find(&["nosuchcommand"]).is_none());
    }
}
