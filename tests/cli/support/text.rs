//! Text as it is compared: without escape codes, and without what differs from run to run.

/// Without escape sequences (CSI and OSC).
pub(crate) fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char != '\u{1b}' {
            plain.push(char);
            continue;
        }
        match chars.next() {
            Some('[') => while chars.next().is_some_and(|char| !('@'..='~').contains(&char)) {},
            Some(']') => while chars.next().is_some_and(|char| char != '\u{7}') {},
            _ => {}
        }
    }
    plain
}

/// The words of a line as a shell splits them; double quotes hold a word together, what follows a pipe or `>` is not
/// of this command.
pub(crate) fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for char in line.chars() {
        match char {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            '|' | '>' if !quoted => break,
            _ => words.last_mut().unwrap().push(char),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Points in time are written `[TIME]`, and how long ago something was `[AGO]`.
pub(crate) fn without_times(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let mut kept: Vec<String> = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let bare = words[at].trim_end_matches([',', ':']);
            let follow = |by: usize| words.get(at + by).map(|word| word.trim_end_matches([',', ':']));
            let is_number = !bare.is_empty() && bare.chars().all(|char| char.is_ascii_digit());
            let took = if bare == "just" && follow(1) == Some("now") {
                2
            } else if is_number && matches!(follow(1), Some("s" | "min")) && follow(2) == Some("ago") {
                3
            } else {
                0
            };
            if took > 0 {
                let last = words[at + took - 1];
                let tail = &last[last.trim_end_matches([',', ':']).len()..];
                kept.push(format!("[AGO]{tail}"));
                at += took;
                continue;
            }
            let is_time = bare.len() >= 20 && bare.as_bytes()[10] == b'T' && bare.ends_with('Z');
            kept.push(if is_time {
                words[at].replace(bare, "[TIME]")
            } else {
                words[at].to_owned()
            });
            at += 1;
        }
        // Columns are as wide as the ages in them.
        lines.push(kept.join(" ").trim_end().to_owned());
    }
    lines.join("\n") + if text.ends_with('\n') { "\n" } else { "" }
}

/// Times, ages and ids as they stand in answers, written the same in every run.
///
/// The width stays: ` 2.7 s` becomes ` 0.0 s`.
pub(crate) fn same_each_run(text: &str) -> String {
    let digits = |text: &str| text.chars().all(|char| char.is_ascii_digit()) && !text.is_empty();
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 0..words.len() {
            let next = words.get(at + 1).cloned().unwrap_or_default();
            let unit = next.trim_end_matches([',', ')', ':']);
            let word = words[at].clone();
            let number = word.replace('.', "");
            let lasts = digits(&number) && matches!(unit, "s" | "ms" | "min" | "h");
            let is_id = at > 0 && words[at - 1] == "show" && word.len() == 8;
            let is_machine = word.len() == 14 && word.chars().all(|char| char.is_ascii_hexdigit());
            if lasts || is_id || (is_machine && word.contains(|char: char| char.is_ascii_digit())) {
                words[at] = word
                    .chars()
                    .map(|char| if char == '.' { '.' } else { '0' })
                    .collect();
            }
        }
        lines.push(words.join(" "));
    }
    lines.join("\n") + "\n"
}
