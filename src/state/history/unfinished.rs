//! Attempts with a start and no end, whose deployer is gone.

use crate::error::Result;
use crate::state::deployer::{self, Liveness};
use crate::state::history::History;
use crate::state::record::{Deployer, Mark, Start};

/// A deployment that was cut off.
#[derive(Clone, Debug)]
pub(crate) struct Unfinished {
    pub(crate) start: Start,
    /// The last mark of each service that got that far, in the order of the start.
    pub(crate) marks: Vec<Mark>,
}

impl History {
    /// The unfinished attempts, newest first.
    ///
    /// Of a deployer on another machine nothing can be known; it counts as gone unless somebody holds the lock.
    pub(crate) fn unfinished(&self, lock_is_held: bool) -> Result<Vec<Unfinished>> {
        self.unfinished_by(lock_is_held, deployer::liveness)
    }

    fn unfinished_by(
        &self,
        lock_is_held: bool,
        liveness: impl Fn(&Deployer) -> Liveness,
    ) -> Result<Vec<Unfinished>> {
        let open = (0..self.len()).filter(|at| self.row(*at).is_open());
        let open: Vec<(u128, usize)> = open
            .map(|at| Ok((self.whole(at)?.id, at)))
            .collect::<Result<_>>()?;
        let mut found = Vec::new();
        for rows in open.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(start) = self.attempt(rows[0].1)?.start else {
                continue;
            };
            let is_gone = match liveness(&start.deployer) {
                Liveness::Alive => false,
                Liveness::Gone => true,
                Liveness::Unknown => !lock_is_held,
            };
            if is_gone {
                let mut marks = Vec::new();
                for (_, at) in rows {
                    marks.extend(self.mark(*at)?);
                }
                found.push(Unfinished { start, marks });
            }
        }
        found.reverse();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use crate::state::deployer::Liveness;
    use crate::state::record::Outcome;
    use crate::state::testing::{Entry, TestLedger};

    #[test]
    fn a_start_is_unfinished_when_its_deployer_is_gone() {
        let ledger = TestLedger::new();
        ledger.add(&Entry::deploy("d1", "v1").verified());
        ledger.add(&Entry::deploy("d2", "v2").interrupted());
        ledger.add(&Entry::deploy("d3", "v3").cut_off_while("verify", true));
        let history = ledger.history();
        for (liveness, lock_is_held, unfinished) in [
            (Liveness::Gone, false, true),
            (Liveness::Gone, true, true),
            (Liveness::Alive, false, false),
            (Liveness::Alive, true, false),
            (Liveness::Unknown, false, true),
            (Liveness::Unknown, true, false),
        ] {
            let found = history.unfinished_by(lock_is_held, |_| liveness).unwrap();
            assert_eq!(
                found.len(),
                usize::from(unfinished),
                "{liveness:?} {lock_is_held}"
            );
            if let [one] = &found[..] {
                let mark = one.marks.iter().find(|mark| mark.service == "web").unwrap();
                assert_eq!(
                    (one.start.id.as_str(), mark.phase.as_str(), mark.moved),
                    ("d3", "verify", true)
                );
            }
        }
    }

    #[test]
    fn an_abandoned_one_is_no_longer_unfinished() {
        let ledger = TestLedger::new();
        let entry = Entry::deploy("d1", "v1");
        ledger.add(&entry.clone().cut_off_while("ship", false));
        ledger.add(&Entry::deploy("d2", "v2").verified());
        ledger.add_end(&entry.ended(Outcome::Abandoned, "inconclusive"));
        assert!(
            ledger
                .history()
                .unfinished_by(false, |_| Liveness::Gone)
                .unwrap()
                .is_empty()
        );
    }
}
