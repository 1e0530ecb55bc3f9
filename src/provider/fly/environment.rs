//! The variables that flyctl gets: an allow-list of those that shipctl was given, one token, and what shipctl sets
//! itself, which wins (DESIGN 11, REFERENCE 5).

use std::collections::BTreeMap;

use crate::secret::Secret;

/// Given variables by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// A Fly token and where it came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Token {
    /// The variable that named it, for messages.
    pub(crate) variable: String,
    pub(crate) value: Secret,
}

impl Token {
    /// From the environment's `own` variable; else what flyctl itself would take. `None` leaves flyctl to its own
    /// login. Line ends inside a value break it and are removed.
    pub(crate) fn choose(given: &Variables, own: Option<&str>) -> Option<Self> {
        own.into_iter()
            .chain(["FLY_ACCESS_TOKEN", "FLY_API_TOKEN"])
            .find_map(|variable| {
                let value = given.get(variable)?.replace(['\r', '\n'], "");
                let value = value.trim();
                (!value.is_empty()).then(|| Self {
                    value: Secret::new(value),
                    variable: variable.to_owned(),
                })
            })
    }
}

/// The variables of flyctl's children, for one token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    passed: Variables,
    pub(crate) token: Option<Token>,
}

impl Environment {
    /// `pass` names further variables (`[flyctl] pass`).
    pub(crate) fn new(given: &Variables, token: Option<Token>, pass: &[String]) -> Self {
        let passed = given
            .iter()
            .filter(|(name, _)| !is_reserved(name))
            .filter(|(name, _)| is_passed(name) || pass.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Self { passed, token }
    }

    /// For calls whose standard output is parsed.
    pub(crate) fn for_reading(&self) -> Vec<(String, String)> {
        self.list(Some("error"))
    }

    /// For `deploy`: its warnings about leases are read, and `LOG_LEVEL` would hide them.
    pub(crate) fn for_deploying(&self) -> Vec<(String, String)> {
        self.list(None)
    }

    fn list(&self, log_level: Option<&str>) -> Vec<(String, String)> {
        let mut all = self.passed.clone();
        all.remove("LOG_LEVEL");
        for (name, value) in SET {
            all.insert(name.to_owned(), value.to_owned());
        }
        if let Some(level) = log_level {
            all.insert("LOG_LEVEL".to_owned(), level.to_owned());
        }
        if let Some(token) = &self.token {
            all.insert("FLY_API_TOKEN".to_owned(), token.value.expose().to_owned());
        }
        all.into_iter().collect()
    }
}

/// What shipctl sets itself.
const SET: [(&str, &str); 7] = [
    ("CI", "1"),
    ("FLY_EMIT_RELEASE_JSON", "1"),
    ("FLY_NO_INCIDENTS_CHECK", "1"),
    ("FLY_NO_UPDATE_CHECK", "1"),
    ("FLY_SEND_METRICS", "0"),
    ("FLY_SYNTHETICS_AGENT", "0"),
    ("NO_COLOR", "1"),
];

/// One token reaches flyctl, by one variable: even an empty `FLY_ACCESS_TOKEN` would hide it (REFERENCE 4).
fn is_reserved(name: &str) -> bool {
    name == "FLY_ACCESS_TOKEN" || name == "FLY_API_TOKEN"
}

fn is_passed(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "PATH",
        "HOME",
        "TMPDIR",
        "FLY_CONFIG_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ];
    NAMES.contains(&name)
        || name.starts_with("DOCKER_")
        || (name.starts_with("FLY_") && name.ends_with("_URL"))
}

#[cfg(test)]
mod tests {
    use super::{Environment, Token, Variables};
    use crate::secret::Secret;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_token_comes_from_the_first_variable_that_holds_one() {
        let all = [
            ("MINE", "m"),
            ("FLY_API_TOKEN_STAGING", "s"),
            ("FLY_ACCESS_TOKEN", "acc"),
            ("FLY_API_TOKEN", "api"),
        ];
        let choose = |given: &[(&str, &str)], own| {
            Token::choose(&variables(given), own)
                .map(|token| (token.variable, token.value.expose().to_owned()))
        };
        let is = |variable: &str, value: &str| Some((variable.to_owned(), value.to_owned()));
        assert_eq!(choose(&all, Some("MINE")), is("MINE", "m"));
        assert_eq!(choose(&all, Some("NOT_SET")), is("FLY_ACCESS_TOKEN", "acc"));
        assert_eq!(
            choose(&all, Some("FLY_API_TOKEN_STAGING")),
            is("FLY_API_TOKEN_STAGING", "s")
        );
        assert_eq!(choose(&all[2..], None), is("FLY_ACCESS_TOKEN", "acc"));
        assert_eq!(
            choose(&[("FLY_ACCESS_TOKEN", ""), ("FLY_API_TOKEN", "api")], None),
            is("FLY_API_TOKEN", "api")
        );
        assert_eq!(
            choose(&[("FLY_API_TOKEN", " FlyV1 a,\nb\n")], None),
            is("FLY_API_TOKEN", "FlyV1 a,b")
        );
        assert_eq!(choose(&[("FLY_API_TOKEN", " ")], None), None);
    }

    #[test]
    fn only_what_is_allowed_passes_and_what_shipctl_sets_wins() {
        let given = variables(&[
            ("PATH", "/bin"),
            ("HOME", "/home/dev"),
            ("TMPDIR", "/tmp"),
            ("https_proxy", "http://proxy"),
            ("SSL_CERT_FILE", "/ca"),
            ("DOCKER_HOST", "tcp://x"),
            ("FLY_CONFIG_DIR", "/fly"),
            ("FLY_API_BASE_URL", "http://api"),
            ("FLY_TRACE_COLLECTOR_URL", "127.0.0.1:1"),
            ("FLY_APP", "other"),
            ("FLY_REGION", "ams"),
            ("FLY_JSON", "1"),
            ("FLY_ACCESS_TOKEN", ""),
            ("FLY_API_TOKEN", "given"),
            ("FLY_API_TOKEN_STAGING", "own"),
            ("DEPLOY_TRIGGER", "x"),
            ("GITHUB_ACTIONS", "true"),
            ("LOG_LEVEL", "debug"),
            ("NO_COLOR", ""),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("WANTED", "yes"),
        ]);
        let pass = ["WANTED", "LOG_LEVEL", "NO_COLOR", "FLY_ACCESS_TOKEN", "ABSENT"].map(str::to_owned);
        let token = Token {
            variable: "FLY_API_TOKEN_STAGING".into(),
            value: Secret::new("own"),
        };
        let environment = Environment::new(&given, Some(token), &pass);
        let expected = [
            "CI=1",
            "DOCKER_HOST=tcp://x",
            "FLY_API_BASE_URL=http://api",
            "FLY_API_TOKEN=own",
            "FLY_CONFIG_DIR=/fly",
            "FLY_EMIT_RELEASE_JSON=1",
            "FLY_NO_INCIDENTS_CHECK=1",
            "FLY_NO_UPDATE_CHECK=1",
            "FLY_SEND_METRICS=0",
            "FLY_SYNTHETICS_AGENT=0",
            "FLY_TRACE_COLLECTOR_URL=127.0.0.1:1",
            "HOME=/home/dev",
            "NO_COLOR=1",
            "PATH=/bin",
            "SSL_CERT_FILE=/ca",
            "TMPDIR=/tmp",
            "WANTED=yes",
            "https_proxy=http://proxy",
        ];
        let shown = |list: Vec<(String, String)>| -> Vec<String> {
            list.into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        assert_eq!(shown(environment.for_deploying()), expected);
        let mut reading = shown(environment.for_reading());
        reading.retain(|line| line != "LOG_LEVEL=error");
        assert_eq!(reading.len() + 1, environment.for_reading().len());
        assert_eq!(reading, expected);
        assert!(!format!("{environment:?}").contains("own\""), "{environment:?}");
    }

    #[test]
    fn without_a_token_flyctl_uses_its_own_login() {
        let environment = Environment::new(&variables(&[("FLY_API_TOKEN", "x")]), None, &[]);
        assert!(
            environment
                .for_reading()
                .iter()
                .all(|(name, _)| !name.contains("TOKEN"))
        );
    }
}
