//! `secrets list --json` → what an app's secrets are called, and when each was last set. The digest is never read.

use jiff::Timestamp;
use serde_json::Value;

use super::{Unreadable, list};
use crate::release::AppSecret;

/// Both spellings of the keys; the newer one names no time (REFERENCE 1.4).
pub(crate) fn parse(output: &[u8]) -> Result<Vec<AppSecret>, Unreadable> {
    list(output)?.iter().map(secret).collect()
}

fn secret(secret: &Value) -> Result<AppSecret, Unreadable> {
    let name = ["Name", "name"]
        .into_iter()
        .find_map(|key| secret[key].as_str().filter(|name| !name.is_empty()))
        .ok_or_else(|| Unreadable::new("a secret without a name"))?;
    let time = secret["CreatedAt"].as_str().and_then(|time| time.parse().ok());
    Ok(AppSecret {
        name: name.to_owned(),
        // Where flyctl knows none, it prints the year 1 (capture `ips_list_json`).
        set_at: time.filter(|time| *time > Timestamp::UNIX_EPOCH),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::captures::capture;
    use super::parse;

    fn read(output: &str) -> Vec<(String, Option<String>)> {
        let secrets = parse(output.as_bytes()).unwrap();
        let time = |time: jiff::Timestamp| time.to_string();
        secrets
            .into_iter()
            .map(|secret| (secret.name, secret.set_at.map(time)))
            .collect()
    }

    #[test]
    fn the_recorded_lists() {
        let at = || Some("2026-11-21T03:57:54.1Z".to_owned());
        assert_eq!(
            read(&capture("secrets_list_json").stdout),
            [("DATABASE_URL".to_owned(), at()), ("SECRET_KEY".to_owned(), at())]
        );
        assert!(read(&capture("secrets_list_none_json").stdout).is_empty());
    }

    #[test]
    fn a_time_that_is_not_told_is_none() {
        for secret in [
            r#"{"name":"A","digest":"d","status":"Deployed"}"#,
            r#"{"name":"A","digest":"d"}"#,
            r#"{"Name":"A","Digest":"d","CreatedAt":"0001-01-01T00:00:00Z"}"#,
            r#"{"Name":"A","Digest":"d","CreatedAt":"13s ago"}"#,
            r#"{"Name":"A","CreatedAt":null}"#,
        ] {
            assert_eq!(read(&format!("[{secret}]")), [("A".to_owned(), None)], "{secret}");
        }
    }

    #[test]
    fn what_is_no_list_of_secrets_is_unreadable() {
        for output in ["", "{}", "[{}]", "[null]", r#"[{"Name":""}]"#] {
            assert!(parse(output.as_bytes()).is_err(), "{output}");
        }
        assert!(parse(b"null").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }
    }
}
