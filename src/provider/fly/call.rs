//! A call of flyctl that failed, as the rest of shipctl sees it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::environment::Token;
use super::output::failure::{Failure, FailureClass, LeaseHolder, Place};
use crate::effect::process::Ended;
use crate::error::{Error, ErrorKind};

/// A failure with its [`Facts`], which are too many to be carried about by value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CallFailure(Box<Facts>);

/// What was called, why it failed, and what mends it. All of it is redacted, harmless text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    /// `flyctl machine list -a shop --json`
    pub(crate) call: String,
    pub(crate) class: FailureClass,
    /// One line.
    pub(crate) message: String,
    pub(crate) details: Vec<String>,
    pub(crate) hints: Vec<String>,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) lease: Option<LeaseHolder>,
    pub(crate) place: Option<Place>,
}

impl Deref for CallFailure {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl DerefMut for CallFailure {
    fn deref_mut(&mut self) -> &mut Facts {
        &mut self.0
    }
}

impl CallFailure {
    pub(crate) fn new(call: impl Into<String>, class: FailureClass, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            call: call.into(),
            class,
            message: message.into(),
            details: Vec::new(),
            hints: Vec::new(),
            code: None,
            signal: None,
            lease: None,
            place: None,
        }))
    }

    /// Of a call that ran.
    pub(crate) fn of(call: String, failure: Failure, ended: Ended, hints: Vec<String>) -> Self {
        Self(Box::new(Facts {
            call,
            class: failure.class,
            message: failure.message,
            details: failure.details,
            hints,
            code: ended.code,
            signal: ended.signal,
            lease: failure.lease,
            place: failure.place,
        }))
    }

    #[must_use]
    pub(crate) fn hinted(mut self, hints: Vec<String>) -> Self {
        self.hints = hints;
        self
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            FailureClass::Missing | FailureClass::TooOld => f.write_str(&self.message),
            _ => write!(f, "`{}` failed: {}", self.call, self.message),
        }
    }
}

impl std::error::Error for CallFailure {}

impl From<CallFailure> for Error {
    /// Of a call without which nothing can be done: exit 4 where a file is wrong, else 10.
    fn from(failure: CallFailure) -> Self {
        let failure = *failure.0;
        let kind = if failure.class.is_configuration() {
            ErrorKind::Config
        } else {
            ErrorKind::Provider
        };
        let mut error = match failure.class {
            FailureClass::Missing | FailureClass::TooOld => Self::new(kind, failure.message),
            _ => Self::new(kind, format!("`{}` failed", failure.call)).cause(failure.message),
        };
        error.hints = failure.hints;
        error
    }
}

/// What mends a failure of this class. The token's variable is named, never its value.
pub(crate) fn hints(class: FailureClass, token: Option<&Token>) -> Vec<String> {
    let whose = token.map_or_else(
        || "flyctl used its own login, for no variable holds a token".to_owned(),
        |token| format!("the token came from `{}`", token.variable),
    );
    let mend = match class {
        FailureClass::Unauthenticated => {
            "set `FLY_API_TOKEN` (`flyctl tokens create deploy` makes one), or run `flyctl auth login`"
        }
        FailureClass::Unauthorized => "make a new one with `flyctl tokens create deploy`",
        FailureClass::AppNotFound => {
            "see that the app's name is right (`flyctl apps list`), that it exists, and that the token is for it"
        }
        FailureClass::Network => {
            return vec!["see https://status.fly.io, and that this machine reaches api.fly.io".into()];
        }
        FailureClass::TooOld => return vec!["run `flyctl version upgrade`".into()],
        _ => return Vec::new(),
    };
    vec![whose, mend.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::{CallFailure, hints};
    use crate::error::{Error, ErrorKind};
    use crate::provider::fly::environment::Token;
    use crate::provider::fly::output::failure::FailureClass;
    use crate::secret::Secret;

    #[test]
    fn the_exit_code_follows_the_class() {
        for (class, kind) in [
            (FailureClass::Missing, ErrorKind::Provider),
            (FailureClass::Network, ErrorKind::Provider),
            (FailureClass::Unknown, ErrorKind::Provider),
            (FailureClass::ConfigInvalid, ErrorKind::Config),
            (FailureClass::NoAppName, ErrorKind::Config),
        ] {
            assert_eq!(
                Error::from(CallFailure::new("flyctl", class, "x")).kind,
                kind,
                "{class:?}"
            );
        }
        let error = Error::from(CallFailure::new(
            "flyctl releases -a shop",
            FailureClass::Network,
            "refused",
        ));
        assert_eq!(error.message, "`flyctl releases -a shop` failed");
        assert_eq!(error.causes, ["refused"]);
    }

    #[test]
    fn the_variable_is_named_and_its_value_is_not() {
        let token = Token {
            variable: "FLY_API_TOKEN_STAGING".into(),
            value: Secret::new("very-secret"),
        };
        for class in [
            FailureClass::Unauthenticated,
            FailureClass::Unauthorized,
            FailureClass::AppNotFound,
        ] {
            let with = hints(class, Some(&token)).join(" ");
            assert!(
                with.contains("`FLY_API_TOKEN_STAGING`") && !with.contains("very-secret"),
                "{with}"
            );
            assert!(hints(class, None).join(" ").contains("own login"));
        }
        assert!(hints(FailureClass::Unhealthy, Some(&token)).is_empty());
    }
}
