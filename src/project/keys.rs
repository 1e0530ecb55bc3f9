//! Every key of `shipctl.toml`: its table, its type, its default and its variable.
//!
//! One table serves reading the file, reading variables, `config show` and the reference in `docs/configuration.md`.

use std::fmt;
use std::time::Duration;

use super::duration;
use super::fly_toml::check::listed;
use super::key_values::{
    any, folder, header_names, host, no_empty_item, not_empty, not_zero, url_path, variable_name,
    variable_names, version_field, whole_refs,
};
use crate::secret::REDACTED;

/// Where a key stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// In a table of its own name.
    Table(&'static str),
    /// `[environments.X]`.
    Environment,
    /// `[services.Y]`.
    Service,
    /// `[verify]`, `[environments.X.verify]` and `[services.Y.verify]`.
    Verify,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Text,
    Boolean,
    /// At least one.
    Count,
    Duration,
    Texts,
    /// Names and values.
    Headers,
    /// One of these.
    Word(&'static [&'static str]),
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As written in the reference.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "only the test that holds docs/configuration.md to this table reads it"
        )
    )]
    pub(crate) default: &'static str,
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "only the test that holds docs/configuration.md to this table reads it"
        )
    )]
    pub(crate) about: &'static str,
    /// What else is wrong with a value of the right kind.
    pub(super) check: fn(&Setting) -> Result<(), String>,
}

/// A value of a key, whatever it was read from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Setting {
    Text(String),
    Boolean(bool),
    Count(u32),
    Duration(Duration),
    Texts(Vec<String>),
    Headers(Vec<(String, String)>),
}

const fn key(
    place: Place,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key {
        place,
        name,
        kind,
        default,
        about,
        check: any,
    }
}

impl Key {
    const fn with(self, check: fn(&Setting) -> Result<(), String>) -> Self {
        Self { check, ..self }
    }
}

pub(crate) const PROJECT_NAME: Key = key(
    Place::Table("project"),
    "name",
    Kind::Text,
    "`origin` as host/owner/repo, else the folder's name",
    "Under which name state is kept.",
)
.with(not_empty);
pub(crate) const PROTECTED: Key = key(
    Place::Environment,
    "protected",
    Kind::Boolean,
    "`true` for `production`, `prod` and `live`, else `false`",
    "A deploy must name its file with `--config`; a rollback asks.",
);
pub(crate) const APP: Key = key(
    Place::Environment,
    "app",
    Kind::Text,
    "none",
    "A second witness: the `fly.<env>.toml` must name the same app.",
)
.with(not_empty);
pub(crate) const TOKEN: Key = key(
    Place::Environment,
    "token",
    Kind::Text,
    "`FLY_API_TOKEN_<ENV>`",
    "The name of the variable that holds the token, never its value.",
)
.with(variable_name);
pub(crate) const ORG: Key = key(
    Place::Environment,
    "org",
    Kind::Text,
    "none",
    "The Fly organisation that the app belongs to; a deploy to an app of another one is refused.",
)
.with(not_empty);
pub(crate) const ALLOWED_REFS: Key = key(
    Place::Environment,
    "allowed_refs",
    Kind::Texts,
    "any ref",
    "Globs such as `refs/tags/v*`; a deploy from anything else is refused.",
)
.with(whole_refs);
pub(crate) const AFTER: Key = key(
    Place::Environment,
    "after",
    Kind::Text,
    "none",
    "The environment where the same image or commit must be verified first.",
)
.with(not_empty);
pub(crate) const REGIONS: Key = key(
    Place::Environment,
    "regions",
    Kind::Texts,
    "none",
    "`verified` needs an instance in each.",
)
.with(no_empty_item);
pub(crate) const MIN_INSTANCES: Key = key(
    Place::Environment,
    "min_instances",
    Kind::Count,
    "none",
    "`verified` needs so many instances.",
);
pub(crate) const SERVICE_PATH: Key = key(
    Place::Service,
    "path",
    Kind::Text,
    "`.`",
    "The folder with the service's `fly.<env>.toml` files.",
)
.with(not_empty);
pub(crate) const SERVICE_CONFIG: Key = key(
    Place::Service,
    "config",
    Kind::Text,
    "`fly.<env>.toml`",
    "A single file for every environment instead.",
)
.with(not_empty);
pub(crate) const SERVICE_CONTEXT: Key = key(
    Place::Service,
    "context",
    Kind::Text,
    "the folder of the service's file",
    "The folder that is built.",
)
.with(not_empty);
pub(crate) const SERVICE_NEEDS: Key = key(
    Place::Service,
    "needs",
    Kind::Texts,
    "none",
    "Services that ship before this one; without it they ship side by side.",
)
.with(no_empty_item);
pub(crate) const VERIFY_PATH: Key = key(
    Place::Verify,
    "path",
    Kind::Text,
    "that of the HTTP check on the public service's own port, else `/`",
    "What is asked of each instance.",
)
.with(url_path);
pub(crate) const VERIFY_HOST: Key = key(
    Place::Verify,
    "host",
    Kind::Text,
    "that of the address",
    "The `Host` that is sent.",
)
.with(host);
pub(crate) const VERIFY_HEADERS: Key = key(
    Place::Verify,
    "headers",
    Kind::Headers,
    "those of the HTTP check, without `Host`",
    "Headers that are sent; a value `env:NAME` is read from that variable.",
)
.with(header_names);
pub(crate) const VERIFY_TIMEOUT: Key = key(
    Place::Verify,
    "timeout",
    Kind::Duration,
    "the larger of `5m` and the longest `grace_period` + `1m`",
    "For an instance to turn good after it got the new release.",
)
.with(not_zero);
pub(crate) const VERIFY_SUCCESSES: Key = key(
    Place::Verify,
    "successes",
    Kind::Count,
    "`3`",
    "Good answers in a row that each instance must give.",
);
pub(crate) const VERIFY_BAKE: Key = key(
    Place::Verify,
    "bake",
    Kind::Duration,
    "`10s`",
    "How long all instances are watched after the verdict is good.",
);
pub(crate) const VERIFY_IDENTITY: Key = key(
    Place::Verify,
    "identity",
    Kind::Word(&["auto", "required", "off"]),
    "`auto`",
    "Whether the answer must name the release that was shipped.",
);
pub(crate) const VERIFY_VERSION_FIELD: Key = key(
    Place::Verify,
    "version_field",
    Kind::Text,
    "`/version`",
    "A JSON pointer to the version in the answer, or `header:NAME`.",
)
.with(version_field);
pub(crate) const VERIFY_MIN_EVIDENCE: Key = key(
    Place::Verify,
    "min_evidence",
    Kind::Word(&["state", "checks", "http", "app"]),
    "`state`",
    "The least evidence that counts as verified.",
);
pub(crate) const ROLLBACK_FREEZE: Key = key(
    Place::Table("rollback"),
    "freeze",
    Kind::Word(&["protected", "always", "never"]),
    "`protected`",
    "Which environments a person's rollback freezes.",
);
pub(crate) const ROLLBACK_ACROSS_CONTRACTING: Key = key(
    Place::Table("rollback"),
    "across_contracting",
    Kind::Word(&["stop", "return"]),
    "`stop`",
    "What a return does over a contracting migration. For a later version: nothing acts by it.",
);
pub(crate) const STATE_URL: Key = key(
    Place::Table("state"),
    "url",
    Kind::Text,
    "this machine",
    "A folder. `git+origin` and `s3://bucket/prefix` are for a later version: this one refuses them. `SHIPCTL_STATE` is the same.",
)
.with(folder);
pub(crate) const STATE_BUNDLES: Key = key(
    Place::Table("state"),
    "bundles",
    Kind::Word(&["local", "shared"]),
    "`local`",
    "Where failure bundles go. For a later version: nothing acts by it.",
);
pub(crate) const DEPLOY_TIMEOUT: Key = key(
    Place::Table("deploy"),
    "timeout",
    Kind::Duration,
    "`30m`",
    "What bounds a whole deployment, builds included.",
)
.with(not_zero);
pub(crate) const LOCK_TTL: Key = key(
    Place::Table("lock"),
    "ttl",
    Kind::Duration,
    "`5m`",
    "After which a shared lock without a heartbeat is stale. For a later version: nothing acts by it.",
)
.with(not_zero);
pub(crate) const FLYCTL_PASS: Key = key(
    Place::Table("flyctl"),
    "pass",
    Kind::Texts,
    "none",
    "Names of further variables that reach flyctl.",
)
.with(variable_names);

/// In the order of the reference.
pub(crate) static KEYS: [&Key; 29] = [
    &PROJECT_NAME,
    &PROTECTED,
    &APP,
    &TOKEN,
    &ORG,
    &ALLOWED_REFS,
    &AFTER,
    &REGIONS,
    &MIN_INSTANCES,
    &SERVICE_PATH,
    &SERVICE_CONFIG,
    &SERVICE_CONTEXT,
    &SERVICE_NEEDS,
    &VERIFY_PATH,
    &VERIFY_HOST,
    &VERIFY_HEADERS,
    &VERIFY_TIMEOUT,
    &VERIFY_SUCCESSES,
    &VERIFY_BAKE,
    &VERIFY_IDENTITY,
    &VERIFY_VERSION_FIELD,
    &VERIFY_MIN_EVIDENCE,
    &ROLLBACK_FREEZE,
    &ROLLBACK_ACROSS_CONTRACTING,
    &STATE_URL,
    &STATE_BUNDLES,
    &DEPLOY_TIMEOUT,
    &LOCK_TTL,
    &FLYCTL_PASS,
];

/// Tables whose names are taken by what this version does not do.
pub(crate) const LATER: [&str; 5] = ["snapshot", "migrate", "secrets", "review", "notify"];

/// The variable of a key at a path such as `services.web.verify.timeout`.
pub(crate) fn variable(path: &str) -> String {
    format!("SHIPCTL_{}", in_a_variable(path))
}

/// The variable that holds the token of an environment where `token` names none: `FLY_API_TOKEN_PRODUCTION`.
pub(super) fn token_variable(environment: &str) -> String {
    format!("FLY_API_TOKEN_{}", in_a_variable(environment))
}

/// What no variable's name may hold becomes `_`.
fn in_a_variable(name: &str) -> String {
    let upper = name.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    upper.collect()
}

impl Key {
    /// Where the key may stand, the most specific first, for one environment and service.
    pub(crate) fn paths(&self, environment: Option<&str>, service: Option<&str>) -> Vec<String> {
        let name = self.name;
        match self.place {
            Place::Table(table) => vec![format!("{table}.{name}")],
            Place::Environment => environment
                .map(|environment| format!("environments.{environment}.{name}"))
                .into_iter()
                .collect(),
            Place::Service => service
                .map(|service| format!("services.{service}.{name}"))
                .into_iter()
                .collect(),
            Place::Verify => service
                .map(|service| format!("services.{service}.verify.{name}"))
                .into_iter()
                .chain(environment.map(|environment| format!("environments.{environment}.verify.{name}")))
                .chain([format!("verify.{name}")])
                .collect(),
        }
    }

    /// How the reference names it: `environments.<env>.protected`.
    pub(crate) fn path(&self) -> String {
        match self.place {
            Place::Verify => format!("verify.{}", self.name),
            _ => self.paths(Some("<env>"), Some("<service>")).remove(0),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a string"),
            Self::Boolean => f.write_str("`true` or `false`"),
            Self::Count => f.write_str("a count"),
            Self::Duration => f.write_str("a duration such as `\"90s\"`"),
            Self::Texts => f.write_str("an array of strings"),
            Self::Headers => f.write_str("a table of strings"),
            Self::Word(words) => f.write_str(&listed(words)),
        }
    }
}

impl Setting {
    /// For `config show`; the values of headers are not shown, since they often are secrets.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Boolean(on) => (*on).into(),
            Self::Count(count) => (*count).into(),
            Self::Duration(time) => duration::show(*time).into(),
            Self::Texts(items) => items.clone().into(),
            Self::Headers(headers) => headers
                .iter()
                .map(|(name, value)| {
                    let shown = if value.starts_with("env:") {
                        value.as_str()
                    } else {
                        REDACTED
                    };
                    (name.clone(), shown.into())
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::{
        KEYS, Kind, LATER, Setting, TOKEN, VERIFY_BAKE, VERIFY_HEADERS, VERIFY_IDENTITY, VERIFY_PATH,
        VERIFY_SUCCESSES, VERIFY_TIMEOUT, VERIFY_VERSION_FIELD, variable,
    };
    use crate::project::document::Document;

    #[test]
    fn each_key_has_its_variable() {
        let variables: Vec<String> = KEYS.iter().map(|key| variable(&key.path())).collect();
        assert!(variables.contains(&"SHIPCTL_VERIFY_TIMEOUT".to_owned()));
        assert!(variables.contains(&"SHIPCTL_ROLLBACK_FREEZE".to_owned()));
        assert_eq!(
            VERIFY_TIMEOUT
                .paths(Some("eu-1"), Some("web"))
                .iter()
                .map(|path| variable(path))
                .collect::<Vec<_>>(),
            [
                "SHIPCTL_SERVICES_WEB_VERIFY_TIMEOUT",
                "SHIPCTL_ENVIRONMENTS_EU_1_VERIFY_TIMEOUT",
                "SHIPCTL_VERIFY_TIMEOUT"
            ]
        );
    }

    /// One row of the reference for each key.
    fn reference() -> String {
        let mut text = "| Key | Type | Default | Variable | |\n|---|---|---|---|---|\n".to_owned();
        for key in KEYS {
            let kind = match key.kind {
                Kind::Text => "string".to_owned(),
                Kind::Boolean => "boolean".to_owned(),
                Kind::Count => "integer".to_owned(),
                Kind::Duration => "duration".to_owned(),
                Kind::Texts => "array of strings".to_owned(),
                Kind::Headers => "table of strings".to_owned(),
                Kind::Word(words) => words
                    .iter()
                    .map(|word| format!("`{word}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            let path = key.path();
            let variable = variable(&path)
                .replace("_ENV_", "<ENV>")
                .replace("_SERVICE_", "<SERVICE>");
            writeln!(
                text,
                "| `{path}` | {kind} | {} | `{variable}` | {} |",
                key.default, key.about
            )
            .unwrap();
        }
        text
    }

    #[test]
    fn the_reference_is_this_table() {
        let written = include_str!("../../docs/configuration.md");
        let reference = reference();
        assert!(
            written.contains(&reference),
            "docs/configuration.md must hold\n{reference}"
        );
        for table in LATER {
            assert!(written.contains(&format!("`[{table}]`")), "{table}");
        }
    }

    #[test]
    fn a_value_means_the_same_in_a_file_and_in_a_variable() {
        for (key, in_file, in_variable) in [
            (&VERIFY_TIMEOUT, "\"1m30s\"", "1m30s"),
            (&VERIFY_SUCCESSES, "5", "5"),
            (&VERIFY_IDENTITY, "\"off\"", "off"),
            (
                &VERIFY_HEADERS,
                "{ X-A = \"b\", Y = \"env:T\" }",
                "{ X-A = \"b\", Y = \"env:T\" }",
            ),
            (&super::REGIONS, "[\"iad\", \"sjc\"]", "iad, sjc"),
            (&super::PROTECTED, "false", "false"),
        ] {
            let (document, _) = Document::parse("", &format!("v = {in_file}"));
            let from_file = key.of_node(document.root.get("v").unwrap());
            assert!(from_file.is_ok(), "{in_file}: {from_file:?}");
            assert_eq!(from_file, key.of_text(in_variable));
        }
    }

    #[test]
    fn an_environment_s_name_makes_the_variable_of_its_token() {
        for (environment, variable) in [
            ("production", "FLY_API_TOKEN_PRODUCTION"),
            ("pr-42", "FLY_API_TOKEN_PR_42"),
            ("shipctl-x", "FLY_API_TOKEN_SHIPCTL_X"),
            ("shipctl_shipctl_x", "FLY_API_TOKEN_SHIPCTL_SHIPCTL_X"),
        ] {
            assert_eq!(super::token_variable(environment), variable);
        }
    }

    #[test]
    fn wrong_values_are_said_why() {
        for (key, value, word) in [
            (&VERIFY_TIMEOUT, "90", "`\"90s\"`"),
            (&VERIFY_TIMEOUT, "\"90\"", "`90s`"),
            (&VERIFY_TIMEOUT, "\"0s\"", "longer than nothing"),
            (&VERIFY_BAKE, "true", "it is a boolean"),
            (&VERIFY_SUCCESSES, "0", "from 1 on"),
            (&VERIFY_SUCCESSES, "\"3\"", "a count is needed"),
            (&VERIFY_PATH, "\"health\"", "begin with `/`"),
            (&VERIFY_IDENTITY, "\"require\"", "did you mean `required`"),
            (&VERIFY_VERSION_FIELD, "\"version\"", "JSON pointer"),
            (&VERIFY_HEADERS, "{ Host = \"x\" }", "the key `host`"),
            (&VERIFY_HEADERS, "{ X = 1 }", "`X` is no string"),
            (&TOKEN, "\"FlyV1 fm2_secret\"", "must never stand here"),
            (&super::FLYCTL_PASS, "[\"A=B\"]", "no name of a variable"),
            (&super::REGIONS, "[1]", "all must be strings"),
            (&super::STATE_URL, "\"git+origin\"", "in a folder alone"),
            (&super::STATE_URL, "\"s3://bucket/prefix\"", "in a folder alone"),
        ] {
            let (document, _) = Document::parse("", &format!("v = {value}"));
            let error = key.of_node(document.root.get("v").unwrap()).expect_err(value);
            assert!(error.contains(word), "{value}: {error}");
            assert!(!error.contains("fm2_secret"));
        }
        assert_eq!(
            VERIFY_BAKE.of_text("0s"),
            Ok(Setting::Duration(std::time::Duration::ZERO))
        );
    }
}
