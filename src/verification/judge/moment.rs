//! One moment for tests of the judge: who was listed, who answered what and when, and what follows from it.
//!
//! Times are whole seconds from the beginning of the verification.

use std::time::Duration;

use tokio::time::Instant;

use super::{Phase, Step, judge};
use crate::effect::http::Answer;
use crate::instance::{Instance, InstanceState};
use crate::verification::Judgement;
use crate::verification::expectation::Expectation;
use crate::verification::memory::Memory;
use crate::verification::probe;
use crate::verification::stage::{Stage, good};
use crate::verification::standing::Standing;

pub(super) struct Moment {
    began: Instant,
    expectation: Expectation,
    /// What the next list shows.
    instances: Vec<Instance>,
    memory: Memory,
    out_of_time: bool,
}

impl Moment {
    /// With the instances and the expectation of `stage`; nobody has looked yet.
    pub(super) fn of(stage: Stage) -> Self {
        let Stage {
            cast, expectation, ..
        } = stage;
        let began = Instant::now();
        Self {
            began,
            memory: Memory::new(&expectation, began),
            expectation,
            instances: cast.into_inner().unwrap().instances,
            out_of_time: false,
        }
    }

    /// flyctl ended at 10 s; the first list came at 20 s, and all that were awake then had answered well.
    pub(super) fn settled(stage: Stage) -> Self {
        Self::of(stage).ended(10).listed(20).all_answer(20, &good("v2"))
    }

    pub(super) fn instant(&self, at: u64) -> Instant {
        self.began + Duration::from_secs(at)
    }

    pub(super) fn ended(mut self, at: u64) -> Self {
        self.memory.ended = Some(self.instant(at));
        self
    }

    pub(super) fn out_of_time(mut self) -> Self {
        self.out_of_time = true;
        self
    }

    /// From now on the lists show `id` as `change` makes it.
    pub(super) fn one(mut self, id: &str, change: impl FnOnce(&mut Instance)) -> Self {
        let one = self.instances.iter_mut().find(|one| one.id == id);
        change(one.unwrap());
        self
    }

    /// A list was asked for, and came at once.
    pub(super) fn listed(mut self, at: u64) -> Self {
        let now = self.instant(at);
        self.memory
            .take_list(&self.expectation, self.instances.clone(), now, now);
        self
    }

    pub(super) fn silent_since(mut self, at: u64) -> Self {
        self.memory.take_silence("status 500".into(), self.instant(at));
        self
    }

    /// `id` gives the same answer so many times in a row; `*` is the shared address.
    pub(super) fn answers(mut self, at: u64, id: &str, answer: &Answer, times: u32) -> Self {
        let now = self.instant(at);
        let plan = &self.expectation;
        let read = probe::read(answer, plan.probe.authority, &plan.identity.field);
        for _ in 0..times {
            if id == "*" {
                self.memory.take_shared(plan, &read, now);
            } else {
                let version = self.memory.instances[id].instance.version.clone();
                self.memory.take_answer(plan, id, &version, &read, now);
            }
        }
        self
    }

    /// All that run give as many of these answers as are needed, where answers are asked for.
    pub(super) fn all_answer(mut self, at: u64, answer: &Answer) -> Self {
        let needed = self.expectation.probe.successes;
        for one in self.instances.clone() {
            let group = one.group.as_ref().map(|group| &self.expectation.groups[group]);
            let asked = group.is_some_and(|group| self.expectation.asks(group));
            if asked && one.state == InstanceState::Started {
                self = self.answers(at, &one.id, answer, needed);
            }
        }
        self
    }

    /// Judged, and what follows is done as the watch does it: who is good is remembered, sleepers are asked to wake,
    /// and each command to start something gets through.
    pub(super) fn looked(mut self, at: u64) -> Self {
        let now = self.instant(at);
        let step = self.at(at);
        for (id, standing) in &step.standings {
            if let Standing::Good { evidence, .. } = standing {
                self.memory.note_good(id, *evidence, now);
            }
        }
        for id in &step.rouse {
            self.memory.note_roused(id, now);
        }
        for id in &step.start {
            self.memory.note_start(id, now);
            self.memory.note_started(id, now);
        }
        self
    }

    /// The watch rested until now, while another service shipped.
    pub(super) fn rested(mut self, at: u64) -> Self {
        self.memory.forget_answers(self.instant(at));
        self
    }

    fn judged(&self, phase: Phase, at: u64) -> Step {
        judge(
            &self.expectation,
            &self.memory,
            phase,
            self.instant(at),
            self.out_of_time,
        )
    }

    pub(super) fn at(&self, at: u64) -> Step {
        self.judged(Phase::Verify, at)
    }

    pub(super) fn baking_at(&self, until: Option<u64>, at: u64) -> Step {
        let until = until.map(|until| self.instant(until));
        self.judged(Phase::Bake { until }, at)
    }

    /// The verdict that there has to be by now.
    #[track_caller]
    pub(super) fn verdict_at(&self, case: &str, at: u64) -> Judgement {
        let step = self.at(at);
        let waiting = step.waiting;
        *step
            .decided
            .unwrap_or_else(|| panic!("{case}: waits for {waiting}"))
    }
}
