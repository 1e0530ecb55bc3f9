//! What a scenario is.

use crate::support::call::Ended;
use crate::support::stage::Stage;

pub(crate) struct Scenario {
    /// A row of the fault matrix by its number, or `more_` or `odd_` and what happens.
    pub(crate) name: &'static str,
    /// The exit codes that are right, all of them held against what serves.
    pub(crate) exits: &'static [i32],
    /// What the bare flyctl is known to say; empty where that is of no interest.
    pub(crate) bare: &'static [i32],
    pub(crate) with_bare: bool,
    pub(crate) play: fn(&Stage) -> Ended,
}

impl Scenario {
    pub(crate) const fn new(name: &'static str, exits: &'static [i32], play: fn(&Stage) -> Ended) -> Self {
        Self {
            name,
            exits,
            bare: &[],
            with_bare: true,
            play,
        }
    }

    /// What the bare flyctl says: a double that never failed could not pass as a survived fault.
    pub(crate) const fn bare(mut self, bare: &'static [i32]) -> Self {
        self.bare = bare;
        self
    }

    /// There is no bare counterpart, or it says nothing new.
    pub(crate) const fn alone(mut self) -> Self {
        self.with_bare = false;
        self
    }
}
