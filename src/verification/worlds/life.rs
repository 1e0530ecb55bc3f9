//! Plays a world: what every machine does at every moment, and how its app answers.

use std::sync::{Mutex, MutexGuard};

use tokio::time::{Duration, Instant, sleep};

use crate::effect::http::Answer;
use crate::instance::Instance;
use crate::provider::fly::output::machines::parse;
use crate::verification::watch::Witnesses;

use super::dice::Dice;
use super::show;
use super::world::{Before, Fate, Health, Kind, Machine, Role, Way, World};

/// From launch to `started`, in milliseconds.
const BOOT: i64 = 300;
/// A machine that crashes runs so long, and is restarted after so long.
const RUN: i64 = 400;
const REST: i64 = 300;
const CRASHES: i64 = 10;
/// What turns bad does so this long after flyctl ended and it was launched.
const TURN: i64 = 3000;
/// Before the first look nothing has happened for an hour.
const LONG_AGO: i64 = -3_600_000;

pub(super) struct Player<'a> {
    world: &'a World,
    begun: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    dice: Dice,
    /// When a machine was launched on the new release, by flyctl or by somebody else.
    launched: Vec<Option<i64>>,
    asked: Vec<u32>,
    /// Exits of lives that ended before the last launch.
    exits: Vec<Vec<i64>>,
    /// The last list, as printed and as read: most lists are the same as the one before.
    read: (String, Vec<Instance>),
}

/// Kind, platform time in milliseconds, and of an exit: its code and whether it was requested.
pub(super) type Event = (&'static str, i64, Option<(i64, bool)>);

/// One machine at one moment.
pub(super) struct Sight {
    pub(super) state: &'static str,
    /// How often it was updated: 0 before, 1 after, 2 after the newer release.
    pub(super) updates: u32,
    pub(super) events: Vec<Event>,
    pub(super) passing: bool,
}

impl<'a> Player<'a> {
    pub(super) fn new(world: &'a World, seed: u64) -> Self {
        Self {
            world,
            begun: Instant::now(),
            inner: Mutex::new(Inner {
                dice: Dice::new(seed ^ 0x5eed),
                launched: vec![None; world.machines.len()],
                asked: vec![0; world.machines.len()],
                exits: vec![Vec::new(); world.machines.len()],
                read: (String::new(), Vec::new()),
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    fn updated_at(&self, machine: &Machine) -> Option<i64> {
        match (machine.fate, self.world.kind) {
            (Fate::Stays | Fate::Lost, _) => None,
            (_, Kind::Live) => Some(LONG_AGO),
            _ => Some(i64::try_from(machine.updated_ms).unwrap()),
        }
    }

    /// When it was last launched before `now`, on the new release.
    fn launch(&self, index: usize, now: i64) -> Option<i64> {
        let machine = &self.world.machines[index];
        let updated = self.updated_at(machine).filter(|at| *at <= now)?;
        let by_flyctl = if machine.left_down {
            None
        } else if self.world.kind == Kind::Live && machine.health == Health::CrashLoop {
            Some(-100)
        } else {
            Some(updated)
        };
        let launch = self.inner().launched[index].max(by_flyctl)?;
        let again = self.updated_again(machine).filter(|at| *at <= now);
        Some(launch.max(again.unwrap_or(launch)))
    }

    fn updated_again(&self, machine: &Machine) -> Option<i64> {
        let at = self.updated_at(machine)?;
        (machine.fate == Fate::UpdatedAgain && self.world.kind != Kind::Live).then_some(at + 4000)
    }

    fn turns_at(&self, launched: i64) -> i64 {
        let ends = i64::try_from(self.world.flyctl.ends_ms).unwrap();
        launched.max(ends) + BOOT + TURN
    }

    pub(super) fn sight(&self, index: usize, now: i64) -> Option<Sight> {
        let machine = &self.world.machines[index];
        let absent = machine.before == Before::Absent && self.updated_at(machine).is_none_or(|at| at > now);
        if absent || (machine.fate == Fate::Lost && now >= i64::try_from(machine.updated_ms).unwrap()) {
            return None;
        }
        let updates = u32::from(self.updated_at(machine).is_some_and(|at| at <= now))
            + u32::from(self.updated_again(machine).is_some_and(|at| at <= now));
        let mut events = past(machine);
        if updates > 0 && self.world.kind != Kind::Live {
            events.push(("launch", self.updated_at(machine)?, None));
        }
        events.extend(
            self.inner().exits[index]
                .iter()
                .map(|at| ("exit", *at, Some((1, false)))),
        );
        if updates > 1 {
            events.push(("launch", self.updated_again(machine)?, None));
        }
        let Some(launched) = self.launch(index, now) else {
            let (state, passing) = match machine.before {
                Before::Started if updates == 0 => ("started", true),
                Before::Suspended => ("suspended", false),
                Before::Absent => ("created", false),
                _ => ("stopped", false),
            };
            return Some(Sight {
                state,
                updates,
                events,
                passing,
            });
        };
        let up = now - launched - BOOT;
        if up < 0 {
            return Some(Sight {
                state: "starting",
                updates,
                events,
                passing: false,
            });
        }
        events.push(("start", launched + BOOT, None));
        let health = match machine.health {
            Health::CrashesOnce if !self.inner().exits[index].is_empty() => Health::Good { after_ms: 200 },
            health => health,
        };
        let (state, passing) = self.life(health, launched, up, &mut events);
        Some(Sight {
            state,
            updates,
            events,
            passing,
        })
    }

    /// State and checks of one that was launched `up` milliseconds ago; adds what it leaves behind.
    fn life(&self, health: Health, launched: i64, up: i64, events: &mut Vec<Event>) -> (&'static str, bool) {
        let begun = launched + BOOT;
        let crash = |at: i64| ("exit", at, Some((1, false)));
        match health {
            Health::Good { after_ms } => ("started", up >= i64::try_from(after_ms).unwrap()),
            Health::CrashesOnce | Health::CrashLoop => {
                let most = if health == Health::CrashLoop { CRASHES } else { 1 };
                let crashes = (1..=most).filter(|n| up >= n * RUN + (n - 1) * REST).count();
                let crashes = i64::try_from(crashes).unwrap();
                for n in 1..=crashes {
                    events.push(crash(begun + n * RUN + (n - 1) * REST));
                    if up >= n * (RUN + REST) && n < CRASHES {
                        events.push(("start", begun + n * (RUN + REST), None));
                    }
                }
                let resting = crashes > 0 && (up < crashes * (RUN + REST) || crashes == CRASHES);
                let state = if resting { "stopped" } else { "started" };
                (state, health == Health::CrashesOnce && up >= RUN + REST + 200)
            }
            Health::FailedState if up > 300 => ("failed", false),
            Health::Dies if begun + up >= self.turns_at(launched) => {
                events.push(crash(self.turns_at(launched)));
                ("stopped", false)
            }
            Health::TurnsBad => ("started", begun + up < self.turns_at(launched)),
            Health::Answers503 | Health::Hangs | Health::FailedState => ("started", false),
            _ => ("started", true),
        }
    }

    /// How the app of a machine answers.
    fn answer(&self, index: usize) -> Option<Answer> {
        let now = self.now();
        let machine = &self.world.machines[index];
        let sight = self.sight(index, now);
        let Some(sight) = sight.filter(|sight| sight.state == "started" && !machine.host_lost) else {
            return Some(show::proxy_503());
        };
        let good = |version: &str| show::good(self.world, version);
        if sight.updates == 0 {
            return Some(good("v1"));
        }
        let asked = {
            let mut inner = self.inner();
            inner.asked[index] += 1;
            inner.asked[index]
        };
        match machine.health {
            Health::Hangs => None,
            Health::Cuts => Some(Answer::Cut("connection reset".into())),
            Health::Flaps if asked % 2 == 0 => Some(show::bad_503()),
            Health::SaysUnhealthy => Some(show::unhealthy()),
            Health::OldVersion => Some(good("v1")),
            Health::Page => Some(show::page()),
            Health::Redirects => Some(show::redirect()),
            Health::Flaps => Some(good("v2")),
            _ if sight.passing => Some(good("v2")),
            _ => Some(show::bad_503()),
        }
    }

    fn launch_now(&self, index: usize) {
        let now = self.now();
        let Some(sight) = self.sight(index, now) else {
            return;
        };
        if matches!(sight.state, "stopped" | "suspended" | "created") {
            let mut inner = self.inner();
            inner.launched[index] = Some(now);
            let crashes = sight
                .events
                .iter()
                .filter(|(_, _, exit)| exit.is_some_and(|(code, _)| code != 0));
            inner.exits[index] = crashes.map(|(_, at, _)| *at).filter(|at| *at > 0).collect();
        }
    }

    /// Where the proxy sends what names no machine: one that runs, else one that it may wake.
    fn behind_the_address(&self) -> Option<usize> {
        let now = self.now();
        let public = |index: &usize| {
            let machine = &self.world.machines[*index];
            machine.role == Role::Regular && self.world.group(machine).public
        };
        let started = |index: &usize| {
            self.sight(*index, now)
                .is_some_and(|sight| sight.state == "started")
        };
        let wakes = |index: &usize| {
            let group = self.world.group(&self.world.machines[*index]);
            group.autostop && group.wakes
        };
        let mut all = (0..self.world.machines.len()).filter(public);
        let mut sleepers = all.clone();
        all.find(started).or_else(|| sleepers.find(wakes))
    }

    fn index(&self, id: &str) -> usize {
        self.world
            .machines
            .iter()
            .position(|machine| machine.id == id)
            .unwrap()
    }
}

/// What it went through before this world began.
fn past(machine: &Machine) -> Vec<Event> {
    let mut events = vec![("launch", LONG_AGO, None), ("start", LONG_AGO + 1000, None)];
    let exit = match machine.before {
        Before::Absent => return Vec::new(),
        Before::Started | Before::Suspended => None,
        Before::StoppedOnRequest => Some((0, true)),
        Before::Crashed => {
            events.push(("exit", LONG_AGO + 3000, Some((1, false))));
            Some((1, false))
        }
    };
    if exit.is_some() {
        events.push(("exit", LONG_AGO + 5000, exit));
    }
    events
}

impl Witnesses for Player<'_> {
    async fn machines(&self) -> Result<Vec<Instance>, String> {
        let (pause, lost) = {
            let mut inner = self.inner();
            (
                inner.dice.below(100) + 10,
                inner.dice.below(100) < self.world.sight.lists_lost,
            )
        };
        sleep(Duration::from_millis(pause)).await;
        let now = self.now();
        let gone = self
            .world
            .sight
            .api_gone_ms
            .is_some_and(|at| now >= i64::try_from(at).unwrap());
        let text = show::list(
            self.world,
            |index| self.sight(index, now),
            || self.inner().dice.below(100) < self.world.sight.checks_lost,
        );
        sleep(Duration::from_millis(pause / 2)).await;
        if lost || gone {
            return Err("machines could not be retrieved".into());
        }
        let mut inner = self.inner();
        if inner.read.0 != text {
            let list = parse(text.as_bytes()).map_err(|error| error.to_string())?;
            inner.read = (text, list);
        }
        Ok(inner.read.1.clone())
    }

    async fn probe(&self, instance: Option<&str>) -> Answer {
        let pause = self.inner().dice.below(30) + 3;
        sleep(Duration::from_millis(pause)).await;
        if matches!(self.world.sight.way, Way::NeverOpen | Way::Gone | Way::NotAsked) {
            return Answer::NoConnection("dns error".into());
        }
        let Some(index) = instance
            .map(|id| self.index(id))
            .or_else(|| self.behind_the_address())
        else {
            return show::proxy_503();
        };
        let group = self.world.group(&self.world.machines[index]);
        let down = |at: i64| {
            self.sight(index, at)
                .is_some_and(|sight| matches!(sight.state, "stopped" | "suspended"))
        };
        if group.wakes && group.autostop && down(self.now()) {
            self.launch_now(index);
            // The proxy holds the request while the machine boots.
            for _ in 0..40 {
                sleep(Duration::from_millis(100)).await;
                if self.sight(index, self.now()).is_some_and(|sight| sight.passing) {
                    break;
                }
            }
        }
        if let Some(answer) = self.answer(index) {
            return answer;
        }
        sleep(Duration::from_secs(5)).await;
        Answer::Slow
    }

    async fn start(&self, instance: &str) -> Result<(), String> {
        let refused = self.inner().dice.below(4) == 0;
        sleep(Duration::from_millis(50)).await;
        if refused {
            return Err("lease currently held by somebody".into());
        }
        self.launch_now(self.index(instance));
        Ok(())
    }
}
