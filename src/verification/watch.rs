//! Looks again and again, while flyctl works and after it, until there is a verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::effect::http::Answer;
use crate::instance::{Instance, InstanceState};
use crate::release::{Image, ReleaseNumber};
use crate::verification::expectation::{Expectation, Kind, Reach, SHORTEST_FOR_STATE};
use crate::verification::judge::{Phase, Step, judge};
use crate::verification::memory::{Memory, Seen};
use crate::verification::probe::{self, Probed};
use crate::verification::standing::{Mood, Standing};
use crate::verification::{Judgement, Verdict};

/// Between two looks at the same thing: at first, and at most.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);
/// Lists that fail so often in a row make the shared address a witness.
const SILENT_AFTER: u32 = 2;
/// After the deadline, for the last look to come back.
const LAST_LOOK: Duration = Duration::from_secs(35);

/// What a verification looks through; a test gives it a world of its own.
pub(crate) trait Witnesses: Sync {
    /// `machine list`. The error says why in one line.
    fn machines(&self) -> impl Future<Output = Result<Vec<Instance>, String>> + Send;
    /// Asks one instance (`fly-force-instance-id`), or whichever answers on the shared address.
    fn probe(&self, instance: Option<&str>) -> impl Future<Output = Answer> + Send;
    /// `machine start`.
    fn start(&self, instance: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// What the shipping side tells the watch; the fields only ever fill.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shipping {
    /// flyctl has ended, by itself or not. Set together with `address`, which is read again after it.
    pub(crate) ended: bool,
    /// The number of the release, once known.
    pub(crate) release: Option<ReleaseNumber>,
    /// The image that is shipped, once a build has named it.
    pub(crate) image: Option<Image>,
    /// Whether something public leads to the app now. New where there was nothing before.
    pub(crate) address: Option<bool>,
}

/// What changed while watching; for events, progress and the journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// An instance stands differently.
    Instance {
        id: String,
        region: String,
        group: String,
        /// `waiting`, `pending`, `good`, `asleep`, `failed`, `unknown`.
        standing: &'static str,
        reason: Option<String>,
    },
    /// So many counted instances have been seen on the new release.
    Moved(usize),
    /// An instance has been started by shipctl.
    Started(String),
    /// It could not be; why.
    NotStarted(String, String),
}

/// What is waited for, for the line that is printed each ten seconds while nothing else happens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<Mutex<String>>);

impl Waiting {
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// When the same thing is looked at next.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    next: Instant,
    in_flight: bool,
}

impl Pace {
    fn now(now: Instant) -> Self {
        Self {
            interval: SHORTEST,
            next: now,
            in_flight: false,
        }
    }

    /// The next look is due after a pause that grows, with some jitter.
    fn rest(&mut self, now: Instant, jitter: f64, longest: Duration) {
        self.in_flight = false;
        self.next = now + self.interval.mul_f64(0.8 + 0.4 * jitter).min(longest);
        self.interval = self.interval.mul_f64(1.5).min(longest);
    }

    /// Something changed: look often again.
    fn hurry(&mut self, now: Instant) {
        self.interval = SHORTEST;
        self.next = self.next.min(now + SHORTEST);
    }
}

/// What came back.
enum Came {
    List {
        begun: Instant,
        list: Result<Vec<Instance>, String>,
    },
    Answer {
        id: Option<String>,
        /// The update that the instance was asked on.
        version: String,
        answer: Answer,
    },
    Start {
        id: String,
        done: Result<(), String>,
    },
    Told {
        /// The other side is still there.
        heard: bool,
    },
    Tick,
}

/// One verification from the first look to the verdict.
pub(crate) struct Watch<'a, W, C> {
    witnesses: &'a W,
    expectation: Expectation,
    memory: Memory,
    deadline: Instant,
    on_change: C,
    waiting: Waiting,
    in_flight: FuturesUnordered<BoxFuture<'a, Came>>,
    list_pace: Pace,
    /// When the newest list was asked for.
    list_begun: Option<Instant>,
    list_failures: u32,
    probe_paces: BTreeMap<String, Pace>,
    shared_pace: Pace,
    starting: BTreeSet<String>,
    /// The last standing of each instance that was told of, and whether it was told to be bad since it was good.
    told: BTreeMap<String, (&'static str, bool)>,
    moved: usize,
    jitter: u64,
}

impl<'a, W: Witnesses, C: FnMut(Change)> Watch<'a, W, C> {
    /// `deadline` bounds everything that this watch does: when it has passed, and flyctl has ended, what is there
    /// is judged.
    pub(crate) fn new(witnesses: &'a W, expectation: Expectation, deadline: Instant, on_change: C) -> Self {
        let now = Instant::now();
        Self {
            witnesses,
            memory: Memory::new(&expectation, now),
            expectation,
            deadline,
            on_change,
            waiting: Waiting::default(),
            in_flight: FuturesUnordered::new(),
            list_pace: Pace::now(now),
            list_begun: None,
            list_failures: 0,
            probe_paces: BTreeMap::new(),
            shared_pace: Pace::now(now),
            starting: BTreeSet::new(),
            told: BTreeMap::new(),
            moved: 0,
            jitter: RandomState::new().hash_one(0_u8),
        }
    }

    /// The same pauses each time.
    #[cfg(test)]
    pub(crate) fn seeded(mut self, seed: u64) -> Self {
        self.jitter = seed;
        self
    }

    /// Can be read by others while the watch runs.
    pub(crate) fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// Watches until there is a verdict. `shipping` says how far flyctl is; `ended` at once where nothing is
    /// shipped. A judgement with `early` is given while flyctl still runs.
    pub(crate) async fn verify(&mut self, mut shipping: watch::Receiver<Shipping>) -> Judgement {
        self.learn(&shipping.borrow_and_update().clone());
        self.run(Phase::Verify, Duration::ZERO, Some(shipping)).await
    }

    /// Goes on watching for `duration` after a good verdict; anything bad refutes. A newer release of the same
    /// digest is verified and baked anew.
    pub(crate) async fn bake(&mut self, duration: Duration) -> Judgement {
        // What was good keeps its whole bake, and an instance that is updated meanwhile its own time: the deadline of
        // the deployment bounds what leads to the verdict.
        let own = duration + self.expectation.timeout.max(SHORTEST_FOR_STATE);
        self.deadline = self.deadline.max(Instant::now() + own);
        self.run(Phase::Bake { until: None }, duration, None).await
    }

    /// What was answered counts no longer: each instance has to answer well again. For a watch that rested.
    pub(crate) fn forget_answers(&mut self) {
        let now = Instant::now();
        self.memory.forget_answers(now);
        // What was asked before it rested has been waiting for nobody: its time is over, whatever was answered.
        self.in_flight.clear();
        self.starting.clear();
        self.probe_paces.clear();
        self.list_pace = Pace::now(now);
        self.shared_pace = Pace::now(now);
    }

    async fn run(
        &mut self,
        mut phase: Phase,
        bake: Duration,
        mut shipping: Option<watch::Receiver<Shipping>>,
    ) -> Judgement {
        let mut judged = Instant::now();
        let mut step = self.step(&mut phase, bake, judged);
        let mut news = false;
        loop {
            let now = Instant::now();
            let passed = |at: Instant| judged < at && at <= now;
            if news || passed(self.deadline) || step.next.is_some_and(passed) {
                step = self.step(&mut phase, bake, now);
                judged = now;
            }
            if let Some(judgement) = step.decided {
                return *judgement;
            }
            let last_look = self
                .memory
                .ended
                .map(|ended| ended.max(self.deadline) + LAST_LOOK);
            if last_look.is_some_and(|at| now >= at) {
                return no_last_look();
            }
            self.look(&mut step, now);
            let until = self.next_look(&step, now);
            let told = async {
                match &mut shipping {
                    Some(shipping) => shipping.changed().await.is_ok(),
                    None => pending().await,
                }
            };
            let came = tokio::select! {
                Some(came) = self.in_flight.next() => came,
                heard = told => Came::Told { heard },
                () = sleep_until(until) => Came::Tick,
            };
            news = !matches!(came, Came::Tick);
            match came {
                Came::Told { heard } => {
                    let mut news = shipping
                        .as_mut()
                        .map(|shipping| shipping.borrow_and_update().clone())
                        .unwrap_or_default();
                    if !heard {
                        // Whoever shipped is gone, and so is what was shipping.
                        news.ended = true;
                        shipping = None;
                    }
                    self.learn(&news);
                }
                other => self.take(other),
            }
        }
    }

    /// Judges this moment, and tells what changed.
    fn step(&mut self, phase: &mut Phase, bake: Duration, now: Instant) -> Step {
        let out_of_time = now >= self.deadline;
        let mut step = judge(&self.expectation, &self.memory, *phase, now, out_of_time);
        for (id, standing) in &step.standings {
            if let Standing::Good { evidence, .. } = standing {
                self.memory.note_good(id, *evidence, now);
            }
        }
        if let Phase::Bake { until } = phase {
            match (step.good, *until) {
                (true, None) => {
                    *until = Some(now + bake);
                    step = judge(&self.expectation, &self.memory, *phase, now, out_of_time);
                }
                (false, Some(_)) => *until = None,
                // An update that was good at the next look already starts the bake anew, too.
                (true, Some(at)) => {
                    *until = Some(
                        self.memory
                            .last_update()
                            .map_or(at, |update| at.max(update + bake)),
                    );
                }
                (false, None) => {}
            }
        }
        self.tell(&step);
        step
    }

    fn tell(&mut self, step: &Step) {
        for (id, standing) in &step.standings {
            let word = standing.as_str();
            let (told, told_bad) = self.told.get(id).copied().unwrap_or_default();
            // What is bad is said when it is first seen, though it counts at its deadline alone.
            let is_bad = matches!(standing, Standing::Pending { mood: Mood::Bad, .. });
            if told == word && (told_bad || !is_bad) {
                continue;
            }
            let stays_bad = told_bad && !matches!(standing, Standing::Good { .. });
            self.told.insert(id.clone(), (word, is_bad || stays_bad));
            let Some(seen) = self.memory.instances.get(id) else {
                continue;
            };
            (self.on_change)(Change::Instance {
                id: id.clone(),
                region: seen.instance.region.clone(),
                group: seen.instance.group.clone().unwrap_or_default(),
                standing: word,
                reason: standing.reason().map(str::to_owned),
            });
        }
        if step.moved != self.moved {
            self.moved = step.moved;
            (self.on_change)(Change::Moved(step.moved));
        }
        self.waiting.set(step.waiting.clone());
    }

    /// Sends out what is due.
    fn look(&mut self, step: &mut Step, now: Instant) {
        for id in step.rouse.drain(..) {
            self.memory.note_roused(&id, now);
            self.list_pace.hurry(now);
        }
        for id in step.start.drain(..) {
            if self.starting.insert(id.clone()) {
                self.memory.note_start(&id, now);
                let witnesses = self.witnesses;
                self.in_flight.push(Box::pin(async move {
                    let done = witnesses.start(&id).await;
                    Came::Start { id, done }
                }));
            }
        }
        let due = self.list_pace.next <= now || step.needs_list;
        if due && !self.list_pace.in_flight && !(self.list_failures > 0 && self.list_pace.next > now) {
            self.list_pace.in_flight = true;
            self.list_begun = Some(now);
            let witnesses = self.witnesses;
            self.in_flight.push(Box::pin(async move {
                let list = witnesses.machines().await;
                Came::List { begun: now, list }
            }));
        }
        for id in self.asked() {
            let pace = self
                .probe_paces
                .entry(id.clone())
                .or_insert_with(|| Pace::now(now));
            if pace.in_flight || pace.next > now {
                continue;
            }
            pace.in_flight = true;
            let version = self.memory.instances[&id].instance.version.clone();
            let witnesses = self.witnesses;
            self.in_flight.push(Box::pin(async move {
                let answer = witnesses.probe(Some(&id)).await;
                Came::Answer {
                    id: Some(id),
                    version,
                    answer,
                }
            }));
        }
        if self.asks_shared() && !self.shared_pace.in_flight && self.shared_pace.next <= now {
            self.shared_pace.in_flight = true;
            let witnesses = self.witnesses;
            self.in_flight.push(Box::pin(async move {
                let answer = witnesses.probe(None).await;
                Came::Answer {
                    id: None,
                    version: String::new(),
                    answer,
                }
            }));
        }
    }

    /// Instances that are asked now: on this release and awake, or to be woken by it.
    fn asked(&self) -> Vec<String> {
        if !self.expectation.probe.address {
            return Vec::new();
        }
        let groups = self.expectation.group_names();
        let asked = self.memory.instances.values().filter(|seen| {
            let public = seen
                .instance
                .group
                .as_ref()
                .and_then(|group| self.expectation.groups.get(group))
                .is_some_and(|group| self.expectation.asks(group));
            let awake = seen.instance.state == InstanceState::Started;
            let on_target =
                seen.place.is_on_target() || (self.memory.ended.is_some() && self.is_untouched_target(seen));
            seen.present
                && public
                && on_target
                && (awake || (seen.roused && seen.is_down() && !seen.was_ever_good()))
                && seen.instance.counts(&groups)
        });
        asked.map(|seen| seen.instance.id.clone()).collect()
    }

    /// What a return need not have touched.
    fn is_untouched_target(&self, seen: &Seen) -> bool {
        let target = &self.expectation.target;
        self.expectation.kind == Kind::Return
            && target.is_untouched(&seen.instance, seen.updated)
            && target.agrees(&seen.instance, self.memory.digest.as_ref()) == Some(true)
    }

    fn asks_shared(&self) -> bool {
        self.expectation.probe.address && self.memory.ended.is_some() && self.list_failures >= SILENT_AFTER
    }

    /// The moment of the next look, if nothing comes back before.
    fn next_look(&self, step: &Step, now: Instant) -> Instant {
        let mut next = now + LONGEST;
        let mut consider = |at: Instant| {
            if at > now {
                next = next.min(at);
            }
        };
        if !self.list_pace.in_flight {
            consider(self.list_pace.next);
        }
        for id in self.asked() {
            if let Some(pace) = self.probe_paces.get(&id)
                && !pace.in_flight
            {
                consider(pace.next);
            }
        }
        if self.asks_shared() && !self.shared_pace.in_flight {
            consider(self.shared_pace.next);
        }
        if let Some(at) = step.next {
            consider(at);
        }
        consider(self.deadline);
        next
    }

    fn take(&mut self, came: Came) {
        let now = Instant::now();
        match came {
            Came::List { begun, list } => self.take_list(begun, list, now),
            Came::Answer { id, version, answer } => {
                let read = probe::read(
                    &answer,
                    self.expectation.probe.authority,
                    &self.expectation.identity.field,
                );
                self.take_answer(id, &version, &read, now);
            }
            Came::Start { id, done } => {
                self.starting.remove(&id);
                match done {
                    Ok(()) => {
                        self.memory.note_started(&id, now);
                        (self.on_change)(Change::Started(id));
                        self.list_pace.hurry(now);
                    }
                    Err(why) => {
                        self.memory.note_not_started(&id, now);
                        (self.on_change)(Change::NotStarted(id, why));
                    }
                }
            }
            Came::Told { .. } | Came::Tick => {}
        }
    }

    fn take_answer(&mut self, id: Option<String>, version: &str, read: &Probed, now: Instant) {
        let jitter = self.roll();
        let Some(id) = id else {
            self.memory.take_shared(&self.expectation, read, now);
            self.shared_pace.rest(now, jitter, LONGEST);
            return;
        };
        let was_bad = self.turned_bad(&id);
        self.memory
            .take_answer(&self.expectation, &id, version, read, now);
        if let Some(pace) = self.probe_paces.get_mut(&id) {
            if self
                .memory
                .instances
                .get(&id)
                .is_some_and(|seen| seen.answers.good == 1)
            {
                // The others in a row can follow sooner.
                pace.interval = SHORTEST;
            }
            pace.rest(now, jitter, LONGEST);
        }
        if !was_bad && self.turned_bad(&id) {
            // Whether it was updated meanwhile only a list can tell, and whether it is the network's fault another answer.
            self.list_pace.next = now;
            if let Some(pace) = self.probe_paces.get_mut(&id) {
                pace.hurry(now);
            }
        }
    }

    fn turned_bad(&self, id: &str) -> bool {
        self.memory
            .instances
            .get(id)
            .is_some_and(|seen| seen.was_good.is_some() && seen.answers.bad > 0)
    }

    fn take_list(&mut self, begun: Instant, list: Result<Vec<Instance>, String>, now: Instant) {
        if self.list_begun.is_some_and(|newest| begun < newest) {
            // flyctl has ended since: what counts is a list from after it, and that is under way.
            return;
        }
        let jitter = self.roll();
        match list {
            Ok(list) => {
                self.list_failures = 0;
                let before = self.look_of_all();
                self.memory.take_list(&self.expectation, list, begun, now);
                let after = self.look_of_all();
                self.list_pace.rest(now, jitter, LONGEST);
                if before != after {
                    self.list_pace.hurry(now);
                    for (id, look) in &after {
                        if before.get(id) != Some(look)
                            && let Some(pace) = self.probe_paces.get_mut(id)
                        {
                            pace.hurry(now);
                        }
                    }
                }
            }
            Err(why) => {
                self.list_failures += 1;
                self.memory.take_silence(why, now);
                self.list_pace.rest(now, jitter, LONGEST);
            }
        }
    }

    /// What is worth looking more often for when it changes.
    fn look_of_all(&self) -> BTreeMap<String, (String, String, usize)> {
        self.memory
            .instances
            .values()
            .filter(|seen| seen.present)
            .map(|seen| {
                let passing = seen
                    .instance
                    .checks
                    .iter()
                    .filter(|check| check.is_passing())
                    .count();
                let look = (
                    seen.instance.version.clone(),
                    seen.instance.state.as_str().to_owned(),
                    passing,
                );
                (seen.instance.id.clone(), look)
            })
            .collect()
    }

    /// Takes in what the shipping side knows.
    fn learn(&mut self, shipping: &Shipping) {
        let now = Instant::now();
        let target = &mut self.expectation.target;
        target.release = shipping.release.or(target.release);
        if let Some(image) = &shipping.image {
            let digest = target
                .image
                .take()
                .filter(|known| known.name == image.name)
                .and_then(|known| known.digest);
            target.image = Some(image.clone().with_digest(image.digest.clone().or(digest)));
        }
        if let Some(address) = shipping.address {
            if address && !self.expectation.probe.address {
                self.expectation.probe.reach = Reach::New;
            }
            self.expectation.probe.address = address;
        }
        if shipping.ended && self.memory.ended.is_none() {
            self.memory.ended = Some(now);
            // Not waiting for one that was asked for before.
            self.list_pace = Pace::now(now);
        }
        self.memory.place_all(&self.expectation);
    }

    /// A number from 0 to 1.
    fn roll(&mut self) -> f64 {
        self.jitter = self
            .jitter
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.jitter >> 33).unwrap_or(0)) / f64::from(u32::MAX >> 1)
    }
}

/// The last list never came back.
fn no_last_look() -> Judgement {
    let mut judgement = Judgement::nothing();
    judgement.verdict = Verdict::Inconclusive;
    judgement
        .reasons
        .push("time ran out, and no list of the instances came back after that".to_owned());
    judgement
}
