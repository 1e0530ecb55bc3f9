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

/// Text from outside, fit for a line of ours: no control characters, at most 200 characters.
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
