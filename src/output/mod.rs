//! The streams: who may print, in which form, with or without colour.
//!
//! stdout is data, stderr is talk. Nothing else in the program writes to either.

pub(crate) mod human;
pub(crate) mod log;
mod paste;
pub(crate) mod progress;
pub(crate) mod text;

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::cli::{ColorChoice, Globals};
use crate::error::{Error, Result};

/// Red, for what failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Green, for what is verified.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Yellow, for what needs a look.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// For what matters less.
pub(crate) const DIM: Style = Style::new().dimmed();
/// For headings and names.
pub(crate) const BOLD: Style = Style::new().bold();

/// Why data could not be written: stdout is one for the whole process.
static LOST: OnceLock<String> = OnceLock::new();

/// Owns stdout and stderr, and knows what they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    pub(crate) sandbox: bool,
    place: paste::Place,
    /// stdin and stderr are terminals and this is no CI: a question can be asked.
    pub(crate) interactive: bool,
    /// stderr is a terminal that understands cursor movement.
    pub(crate) lively: bool,
    color_stdout: bool,
    color_stderr: bool,
    /// stdout is the events' alone; the answer goes to stderr.
    is_stdout_taken: bool,
}

impl Printer {
    /// Looks at the streams and at `NO_COLOR`, `CLICOLOR_FORCE`, `TERM` and `CI` once.
    pub(crate) fn new(globals: &Globals) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = |terminal: bool| match globals.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !set("NO_COLOR") && (set("CLICOLOR_FORCE") || (terminal && !dumb)),
        };
        let (stdout, stderr) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let ci = std::env::var_os("CI").is_some();
        Self {
            json: globals.json,
            quiet: globals.quiet,
            verbose: globals.verbose,
            sandbox: globals.sandbox,
            place: paste::Place::of(globals),
            interactive: std::io::stdin().is_terminal() && stderr && !ci && !globals.json,
            lively: stderr && !dumb && !ci && !globals.json && !globals.quiet,
            color_stdout: color(stdout),
            color_stderr: color(stderr),
            is_stdout_taken: globals.has_events_on_stdout() && !globals.json,
        }
    }

    /// Writes data to stdout, where that is not taken by events. A reader that has gone is no error; anything else that
    /// stands in the way is remembered.
    pub(crate) fn data(self, text: &str) {
        if self.is_stdout_taken {
            return self.talk(text);
        }
        let mut out = std::io::stdout().lock();
        let written = out
            .write_all(render(text, self.color_stdout).as_bytes())
            .and_then(|()| out.flush());
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            let _ = LOST.set(error.to_string());
        }
    }

    /// Why an answer never reached stdout, where that is so.
    pub(crate) fn lost() -> Option<Error> {
        LOST.get().map(|why| {
            Error::internal("the answer cannot be written to stdout")
                .cause(why)
                .hint("make room where stdout leads to; `shipctl history ENV` has what was deployed")
        })
    }

    /// Sentences of the answer, wrapped at the terminal's width.
    pub(crate) fn answer(self, text: &str) {
        self.data(&(text::wrapped(text, self.data_width()) + "\n"));
    }

    /// The width to wrap the answer at.
    pub(crate) fn data_width(self) -> usize {
        if self.is_stdout_taken {
            text::width(self)
        } else {
            text::data_width()
        }
    }

    /// Writes one JSON document to stdout; in the sandbox it says so.
    pub(crate) fn document<T: Serialize>(self, view: &T) {
        let value = serde_json::to_value(view).map(|mut value| {
            if let Some(fields) = value.as_object_mut().filter(|_| self.sandbox)
                && !fields.contains_key("sandbox")
            {
                let after_schema = fields.len().min(1);
                fields.shift_insert(after_schema, "sandbox".to_owned(), true.into());
            }
            value
        });
        match value.and_then(|value| serde_json::to_string_pretty(&value)) {
            Ok(text) => self.data(&(text + "\n")),
            Err(error) => self.talk(&format!("error: cannot print the result as JSON: {error}")),
        }
    }

    /// Writes talk to stderr, each line marked in the sandbox.
    pub(crate) fn talk(self, text: &str) {
        let mut block = String::with_capacity(text.len() + 16);
        for line in text.lines() {
            if self.sandbox {
                block.push_str(&paint(DIM, text::SANDBOX_MARK));
            }
            block.push_str(line);
            block.push('\n');
        }
        let mut err = std::io::stderr().lock();
        let _ = err
            .write_all(render(&block, self.color_stderr).as_bytes())
            .and_then(|()| err.flush());
    }

    /// Asks on the terminal; `None` where the input has ended.
    pub(crate) async fn ask(self, question: &str) -> Result<Option<String>> {
        let mark = if self.sandbox { text::SANDBOX_MARK } else { "" };
        // The answer stands on the same line.
        let room = text::width(self).saturating_sub(2);
        let lines: Vec<String> = text::wrap(&format!("{question} [y/N]"), room)
            .iter()
            .map(|line| format!("{mark}{line}"))
            .collect();
        let mut err = std::io::stderr().lock();
        let asked = write!(err, "{} ", lines.join("\n")).and_then(|()| err.flush());
        drop(err);
        let answer = match asked {
            // On a thread of its own, so that a signal is heard meanwhile.
            Ok(()) => tokio::task::spawn_blocking(|| {
                let mut answer = String::new();
                std::io::stdin()
                    .read_line(&mut answer)
                    .map(|length| (length > 0).then_some(answer))
            })
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error))),
            Err(error) => Err(error),
        };
        match answer {
            Ok(None) => {
                Self::end_line();
                Ok(None)
            }
            Ok(answer) => Ok(answer),
            Err(error) => Err(Error::internal("the answer cannot be read").cause(error)),
        }
    }

    /// After a question that got no answer, what follows begins a line of its own.
    pub(crate) fn end_line() {
        let _ = std::io::stderr().write_all(b"\n");
    }

    /// A line of another shipctl's talk, which is marked already.
    pub(crate) fn pass(self, line: &str) {
        let mut err = std::io::stderr().lock();
        let text = render(&format!("{line}\n"), self.color_stderr);
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    pub(crate) fn has_color(self) -> bool {
        self.color_stdout && self.color_stderr
    }

    /// Sentences, wrapped at the terminal's width.
    pub(crate) fn say(self, text: &str) {
        self.talk(&text::wrapped(text, text::width(self)));
    }

    /// Sentences that `--quiet` leaves out, wrapped at the terminal's width.
    pub(crate) fn remark(self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Talk that `--quiet` leaves out.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            self.talk(text);
        }
    }

    pub(crate) fn warn(self, text: &str) {
        self.talk(&text::labelled(
            &paint(WARN, "warning:"),
            "warning:".len(),
            text,
            text::width(self),
        ));
    }

    /// A text whose commands can be pasted: each acts where this one did.
    pub(crate) fn pasteable(self, text: &str) -> String {
        self.place.pasteable(text)
    }

    /// A failure: what failed on what, why, the excerpt, and what mends it. With `--json` one document.
    pub(crate) fn error(self, error: &Error) {
        if self.json {
            let others = error.others.iter().map(|other| self.fault(other)).collect();
            self.document(&ErrorView {
                schema: "shipctl/error/1",
                exit_code: error.kind.exit_code(),
                name: error.kind.name(),
                fault: self.fault(error),
                others,
            });
            return;
        }
        self.error_as_text(error);
    }

    /// The same on stderr, whatever form the answer has.
    pub(crate) fn error_as_text(self, error: &Error) {
        for error in std::iter::once(error).chain(&error.others) {
            self.one_error(error);
        }
    }

    fn fault(self, error: &Error) -> FaultView<'_> {
        FaultView {
            message: &error.message,
            causes: &error.causes,
            excerpt: error.excerpt.as_deref().map(|excerpt| render(excerpt, false)),
            hints: error.hints.iter().map(|hint| self.pasteable(hint)).collect(),
        }
    }

    fn one_error(self, error: &Error) {
        let width = text::width(self);
        let mut lines = text::labelled(&paint(BAD, "error:"), "error:".len(), &error.message, width);
        for cause in &error.causes {
            lines.push('\n');
            lines.push_str(&text::labelled(
                &paint(DIM, "caused by:"),
                "caused by:".len(),
                cause,
                width,
            ));
        }
        if let Some(excerpt) = &error.excerpt {
            lines.push('\n');
            lines.push_str(excerpt.trim_end());
        }
        for hint in &error.hints {
            let hint = self.pasteable(hint);
            lines.push('\n');
            lines.push_str(&text::labelled(
                &paint(BOLD, "hint:"),
                "hint:".len(),
                &hint,
                width,
            ));
        }
        self.talk(&lines);
    }
}

/// `shipctl/error/1`.
#[derive(Serialize)]
struct ErrorView<'a> {
    schema: &'static str,
    exit_code: u8,
    name: &'static str,
    #[serde(flatten)]
    fault: FaultView<'a>,
    /// What is wrong besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<FaultView<'a>>,
}

/// One thing that is wrong.
#[derive(Serialize)]
struct FaultView<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    causes: &'a [String],
    /// The place in a file, or what there is to choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    excerpt: Option<String>,
    hints: Vec<String>,
}

/// Text in a style; the stream decides whether the style is shown.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn render(text: &str, color: bool) -> String {
    if color {
        text.to_owned()
    } else {
        anstream::adapter::strip_str(text).to_string()
    }
}
