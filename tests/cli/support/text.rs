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
