//! How a command of flyctl ends badly, and the words that it says then (captures `*_500`, `*_401`, `*_drop`, …).

use std::fmt::Write;

use super::super::platform::Refusal;

/// Which client of flyctl asks; each words failures in its own way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Client {
    /// GraphQL by hand: queries.
    Query,
    /// GraphQL by generated code: releases and builds.
    Generated,
    /// The Machines API.
    Machines,
}

/// What went wrong with a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    Status(u16),
    Refused(Refusal),
    Dropped,
    /// Nothing listens at this base URL.
    Unreachable(String),
    /// We were told to end.
    Canceled(&'static str),
}

/// A call of an API that failed.
#[derive(Clone, Debug)]
pub(super) struct CallError {
    pub(super) client: Client,
    pub(super) method: &'static str,
    /// Below the base URL.
    pub(super) path: String,
    pub(super) cause: Cause,
    pub(super) request: u64,
}

/// The whole command failed: what is printed after `Error:`, and the exit code.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    /// Lines after the message.
    pub(super) suggestion: Option<String>,
    pub(super) code: u8,
    /// Without an `Error:` line; what is to be said was said.
    pub(super) silent: bool,
    pub(super) canceled: bool,
}

fn phrase(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized",
        404 => "Not Found",
        409 => "Conflict",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

fn body(status: u16) -> &'static str {
    match status {
        401 => "unauthorized",
        404 => "not found",
        409 => "machine lease currently held by someone-else@example.com",
        429 => "rate limit exceeded",
        503 => "service unavailable",
        _ => "internal server error",
    }
}

impl CallError {
    fn url(&self) -> String {
        let base = match (&self.cause, self.client) {
            (Cause::Unreachable(base), _) => base.trim_end_matches('/'),
            (_, Client::Machines) => "https://api.machines.dev",
            _ => "https://api.fly.io",
        };
        let mut method = self.method.to_lowercase();
        if let Some(first) = method.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        format!("{method} \"{base}{}\"", self.path)
    }

    /// The words of the client that asked.
    pub(super) fn text(&self) -> String {
        match (&self.cause, self.client) {
            (Cause::Status(401), Client::Query) => "You must be authenticated to view this.".to_owned(),
            (Cause::Status(401), Client::Generated) => {
                "input: You must be authenticated to view this.".to_owned()
            }
            (Cause::Status(status), Client::Query) => {
                format!("server returned a non-200 status code: {status}")
            }
            (Cause::Status(status), Client::Generated) => {
                format!(
                    "returned error {status} {}: {{\"error\": \"{}\"}}",
                    phrase(*status),
                    body(*status)
                )
            }
            (Cause::Status(status), Client::Machines) => body(*status).to_owned(),
            (Cause::Refused(Refusal::NoApp(_)), Client::Machines) => "app not found".to_owned(),
            (Cause::Refused(refusal), _) => refusal.message(),
            (Cause::Dropped, _) => format!("{}: EOF", self.url()),
            (Cause::Unreachable(base), _) => {
                let host = base.rsplit('/').next().unwrap_or(base);
                format!("{}: dial tcp {host}: connect: connection refused", self.url())
            }
            (Cause::Canceled(why), _) => format!("{}: {why}", self.url()),
        }
    }

    /// The failure of the command, with what it was about.
    pub(super) fn within(&self, context: &str) -> Failure {
        let separator = if context.is_empty() { "" } else { ": " };
        let mut message = format!("{context}{separator}{}", self.text());
        if self.client == Client::Machines && matches!(self.cause, Cause::Status(_) | Cause::Refused(_)) {
            let _ = write!(message, " (Request ID: 01SANDBOX{:06}-fra)", self.request);
        }
        Failure {
            canceled: matches!(self.cause, Cause::Canceled(_)),
            ..Failure::new(message)
        }
    }

    pub(super) fn is_cancel(&self) -> bool {
        matches!(self.cause, Cause::Canceled(_))
    }
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            suggestion: None,
            code: 1,
            silent: false,
            canceled: false,
        }
    }

    /// Everything was said already.
    pub(super) fn exit(code: u8) -> Self {
        Self {
            code,
            silent: true,
            ..Self::new("")
        }
    }

    /// A timeout that a flag could lengthen; the unfilled place is flyctl's own (capture `deploy_unhealthy`).
    pub(super) fn timeout(message: String, flag: &str) -> Self {
        Self {
            suggestion: Some(format!(
                "Your machine never reached the state \"%s\".\n\nYou can try increasing the timeout with the --{flag} flag\n"
            )),
            ..Self::new(message)
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(format!("sandbox: {error}"))
    }
}
