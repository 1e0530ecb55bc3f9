//! Throws worlds: a good one, a bad one (a good one with something wrong), or any.

use super::world::{Before, Fate, Flyctl, Group, Health, Kind, Machine, Role, Sight, Way, World};

/// What is asked of the dice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mood {
    Good,
    Bad,
    Any,
}

impl Mood {
    /// A quarter good, a quarter bad, and half of them whatever comes.
    pub(super) fn of(seed: u64) -> Self {
        match seed / 2 % 4 {
            0 => Self::Good,
            1 => Self::Bad,
            _ => Self::Any,
        }
    }
}

/// A small generator, the same on every machine.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x0123_4567_89ab_cdef)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).unwrap()]
    }

    pub(super) fn world(&mut self, mood: Mood) -> World {
        let mut world = self.good();
        match mood {
            Mood::Good => {}
            Mood::Bad => self.spoil(&mut world),
            Mood::Any => {
                for _ in 0..self.below(3) {
                    self.spoil(&mut world);
                }
                self.take_away(&mut world);
            }
        }
        world
    }

    fn good(&mut self) -> World {
        let kind = self.pick(&[
            Kind::Forward,
            Kind::Forward,
            Kind::Forward,
            Kind::Rollback,
            Kind::Return,
            Kind::Live,
        ]);
        let mut groups = vec![self.group("app", true)];
        if self.chance(25) {
            let group = self.group("worker", false);
            groups.push(group);
        }
        let mut world = World {
            kind,
            groups,
            machines: Vec::new(),
            regions: Vec::new(),
            flyctl: Flyctl {
                ends_ms: 0,
                exit_code: self.pick(&[0, 0, 1, 2, 126, 127]),
                words: self.pick(&["", "Error: smoke checks failed", "Visit your newly deployed app"]),
                names_release: kind != Kind::Live && self.chance(50),
                names_digest: kind != Kind::Live && self.chance(50),
            },
            sight: self.sight(kind),
        };
        for group in 0..world.groups.len() {
            for _ in 0..=self.below(3) {
                let machine = self.machine(&world, group);
                world.machines.push(machine);
            }
        }
        self.bystanders(&mut world);
        let last = world
            .machines
            .iter()
            .map(|machine| machine.updated_ms)
            .max()
            .unwrap_or(0);
        world.flyctl.ends_ms = if kind == Kind::Live {
            0
        } else {
            last + self.below(5000)
        };
        if self.chance(20) {
            world.regions.push(world.machines[0].region);
        }
        world
    }

    fn group(&mut self, name: &'static str, public: bool) -> Group {
        let autostop = self.chance(30);
        Group {
            name,
            public,
            autostop,
            wakes: self.chance(70),
            min_running: usize::try_from(if autostop { self.below(3) } else { 0 }).unwrap(),
            checks: usize::try_from(self.below(3)).unwrap(),
        }
    }

    fn sight(&mut self, kind: Kind) -> Sight {
        let root_404 = self.chance(10);
        let prints_release = self.chance(85);
        Sight {
            prints_hosts: self.chance(50),
            prints_instance_id: self.chance(90),
            prints_release,
            prints_services: self.chance(85),
            same_image: prints_release && kind == Kind::Forward && self.chance(8),
            lists_lost: self.pick(&[0, 0, 5, 20]),
            checks_lost: self.pick(&[0, 0, 3]),
            api_gone_ms: None,
            way: if self.chance(12) {
                Way::NoAddress
            } else {
                Way::Open
            },
            root_404,
            names_version: !root_404 && self.chance(60),
        }
    }

    fn machine(&mut self, world: &World, group: usize) -> Machine {
        let autostop = world.groups[group].autostop;
        let live = world.kind == Kind::Live;
        let before = match (autostop, live) {
            (true, true) => self.pick(&[Before::Started, Before::StoppedOnRequest, Before::Suspended]),
            (false, true) => self.pick(&[Before::Started, Before::Started, Before::StoppedOnRequest]),
            (true, false) => self.pick(&[
                Before::Started,
                Before::StoppedOnRequest,
                Before::StoppedOnRequest,
                Before::Suspended,
                Before::Crashed,
            ]),
            (false, false) => self.pick(&[
                Before::Started,
                Before::Started,
                Before::Started,
                Before::Absent,
                Before::Crashed,
                Before::StoppedOnRequest,
            ]),
        };
        let down = matches!(
            before,
            Before::StoppedOnRequest | Before::Suspended | Before::Crashed
        );
        let first = !world.machines.iter().any(|machine| machine.group == group);
        // A group that a person put away wholly is no case of its own here.
        let before = if first && !autostop {
            Before::Started
        } else {
            before
        };
        Machine {
            id: format!("m{}", world.machines.len()),
            group,
            role: Role::Regular,
            region: self.pick(&["fra", "fra", "iad"]),
            before,
            fate: if self.chance(5) {
                Fate::UpdatedAgain
            } else {
                Fate::Updated
            },
            updated_ms: if live { 0 } else { 300 + self.below(5000) },
            left_down: before != Before::Started && down && (live || self.chance(70)),
            health: if self.chance(10) && !live {
                Health::CrashesOnce
            } else {
                Health::Good {
                    after_ms: self.pick(&[0, 500, 2000, 5000]),
                }
            },
            host_lost: false,
            cordoned: false,
        }
    }

    /// Machines that no verdict may look at.
    fn bystanders(&mut self, world: &mut World) {
        if !self.chance(20) {
            return;
        }
        let mut machine = self.machine(world, 0);
        machine.role = self.pick(&[Role::Standby, Role::Canary, Role::ReleaseCommand, Role::Foreign]);
        machine.fate = Fate::Stays;
        machine.before = self.pick(&[Before::Started, Before::Crashed, Before::StoppedOnRequest]);
        world.machines.push(machine);
    }

    /// Makes one thing wrong that can be seen.
    fn spoil(&mut self, world: &mut World) {
        let counted: Vec<usize> = (0..world.machines.len())
            .filter(|index| {
                let machine = &world.machines[*index];
                machine.role == Role::Regular
                    && (world.groups[machine.group].autostop || machine.before != Before::StoppedOnRequest)
            })
            .collect();
        let index = self.pick(&counted);
        let made = world.machines[index].before == Before::Absent;
        let live = world.kind == Kind::Live;
        let others = counted
            .iter()
            .filter(|other| world.machines[**other].group == world.machines[index].group)
            .count();
        match self.below(10) {
            0 if !made && !live && (world.sight.prints_release || !world.sight.same_image) => {
                world.machines[index].fate = Fate::Stays;
            }
            0 if live && others > 1 => world.machines[index].fate = Fate::Taken,
            1 if !live => world.machines[index].fate = Fate::Taken,
            2 if !made
                && !live
                && !Self::makes(world, index)
                && (others == 1 || world.kind != Kind::Return) =>
            {
                world.machines[index].fate = Fate::Lost;
            }
            3 if world.sight.prints_hosts && world.kind != Kind::Return => {
                world.machines[index].host_lost = true;
            }
            4 if world.sight.prints_hosts => world.machines[index].cordoned = true,
            5 if live => world.regions.push("syd"),
            _ => self.sicken(world, index),
        }
    }

    /// Whether another machine is made in the place of this one.
    fn makes(world: &World, index: usize) -> bool {
        let group = world.machines[index].group;
        world.machines.iter().any(|machine| {
            machine.group == group && matches!(machine.before, Before::Absent | Before::StoppedOnRequest)
        })
    }

    fn sicken(&mut self, world: &mut World, index: usize) {
        let group = world.machines[index].group;
        let mut ways = vec![Health::CrashLoop, Health::FailedState, Health::Dies];
        if world.groups[group].checks > 0 {
            ways.extend([Health::Answers503, Health::Hangs, Health::TurnsBad]);
        }
        if world.groups[group].public && world.sight.way == Way::Open {
            ways.extend([
                Health::Answers503,
                Health::Hangs,
                Health::Cuts,
                Health::Flaps,
                Health::TurnsBad,
            ]);
            if !world.sight.root_404 {
                ways.extend([Health::SaysUnhealthy, Health::Redirects]);
            }
            if world.sight.names_version && !world.sight.same_image && world.kind != Kind::Live {
                ways.extend([Health::OldVersion, Health::Page]);
            }
        }
        let health = self.pick(&ways);
        // Sleepers run one image: what is wrong with it is wrong with all of them.
        for (other, machine) in world.machines.iter_mut().enumerate() {
            if other == index || (world.groups[group].autostop && machine.group == group) {
                machine.health = health;
            }
        }
    }

    /// Takes a witness away; what is wrong then has to show elsewhere, or the verdict has to be left open.
    fn take_away(&mut self, world: &mut World) {
        match self.below(8) {
            0 => world.sight.api_gone_ms = Some(self.below(20_000)),
            // Without checks nothing tells a lost way from a lost app.
            1 if world.groups.iter().all(|group| group.checks > 0 || !group.public) => {
                world.sight.way = Way::Gone;
            }
            2 => world.sight.way = Way::NotAsked,
            3 => world.sight.way = Way::NeverOpen,
            _ => return,
        }
        if matches!(world.sight.way, Way::Gone | Way::NotAsked | Way::NeverOpen) {
            let shows = |health: Health, checks: usize| match health {
                Health::Answers503 | Health::Hangs | Health::TurnsBad => checks > 0,
                Health::Cuts
                | Health::Flaps
                | Health::SaysUnhealthy
                | Health::OldVersion
                | Health::Page
                | Health::Redirects => false,
                _ => true,
            };
            for machine in &mut world.machines {
                if !shows(machine.health, world.groups[machine.group].checks) {
                    machine.health = Health::CrashLoop;
                }
            }
        }
    }
}
