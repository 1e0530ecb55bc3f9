//! What is remembered of a call's output: the lines that may tell why it failed, and the last ones, in bounded memory.

use std::collections::VecDeque;

use super::progress::{OwnRelease, Progress, parse};
use crate::effect::process::Stream;

/// Lines of each kind that are kept.
const KEPT: usize = 60;
const TAIL: usize = 100;
/// Longer lines are cut.
const LONGEST: usize = 2000;

/// The telling lines of one call. Lines are pushed as they come, made harmless and redacted before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    /// The last `Error:` line of standard error and what follows it.
    pub(super) error: Vec<String>,
    /// `✖` lines.
    pub(super) crosses: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// First line of a Go panic.
    pub(super) panic: Option<String>,
    /// The last lines of both streams.
    pub(super) tail: VecDeque<String>,
    /// The release that the call says it made.
    pub(crate) release: Option<OwnRelease>,
    /// The image that the call says it built.
    pub(crate) built: Option<String>,
}

impl Transcript {
    /// Both streams of a call that was captured whole.
    pub(crate) fn of(stdout: &str, stderr: &str) -> Self {
        let mut transcript = Self::default();
        for (stream, text) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            for line in text.lines() {
                transcript.push(stream, line);
            }
        }
        transcript
    }

    /// Remembers a line and answers with what it says of the progress.
    pub(crate) fn push(&mut self, stream: Stream, line: &str) -> Option<Progress> {
        let line = cut(line);
        if line.trim().is_empty() {
            return None;
        }
        let progress = parse(line);
        match &progress {
            Some(Progress::Release(release)) => self.release = Some(release.clone()),
            Some(Progress::Built(image)) => self.built = Some(image.clone()),
            Some(Progress::Warning(_)) => keep(&mut self.warnings, line),
            _ if line.trim_start().starts_with('✖') => keep(&mut self.crosses, line),
            _ => {}
        }
        if stream == Stream::Stderr {
            // Log lines of the app stand there too, but indented.
            if line.starts_with("Error: ") {
                self.error.clear();
                self.error.push(line.to_owned());
            } else if !self.error.is_empty() {
                keep(&mut self.error, line);
            }
            if self.panic.is_none() && (line.starts_with("panic: ") || line.starts_with("fatal error: ")) {
                self.panic = Some(line.to_owned());
            }
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        progress
    }

    /// The last lines of both streams, oldest first.
    pub(crate) fn last_lines(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }
}

fn keep(lines: &mut Vec<String>, line: &str) {
    if lines.len() < KEPT {
        lines.push(line.to_owned());
    }
}

fn cut(line: &str) -> &str {
    let mut end = line.len().min(LONGEST);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::{KEPT, LONGEST, TAIL, Transcript};
    use crate::effect::process::Stream;

    #[test]
    fn memory_is_bounded_and_the_last_error_is_kept() {
        let mut transcript = Transcript::default();
        for n in 0..5000 {
            transcript.push(Stream::Stdout, &format!("✖ {n} {}", "é".repeat(LONGEST)));
            transcript.push(Stream::Stdout, "WARN something");
            transcript.push(Stream::Stderr, &format!("Error: {n}"));
            transcript.push(Stream::Stderr, "  Error: of the app");
        }
        assert_eq!(
            (transcript.crosses.len(), transcript.warnings.len()),
            (KEPT, KEPT)
        );
        assert_eq!(transcript.error, ["Error: 4999", "  Error: of the app"]);
        assert_eq!(transcript.last_lines().count(), TAIL);
        assert!(transcript.last_lines().all(|line| line.len() <= LONGEST));
    }

    #[test]
    fn what_the_call_made_is_remembered() {
        let transcript = Transcript::of(
            "x\n{\"id\":\"r\",\"version\":3,\"image_ref\":\"r.io/s:t\"}\nVisit",
            "image: r.io/s:t\n",
        );
        assert_eq!(transcript.release.unwrap().number.0, 3);
        assert_eq!(transcript.built.as_deref(), Some("r.io/s:t"));
    }
}
