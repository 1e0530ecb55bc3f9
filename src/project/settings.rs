//! Flag > `SHIPCTL_*` > `.env.<env>` > `.env` > `shipctl.toml` > `fly.<env>.toml` > default; each value keeps its source.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Variables;
use super::diagnostics::{Problem, line_of, nearest};
use super::document::Document;
use super::dotenv::DotEnv;
use super::keys::{KEYS, Key, STATE_URL, Setting, variable};

/// A value that the command line gives to a key.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// As in [`Key::path`]: `verify.bake`.
    pub(crate) key: &'static str,
    /// `--bake`.
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// Where a value came from, the strongest first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    Flag(&'static str),
    Variable(String),
    /// Of `.env` or `.env.<env>`.
    DotEnv {
        file: String,
        line: usize,
        variable: String,
    },
    /// Of `shipctl.toml`.
    File {
        file: String,
        line: usize,
    },
    FlyFile {
        file: String,
    },
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => f.write_str(name),
            Self::DotEnv { file, line, variable } => write!(f, "{file}:{line} ({variable})"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::FlyFile { file } => f.write_str(file),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value of `config show`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Effective {
    pub(crate) key: String,
    pub(crate) value: serde_json::Value,
    pub(crate) source: Source,
}

/// Everything that a value can come from, for one environment.
pub(crate) struct Layers<'a> {
    pub(crate) flags: &'a [Flag],
    pub(crate) process: &'a Variables,
    /// `.env.<env>`, then `.env`.
    pub(crate) dotenv: Vec<&'a DotEnv>,
    pub(crate) document: Option<&'a Document>,
}

/// Of which environment and service a value is asked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) environment: Option<&'a str>,
    pub(crate) service: Option<&'a str>,
}

impl Layers<'_> {
    /// The strongest value that can be read, and what is wrong with stronger ones.
    ///
    /// A wrong value of `shipctl.toml` is passed over in silence: the file was checked as a whole.
    pub(crate) fn find(
        &self,
        key: &Key,
        scope: Scope<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<(Setting, Source)> {
        let paths = key.paths(scope.environment, scope.service);
        let key_path = key.path();
        for flag in self.flags.iter().filter(|flag| flag.key == key_path) {
            match key.of_text(&flag.value) {
                Ok(setting) => return Some((setting, Source::Flag(flag.name))),
                Err(cause) => problems.push(Problem::of_value(flag.name, cause)),
            }
        }
        let variables: Vec<String> = (key_path == STATE_URL.path())
            .then(|| "SHIPCTL_STATE".to_owned())
            .into_iter()
            .chain(paths.iter().map(|path| variable(path)))
            .collect();
        let hidden = matches!(key.kind, super::keys::Kind::Headers) || key.name == "token";
        for name in &variables {
            if let Some(value) = self.process.get(name) {
                match key.of_text(value) {
                    Ok(setting) => return Some((setting, Source::Variable(name.clone()))),
                    Err(cause) => problems.push(wrong_variable(name, cause, hidden)),
                }
            }
        }
        for file in &self.dotenv {
            for name in &variables {
                let Some((value, line)) = file.get(name) else {
                    continue;
                };
                let source = Source::DotEnv {
                    file: file.file.clone(),
                    line,
                    variable: name.clone(),
                };
                match placeholder(value).map_or_else(|| key.of_text(value), Err) {
                    Ok(setting) => return Some((setting, source)),
                    Err(cause) => {
                        problems.push(wrong_line(file, line, name, &cause));
                    }
                }
            }
        }
        let document = self.document?;
        paths.iter().find_map(|path| {
            let node = document.root.at(path_steps(path, scope))?;
            let setting = key.of_node(node).ok()?;
            let source = Source::File {
                file: document.file.clone(),
                line: line_of(&document.text, node.span.start),
            };
            Some((setting, source))
        })
    }

    /// A variable by name, as the process or the `.env` files have it.
    pub(crate) fn variable(&self, name: &str, problems: &mut Vec<Problem>) -> Option<String> {
        if let Some(value) = self.process.get(name) {
            return Some(value.to_owned());
        }
        let (file, value, line) = self
            .dotenv
            .iter()
            .find_map(|file| file.get(name).map(|(value, line)| (file, value, line)))?;
        if let Some(cause) = placeholder(value) {
            problems.push(wrong_line(file, line, name, &cause));
            return None;
        }
        Some(value.to_owned())
    }

    /// The variables of the process, over those of the `.env` files whose names satisfy `wanted`.
    pub(crate) fn merged(&self, wanted: &dyn Fn(&str) -> bool) -> Variables {
        let mut all = BTreeMap::new();
        for file in self.dotenv.iter().rev() {
            for name in file.names(wanted) {
                if let Some((value, _)) = file.get(name)
                    && placeholder(value).is_none()
                {
                    all.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        for (name, value) in &self.process.0 {
            // Here too an empty one does not hide what a file says.
            if !value.is_empty() || !all.contains_key(name) {
                all.insert(name.clone(), value.clone());
            }
        }
        Variables(all)
    }
}

/// A path is split at dots, but the name of an environment or a service may hold some.
fn path_steps<'a>(path: &'a str, scope: Scope<'a>) -> Vec<&'a str> {
    for (table, name) in [("environments", scope.environment), ("services", scope.service)] {
        if let Some(name) = name
            && let Some(rest) = path
                .strip_prefix(table)
                .and_then(|rest| rest.strip_prefix('.'))
                .and_then(|rest| rest.strip_prefix(name))
                .and_then(|rest| rest.strip_prefix('.'))
        {
            return [table, name].into_iter().chain(rest.split('.')).collect();
        }
    }
    path.split('.').collect()
}

fn wrong_variable(name: &str, cause: String, hidden: bool) -> Problem {
    let cause = if hidden {
        "its value is wrong".to_owned()
    } else {
        cause
    };
    Problem::of_value(&format!("`{name}`"), cause).hint(format!("mend or unset the variable `{name}`"))
}

fn wrong_line(file: &DotEnv, line: usize, name: &str, cause: &str) -> Problem {
    Problem::on_line(&file.file, line, format!("`{name}`: {cause}"))
        .hint(format!("mend line {line} of `{}`, or take it out", file.file))
}

/// What a template leaves for people to fill in.
fn placeholder(value: &str) -> Option<String> {
    value
        .contains("CHANGE_ME")
        .then(|| "it still says `CHANGE_ME`".to_owned())
}

/// Variables that begin like those of a key and are none.
pub(crate) fn misspelt<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    const SECTIONS: [&str; 7] = [
        "PROJECT", "VERIFY", "ROLLBACK", "STATE", "DEPLOY", "LOCK", "FLYCTL",
    ];
    let known: Vec<String> = KEYS.iter().map(|key| variable(&key.path())).collect();
    names
        .into_iter()
        .filter(|name| {
            let section = name
                .strip_prefix("SHIPCTL_")
                .and_then(|rest| rest.split_once('_'));
            section.is_some_and(|(section, _)| SECTIONS.contains(&section))
                && !known.iter().any(|known| known == name)
        })
        .filter_map(|name| {
            let near = nearest(name, known.iter().map(String::as_str))?;
            Some(format!(
                "the variable `{name}` sets nothing; did you mean `{near}`?"
            ))
        })
        .collect()
}

/// Takes values out of layers, with defaults, and notes each for `config show`.
pub(crate) struct Settler<'a> {
    pub(crate) layers: &'a Layers<'a>,
    pub(crate) scope: Scope<'a>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) effective: Vec<Effective>,
}

impl<'a> Settler<'a> {
    pub(crate) fn new(layers: &'a Layers<'a>, scope: Scope<'a>) -> Self {
        Self {
            layers,
            scope,
            problems: Vec::new(),
            effective: Vec::new(),
        }
    }

    fn find(&mut self, key: &Key) -> Option<(Setting, Source)> {
        self.layers.find(key, self.scope, &mut self.problems)
    }

    fn note(&mut self, key: &Key, value: serde_json::Value, source: Source) {
        self.effective.push(Effective {
            key: key.path_in(self.scope),
            value,
            source,
        });
    }

    /// The value that was set, else `default` with its source.
    fn settle(&mut self, key: &Key, default: Option<(Setting, Source)>) -> Option<Setting> {
        let found = self.find(key).or(default);
        if let Some((setting, source)) = found {
            self.note(key, setting.to_json(), source);
            Some(setting)
        } else {
            self.note(key, serde_json::Value::Null, Source::Default);
            None
        }
    }

    pub(crate) fn text(&mut self, key: &Key) -> Option<String> {
        match self.settle(key, None) {
            Some(Setting::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text that always has a value.
    pub(crate) fn text_or(&mut self, key: &Key, default: &str, source: Source) -> (String, bool) {
        let given = self.find(key);
        let is_given = given.is_some();
        let default = (Setting::Text(default.to_owned()), source);
        let (setting, source) = given.unwrap_or(default);
        self.note(key, setting.to_json(), source);
        match setting {
            Setting::Text(text) => (text, is_given),
            _ => (String::new(), is_given),
        }
    }

    pub(crate) fn boolean(&mut self, key: &Key, default: bool) -> bool {
        match self.settle(key, Some((Setting::Boolean(default), Source::Default))) {
            Some(Setting::Boolean(on)) => on,
            _ => default,
        }
    }

    pub(crate) fn count(&mut self, key: &Key, default: Option<u32>) -> Option<u32> {
        let default = default.map(|count| (Setting::Count(count), Source::Default));
        match self.settle(key, default) {
            Some(Setting::Count(count)) => Some(count),
            _ => None,
        }
    }

    pub(crate) fn duration(&mut self, key: &Key, default: Duration, source: Source) -> Duration {
        match self.settle(key, Some((Setting::Duration(default), source))) {
            Some(Setting::Duration(time)) => time,
            _ => default,
        }
    }

    pub(crate) fn texts(&mut self, key: &Key) -> Vec<String> {
        match self.settle(key, Some((Setting::Texts(Vec::new()), Source::Default))) {
            Some(Setting::Texts(texts)) => texts,
            _ => Vec::new(),
        }
    }

    pub(crate) fn headers(&mut self, key: &Key) -> Vec<(String, String)> {
        match self.settle(key, Some((Setting::Headers(Vec::new()), Source::Default))) {
            Some(Setting::Headers(headers)) => headers,
            _ => Vec::new(),
        }
    }
}

impl Key {
    /// How `config show` names it: by its shortest path in the scope.
    fn path_in(&self, scope: Scope<'_>) -> String {
        self.paths(scope.environment, scope.service)
            .pop()
            .unwrap_or_else(|| self.path())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::dotenv::DotEnv;
    use super::super::keys::{STATE_URL, Setting, VERIFY_BAKE, VERIFY_TIMEOUT};
    use super::super::{Variables, shipctl_toml};
    use super::{Flag, Layers, Scope, misspelt};

    fn dotenv(name: &str, text: &str) -> DotEnv {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, text).unwrap();
        DotEnv::read(&path, name).0
    }

    /// One layer is taken away after the other, from the strongest on.
    #[test]
    fn the_strongest_layer_wins() {
        let (document, _) = shipctl_toml::read(
            "shipctl.toml",
            "[verify]\nbake = \"7s\"\n[environments.staging.verify]\nbake = \"6s\"\n[services.web.verify]\nbake = \"5s\"\n",
        );
        let flags = [Flag {
            key: "verify.bake",
            name: "--bake",
            value: "1s".to_owned(),
        }];
        let process = Variables(BTreeMap::from([(
            "SHIPCTL_VERIFY_BAKE".to_owned(),
            "2s".to_owned(),
        )]));
        let (of_env, common) = (
            dotenv(".env.staging", "SHIPCTL_VERIFY_BAKE=3s\n"),
            dotenv(
                ".env",
                "SHIPCTL_SERVICES_WEB_VERIFY_BAKE=4s\nSHIPCTL_VERIFY_BAKE=9s\n",
            ),
        );
        let nothing = Variables::default();
        let scope = Scope {
            environment: Some("staging"),
            service: Some("web"),
        };
        let say = |layers: &Layers<'_>, scope: Scope<'_>| {
            let mut problems = Vec::new();
            let found = layers.find(&VERIFY_BAKE, scope, &mut problems);
            assert!(problems.is_empty(), "{problems:?}");
            found.map(|(value, source)| format!("{} from {source}", value.to_json()))
        };
        let mut layers = Layers {
            flags: &flags,
            process: &process,
            dotenv: vec![&of_env, &common],
            document: Some(&document),
        };
        assert_eq!(say(&layers, scope).unwrap(), "\"1s\" from --bake");
        layers.flags = &[];
        assert_eq!(say(&layers, scope).unwrap(), "\"2s\" from SHIPCTL_VERIFY_BAKE");
        layers.process = &nothing;
        assert_eq!(
            say(&layers, scope).unwrap(),
            "\"3s\" from .env.staging:1 (SHIPCTL_VERIFY_BAKE)"
        );
        layers.dotenv = vec![&common];
        assert_eq!(
            say(&layers, scope).unwrap(),
            "\"4s\" from .env:1 (SHIPCTL_SERVICES_WEB_VERIFY_BAKE)"
        );
        layers.dotenv = Vec::new();
        assert_eq!(say(&layers, scope).unwrap(), "\"5s\" from shipctl.toml:6");
        let other = Scope {
            service: Some("ai"),
            ..scope
        };
        assert_eq!(say(&layers, other).unwrap(), "\"6s\" from shipctl.toml:4");
        let elsewhere = Scope {
            environment: Some("review"),
            service: Some("ai"),
        };
        assert_eq!(say(&layers, elsewhere).unwrap(), "\"7s\" from shipctl.toml:2");
        layers.document = None;
        assert_eq!(say(&layers, scope), None);
    }

    #[test]
    fn a_wrong_value_is_named_and_passed_over() {
        let process = Variables(BTreeMap::from([
            ("SHIPCTL_VERIFY_TIMEOUT".to_owned(), "90".to_owned()),
            ("SHIPCTL_STATE".to_owned(), "/tmp/state".to_owned()),
            ("SHIPCTL_VERIFY_BAKE".to_owned(), String::new()),
        ]));
        let file = dotenv(
            ".env",
            "A=1\nSHIPCTL_VERIFY_TIMEOUT=CHANGE_ME\nSHIPCTL_VERIFY_BAKE=4s\n",
        );
        let layers = Layers {
            flags: &[],
            process: &process,
            dotenv: vec![&file],
            document: None,
        };
        let mut problems = Vec::new();
        assert_eq!(
            layers.find(&VERIFY_TIMEOUT, Scope::default(), &mut problems),
            None
        );
        let said: Vec<String> = problems.iter().map(super::Problem::summary).collect();
        assert_eq!(
            said,
            [
                "`SHIPCTL_VERIFY_TIMEOUT`: `90` has no unit; write `90s` for seconds or `90m` for minutes",
                ".env:2: `SHIPCTL_VERIFY_TIMEOUT`: it still says `CHANGE_ME`",
            ]
        );
        let (bake, _) = layers
            .find(&VERIFY_BAKE, Scope::default(), &mut problems)
            .unwrap();
        assert_eq!(bake.to_json(), "4s", "an empty variable is an unset one");
        let (state, source) = layers.find(&STATE_URL, Scope::default(), &mut problems).unwrap();
        assert_eq!(
            (state, source.to_string().as_str()),
            (Setting::Text("/tmp/state".to_owned()), "SHIPCTL_STATE")
        );
    }

    #[test]
    fn only_what_is_wanted_is_taken_from_files() {
        let process = Variables(BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]));
        let file = dotenv(
            ".env",
            "DATABASE_URL=x\nSHIPCTL_REF=r\nFLY_API_TOKEN_PRODUCTION=CHANGE_ME\nFLY_API_TOKEN=t\n",
        );
        let layers = Layers {
            flags: &[],
            process: &process,
            dotenv: vec![&file],
            document: None,
        };
        let merged = layers.merged(&|name| name.starts_with("SHIPCTL_") || name.starts_with("FLY_API_TOKEN"));
        assert_eq!(
            merged.0.keys().map(String::as_str).collect::<Vec<_>>(),
            ["FLY_API_TOKEN", "HOME", "SHIPCTL_REF"]
        );
        assert!(!format!("{merged:?}").contains("/root"));
    }

    #[test]
    fn names_with_dots_are_found() {
        let (document, problems) = shipctl_toml::read("s", "[environments.\"eu.1\"]\nmin_instances = 2\n");
        assert!(problems.is_empty());
        let nothing = Variables::default();
        let layers = Layers {
            flags: &[],
            process: &nothing,
            dotenv: Vec::new(),
            document: Some(&document),
        };
        let scope = Scope {
            environment: Some("eu.1"),
            service: None,
        };
        let found = layers.find(&super::super::keys::MIN_INSTANCES, scope, &mut Vec::new());
        assert_eq!(found.unwrap().0, Setting::Count(2));
    }

    #[test]
    fn near_misses_among_variables_are_named() {
        let said = misspelt([
            "SHIPCTL_VERIFY_TIMEUOT",
            "SHIPCTL_LOG",
            "SHIPCTL_STATE",
            "SHIPCTL_VERIFY_BAKE",
            "PATH",
        ]);
        assert_eq!(
            said,
            ["the variable `SHIPCTL_VERIFY_TIMEUOT` sets nothing; did you mean `SHIPCTL_VERIFY_TIMEOUT`?"]
        );
    }
}
