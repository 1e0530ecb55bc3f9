//! There is nothing to return to, or not just one thing: what exists instead.

use crate::error::Error;

/// How many of what exists are listed: the error is to stay on a screen.
const SHOWN: usize = 8;

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

    /// The refusal (exit 3), short enough for a screen.
    pub(crate) fn error(&self, environment: &str) -> Error {
        let error = Error::refused(&self.message);
        // What serves already, and what was refuted, is there to be seen, not to be gone back to.
        let rank = |line: &str| match line {
            line if line.ends_with("  serving") => 2,
            line if line.ends_with("  verified here") => 0,
            line if line.contains("  refuted here") => 2,
            _ => 1,
        };
        let mut best: Vec<(usize, &String)> = self.exists.iter().enumerate().collect();
        best.sort_by_key(|(_, line)| rank(line));
        best.truncate(SHOWN);
        let Some(first) = best.first().and_then(|(_, line)| line.split("  ").next()) else {
            return error.hint("nothing was ever released here: ship something with `shipctl deploy`");
        };
        let error = error.hint(format!(
            "ship one of these with `shipctl rollback {environment} --to {first}`"
        ));
        best.sort_by_key(|(at, _)| *at);
        let shown: Vec<&str> = best.iter().map(|(_, line)| line.as_str()).collect();
        let left_out = self.exists.len() - shown.len();
        let error = error.excerpt(shown.join("\n"));
        match left_out {
            0 => error.hint(format!("more of each: `shipctl releases {environment}`")),
            _ => error.hint(format!(
                "{left_out} more are left out here: `shipctl releases {environment} --limit {}`",
                self.exists.len()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NoTarget, SHOWN};

    #[test]
    fn what_exists_fits_a_screen_and_what_can_be_gone_back_to_comes_first() {
        let mut exists: Vec<String> = (1..=25)
            .rev()
            .map(|number| format!("release:{number}  complete  shop:v{number}"))
            .collect();
        exists[0] += "  verified here  serving";
        exists[1] += "  refuted here";
        exists[20] += "  verified here";
        let error = NoTarget::unknown("shop", "v99", exists).error("staging");
        let excerpt = error.excerpt.unwrap();
        let lines: Vec<&str> = excerpt.lines().collect();
        assert_eq!(lines.len(), SHOWN);
        assert_eq!(lines[0], "release:23  complete  shop:v23");
        assert_eq!(lines[7], "release:5  complete  shop:v5  verified here");
        assert_eq!(
            error.hints,
            [
                "ship one of these with `shipctl rollback staging --to release:5`",
                "17 more are left out here: `shipctl releases staging --limit 25`",
            ]
        );
    }

    #[test]
    fn where_nothing_was_released_nothing_is_listed() {
        let error = NoTarget::nothing("shop", Vec::new()).error("staging");
        assert_eq!(error.excerpt, None);
        assert_eq!(
            error.hints,
            ["nothing was ever released here: ship something with `shipctl deploy`"]
        );
    }
}
