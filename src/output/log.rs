//! Lines of an app's log, as they fit beside an answer: when, where, how bad, and the whole of what was said.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::output::text::{cut, wrap};
use crate::output::{DIM, paint};

/// How many log lines stand between the answer and the next command: both are to stay on one screen.
const LOG_LINES: usize = 8;
/// One of them may be a whole document: it takes no more rows than this.
const ROWS: usize = 6;

/// The last lines under a title; what is older is counted, and `elsewhere` says where it is.
pub(crate) fn block(out: &mut String, log: &[impl AsRef<str>], elsewhere: &str, width: usize) {
    if log.is_empty() {
        return;
    }
    let left_out = log.len().saturating_sub(LOG_LINES);
    let title = match left_out {
        0 => "last log lines:".to_owned(),
        _ => format!("last log lines ({left_out} older ones {elsewhere}):"),
    };
    let _ = writeln!(out, "  {}", paint(DIM, &title));
    let mark = paint(DIM, "│");
    for line in &log[left_out..] {
        for row in rows(line.as_ref(), width.saturating_sub(4)) {
            let _ = writeln!(out, "  {mark} {row}");
        }
    }
}

/// One entry: what was said wraps under itself.
fn rows(line: &str, width: usize) -> Vec<String> {
    let (label, said) = match parse(line) {
        Some((label, said)) => (label + " ", said),
        None => (String::new(), line),
    };
    let indent = label.chars().count();
    let room = width.saturating_sub(indent).max(20);
    let mut said: Vec<String> = wrap(said, room)
        .iter()
        .flat_map(|line| pieces(line, room))
        .collect();
    if said.len() > ROWS {
        said.truncate(ROWS);
        said[ROWS - 1] = cut(&format!("{} …", said[ROWS - 1]), room);
    }
    let blank = " ".repeat(indent);
    said.iter()
        .enumerate()
        .map(|(number, row)| {
            if number == 0 {
                format!("{label}{row}")
            } else {
                format!("{blank}{row}")
            }
        })
        .collect()
}

/// `2026-01-28T10:00:01Z app[148e…] iad [error]Error: …` as `10:00:01 iad error` and what was said. Who said it is
/// named where that was not the app; the instance is named above.
fn parse(line: &str) -> Option<(String, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let time: Timestamp = time.parse().ok()?;
    let (source, rest) = rest.split_once(' ')?;
    let (source, _) = source.strip_suffix(']')?.split_once('[')?;
    let (region, rest) = rest.split_once(' ')?;
    let (level, said) = rest.strip_prefix('[')?.split_once(']')?;
    let mut label = vec![
        time.strftime("%H:%M:%S").to_string(),
        region.to_owned(),
        level.to_owned(),
    ];
    if source != "app" {
        label.insert(1, source.to_owned());
    }
    Some((label.join(" "), said.trim_start()))
}

/// A word that is wider than the room has to be broken somewhere.
fn pieces(line: &str, room: usize) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    if chars.is_empty() {
        return vec![String::new()];
    }
    chars.chunks(room).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::{LOG_LINES, ROWS, block, rows};

    #[test]
    fn what_was_said_wraps_under_itself() {
        for (line, shown) in [
            (
                "2026-11-21T21:09:56Z app[96863d9b09e038] iad [error]Error: cannot read config/app.toml: no such file",
                &[
                    "21:09:56 iad error Error: cannot read config/app.toml:",
                    "                   no such file",
                ][..],
            ),
            (
                "2026-11-21T21:09:56Z runner[96863d9b09e038] iad [info]Pulling container image",
                &["21:09:56 runner iad info Pulling container image"],
            ),
            (
                "2026-11-21T21:09:56.123456Z app[9686] iad [info] ready",
                &["21:09:56 iad info ready"],
            ),
            (
                "no time app[9686] iad [info]ready",
                &["no time app[9686] iad [info]ready"],
            ),
            ("2026-11-21T21:09:56Z ready", &["2026-11-21T21:09:56Z ready"]),
            ("", &[""]),
        ] {
            assert_eq!(rows(line, 56), shown, "{line}");
        }
    }

    #[test]
    fn an_entry_takes_a_few_rows_and_a_long_word_is_broken() {
        let line = format!("2026-11-21T21:09:56Z app[9686] iad [info]{}", "x".repeat(1000));
        let shown = rows(&line, 58);
        assert_eq!(shown.len(), ROWS);
        assert_eq!(shown[0], format!("21:09:56 iad info {}", "x".repeat(40)));
        assert!(shown[ROWS - 1].ends_with("xxx…"), "{shown:?}");
        // A pipe is as wide as it takes.
        assert_eq!(rows(&line, usize::MAX).len(), 1);
    }

    #[test]
    fn the_last_ones_are_shown() {
        let log: Vec<String> = (0..LOG_LINES + 3)
            .map(|number| format!("line {number}"))
            .collect();
        let mut out = String::new();
        block(&mut out, &log, "with --json", 80);
        let plain = anstream::adapter::strip_str(&out).to_string();
        let shown: Vec<&str> = plain.lines().collect();
        assert_eq!(shown[0], "  last log lines (3 older ones with --json):");
        assert_eq!(shown[1], "  │ line 3");
        assert_eq!(shown.len(), 1 + LOG_LINES);
    }
}
