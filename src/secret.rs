//! Values that must not be seen, and making foreign text harmless.

use std::fmt;

mod redact;
mod sanitise;

pub(crate) use redact::Redactor;
pub(crate) use sanitise::{sanitise, sanitise_bytes};

/// What stands where a secret stood.
pub(crate) const REDACTED: &str = "[REDACTED]";

/// A value that prints as `[REDACTED]`, wherever it is printed.
#[derive(Clone, Default, Eq, PartialEq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the child or the request that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn no_way_of_printing_shows_the_value() {
        let secret = Secret::new("hunter2hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "[REDACTED] [REDACTED] Some([REDACTED])"
        );
        assert_eq!(secret.expose(), "hunter2hunter2");
    }
}
