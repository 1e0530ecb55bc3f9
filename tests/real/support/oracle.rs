//! Judges an exit code by what serves, from DESIGN 9 alone.

use crate::support::truth::Look;

/// What one app was before and after a call, and what the call was to bring there.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The tag that was to serve afterwards.
    pub(crate) wanted: String,
    /// The tag to be returned to; that of the machines before the call where nothing else is said.
    pub(crate) old: Option<String>,
    pub(crate) before: Look,
    pub(crate) after: Look,
}

/// What a scenario did on purpose that excuses an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Excuse {
    /// A witness was taken away: nobody could know.
    pub(crate) witness_away: bool,
    /// Somebody else released, too.
    pub(crate) theirs: bool,
    /// Nothing moves without a person: what serves need not be mended by this call.
    pub(crate) read_only: bool,
}

impl Case {
    fn old(&self) -> Option<&str> {
        match (&self.old, self.before.tags().as_slice()) {
            (Some(old), _) => Some(old),
            (None, [tag]) => Some(tag),
            (None, _) => None,
        }
    }

    fn on_old(&self) -> bool {
        self.old()
            .is_some_and(|old| self.after.all_on(old) && self.after.all_good())
    }

    fn on_wanted(&self) -> bool {
        self.after.all_on(&self.wanted) && self.after.all_good()
    }

    fn moved(&self) -> bool {
        self.after.moved_since(&self.before)
    }

    fn released(&self) -> bool {
        self.after.releases > self.before.releases
    }
}

/// `Err` says why the code is a lie.
pub(crate) fn judge(code: i32, cases: &[Case], excuse: Excuse) -> Result<(), String> {
    let all = |holds: fn(&Case) -> bool| cases.iter().all(holds);
    let any = |holds: fn(&Case) -> bool| cases.iter().any(holds);
    let unless = |wrong: bool, text: &str| if wrong { Err(text.to_owned()) } else { Ok(()) };
    match code {
        0 => unless(!all(Case::on_wanted), "0, but what was asked for does not serve"),
        2..=5 => unless(
            !excuse.theirs && any(|case| case.moved() || case.released()),
            "refused, but something changed",
        ),
        6 => {
            unless(
                !all(Case::on_old),
                "6, but the release from before does not serve",
            )?;
            unless(any(Case::moved), "6, but machines have moved")
        }
        7 => {
            unless(
                !all(Case::on_old),
                "7, but the release from before does not serve",
            )?;
            unless(!excuse.theirs && !any(Case::moved), "7, but nothing had moved")
        }
        8 => unless(
            !excuse.theirs && (all(Case::on_wanted) || all(Case::on_old)),
            "8, but everything is good and on one release",
        ),
        9 => unless(!excuse.witness_away, "9, though every witness could be heard"),
        10 => {
            unless(
                !excuse.theirs && any(Case::released),
                "10, but a release was made",
            )?;
            unless(any(Case::moved) && !excuse.theirs, "10, but machines have moved")
        }
        129 | 130 | 137 | 143 => Ok(()),
        other => Err(format!("{other} is no answer to this")),
    }
    .or_else(|text| {
        if excuse.read_only && code == 8 {
            Ok(())
        } else {
            Err(text)
        }
    })
}
