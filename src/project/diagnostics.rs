//! What is wrong in a file: where, why, and what mends it; drawn as an excerpt with the place marked.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::error::Error;

/// The widest excerpt that is drawn, in columns.
const WIDTH: usize = 80;

/// A mistake in one file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// The file as a person would name it: relative to the project where it lies in it.
    pub(crate) file: String,
    /// From 1; `None` where no line is at fault.
    pub(crate) line: Option<usize>,
    /// What is wrong, without the place: a predicate of the file, or a sentence.
    pub(crate) message: String,
    /// Whether the message is a predicate of the file: it `is empty`.
    pub(super) is_predicate: bool,
    /// What mends it.
    pub(crate) hint: Option<String>,
    /// The line with its mark.
    pub(crate) excerpt: Option<String>,
}

impl Problem {
    /// A mistake of the file as a whole: it `is missing`, `is empty`.
    pub(crate) fn whole(file: &str, predicate: impl Into<String>) -> Self {
        Self {
            is_predicate: true,
            ..Self::of_value(file, predicate)
        }
    }

    /// A mistake in what a variable or a flag says.
    pub(crate) fn of_value(name: &str, message: impl Into<String>) -> Self {
        Self {
            file: name.to_owned(),
            line: None,
            message: message.into(),
            is_predicate: false,
            hint: None,
            excerpt: None,
        }
    }

    /// A mistake on a line that is not shown.
    pub(crate) fn on_line(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::of_value(file, message)
        }
    }

    /// A mistake at `span` (bytes) of `text`; `label` stands beside the mark.
    pub(crate) fn at(
        file: &str,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
        label: &str,
    ) -> Self {
        Self {
            line: Some(line_of(text, span.start)),
            excerpt: Some(draw(file, text, span, label)),
            ..Self::of_value(file, message)
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Leaves the line out of what is shown: it may hold a secret.
    #[must_use]
    pub(crate) fn without_excerpt(mut self) -> Self {
        self.excerpt = None;
        self
    }

    /// `fly.staging.toml:3`.
    pub(crate) fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }

    /// One line for people, with the place: what a warning says.
    pub(crate) fn summary(&self) -> String {
        if self.is_predicate {
            format!("`{}` {}", self.file, self.message)
        } else {
            format!("{}: {}", self.place(), self.message)
        }
    }

    /// All of them as one error: the first, and the others as its equals.
    pub(crate) fn into_error(problems: Vec<Self>) -> Error {
        let mut errors = problems.into_iter().map(|problem| {
            let mut error = Error::config(problem.summary());
            error.hints.extend(problem.hint);
            error.excerpt = problem.excerpt;
            error
        });
        let Some(mut first) = errors.next() else {
            return Error::config("the configuration is wrong");
        };
        first.others = errors.collect();
        first
    }
}

/// The line that the byte lies on, from 1.
pub(crate) fn line_of(text: &str, byte: usize) -> usize {
    let end = floor(text, byte);
    text[..end].matches('\n').count() + 1
}

fn draw(file: &str, text: &str, span: Range<usize>, label: &str) -> String {
    let (text, span, first_line) = neighbourhood(text, span);
    let snippet = Snippet::source(text)
        .path(file)
        .line_start(first_line)
        .annotation(AnnotationKind::Primary.span(span).label(label));
    let report = &[Group::with_level(Level::ERROR).element(snippet)];
    let drawn = Renderer::plain().term_width(WIDTH).render(report);
    drawn.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The lines that the span touches, the first of them at most: drawing costs with the length of what is given, and
/// a table's span may reach over half of the file.
fn neighbourhood(text: &str, span: Range<usize>) -> (&str, Range<usize>, usize) {
    let at = floor(text, span.start);
    let end = floor(text, span.end.max(span.start));
    let from = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let to = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let line = text[from..to].strip_suffix('\r').unwrap_or(&text[from..to]);
    let local = (at - from).min(line.len())..(end.min(to) - from).min(line.len());
    (line, local.start..local.end.max(local.start), line_of(text, from))
}

/// The nearest boundary of a character at or before `byte`.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// The nearest of `names` to what was written, if it is near enough to be meant: a few slips, or the beginning of one.
pub(crate) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> Option<&'a str> {
    let names = names.into_iter();
    let slips = names
        .clone()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name);
    slips.or_else(|| {
        let mut longer = names.filter(|name| written.len() >= 3 && name.starts_with(written));
        longer.next().filter(|_| longer.next().is_none())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

    use super::{Problem, nearest};

    #[test]
    fn the_line_is_drawn_with_its_mark() {
        let text = "[verify]\r\ntimeout = 90\r\n";
        let problem = Problem::at(
            "shipctl.toml",
            text,
            20..22,
            "`timeout` has no unit",
            "a number alone",
        );
        assert_eq!(problem.summary(), "shipctl.toml:2: `timeout` has no unit");
        let drawn = problem.excerpt.unwrap();
        assert!(drawn.contains("--> shipctl.toml:2:11"), "{drawn}");
        assert!(drawn.contains("timeout = 90"), "{drawn}");
        assert!(drawn.contains("^^ a number alone"), "{drawn}");
        assert!(!drawn.contains('\r'), "{drawn}");
    }

    #[test]
    fn a_long_line_is_cut_to_the_width() {
        let text = format!("{}bad = 1 # {}", " ".repeat(300), "x".repeat(3000));
        let drawn = Problem::at("f.toml", &text, 300..303, "no", "unknown")
            .excerpt
            .unwrap();
        assert!(drawn.contains("bad = 1"), "{drawn}");
        for line in drawn.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn many_problems_are_one_error() {
        let error = Problem::into_error(vec![
            Problem::at("a.toml", "x = 1", 0..1, "unknown key `x`", "").hint("remove it"),
            Problem::whole("b.toml", "is empty").hint("remove it"),
        ]);
        assert_eq!(error.message, "a.toml:1: unknown key `x`");
        assert_eq!(error.hints, ["remove it"]);
        assert!(error.causes.is_empty());
        let [other] = &*error.others else {
            panic!("{error:?}");
        };
        assert_eq!(other.message, "`b.toml` is empty");
        assert_eq!(other.hints, ["remove it"]);
        assert_eq!(error.kind.exit_code(), 4);
    }

    #[test]
    fn only_near_names_are_offered() {
        let names = ["timeout", "bake", "path"];
        assert_eq!(nearest("timeuot", names), Some("timeout"));
        assert_eq!(nearest("bak", names), Some("bake"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("prod", ["production", "staging"]), Some("production"));
        assert_eq!(
            nearest("pro", ["production", "profile"]),
            None,
            "either may be meant"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_place_of_any_text_can_be_drawn(text in any::<String>(), from in 0usize..200, length in 0usize..50) {
            let problem = Problem::at("f", &text, from..from + length, "m", "l");
            prop_assert!(problem.line.unwrap() >= 1);
        }
    }
}
