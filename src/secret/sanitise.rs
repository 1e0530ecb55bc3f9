//! What a child printed may hold escape codes, control characters and commands for the runner that shows the log.
//! None of them may do anything when shipctl passes the text on.

use std::borrow::Cow;

/// Put before a line that GitHub Actions would take for a command.
const HARMLESS: &str = "| ";

/// `text` as plain characters: without escape sequences, control and invisible format characters (tab and line end
/// stay), and with workflow commands (`::error::`, `##[group]`) defused.
pub(crate) fn sanitise(text: &str) -> String {
    let plain = if text
        .bytes()
        .all(|byte| matches!(byte, b'\t' | b'\n' | b' '..=b'~'))
    {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(without_controls(text))
    };
    without_commands(&plain)
}

/// As [`sanitise`], of bytes that may be no UTF-8.
pub(crate) fn sanitise_bytes(bytes: &[u8]) -> String {
    sanitise(&String::from_utf8_lossy(bytes))
}

fn without_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\u{1b}' => after_escape(after),
            '\u{9b}' => after_control_sequence(after),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => after_string(after),
            _ => {
                if c == '\t' || c == '\n' || !(c.is_control() || is_invisible(c)) {
                    out.push(c);
                }
                after
            }
        };
    }
    out
}

/// Characters that change how others are shown, or that a comparison may skip.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` follows an escape character.
fn after_escape(text: &str) -> &str {
    match text.chars().next() {
        Some('[') => after_control_sequence(&text[1..]),
        Some(']' | 'P' | 'X' | '^' | '_') => after_string(&text[1..]),
        Some(' '..='/') => {
            let rest = text.trim_start_matches(|c| (' '..='/').contains(&c));
            rest.strip_prefix(|c| ('0'..='~').contains(&c)).unwrap_or(rest)
        }
        Some('0'..='~') => &text[1..],
        _ => text,
    }
}

/// Parameters and the final character of `ESC [ …`.
fn after_control_sequence(text: &str) -> &str {
    let rest = text.trim_start_matches(|c| (' '..='?').contains(&c));
    rest.strip_prefix(|c| ('@'..='~').contains(&c)).unwrap_or(rest)
}

/// A title or a link, up to BEL or `ESC \`. Without an end in this line only its mark goes, so that nothing is hidden.
fn after_string(text: &str) -> &str {
    let line = &text[..text.find('\n').unwrap_or(text.len())];
    let end = ["\u{7}", "\u{1b}\\", "\u{9c}"]
        .into_iter()
        .filter_map(|end| line.find(end).map(|at| (at, at + end.len())))
        .min();
    end.map_or(text, |(_, after)| &text[after..])
}

/// The runner looks for `::` at the start of a line, blanks aside, and for `##[` anywhere in it.
fn without_commands(text: &str) -> String {
    if !text.contains("::") && !text.contains("##[") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + HARMLESS.len());
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("::") {
            out.push_str(HARMLESS);
        }
        out.push_str(&line.replace("##[", "# #["));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{sanitise, sanitise_bytes};

    #[test]
    fn only_plain_text_is_left() {
        for (text, expected) in [
            ("plain\ttext ✔ é", "plain\ttext ✔ é"),
            ("\u{1b}[33mWARN\u{1b}[0m x", "WARN x"),
            ("a\u{1b}[1;31;48:5:9mb\u{1b}[2Kc", "abc"),
            (
                "\u{1b}]0;title\u{7}x \u{1b}]8;;http://e\u{1b}\\link\u{1b}]8;;\u{1b}\\",
                "x link",
            ),
            ("\u{1b}]0;never ends", "0;never ends"),
            ("\u{1b}]0;open\nnext\u{7}", "0;open\nnext"),
            ("\u{1b}(B\u{1b}=\u{1b}7x", "x"),
            ("a\u{1b}", "a"),
            ("\u{9b}31mred\u{9c}", "red"),
            ("a\rb\u{8}c\0d\u{7f}", "abcd"),
            ("x\u{202e}y\u{200b}z", "xyz"),
            ("::error::boo", "| ::error::boo"),
            ("  \t::add-mask::x", "|   \t::add-mask::x"),
            ("\r\u{1b}[0m\u{ad}::error::boo", "| ::error::boo"),
            ("ok\n::stop-commands::x\nok", "ok\n| ::stop-commands::x\nok"),
            ("a ::error:: inside", "a ::error:: inside"),
            ("a ##[error]x", "a # #[error]x"),
            ("::1 is loopback", "| ::1 is loopback"),
        ] {
            assert_eq!(sanitise(text), expected, "{text:?}");
        }
        assert_eq!(sanitise_bytes(b"a\xffb\x1b[0m"), "a\u{fffd}b");
    }

    proptest! {
        #[test]
        fn nothing_survives_that_could_act(text in any::<String>()) {
            let clean = sanitise(&text);
            prop_assert!(!clean.contains("##["));
            for line in clean.lines() {
                prop_assert!(!line.trim_start().starts_with("::"));
                prop_assert!(line.chars().all(|c| c == '\t' || !c.is_control()));
            }
        }

        #[test]
        fn escape_soup_is_survived(text in "[\u{1b}\u{9b}\u{9d}\\[\\];0-9a-zA-Z:#\u{7}\n\\\\ ]{0,60}") {
            let clean = sanitise(&text);
            let escapes = clean.contains('\u{1b}');
            prop_assert!(!escapes);
            prop_assert_eq!(sanitise(&clean).replace("| ", ""), clean.replace("| ", ""));
        }
    }
}
