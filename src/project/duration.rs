//! Durations as shipctl takes them, and as flyctl does.

use std::time::Duration;

/// Reads `90s`, `5m`, `1m30s`, `500ms`, `2h`; a bare number is an error that says what to write instead.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err("a duration is empty; write for example `90s`".to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "`{text}` has no unit; write `{text}s` for seconds or `{text}m` for minutes"
        ));
    }
    match parse_go(text) {
        Some(nanoseconds) if nanoseconds < 0 => Err(format!("`{text}` is less than nothing")),
        Some(nanoseconds) => Ok(from_nanoseconds(nanoseconds)),
        None => Err(format!(
            "`{text}` is no duration; write for example `90s`, `5m` or `1m30s`"
        )),
    }
}

/// Reads a duration as Go's `time.ParseDuration` does, in nanoseconds: a sign, then numbers with units, or `0`.
pub(crate) fn parse_go(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = split_part(rest)?;
        total = total.checked_add(part(number, unit)?)?;
        rest = after;
    }
    let total = i64::try_from(total).ok()?;
    Some(if negative { -total } else { total })
}

/// The first number, its unit, and what follows.
fn split_part(text: &str) -> Option<(&str, u128, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, rest) = text.split_at(end);
    // Longer names first: `ms` is not `m` with an `s` behind it.
    let units = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let (name, unit) = units.into_iter().find(|(name, _)| rest.starts_with(name))?;
    Some((number, unit, &rest[name.len()..]))
}

fn part(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Beyond nanoseconds of an hour nothing can be seen.
    let fraction = &fraction[..fraction.len().min(18)];
    let below = if fraction.is_empty() {
        0
    } else {
        let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        fraction.parse::<u128>().ok()? * unit / scale
    };
    whole.checked_mul(unit)?.checked_add(below)
}

pub(crate) fn from_nanoseconds(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

/// Writes a duration the way that [`parse`] reads it: `1m30s`, `500ms`, `0s`.
pub(crate) fn show(duration: Duration) -> String {
    use std::fmt::Write as _;

    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let nanoseconds = duration.subsec_nanos();
    let mut text = String::new();
    for (count, unit) in [(hours, "h"), (minutes, "m"), (rest, "s")] {
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    if nanoseconds >= 1_000_000 {
        let _ = write!(text, "{}ms", nanoseconds / 1_000_000);
    } else if nanoseconds > 0 && seconds == 0 {
        let _ = write!(text, "{nanoseconds}ns");
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{parse, parse_go, show};

    #[test]
    fn units_are_read_and_bare_numbers_are_not() {
        for (text, milliseconds) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for (text, word) in [
            ("90", "`90s`"),
            ("0", "`0s`"),
            ("", "empty"),
            ("soon", "no duration"),
            ("5 m", "no duration"),
            ("-5m", "less than nothing"),
            ("5x", "no duration"),
            ("m", "no duration"),
            ("1..5s", "no duration"),
            ("99999999999h", "no duration"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn go_reads_more() {
        assert_eq!(parse_go("0"), Some(0));
        assert_eq!(parse_go("-1.5h"), Some(-5_400_000_000_000));
        assert_eq!(parse_go("3us"), Some(3_000));
        assert_eq!(parse_go("10"), None);
        assert_eq!(parse_go(".5s"), Some(500_000_000));
        assert_eq!(parse_go("."), None);
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for text in ["1m30s", "2h", "500ms", "0s", "1h1m1s", "1s500ms", "300ns"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), digits in "[0-9.]{0,40}[hmsnuµ]{0,3}") {
            let _ = parse(&text);
            let _ = parse_go(&digits);
        }
    }
}
