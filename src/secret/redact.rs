//! Finding secrets in text: known values, and what looks like a Fly token or a URL with a password (REFERENCE 4).

use std::ops::Range;
use std::sync::Arc;

use super::{REDACTED, Secret};

/// Shorter values would tear holes into ordinary words.
const SHORTEST: usize = 4;
/// The shortest start of a value that is recognised where a line was cut through it.
const SHORTEST_START: usize = 8;
/// Only a long line can have been cut (at 8 KiB, before escape codes were removed from it).
const PERHAPS_CUT: usize = 1 << 10;
/// The shortest OAuth token and the shortest one after `Bearer`; less is a word.
const SHORTEST_TOKEN: usize = 8;

/// Replaces secrets in text by `[REDACTED]`. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor {
    /// Longest first, so that a value that contains another goes whole.
    values: Arc<[Secret]>,
}

impl Redactor {
    /// Of a token of several parts (`FlyV1 fm2_…,fm2_…`) each part is a secret too, and so is each line of a value.
    pub(crate) fn new(secrets: Vec<Secret>) -> Self {
        let mut values: Vec<String> = Vec::new();
        for secret in secrets {
            let value = secret.expose().trim();
            values.push(value.to_owned());
            values.extend(value.lines().map(|line| line.trim().to_owned()));
            if let Some(tokens) = value
                .strip_prefix("FlyV1 ")
                .or_else(|| value.strip_prefix("Bearer "))
            {
                values.push(tokens.trim().to_owned());
                values.extend(tokens.split(',').map(|token| token.trim().to_owned()));
            } else if value.starts_with("fm") {
                values.extend(value.split(',').map(|token| token.trim().to_owned()));
            }
        }
        values.retain(|value| value.len() >= SHORTEST);
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self {
            values: values.into_iter().map(Secret::new).collect(),
        }
    }

    /// This one's values and more.
    pub(crate) fn with(&self, secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self::new(self.values.iter().cloned().chain(secrets).collect())
    }

    /// `text` without what must not be seen.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &*self.values {
            let value = value.expose();
            if text.contains(value) {
                text = text.replace(value, REDACTED);
            }
            if text.len() >= PERHAPS_CUT
                && let Some(start) = half_value_at_end(&text, value)
            {
                text.truncate(start);
                text.push_str(REDACTED);
            }
        }
        if !has_signs(&text) {
            return text;
        }
        for find in [after_scheme, macaroon, oauth, userinfo] {
            if let Some(redacted) = replace(&text, find) {
                text = redacted;
            }
        }
        text
    }
}

/// Whether a search for tokens and URLs can find anything; a flood of plain lines is told apart in one pass.
fn has_signs(text: &str) -> bool {
    text.as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, b"//" | b"1 " | b"r " | b"1_" | b"2_" | b"r_" | b"a_"))
}

/// Where the end of `text`, which may have been cut, begins to spell `value`.
fn half_value_at_end(text: &str, value: &str) -> Option<usize> {
    let start = value.get(..SHORTEST_START)?;
    let from = text.len().saturating_sub(value.len());
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at))?;
    text[from..]
        .match_indices(start)
        .map(|(at, _)| from + at)
        .find(|at| value.starts_with(&text[*at..]))
}

/// Replaces each span that `find` names; it looks at a text and answers with the first span in it.
fn replace(text: &str, find: impl Fn(&str) -> Option<Range<usize>>) -> Option<String> {
    let mut span = find(text)?;
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    loop {
        out.push_str(&rest[..span.start]);
        out.push_str(REDACTED);
        rest = &rest[span.end..];
        match find(rest) {
            Some(next) => span = next,
            None => break,
        }
    }
    out.push_str(rest);
    Some(out)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte)
}

fn token_length(text: &str) -> usize {
    text.bytes().take_while(|byte| is_token_byte(*byte)).count()
}

/// `fm[12][ra]?_…`
fn macaroon(text: &str) -> Option<Range<usize>> {
    text.match_indices("fm").find_map(|(start, _)| {
        let rest = &text[start + 2..];
        let rest = rest.strip_prefix(['1', '2'])?;
        let rest = rest.strip_prefix(['r', 'a']).unwrap_or(rest);
        let rest = rest.strip_prefix('_')?;
        let length = token_length(rest);
        let body = text.len() - rest.len();
        (length > 0).then_some(start..body + length)
    })
}

/// `fo1_…`, the form of a personal token.
fn oauth(text: &str) -> Option<Range<usize>> {
    text.match_indices("fo1_").find_map(|(start, prefix)| {
        let length = token_length(&text[start + prefix.len()..]);
        (length >= SHORTEST_TOKEN).then_some(start..start + prefix.len() + length)
    })
}

/// What follows `FlyV1 ` or `Bearer `.
fn after_scheme(text: &str) -> Option<Range<usize>> {
    [("FlyV1 ", 1), ("Bearer ", SHORTEST_TOKEN)]
        .into_iter()
        .filter_map(|(scheme, shortest)| {
            text.match_indices(scheme).find_map(|(start, _)| {
                let rest = text[start + scheme.len()..].trim_start_matches(' ');
                let length = rest
                    .bytes()
                    .take_while(|byte| is_token_byte(*byte) || b",.~".contains(byte))
                    .count();
                let body = text.len() - rest.len();
                (length >= shortest).then_some(body..body + length)
            })
        })
        .min_by_key(|span| span.start)
}

/// User and password of a URL: `postgres://user:pw@host` keeps its scheme and host.
fn userinfo(text: &str) -> Option<Range<usize>> {
    text.match_indices("://").find_map(|(at, mark)| {
        let body = at + mark.len();
        let rest = &text[body..];
        let word = &rest[..rest.find(ends_word).unwrap_or(rest.len())];
        let authority = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
        // A slash in a password should have been escaped, but people write it: `user:pw/x@host`.
        let end = authority
            .rfind('@')
            .or_else(|| (has_password(authority)).then(|| word.rfind('@')).flatten())?;
        (&rest[..end] != REDACTED).then_some(body..body + end)
    })
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')
}

/// `user:pw`, as opposed to `host:80`.
fn has_password(authority: &str) -> bool {
    authority
        .split_once(':')
        .is_some_and(|(_, after)| !after.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::super::Secret;
    use super::{PERHAPS_CUT, Redactor};

    #[test]
    fn what_looks_like_a_secret_goes() {
        let redactor = Redactor::default();
        for (text, expected) in [
            ("nothing to see", "nothing to see"),
            ("token fm2_lJPECAAAAAAA+/=x, ok", "token [REDACTED], ok"),
            ("fm1r_ab fm1a_cd fm2_ef", "[REDACTED] [REDACTED] [REDACTED]"),
            ("fm3_ab fm2 fm2_", "fm3_ab fm2 fm2_"),
            ("FlyV1 fm2_aaa,fm2_bbb rest", "FlyV1 [REDACTED] rest"),
            ("FlyV1 opaque", "FlyV1 [REDACTED]"),
            (
                "Authorization: Bearer abcdefgh.ijk",
                "Authorization: Bearer [REDACTED]",
            ),
            ("Bearer of news", "Bearer of news"),
            ("fo1_all fo1_AbCdEfGhIjKlMnOp", "fo1_all [REDACTED]"),
            (
                "postgres://app:pa:ss@db.internal:5432/x?y=z",
                "postgres://[REDACTED]@db.internal:5432/x?y=z",
            ),
            (
                "postgresql://u:p@h and https://x:y@z",
                "postgresql://[REDACTED]@h and https://[REDACTED]@z",
            ),
            ("postgres://u:p/w@h/db", "postgres://[REDACTED]@h/db"),
            ("http://127.0.0.1:80/a@b", "http://127.0.0.1:80/a@b"),
            (
                "https://shop.fly.dev/ me@example.com",
                "https://shop.fly.dev/ me@example.com",
            ),
            ("äfm2_äö ://é@ü", "äfm2_äö ://[REDACTED]@ü"),
        ] {
            assert_eq!(redactor.redact(text), expected, "{text}");
        }
    }

    #[test]
    fn known_values_go_whole_in_parts_and_cut() {
        let secret = |value: &str| Secret::new(value);
        let redactor = Redactor::new(vec![
            secret("hunter2-and-more\n"),
            secret("hunter2"),
            secret("abc"),
            secret(""),
        ]);
        assert_eq!(
            redactor.redact("a hunter2-and-more b hunter2 abc"),
            "a [REDACTED] b [REDACTED] abc"
        );
        assert_eq!(redactor.redact("hunter2-an then"), "[REDACTED]-an then");
        let redactor = Redactor::new(vec![secret("s3cr3t-value-of-some-length")]);
        let long = "x".repeat(PERHAPS_CUT);
        assert_eq!(
            redactor.redact(&format!("{long} s3cr3t-val")),
            format!("{long} [REDACTED]")
        );
        assert_eq!(
            redactor.redact(&format!("{long} s3cr3t-")),
            format!("{long} s3cr3t-")
        );
        assert_eq!(
            redactor.redact(&format!("s3cr3t-val {long}")),
            format!("s3cr3t-val {long}")
        );
        let token = Redactor::new(vec![secret("FlyV1 partone,parttwo")]);
        assert_eq!(token.redact("partone parttwo"), "[REDACTED] [REDACTED]");
        let more = redactor.with([secret("another")]);
        assert_eq!(
            more.redact("another s3cr3t-value-of-some-length"),
            "[REDACTED] [REDACTED]"
        );
        assert!(!format!("{more:?}").contains("another"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_no_value_is_left(text in any::<String>(), value in "[a-z0-9]{8,40}") {
            let redactor = Redactor::new(vec![Secret::new(value.clone())]);
            let redacted = redactor.redact(&[text.as_str(), &value, &text].concat());
            prop_assert!(!redacted.contains(&value));
        }

        #[test]
        fn urls_of_any_shape_are_survived(text in "[a-z:/@?# fm12_\\[\\]\u{e9}]{0,40}") {
            let _ = Redactor::default().redact(&text);
        }
    }
}
