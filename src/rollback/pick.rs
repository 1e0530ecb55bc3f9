//! The target of a rollback: the first of five rules that fits.

use crate::error::Result;
use crate::release::Release;
use crate::rollback::candidate::Candidate;
use crate::rollback::listed::{CANDIDATES, Listed};
use crate::rollback::named::{self, Named};
use crate::rollback::no_target::NoTarget;
use crate::rollback::serving::{Running, Serving};
use crate::state::history::{History, Standing};
use crate::state::keys::{Identity, ImageKey, Key};
use crate::state::record::{Kind, Outcome};
use crate::state::row::Ended;

/// How many rollbacks in a row are followed to where they began; flyctl lists no more releases than that.
const LONGEST_CHAIN: usize = 25;

/// Everything a target is chosen from.
pub(crate) struct Question<'a> {
    pub(crate) app: &'a str,
    pub(crate) history: &'a History,
    /// flyctl's list.
    pub(crate) releases: &'a [Release],
    /// The counted instances.
    pub(crate) running: &'a [Running],
    /// What a person named with `--to`.
    pub(crate) to: Option<&'a str>,
}

/// Which rule of DESIGN 7 chose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rule {
    /// 1: a person named it.
    Named,
    /// 2: what serves is mixed or not good.
    LastGood,
    /// 2, where the ledger verified nothing.
    LastListed,
    /// 3: verified before what serves.
    Before,
    /// 4: only flyctl's list knows.
    Listed,
    /// What these chose is gone from the registry; the next of theirs.
    Remaining,
}

impl Rule {
    /// Why it is this one, as half a sentence for people.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Named => "it was named",
            Self::LastGood => "the last verified release: what serves is not good",
            Self::LastListed => {
                "the newest complete release of another image than flyctl's newest: what serves is not good"
            }
            Self::Remaining => "the newer ones are gone from the registry",
            Self::Before => "the last verified release before the one serving",
            Self::Listed => {
                "the newest complete release before the one serving in flyctl's list; the ledger does not know it"
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pick {
    pub(crate) rule: Rule,
    pub(crate) target: Candidate,
    /// The ledger's own, where the target is flyctl's.
    pub(crate) beside: Option<Candidate>,
    /// What comes next if the target's image is gone; the unverified among them are asked about.
    pub(crate) older: Vec<Candidate>,
    pub(crate) warnings: Vec<String>,
    /// The ledger speaks against the target; only a person who names it gets there.
    pub(crate) refuted: bool,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Target(Box<Pick>),
    Nothing(NoTarget),
}

/// Chooses. A fault is only a ledger that can no longer be read.
pub(crate) fn pick(question: &Question<'_>) -> Result<Answer> {
    let Question {
        app,
        history,
        releases,
        running,
        to,
    } = *question;
    let standing = history.standing(app);
    let listed = Listed::new(history, app, &standing, releases);
    let serving = Serving::of(history, app, running)?;
    let picker = Picker {
        app,
        history,
        standing: &standing,
        listed: &listed,
        serving: &serving,
        running,
    };
    let pick = match to {
        Some(to) => match named::resolve(app, history, &standing, &listed, &serving, to)? {
            Named::One(target) => Some(picker.named(*target)),
            Named::Several(forms) => {
                return Ok(Answer::Nothing(NoTarget::ambiguous(app, to, forms)));
            }
            Named::None => {
                return picker
                    .what_exists()
                    .map(|exists| Answer::Nothing(NoTarget::unknown(app, to, exists)));
            }
        },
        None => match (&serving.image, serving.good) {
            (Some(_), true) => picker.before()?,
            _ => picker.last_good()?,
        },
    };
    match pick {
        Some(pick) => Ok(Answer::Target(Box::new(pick))),
        None => picker
            .what_exists()
            .map(|exists| Answer::Nothing(NoTarget::nothing(app, exists))),
    }
}

struct Picker<'a> {
    app: &'a str,
    history: &'a History,
    standing: &'a Standing<'a>,
    listed: &'a Listed<'a>,
    serving: &'a Serving,
    running: &'a [Running],
}

impl Picker<'_> {
    /// Rule 1.
    fn named(&self, target: Candidate) -> Pick {
        let mut warnings = Vec::new();
        let name = target.name();
        let refuted = self.standing.refutes(target.identity());
        if refuted {
            warnings.push(format!("{name} was refuted or rolled back from here"));
        }
        if self.serving.is(target.identity()) {
            warnings.push(format!("{name} is what serves already"));
        }
        let status = target.release.and_then(|number| self.listed.status_of(number));
        if let Some(status) = status.filter(|status| status.has_failed()) {
            warnings.push(format!("flyctl calls {name} `{}`", status.as_str()));
        }
        Pick {
            rule: Rule::Named,
            target,
            beside: None,
            older: Vec::new(),
            warnings,
            refuted,
        }
    }

    /// Rule 2. What all instances run is what fails; in a mix some may run the target already.
    fn last_good(&self) -> Result<Option<Pick>> {
        let mut verified = self.vouched(usize::MAX)?;
        if let Some(left) = self.being_left() {
            let is_left = |candidate: &Candidate| candidate.identity().image.is_same_as(left);
            // Where nothing else is known to be good, it is still better than a mix.
            if !verified.iter().all(is_left) {
                verified.retain(|candidate| !is_left(candidate));
            }
        }
        if let Some(pick) = pick_first(Rule::LastGood, verified) {
            return Ok(Some(pick));
        }
        let failing: Vec<_> = self.serving.identity.map(|it| it.image).into_iter().collect();
        let listed = self.listed.besides_newest(&failing)?;
        Ok(pick_first(Rule::LastListed, listed))
    }

    /// What a rollback was leaving when it was cut off: an instance runs what it shipped, so a person's word against
    /// the other release stands, whether or not there was time to note that something had moved.
    fn being_left(&self) -> Option<ImageKey> {
        let (_, row) = self
            .history
            .rows_of(self.app)
            .find(|(_, row)| !row.shipped.image.is_none())?;
        let is_cut_off = matches!(row.ended, Ended::Open | Ended::As(Outcome::Interrupted));
        if row.kind != Some(Kind::Rollback) || !is_cut_off {
            return None;
        }
        let (shipped, left) = (row.shipped.image, row.previous.image);
        let runs = |running: &Running| ImageKey::of(&running.image).is_same_as(shipped);
        (!left.is_none() && !left.is_same_as(shipped) && self.running.iter().any(runs)).then_some(left)
    }

    /// Rules 3 and 4.
    fn before(&self) -> Result<Option<Pick>> {
        let Some(serving) = &self.serving.image else {
            return Ok(None);
        };
        let mut own = match self.first_shipping() {
            Some(first) => self.vouched(first)?,
            None => Vec::new(),
        };
        let may_others_lie_between = own
            .first()
            .is_some_and(|candidate| self.others_lie_after(candidate));
        if !own.is_empty() && !may_others_lie_between {
            return Ok(pick_first(Rule::Before, own));
        }
        let mut listed = self.listed.older_than(serving)?;
        if let Some(known) = own.first() {
            // The list was asked for what may lie after the ledger's; what it has from before that is no news.
            let is_newer = |other: &Candidate| known.release.is_none() || other.release > known.release;
            listed.retain(|other| is_newer(other) && !other.image.is_same_as(&known.image));
            if listed.is_empty() {
                return Ok(pick_first(Rule::Before, own));
            }
        } else {
            own = self.vouched(usize::MAX)?;
        }
        let Some(mut pick) = pick_first(Rule::Listed, listed) else {
            return Ok(None);
        };
        pick.beside = own
            .into_iter()
            .find(|own| !own.image.is_same_as(&pick.target.image));
        Ok(Some(pick))
    }

    /// Where the ledger first holds what serves as something that stayed.
    ///
    /// A rollback or `verify` only found it there. It served already when an older record names it as `previous`, and
    /// what a rollback goes to is older than what it leaves: else a release that only flyctl knew would count as
    /// newer than those it came before.
    fn first_shipping(&self) -> Option<usize> {
        self.serving.place?;
        let mut sought = self.serving.identity?;
        let mut first = usize::MAX;
        for _ in 0..LONGEST_CHAIN {
            let shipping = self
                .history
                .rows_with(self.app, sought.image)
                .filter(|(at, row)| *at < first && row.has_stayed() && row.shipped.is_same_as(sought))
                .last();
            let Some((at, row)) = shipping else { break };
            if row.kind == Some(Kind::Deploy) {
                first = at;
                break;
            }
            first = self
                .history
                .rows_before(self.app, at)
                .rev()
                .find(|(_, row)| {
                    [row.previous, row.serving]
                        .iter()
                        .any(|served| served.image.is_same_as(sought.image))
                })
                .map_or(at, |(other, _)| other);
            if row.kind != Some(Kind::Rollback) || row.previous.image.is_none() {
                break;
            }
            sought = Identity {
                image: row.previous.image,
                configuration: Key::NONE,
            };
        }
        (first != usize::MAX).then_some(first)
    }

    /// Whether flyctl lists releases between a candidate and what serves that no record names.
    fn others_lie_after(&self, candidate: &Candidate) -> bool {
        let serving = self.serving.identity.map(|it| it.image);
        let first = serving.and_then(|image| self.listed.first_of(image)).or_else(|| {
            let at = self.first_shipping()?;
            self.history.row(at).release.get()
        });
        let after = candidate
            .release
            .or_else(|| self.listed.first_of(candidate.identity().image));
        self.listed.has_unnamed_between(after, first)
    }

    /// The next few that the ledger vouches for before a place, without what serves; one of each release.
    fn vouched(&self, end: usize) -> Result<Vec<Candidate>> {
        let mut seen: Vec<Identity> = Vec::new();
        let mut found = Vec::new();
        let statements = self
            .standing
            .vouched(end)
            .filter(|statement| !self.serving.is(statement.identity));
        for statement in statements {
            if found.len() == CANDIDATES {
                break;
            }
            let is_seen = seen.iter().any(|known| known.is_same_as(statement.identity));
            if is_seen || !self.standing.vouches_for(&statement) {
                continue;
            }
            seen.push(statement.identity);
            found.extend(Candidate::vouched(self.history, self.app, &statement)?);
        }
        Ok(found)
    }

    /// What a person could name.
    fn what_exists(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let releases: Vec<Release> = self.listed.releases().cloned().collect();
        let facts = self.history.release_facts(self.app, &releases)?;
        let serving = self.serving.identity;
        for (release, facts) in releases.iter().zip(facts) {
            let verdict = facts.and_then(|facts| facts.verdict);
            let mut line = format!(
                "release:{}  {}  {}",
                release.number.0,
                release.status.as_str(),
                release.image.short()
            );
            if let Some(verdict) = verdict {
                line = format!("{line}  {verdict} here");
            }
            let image = ImageKey::of(&release.image);
            if serving.is_some_and(|serving| serving.image.is_same_as(image)) {
                line = format!("{line}  serving");
            }
            lines.push(line);
        }
        for candidate in self.vouched(usize::MAX)? {
            let is_listed = releases.iter().any(|it| Some(it.number) == candidate.release);
            if !is_listed {
                lines.push(format!("image:{}  verified here", candidate.image.reference()));
            }
        }
        Ok(lines)
    }
}

fn pick_first(rule: Rule, candidates: Vec<Candidate>) -> Option<Pick> {
    let mut candidates = candidates.into_iter();
    let target = candidates.next()?;
    Some(Pick {
        rule,
        target,
        beside: None,
        older: candidates.collect(),
        warnings: Vec::new(),
        refuted: false,
    })
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;
