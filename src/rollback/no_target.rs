//! There is nothing to return to, or not just one thing: what exists instead.

use crate::error::Error;

#[derive(Debug, Eq, PartialEq)]
pub(crate) struct NoTarget {
    message: String,
    /// Lines that each begin with what `--to` takes.
    pub(crate) exists: Vec<String>,
}

impl NoTarget {
    pub(crate) fn nothing(app: &str, exists: Vec<String>) -> Self {
        Self {
            message: format!("`{app}` has no earlier verified release to return to"),
            exists,
        }
    }

    pub(crate) fn unknown(app: &str, to: &str, exists: Vec<String>) -> Self {
        Self {
            message: format!("`{to}` names no release, image or version of `{app}`"),
            exists,
        }
    }

    pub(crate) fn ambiguous(app: &str, to: &str, exists: Vec<String>) -> Self {
        Self {
            message: format!("`{to}` names more than one release of `{app}`"),
            exists,
        }
    }

    /// The refusal (exit 3).
    pub(crate) fn error(&self, environment: &str) -> Error {
        let error = Error::refused(&self.message);
        // What serves already, and what was refuted, is there to be seen, not to be gone back to.
        let elsewhere = || self.exists.iter().filter(|line| !line.ends_with("  serving"));
        let verified = elsewhere().find(|line| line.ends_with("  verified here"));
        let other = verified.or_else(|| elsewhere().find(|line| !line.contains("  refuted here")));
        match other
            .or(self.exists.first())
            .and_then(|line| line.split("  ").next())
        {
            None => error.hint("nothing was ever released here: ship something with `shipctl deploy`"),
            Some(first) => error.excerpt(self.exists.join("\n")).hint(format!(
                "ship one of these with `shipctl rollback {environment} --to {first}`"
            )),
        }
    }
}
