//! What went wrong, in the few kinds that decide heading and exit code.

use std::fmt;

/// How shipctl can end; each has one exit code (DESIGN 9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ErrorKind {
    /// A fault of shipctl itself, or of the machine it runs on.
    Error,
    /// A wrong command line.
    Usage,
    /// Policy said no, or a question was declined; nothing changed.
    Refused,
    /// A file is missing or wrong.
    Config,
    /// Another deployment is running.
    Locked,
    /// flyctl or Fly cannot do what is needed; no release was made.
    Provider,
    /// What serves could not be established.
    Inconclusive,
    /// This signal came before anything was changed.
    Interrupted(u8),
}

impl ErrorKind {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Error => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Config => 4,
            Self::Locked => 5,
            Self::Inconclusive => 9,
            Self::Provider => 10,
            Self::Interrupted(signal) => 128 + signal,
        }
    }

    /// The name of the exit code in DESIGN 9.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Config => "config",
            Self::Locked => "locked",
            Self::Inconclusive => "inconclusive",
            Self::Provider => "provider",
            Self::Interrupted(_) => "interrupted",
        }
    }
}

/// A failure with what caused it and what mends it.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// From the nearest cause to the first.
    pub(crate) causes: Vec<String>,
    /// Commands to paste, or what to do.
    pub(crate) hints: Vec<String>,
    /// A rendered excerpt of the file at fault, shown below the message.
    pub(crate) excerpt: Option<String>,
    /// What is wrong besides, each with its own hints.
    pub(crate) others: Box<[Self]>,
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            excerpt: None,
            others: Box::default(),
        }
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// A signal came while nothing was changed yet.
    pub(crate) fn interrupted(signal: u8) -> Self {
        Self::new(ErrorKind::Interrupted(signal), "interrupted; nothing was changed")
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Error, message)
    }

    #[must_use]
    pub(crate) fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = Some(excerpt.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::ErrorKind;

    #[test]
    fn every_kind_has_its_code_and_name() {
        let table: Vec<_> = [
            ErrorKind::Error,
            ErrorKind::Usage,
            ErrorKind::Refused,
            ErrorKind::Config,
            ErrorKind::Locked,
            ErrorKind::Provider,
            ErrorKind::Inconclusive,
        ]
        .iter()
        .map(|kind| (kind.exit_code(), kind.name()))
        .collect();
        assert_eq!(
            table,
            [
                (1, "error"),
                (2, "usage"),
                (3, "refused"),
                (4, "config"),
                (5, "locked"),
                (10, "provider"),
                (9, "inconclusive")
            ]
        );
    }
}
