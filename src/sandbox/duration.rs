//! Go's durations, as flyctl reads and prints them.

/// Reads `1m30s`, `500ms`, `0`; anything else is no duration.
pub(super) fn parse(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    let (mut rest, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1.0),
        None => (text, 1.0),
    };
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .filter(|at| *at > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number * unit;
        rest = &rest[end..];
    }
    Some(sign * seconds)
}

/// A flag's duration: seconds, a Go duration, or `none` for nothing (REFERENCE 2.1).
pub(super) fn flag(text: &str) -> Option<f64> {
    if text == "none" {
        return Some(0.0);
    }
    match text.parse::<u32>() {
        Ok(seconds) => Some(f64::from(seconds)),
        Err(_) => parse(text),
    }
}

/// Prints as Go does: `5m0s`, `1h0m0s`, `250ms`, `300ns`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "whole nanoseconds of a non-negative duration of at most a century"
)]
pub(super) fn print(seconds: f64) -> String {
    let nanos = (seconds.max(0.0) * 1e9).round() as u64;
    let trimmed = |value: f64| {
        let text = format!("{value:.9}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", trimmed(nanos as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{}ms", trimmed(nanos as f64 / 1e6)),
        _ => {
            let whole = nanos / 1_000_000_000;
            let (hours, minutes) = (whole / 3600, whole / 60 % 60);
            let rest = (nanos % 60_000_000_000) as f64 / 1e9;
            let rest = trimmed(rest);
            if hours > 0 {
                format!("{hours}h{minutes}m{rest}s")
            } else if minutes > 0 {
                format!("{minutes}m{rest}s")
            } else {
                format!("{rest}s")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{flag, parse, print};

    #[test]
    fn durations_are_read_and_printed_as_go_does() {
        for (text, printed) in [
            ("5m", "5m0s"),
            ("1m30s", "1m30s"),
            ("90s", "1m30s"),
            ("2h", "2h0m0s"),
            ("250ms", "250ms"),
            ("300ns", "300ns"),
            ("1.5s", "1.5s"),
            ("0", "0s"),
        ] {
            assert_eq!(print(parse(text).unwrap()), printed, "{text}");
        }
        for text in ["", "soon", "5", "5 m", "m", "5x", "-"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn flags_take_seconds_and_none() {
        assert_eq!(flag("15"), Some(15.0));
        assert_eq!(flag("none"), Some(0.0));
        assert_eq!(flag("1m"), Some(60.0));
        assert_eq!(flag("soon"), None);
    }
}
