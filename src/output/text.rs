//! Lines that fit: widths, durations and ages as people read them.

use std::time::Duration;

use jiff::Timestamp;

use crate::output::Printer;

/// What begins each line of talk in the sandbox.
pub(crate) const SANDBOX_MARK: &str = "SANDBOX ";

/// The width to wrap talk at: the terminal's, at most 100, without the sandbox's mark; unwrapped for a pipe.
pub(crate) fn width(printer: Printer) -> usize {
    let mark = if printer.sandbox { SANDBOX_MARK.len() } else { 0 };
    columns(&console::Term::stderr()).map_or(usize::MAX, |columns| columns - mark)
}

/// The width to wrap what goes to stdout at.
pub(super) fn data_width() -> usize {
    columns(&console::Term::stdout()).unwrap_or(usize::MAX)
}

/// `COLUMNS`, else the terminal's width; `None` for a pipe.
pub(crate) fn columns(stream: &console::Term) -> Option<usize> {
    let said = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse::<usize>().ok())
        .filter(|columns| *columns > 0);
    said.or_else(|| stream.size_checked().map(|(_, columns)| columns.into()))
        .map(|columns| columns.clamp(40, 100))
}

/// A label and a text that wraps under itself; a command that is too wide for that begins further left.
pub(crate) fn labelled(label: &str, label_width: usize, text: &str, width: usize) -> String {
    let indent = label_width + 1;
    let room = width.saturating_sub(indent).max(20);
    let mut out = format!("{label} ");
    for (number, line) in text.lines().flat_map(|line| wrap(line, room)).enumerate() {
        if number > 0 {
            out.push('\n');
            out.push_str(&" ".repeat(indent.min(width.saturating_sub(line.chars().count()))));
        }
        out.push_str(&line);
    }
    out
}

/// Each line of a text, broken where it is too wide.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let lines: Vec<String> = text.lines().flat_map(|line| wrap(line, width)).collect();
    lines.join("\n")
}

/// Breaks at blanks, but never within a command: what is pasted has to be one line, however wide that is.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let words = text.trim_start();
    let mut lines = vec![text[..text.len() - words.len()].to_owned()];
    let mut used = lines[0].chars().count();
    let mut first = true;
    for word in &unbreakable(words) {
        let length = word.chars().count();
        let line = lines.last_mut().expect("there is always a line");
        if first {
            line.push_str(word);
            used += length;
        } else if used.saturating_add(1 + length) > width {
            lines.push(word.to_owned());
            used = length;
        } else {
            line.push(' ');
            line.push_str(word);
            used += 1 + length;
        }
        first = false;
    }
    lines
}

/// Words, and whole commands: from the program's name to the end of the quote, of the clause or of the text.
fn unbreakable(text: &str) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    let mut quoted = None;
    for word in text.split(' ') {
        let begins = |word: &str| matches!(word, "shipctl" | "flyctl" | "fly");
        if let Some(quote) = quoted
            && !word.starts_with('(')
        {
            let unit = units.last_mut().expect("a command has begun");
            unit.push(' ');
            unit.push_str(word);
            let ends = if quote {
                word.contains('`')
            } else {
                word.ends_with([',', ';', '.', ':'])
            };
            quoted = Some(quote).filter(|_| !ends);
            continue;
        }
        quoted = match word.strip_prefix('`') {
            Some(inside) => begins(inside).then_some(true),
            None => begins(word).then_some(false),
        };
        units.push(word.to_owned());
    }
    units
}

/// `340 ms`, `4.2 s`, `41 s`, `3m 05s`, `2h 10m`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.as_millis() < 1000 => format!("{} ms", duration.as_millis()),
        0..=9 => format!("{:.1} s", duration.as_secs_f64()),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// How long ago an RFC 3339 time was: `5 min ago`; the text itself where it cannot be read.
pub(crate) fn ago(time: &str, now: Timestamp) -> String {
    let Ok(then) = time.parse::<Timestamp>() else {
        return time.to_owned();
    };
    let seconds = now.duration_since(then).as_secs();
    match seconds {
        ..=9 => "just now".to_owned(),
        10..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Cuts a text to so many characters, with an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ago, cut, duration, labelled, wrap};

    #[test]
    fn durations_read_like_a_stopwatch() {
        for (millis, text) in [
            (340, "340 ms"),
            (4210, "4.2 s"),
            (41_900, "41 s"),
            (185_000, "3m 05s"),
            (7_800_000, "2h 10m"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn words_wrap_and_commands_stay_whole() {
        assert_eq!(wrap("a bb ccc", 4), ["a bb", "ccc"]);
        assert_eq!(
            wrap("shipctl-rollback-production now", 10),
            ["shipctl-rollback-production", "now"]
        );
        assert_eq!(wrap("  indented", 40), ["  indented"]);
        for (text, lines) in [
            (
                "mend it: shipctl deploy production --config fly.production.toml (again)",
                &[
                    "mend it:",
                    "shipctl deploy production --config fly.production.toml",
                    "(again)",
                ][..],
            ),
            (
                "run `shipctl verify production` first",
                &["run", "`shipctl verify production`", "first"],
            ),
            (
                "shipctl unfreeze staging, or deploy",
                &["shipctl unfreeze staging,", "or deploy"],
            ),
        ] {
            assert_eq!(wrap(text, 16), lines, "{text}");
        }
        assert_eq!(
            labelled("hint:", 5, "one two three four five six", 26),
            "hint: one two three four\n      five six"
        );
    }

    #[test]
    fn ages_and_cuts() {
        let now = "2026-01-28T10:00:00Z".parse().unwrap();
        assert_eq!(ago("2026-01-28T09:55:00Z", now), "5 min ago");
        assert_eq!(ago("2026-01-20T09:55:00Z", now), "8 days ago");
        assert_eq!(ago("yesterday", now), "yesterday");
        assert_eq!(cut("registry", 5), "regi…");
    }
}
