//! One answer to one question: is it good, bad, or does it say nothing?

use std::time::Duration;

use serde_json::Value;

use crate::effect::http::{Answer, Request};
use crate::project::{VerifySettings, VersionField};
use crate::verification::expectation::PathAuthority;
use crate::verification::identity::VersionSeen;

/// The longest that a good answer may take (DESIGN 6).
pub(crate) const LONGEST: Duration = Duration::from_secs(5);
/// The largest that a good answer may be, in bytes.
pub(crate) const LARGEST: usize = 1 << 20;

/// The question that `settings` ask; of one instance, or of whichever the shared address leads to.
///
/// `base`: scheme, host and, where it has one, the prefix of a path.
pub(crate) fn request(base: &str, settings: &VerifySettings, instance: Option<&str>) -> Request {
    let path = settings.path.path();
    let mut headers: Vec<(String, String)> = settings
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.expose().to_owned()))
        .collect();
    if let Some(host) = &settings.host {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
        headers.push(("host".into(), host.clone()));
    }
    if let Some(instance) = instance {
        headers.push(("fly-force-instance-id".into(), instance.to_owned()));
    }
    Request {
        url: format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')),
        method: settings.method.clone(),
        headers,
        timeout: LONGEST,
        body_limit: LARGEST,
    }
}

/// What one answer says, apart from which release it names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Word {
    /// 2xx; `degraded` is what the body says of itself where it is not quite well.
    Good {
        degraded: Option<String>,
    },
    Bad(String),
    /// A redirect or 4xx on a path that nobody promised anything about.
    NoWitness(String),
    /// Neither good nor bad: nobody was reached.
    NoConnection(String),
}

/// One answer, read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probed {
    pub(crate) word: Word,
    pub(crate) status: Option<u16>,
    /// Of a 2xx.
    pub(crate) version: Option<VersionSeen>,
    pub(crate) latency: Option<Duration>,
    /// Nothing came from the app itself: no connection, no answer, or a proxy's word that it reached nobody.
    pub(crate) silent: bool,
}

impl Probed {
    fn without_answer(word: Word) -> Self {
        Self {
            word,
            status: None,
            version: None,
            latency: None,
            silent: true,
        }
    }

    /// The path answered 2xx, whatever else is wrong with it.
    pub(crate) fn answered(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// Reads one answer.
pub(crate) fn read(answer: &Answer, authority: PathAuthority, field: &VersionField) -> Probed {
    let (status, headers, body, latency) = match answer {
        Answer::Response {
            status,
            headers,
            body,
            latency,
        } => (*status, headers, body, *latency),
        Answer::NoConnection(why) => {
            return Probed::without_answer(Word::NoConnection(harmless(why)));
        }
        Answer::Cut(why) => {
            return Probed::without_answer(Word::Bad(format!(
                "the connection was cut before a full answer ({})",
                harmless(why)
            )));
        }
        Answer::Slow => {
            return Probed::without_answer(Word::Bad(format!("no full answer within {LONGEST:?}")));
        }
        Answer::TooLarge => {
            let mut probed = Probed::without_answer(Word::Bad("its answer is larger than 1 MiB".into()));
            probed.silent = false;
            return probed;
        }
    };
    let json = is_json(headers, body)
        .then(|| serde_json::from_slice::<Value>(body).ok())
        .flatten();
    let good = (200..300).contains(&status);
    let word = match status {
        200..300 => body_word(json.as_ref(), headers),
        300..500 => {
            let what = elsewhere(status, headers);
            match authority {
                PathAuthority::Named
                | PathAuthority::Check {
                    answered_before: true,
                } => Word::Bad(what),
                PathAuthority::Check {
                    answered_before: false,
                }
                | PathAuthority::Root => Word::NoWitness(what),
            }
        }
        _ => match failing(json.as_ref()) {
            Some(failing) => Word::Bad(format!("answers {status} ({failing})")),
            None => Word::Bad(format!("answers {status}")),
        },
    };
    Probed {
        word,
        status: Some(status),
        version: good.then(|| version(headers, body, json.as_ref(), field)),
        latency: Some(latency),
        silent: matches!(status, 502..=504) && json.is_none(),
    }
}

fn elsewhere(status: u16, headers: &[(String, String)]) -> String {
    match header(headers, "location") {
        Some(location) if status < 400 => format!("answers {status}, a redirect to `{}`", harmless(location)),
        _ => format!("answers {status}"),
    }
}

/// What a 2xx says of itself: `unhealthy` and `fail` are bad, `degraded` and `warn` pass with a warning.
fn body_word(json: Option<&Value>, headers: &[(String, String)]) -> Word {
    let said = json
        .and_then(|json| json["status"].as_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let health = header(headers, "content-type").is_some_and(|kind| kind.contains("health+json"));
    let with_checks = |word: &str| match failing(json) {
        Some(failing) => format!("its answer says `{word}` ({failing})"),
        None => format!("its answer says `{word}`"),
    };
    match said.as_str() {
        "unhealthy" | "fail" => Word::Bad(with_checks(&said)),
        // The media type names these as the same.
        "error" | "down" if health => Word::Bad(with_checks(&said)),
        "degraded" | "warn" => Word::Good {
            degraded: Some(with_checks(&said)),
        },
        _ => Word::Good { degraded: None },
    }
}

/// Names what does not pass in a body's `checks`: an object of words, booleans, objects with a `status`, or the
/// arrays of `application/health+json`.
fn failing(json: Option<&Value>) -> Option<String> {
    let checks = json?["checks"].as_object()?;
    let named: Vec<String> = checks
        .iter()
        .filter_map(|(name, check)| {
            let said = check_word(check)?;
            Some(harmless(&format!("{name}: {said}")))
        })
        .take(5)
        .collect();
    (!named.is_empty()).then(|| format!("failing: {}", named.join(", ")))
}

/// What a check says where that is not good.
fn check_word(check: &Value) -> Option<String> {
    match check {
        Value::Bool(true) | Value::Null | Value::Number(_) => None,
        Value::Bool(false) => Some("false".to_owned()),
        Value::String(word) => {
            let first: String = word
                .chars()
                .take_while(char::is_ascii_alphabetic)
                .collect::<String>()
                .to_ascii_lowercase();
            let good = [
                "ok",
                "pass",
                "passing",
                "passed",
                "healthy",
                "up",
                "good",
                "true",
                "connected",
                "success",
                "warn",
                "warning",
                "degraded",
                "skipped",
            ];
            (!good.contains(&first.as_str())).then(|| word.clone())
        }
        Value::Object(fields) => {
            let said = check_word(fields.get("status")?)?;
            let detail = ["output", "error", "message"]
                .iter()
                .find_map(|key| fields.get(*key)?.as_str());
            Some(detail.map_or(said.clone(), |detail| format!("{said}, {detail}")))
        }
        Value::Array(several) => several.iter().find_map(check_word),
    }
}

fn version(
    headers: &[(String, String)],
    body: &[u8],
    json: Option<&Value>,
    field: &VersionField,
) -> VersionSeen {
    let named = |text: &str| match harmless(text.trim()) {
        text if text.is_empty() => VersionSeen::Missing,
        text => VersionSeen::Named(text),
    };
    match field {
        VersionField::Header(name) => header(headers, name).map_or(VersionSeen::Missing, named),
        VersionField::Pointer(pointer) => match json.map(|json| json.pointer(pointer)) {
            Some(Some(Value::String(text))) => named(text),
            Some(Some(Value::Number(number))) => named(&number.to_string()),
            Some(_) => VersionSeen::Missing,
            None if is_html(headers, body) => VersionSeen::Unparsable("an HTML page"),
            None => VersionSeen::Unparsable("no JSON"),
        },
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn starts_with(body: &[u8], first: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let blank = body.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    body[blank..].first().is_some_and(|byte| first.contains(byte))
}

fn is_html(headers: &[(String, String)], body: &[u8]) -> bool {
    header(headers, "content-type").is_some_and(|kind| kind.contains("html")) || starts_with(body, b"<")
}

fn is_json(headers: &[(String, String)], body: &[u8]) -> bool {
    header(headers, "content-type").is_some_and(|kind| kind.contains("json")) || starts_with(body, b"{[\"")
}

/// Text from outside, fit for a line of ours: no control characters, at most 200 characters and an ellipsis.
pub(crate) fn harmless(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(201)
        .collect();
    if line.chars().count() > 200 {
        line.pop();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Word, harmless, read, request};
    use crate::effect::http::Answer;
    use crate::project::{HeaderValue, Identity, PathRule, VerifySettings, VersionField};
    use crate::secret::Secret;
    use crate::verification::Evidence;
    use crate::verification::expectation::PathAuthority;
    use crate::verification::identity::VersionSeen;
    use crate::verification::stage::{json_body, response};

    fn named(answer: &Answer, field: &VersionField) -> Option<VersionSeen> {
        read(answer, PathAuthority::Named, field).version
    }

    #[test]
    fn where_the_version_stands() {
        let version = VersionField::Pointer("/version".into());
        let nested = VersionField::Pointer("/build/number".into());
        let header = VersionField::Header("X-Release".into());
        let of = |name: &str| Some(VersionSeen::Named(name.into()));
        for (case, answer, field, expected) in [
            (
                "named",
                json_body(200, &json!({"version": " v2\n"})),
                &version,
                of("v2"),
            ),
            (
                "nested, a number",
                json_body(200, &json!({"build": {"number": 7}})),
                &nested,
                of("7"),
            ),
            (
                "absent",
                json_body(200, &json!({"status": "ok"})),
                &version,
                Some(VersionSeen::Missing),
            ),
            (
                "null",
                json_body(200, &json!({"version": null})),
                &version,
                Some(VersionSeen::Missing),
            ),
            (
                "empty",
                json_body(200, &json!({"version": ""})),
                &version,
                Some(VersionSeen::Missing),
            ),
            (
                "json without its type",
                response(200, &[], " {\"version\": \"v2\"}"),
                &version,
                of("v2"),
            ),
            (
                "a header",
                response(200, &[("x-release", "v2")], "ok"),
                &header,
                of("v2"),
            ),
            (
                "no header",
                response(200, &[], "ok"),
                &header,
                Some(VersionSeen::Missing),
            ),
            (
                "a page",
                response(200, &[], "<html>"),
                &version,
                Some(VersionSeen::Unparsable("an HTML page")),
            ),
            (
                "text",
                response(200, &[], "ok"),
                &version,
                Some(VersionSeen::Unparsable("no JSON")),
            ),
            (
                "half a document",
                response(200, &[], "{\"version\":"),
                &version,
                Some(VersionSeen::Unparsable("no JSON")),
            ),
            (
                "not of a bad answer",
                json_body(503, &json!({"version": "v2"})),
                &version,
                None,
            ),
        ] {
            assert_eq!(named(&answer, field), expected, "{case}");
        }
    }

    #[test]
    fn what_the_body_says_of_itself() {
        let field = VersionField::Pointer("/version".into());
        let word = |kind: &str, body: &serde_json::Value| {
            let answer = response(200, &[("Content-Type", kind)], &body.to_string());
            match read(&answer, PathAuthority::Named, &field).word {
                Word::Good { degraded: None } => "good".to_owned(),
                Word::Good { degraded: Some(what) } => format!("degraded: {what}"),
                Word::Bad(why) => format!("bad: {why}"),
                other => format!("{other:?}"),
            }
        };
        let (json, health) = ("application/json", "application/health+json; charset=utf-8");
        let checks = json!({"status": "fail", "checks": {
            "db:time": [{"status": "pass"}, {"status": "fail", "output": "refused"}],
            "cache": {"status": "ok"}, "queue": false, "disk": "error: full", "cpu": true}});
        for (kind, body, expected) in [
            (json, json!({"status": "healthy"}), "good"),
            (json, json!({"status": 7}), "good"),
            (json, json!(["status", "fail"]), "good"),
            (json, json!({"status": "down"}), "good"),
            (
                json,
                json!({"status": "UNHEALTHY"}),
                "bad: its answer says `unhealthy`",
            ),
            (health, json!({"status": "down"}), "bad: its answer says `down`"),
            (
                health,
                json!({"status": "warn"}),
                "degraded: its answer says `warn`",
            ),
            (
                health,
                checks,
                "bad: its answer says `fail` (failing: db:time: fail, refused, queue: false, disk: error: full)",
            ),
        ] {
            assert_eq!(word(kind, &body), expected, "{body}");
        }
    }

    #[test]
    fn what_the_app_said_and_what_only_its_proxy_did() {
        let field = VersionField::Pointer("/version".into());
        for (answer, silent) in [
            (Answer::NoConnection(String::new()), true),
            (Answer::Cut(String::new()), true),
            (Answer::Slow, true),
            (Answer::TooLarge, false),
            (response(502, &[], "bad gateway"), true),
            (json_body(503, &json!({"status": "unhealthy"})), false),
            (response(500, &[], ""), false),
            (response(200, &[], ""), false),
        ] {
            assert_eq!(
                read(&answer, PathAuthority::Named, &field).silent,
                silent,
                "{answer:?}"
            );
        }
    }

    #[test]
    fn a_question_names_its_instance_and_the_configured_headers() {
        let settings = VerifySettings {
            path: PathRule::Named("/health".into()),
            method: "HEAD".into(),
            host: Some("www.example.com".into()),
            headers: vec![
                ("Host".into(), HeaderValue::Plain("other".into())),
                ("X-Key".into(), HeaderValue::Secret(Secret::new("s3cret"))),
            ],
            timeout: Duration::from_secs(1),
            successes: 3,
            bake: Duration::ZERO,
            identity: Identity::Auto,
            version_field: VersionField::Pointer("/version".into()),
            min_evidence: Evidence::State,
        };
        let asked = request("https://shop.fly.dev/", &settings, Some("148e"));
        assert_eq!(
            (asked.url.as_str(), asked.method.as_str()),
            ("https://shop.fly.dev/health", "HEAD")
        );
        assert_eq!(asked.body_limit, 1_048_576);
        let headers: Vec<_> = asked
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            headers,
            [
                ("X-Key", "s3cret"),
                ("host", "www.example.com"),
                ("fly-force-instance-id", "148e")
            ]
        );
        let shared = request("http://127.0.0.1:8080/__app/shop", &settings, None);
        assert_eq!(shared.url, "http://127.0.0.1:8080/__app/shop/health");
        assert!(
            !shared
                .headers
                .iter()
                .any(|(name, _)| name == "fly-force-instance-id")
        );
    }

    #[test]
    fn only_2xx_answers_and_only_3xx_leads_elsewhere() {
        let field = VersionField::Pointer("/version".into());
        let there = &[("location", "/login")][..];
        for (status, answered, said) in [
            (200, true, None),
            (299, true, None),
            (302, false, Some("answers 302, a redirect to `/login`")),
            (399, false, Some("answers 399, a redirect to `/login`")),
            (400, false, Some("answers 400")),
            (404, false, Some("answers 404")),
            (503, false, Some("answers 503")),
        ] {
            let probed = read(&response(status, there, ""), PathAuthority::Named, &field);
            assert_eq!(probed.answered(), answered, "{status}");
            let word = match &probed.word {
                Word::Bad(why) => Some(why.as_str()),
                _ => None,
            };
            assert_eq!(word, said, "{status}");
        }
        assert!(!read(&Answer::Slow, PathAuthority::Named, &field).answered());
    }

    #[test]
    fn foreign_text_is_harmless() {
        assert_eq!(harmless("a\x1b[31m\nb"), "a [31m b");
        for (length, shown) in [(199, 199), (200, 200), (201, 201), (300, 201)] {
            let line = harmless(&"x".repeat(length));
            assert_eq!(line.chars().count(), shown);
            assert_eq!(line.ends_with('…'), length > 200, "{length}");
        }
    }
}
