//! A row of answers to the same question.

use tokio::time::Instant;

use crate::verification::ProbeReport;
use crate::verification::identity::Finding;
use crate::verification::probe::{Probed, Word};

/// A row of answers to the same question.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// In a row, up to now.
    pub(crate) good: u32,
    pub(crate) bad: u32,
    pub(crate) no_witness: u32,
    pub(crate) no_connection: u32,
    /// The last good ones all named this release.
    pub(crate) named: bool,
    pub(crate) last: Option<Last>,
    /// When the answer came that completed the row which is needed.
    pub(crate) settled: Option<Instant>,
    /// Since when nothing but bad answers came.
    pub(crate) bad_since: Option<Instant>,
    pub(crate) first: Option<Instant>,
    pub(crate) report: ProbeReport,
    /// 2xx, whatever else was wrong.
    pub(crate) answered: bool,
    pub(crate) uncertain: Option<String>,
    /// A 2xx named no version.
    pub(crate) nameless: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) word: Word,
    pub(crate) silent: bool,
}

impl Answers {
    /// The rows begin anew; what is reported stays.
    pub(super) fn forget(&mut self) {
        (self.good, self.bad, self.no_witness, self.no_connection) = (0, 0, 0, 0);
        self.last = None;
        self.bad_since = None;
        self.settled = None;
        self.first = None;
    }

    /// Takes one more answer in; `finding` is what its version is worth.
    pub(super) fn take(&mut self, probed: &Probed, finding: Finding, needed: u32, now: Instant) {
        let mut word = probed.word.clone();
        if let (Finding::Wrong(why), Word::Good { .. }) = (&finding, &word) {
            word = Word::Bad(why.clone());
        }
        self.first.get_or_insert(now);
        self.answered |= probed.answered();
        if probed.status.is_some() {
            self.report.last_status = probed.status;
        }
        if let Some(latency) = probed.latency {
            self.report.latency_ms = Some(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
        }
        if let Some(seen) = &probed.version {
            self.report.last_version = seen.name().map(str::to_owned);
            self.nameless = seen.name().is_none();
        }
        let row = match word {
            Word::Good { .. } => {
                self.named = finding == Finding::Seen && (self.named || self.good == 0);
                self.uncertain = match finding {
                    Finding::Uncertain(why) => Some(why),
                    _ => None,
                };
                self.report.good += 1;
                &mut self.good
            }
            Word::Bad(_) => {
                self.report.bad += 1;
                &mut self.bad
            }
            Word::NoWitness(_) => &mut self.no_witness,
            Word::NoConnection(_) => &mut self.no_connection,
        };
        let count = *row + 1;
        (self.good, self.bad, self.no_witness, self.no_connection) = (0, 0, 0, 0);
        match word {
            Word::Good { .. } => self.good = count,
            Word::Bad(_) => self.bad = count,
            Word::NoWitness(_) => self.no_witness = count,
            Word::NoConnection(_) => self.no_connection = count,
        }
        if count == 1 {
            self.settled = None;
            self.bad_since = (self.bad > 0).then_some(now);
        }
        if count >= needed && self.settled.is_none() {
            self.settled = Some(now);
        }
        self.last = Some(Last {
            word,
            silent: probed.silent,
        });
    }
}
