//! A deployment as it goes: a line per phase, and a spinner where the terminal can show one.

use std::io::Write;
use std::time::Duration;

use anstyle::Style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::deployment::event::{Phase, Reader, Subject, What, to_json};
use crate::output::text::{SANDBOX_MARK, cut, duration, labelled, width, wrapped};
use crate::output::{BAD, BOLD, DIM, GOOD, Printer, WARN, paint};

/// What stands before the detail of a phase: mark, name, time.
const PHASE_LABEL: usize = 2 + 8 + 1 + 7 + 2;
/// The detail of a phase that a signal ended.
const INTERRUPTED: &str = "interrupted";

/// Each line in its style: a mark may stand before it.
fn paint_lines(style: Style, text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| paint(style, line)).collect();
    lines.join("\n")
}

/// Reads events to stderr.
pub(crate) struct Terminal {
    printer: Printer,
    spinner: Option<ProgressBar>,
}

impl Terminal {
    pub(crate) fn new(printer: Printer) -> Self {
        Self {
            printer,
            spinner: None,
        }
    }

    fn say(&self, line: &str) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| self.printer.note(line)),
            None => self.printer.note(line),
        }
    }

    fn say_in(&self, style: Style, text: &str) {
        self.say(&paint_lines(style, &wrapped(text, width(self.printer))));
    }

    fn start(&mut self, phase: Phase, detail: &str) {
        if !self.printer.lively {
            if !detail.is_empty() && phase != Phase::Prepare {
                let label = format!("… {:<8}", phase.as_str());
                let width = width(self.printer);
                self.printer
                    .note(&paint_lines(DIM, &labelled(&label, 10, detail, width)));
            }
            return;
        }
        let mark = if self.printer.sandbox { SANDBOX_MARK } else { "" };
        let template = format!("{mark}{{spinner}} {{prefix:<8}} {{elapsed:>7}}  {{wide_msg}}");
        let spinner = ProgressBar::new_spinner().with_style(
            ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        spinner.set_draw_target(ProgressDrawTarget::stderr());
        spinner.set_prefix(phase.as_str());
        spinner.set_message(detail.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(120));
        self.spinner = Some(spinner);
    }

    fn end(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    /// One line, whatever there is to say: the answer says it whole.
    fn phase_line(&self, mark: &str, phase: Phase, took: Duration, detail: &str) -> String {
        let room = width(self.printer).saturating_sub(PHASE_LABEL);
        format!(
            "{mark} {:<8} {:>7}  {}",
            phase.as_str(),
            duration(took),
            cut(detail, room)
        )
        .trim_end()
        .to_owned()
    }

    fn waits(&self, phase: Phase, since: Duration, for_what: &str) {
        let label = format!("… {:<8} {:>7} ", phase.as_str(), duration(since));
        self.say(&labelled(&label, PHASE_LABEL - 1, for_what, width(self.printer)));
    }

    /// A phase that took no time and has nothing to say is no news to somebody who looks on.
    fn is_news(&self, phase: Phase, took: Duration, detail: &str) -> bool {
        let formal = matches!(phase, Phase::Lock | Phase::Conclude | Phase::Diagnose);
        !self.printer.lively
            || self.printer.verbose
            || !formal
            || took >= Duration::from_secs(1)
            || !detail.is_empty()
    }
}

impl Reader for Terminal {
    fn read(&mut self, what: &What, _: &Subject) {
        match what {
            What::DeploymentStarted { headline } => self.say_in(BOLD, headline),
            What::PhaseStarted { phase, detail } => self.start(*phase, detail),
            What::PhaseCompleted {
                phase,
                duration,
                detail,
            } => {
                self.end();
                if self.is_news(*phase, *duration, detail) {
                    let line = self.phase_line(&paint(GOOD, "✔"), *phase, *duration, detail);
                    self.say(&line);
                }
            }
            What::PhaseFailed {
                phase,
                duration,
                detail,
            } => {
                self.end();
                // The error that follows says it.
                let said_below = matches!(phase, Phase::Prepare | Phase::Lock) && detail != INTERRUPTED;
                let detail = if said_below { "" } else { detail };
                let line = self.phase_line(&paint(BAD, "✖"), *phase, *duration, detail);
                self.say(&line);
            }
            What::ProbeChanged {
                instance,
                region,
                state,
                good,
                ..
            } => {
                let mark = if *good {
                    paint(GOOD, "✔")
                } else {
                    paint(DIM, "·")
                };
                // The mark says that it is pending; what is left has to fit.
                let state = state.strip_prefix("pending: ").unwrap_or(state);
                let state = state.strip_prefix("its ").unwrap_or(state);
                let line = format!("{instance} {region}  {state}");
                self.say(&format!(
                    "  {mark} {}",
                    cut(&line, width(self.printer).saturating_sub(4))
                ));
            }
            What::RollbackStarted { to } => {
                let text = format!("returning to {to}");
                self.say(&labelled(&paint(WARN, "↩"), 1, &text, width(self.printer)));
            }
            What::LockWaiting { app, holder } => {
                let text = format!("waiting for the lock of {app}: {holder}");
                self.say(&labelled("…", 1, &text, width(self.printer)));
            }
            What::LockTakenOver { app, from } => {
                let text = format!("the lock of {app} was taken over from {from}");
                self.say(&labelled(&paint(WARN, "warning:"), 8, &text, width(self.printer)));
            }
            What::Waiting {
                phase,
                for_what,
                since,
            } => match &self.spinner {
                Some(spinner) => spinner.set_message(for_what.clone()),
                None => self.waits(*phase, *since, for_what),
            },
            What::Output { service, line } if self.printer.verbose => {
                let room = width(self.printer).saturating_sub(service.chars().count() + 5);
                self.say(&paint(DIM, &format!("  {service} │ {}", cut(line, room))));
            }
            What::Warning { text } => {
                self.say(&labelled(&paint(WARN, "warning:"), 8, text, width(self.printer)));
            }
            _ => {}
        }
    }
}

/// Writes events as JSON Lines.
pub(crate) struct Lines<W: Write + Send> {
    out: W,
}

impl<W: Write + Send> Lines<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Reader for Lines<W> {
    fn read(&mut self, what: &What, subject: &Subject) {
        if let Some(line) = to_json(what, subject) {
            // A stream that nobody reads any more is no reason to stop a deployment.
            let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }
}
