//! How one instance stands at one moment, table by table; `judge_tests` plays the same rules over time.

use std::time::Duration;

use tokio::time::Instant;

use super::{LAG, LOOP, Mood, NEW_ADDRESS, Standing, UP, View, last_exit};
use crate::instance::{Instance, InstanceState};
use crate::release::ReleaseNumber;
use crate::verification::Evidence;
use crate::verification::expectation::{Expectation, Kind, Place, Reach, SHORTEST_FOR_STATE};
use crate::verification::memory::{Last, Memory, SETTLING, Seen};
use crate::verification::probe::Word;
use crate::verification::stage::{
    NEW, OLD, autostop, check, exit, expectation, instance, on_release, stopped, without_checks,
};

/// What an instance has at most, in these tables.
const TIMEOUT: Duration = Duration::from_secs(12);

/// One instance on the new release that flyctl has just updated, and everything around it.
struct Moment {
    expectation: Expectation,
    memory: Memory,
    seen: Seen,
    /// From its update to the list that is judged.
    listed_after: Duration,
    out_of_time: bool,
}

impl Moment {
    /// It is asked, and has answered nothing yet.
    fn new() -> Self {
        let mut expectation = expectation(Vec::new());
        expectation.timeout = TIMEOUT;
        let now = Instant::now();
        let memory = Memory::new(&expectation, now);
        let mut seen = Seen::new(&instance("a"), now);
        seen.place = Place::On;
        seen.updated = true;
        Self {
            expectation,
            memory,
            seen,
            listed_after: Duration::from_secs(1),
            out_of_time: false,
        }
    }

    /// Nobody asks it.
    fn unasked() -> Self {
        let mut moment = Self::new();
        moment.expectation.probe.address = false;
        moment
    }

    /// A return found it as it was before the deployment, on the image that is returned to.
    fn stale(place: Place) -> Self {
        let mut moment = Self::unasked().on(|one| *one = on_release(one.clone(), 41, NEW));
        moment.expectation.kind = Kind::Return;
        moment.seen.place = place;
        moment.seen.updated = false;
        moment
    }

    fn on(mut self, change: impl FnOnce(&mut Instance)) -> Self {
        change(&mut self.seen.instance);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// `row` equal answers, the last of `word`.
    fn answered(mut self, word: Word, row: u32) -> Self {
        let answers = &mut self.seen.answers;
        match word {
            Word::Good { .. } => answers.good = row,
            Word::Bad(_) => answers.bad = row,
            Word::NoWitness(_) => answers.no_witness = row,
            Word::NoConnection(_) => answers.no_connection = row,
        }
        answers.last = Some(Last { word, silent: false });
        self
    }

    fn ended_before_the_list(mut self, ago: Duration) -> Self {
        self.memory.ended = Some(self.listed() - ago);
        self
    }

    fn listed(&self) -> Instant {
        self.seen.anchor + self.listed_after
    }

    fn stands(&self) -> Standing {
        let group = &self.expectation.groups["app"];
        let view = View {
            expectation: &self.expectation,
            memory: &self.memory,
            listed: self.listed(),
            out_of_time: self.out_of_time,
            reached: false,
        };
        view.stand(&self.seen, group)
    }

    /// When it would be failed, from its update on.
    fn until(&self) -> Option<Duration> {
        match self.stands() {
            Standing::Pending { until, .. } => Some(until? - self.seen.anchor),
            _ => None,
        }
    }
}

fn just_before(time: Duration) -> Duration {
    time.saturating_sub(Duration::from_millis(1))
}

fn good() -> Word {
    Word::Good { degraded: None }
}

fn bad() -> Word {
    Word::Bad("answers 503".into())
}

fn failing(instance: &mut Instance) {
    instance.checks = vec![check("critical")];
}

fn unlisted(instance: &mut Instance) {
    instance.checks.clear();
}

#[test]
fn what_a_return_finds_as_it_was_counts_when_flyctl_has_ended() {
    for place in [Place::On, Place::Before, Place::Newer(ReleaseNumber(41))] {
        let stale = || Moment::stale(place.clone());
        assert_eq!(stale().stands(), Standing::Waiting, "{place:?}");
        let after = stale().ended_before_the_list(Duration::ZERO).stands();
        let is_good = Standing::Good {
            evidence: Evidence::Checks,
            note: None,
        };
        assert_eq!(after, is_good, "{place:?}");
    }
}

#[test]
fn a_list_may_lag_behind_the_end_of_flyctl() {
    let elsewhere = |place: Place, ago: Duration| {
        let moment = Moment::unasked().on(|one| *one = on_release(one.clone(), 41, OLD));
        moment
            .with(|moment| moment.seen.place = place)
            .ended_before_the_list(ago)
    };
    let early = just_before(LAG);
    for (place, said) in [
        (Place::Before, "it still runs release v41"),
        (Place::OtherDigest, "it runs another image: release v41"),
        (Place::Superseded(ReleaseNumber(41)), "it runs a newer release"),
    ] {
        let moment = elsewhere(place.clone(), early);
        let Standing::Pending { reason, mood, until } = moment.stands() else {
            panic!("{place:?}: {:?}", moment.stands());
        };
        assert!(reason.starts_with(said), "{reason}");
        assert_eq!(mood, Mood::Idle);
        assert_eq!(until, Some(moment.listed() - early + LAG), "{place:?}");
        let late = elsewhere(place.clone(), LAG).stands();
        assert!(
            matches!(&late, Standing::Failed(reason) if reason.starts_with(said)),
            "{late:?}"
        );
    }
}

#[test]
fn what_is_live_is_told_by_what_it_runs() {
    for place in [Place::OtherDigest, Place::Superseded(ReleaseNumber(43))] {
        let mut moment = Moment::unasked().ended_before_the_list(LAG);
        moment.expectation.kind = Kind::Live;
        moment.seen.place = place;
        let standing = moment.stands();
        assert_eq!(
            standing.reason(),
            Some("it runs release v42 (registry.fly.io/shop:v2)")
        );
    }
}

#[test]
fn sleep_is_no_failure_unless_it_was_roused_in_vain() {
    let asleep = || Moment::unasked().on(autostop).on(|one| stopped(one, 1_000, None));
    let pending = |reason: &str, mood: Mood| Standing::Pending {
        reason: reason.to_owned(),
        mood,
        until: None,
    };
    let roused = || asleep().with(|moment| moment.seen.roused = true);
    for (case, moment, expected) in [
        ("asleep", asleep(), Standing::Asleep),
        ("roused", roused(), pending("it has not woken up", Mood::Idle)),
        (
            "roused, good, and asleep again",
            roused().with(|moment| moment.seen.evidence_when_good = Some(Evidence::App)),
            Standing::Asleep,
        ),
        (
            "nothing may stop it",
            Moment::unasked().on(|one| stopped(one, 1_000, None)),
            pending("its state is `stopped`", Mood::Bad),
        ),
        (
            "it crashed",
            Moment::unasked()
                .on(autostop)
                .on(|one| stopped(one, 1_000, Some(1))),
            pending("its state is `stopped` (exit code 1)", Mood::Bad),
        ),
    ] {
        let standing = match moment.stands() {
            Standing::Pending { reason, mood, .. } => pending(&reason, mood),
            other => other,
        };
        assert_eq!(standing, expected, "{case}");
    }
}

#[test]
fn crashes_that_repeat_are_a_loop() {
    for (crashes, fails) in [(LOOP - 1, false), (LOOP, true)] {
        let moment = Moment::unasked()
            .on(|one| one.events.push(exit(1_000, 1, false)))
            .with(|moment| moment.seen.crashes = (0..).take(crashes).collect());
        let standing = moment.stands();
        assert_eq!(matches!(standing, Standing::Failed(_)), fails, "{standing:?}");
    }
    let failed = Moment::unasked().on(|one| one.state = InstanceState::Failed);
    assert_eq!(failed.stands(), Standing::Failed("its state is `failed`".into()));
}

#[test]
fn the_worst_witness_gives_reason_and_mood() {
    let critical = "its check `servicecheck-00-http-8080` is critical: connect: refused";
    let unreported = "0 of its 1 checks have reported";
    let both = format!("answers 503; {critical}");
    let missing_too = format!("answers 503; {unreported}");
    let again = |moment: Moment| moment.with(|moment| moment.seen.checks_listed = true);
    for (case, moment, reason, mood) in [
        (
            "an answer",
            Moment::new().answered(bad(), 1),
            "answers 503",
            Mood::Bad,
        ),
        (
            "an answer and a check",
            Moment::new().on(failing).answered(bad(), 1),
            &*both,
            Mood::Bad,
        ),
        (
            "an answer, and a check that has not reported",
            Moment::new().on(unlisted).answered(bad(), 1),
            &*missing_too,
            Mood::Bad,
        ),
        (
            "a check, and too few good answers",
            Moment::new().on(failing).answered(good(), 1),
            critical,
            Mood::Bad,
        ),
        (
            "a check that has not reported, and too few good answers",
            Moment::new().on(unlisted).answered(good(), 1),
            "1 of 3 good answers in a row",
            Mood::Settling,
        ),
        (
            "a check alone",
            Moment::new().on(failing).answered(good(), 3),
            critical,
            Mood::Bad,
        ),
        (
            "a check that has not reported",
            Moment::new().on(unlisted).answered(good(), 3),
            unreported,
            Mood::Idle,
        ),
        (
            "a check that had reported on this update",
            again(Moment::new().on(unlisted).answered(good(), 3)),
            unreported,
            Mood::Settling,
        ),
        ("nothing", Moment::new(), "it has not been asked yet", Mood::Idle),
    ] {
        let Standing::Pending {
            reason: said,
            mood: felt,
            ..
        } = moment.stands()
        else {
            panic!("{case}: {:?}", moment.stands());
        };
        assert_eq!((said.as_str(), felt), (reason, mood), "{case}");
    }
}

#[test]
fn as_many_answers_are_needed_as_are_configured() {
    let no_witness = || Word::NoWitness("redirects".into());
    let lost = || Word::NoConnection("refused".into());
    let named = |moment: Moment| moment.with(|moment| moment.seen.answers.named = true);
    let is_good = |evidence, note: Option<&str>| Standing::Good {
        evidence,
        note: note.map(str::to_owned),
    };
    for (case, moment, expected) in [
        (
            "good",
            Moment::new().answered(good(), 3),
            is_good(Evidence::Http, None),
        ),
        (
            "named",
            named(Moment::new().answered(good(), 3)),
            is_good(Evidence::App, None),
        ),
        (
            "no witness",
            Moment::new().answered(no_witness(), 3),
            is_good(Evidence::Checks, Some("`/health` redirects")),
        ),
        (
            "not reached, as before",
            Moment::new()
                .with(|moment| moment.expectation.probe.reach = Reach::UnreachableBefore)
                .answered(lost(), 3),
            is_good(
                Evidence::Checks,
                Some("no connection (refused), already so before"),
            ),
        ),
    ] {
        assert_eq!(moment.stands(), expected, "{case}");
    }
    for (case, word) in [("good", good()), ("no witness", no_witness()), ("lost", lost())] {
        let moment = Moment::new()
            .with(|moment| moment.expectation.probe.reach = Reach::UnreachableBefore)
            .answered(word, 2);
        let standing = moment.stands();
        let settles = matches!(
            standing,
            Standing::Pending {
                mood: Mood::Settling,
                ..
            }
        );
        assert!(settles, "{case}: {standing:?}");
        let until = TIMEOUT + SETTLING;
        assert_eq!(
            moment.until(),
            Some(until),
            "{case}: what is good so far has longer"
        );
    }
}

#[test]
fn where_only_its_state_speaks_it_has_to_be_up_for_a_while() {
    let up_for = |up: Duration| {
        Moment::unasked().on(without_checks).with(|moment| {
            moment.listed_after = UP;
            moment.seen.up_since = Some(moment.listed() - up);
        })
    };
    let short = just_before(UP);
    let moment = up_for(short);
    // The next list is of use when the time is over.
    assert_eq!(moment.until(), Some(UP + Duration::from_millis(1)));
    assert_eq!(
        moment.stands().reason(),
        Some("it has been up for 9 s, and 10 are needed where nothing else speaks for it")
    );
    let is_good = Standing::Good {
        evidence: Evidence::State,
        note: None,
    };
    assert_eq!(up_for(UP).stands(), is_good);
}

/// Ten quiet seconds need more than a short timeout; whoever can be asked or checked needs no more than that.
#[test]
fn the_time_is_longer_where_only_its_state_can_speak() {
    let starting = |moment: Moment| moment.on(|one| one.state = InstanceState::Created);
    let lost = Word::NoConnection("refused".into());
    for (case, moment, until) in [
        ("checks", Moment::unasked(), TIMEOUT),
        (
            "neither checks nor answers",
            Moment::unasked().on(without_checks),
            SHORTEST_FOR_STATE,
        ),
        (
            "no checks, and no answer yet",
            Moment::new().on(without_checks),
            SHORTEST_FOR_STATE,
        ),
        (
            "no checks, and nobody reached",
            Moment::new().on(without_checks).answered(lost, 1),
            SHORTEST_FOR_STATE,
        ),
        (
            "no checks, and good answers",
            Moment::new().on(without_checks).answered(good(), 1),
            TIMEOUT,
        ),
        (
            "no checks, and bad answers",
            Moment::new().on(without_checks).answered(bad(), 1),
            TIMEOUT,
        ),
        (
            "no checks, and good answers to somebody else's question",
            Moment::unasked().on(without_checks).answered(good(), 1),
            SHORTEST_FOR_STATE,
        ),
        ("checks and answers", Moment::new().answered(good(), 1), TIMEOUT),
    ] {
        assert_eq!(starting(moment).until(), Some(until), "{case}");
    }
}

#[test]
fn a_deadline_is_over_when_a_list_from_after_it_says_so() {
    let at = |listed_after: Duration| {
        Moment::new()
            .answered(bad(), 1)
            .with(|moment| moment.listed_after = listed_after)
    };
    let early = at(just_before(TIMEOUT)).stands();
    assert!(matches!(early, Standing::Pending { .. }), "{early:?}");
    let over = Standing::Failed("answers 503, 12 s after it got the release".into());
    assert_eq!(at(TIMEOUT).stands(), over);
    let hurried = at(Duration::ZERO).with(|moment| moment.out_of_time = true);
    assert_eq!(
        hurried.stands(),
        Standing::Failed("answers 503 (time ran out)".into())
    );
}

/// DNS may need a minute to learn of a new address; until then nobody is reached, and that says nothing.
#[test]
fn a_new_address_has_a_minute() {
    let lost = || {
        Moment::new()
            .answered(Word::NoConnection("no such host".into()), 3)
            .with(|moment| {
                moment.expectation.timeout = 2 * NEW_ADDRESS;
                moment.expectation.probe.reach = Reach::New;
            })
    };
    let at = |listed_after: Duration| lost().with(|moment| moment.listed_after = listed_after);
    let unstarted = at(just_before(NEW_ADDRESS)).with(|moment| moment.seen.updated = false);
    for early in [at(just_before(NEW_ADDRESS)), unstarted] {
        let standing = early.stands();
        assert!(
            matches!(standing, Standing::Pending { mood: Mood::Idle, .. }),
            "{standing:?}"
        );
    }
    let is_good = Standing::Good {
        evidence: Evidence::Checks,
        note: Some("no connection (no such host)".into()),
    };
    assert_eq!(at(NEW_ADDRESS).stands(), is_good);
    // Its own deadline comes first.
    let sooner = at(TIMEOUT).with(|moment| moment.expectation.timeout = TIMEOUT);
    assert_eq!(sooner.stands(), is_good);
}

#[test]
fn how_it_ended_is_said_where_that_was_not_well() {
    for (code, requested, out_of_memory, said) in [
        (1, false, false, " (exit code 1)"),
        (137, false, true, " (exit code 137, out of memory)"),
        (0, false, false, ""),
        (1, true, false, ""),
    ] {
        let mut one = instance("a");
        let mut event = exit(1_000, code, requested);
        event.exit.as_mut().unwrap().oom_killed = out_of_memory;
        one.events.push(event);
        assert_eq!(last_exit(&one), said);
    }
}
