//! What is true of a world: where each machine ends up, how its app behaves, and what can be seen of it.

/// How long everything is watched after a good verdict.
pub(super) const BAKE_S: u64 = 6;
/// For a machine to turn good after its update, in seconds.
pub(super) const TIMEOUT_S: u64 = 10;

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) kind: Kind,
    pub(super) groups: Vec<Group>,
    pub(super) machines: Vec<Machine>,
    /// Regions that have to have an instance.
    pub(super) regions: Vec<&'static str>,
    pub(super) flyctl: Flyctl,
    pub(super) sight: Sight,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Forward,
    Rollback,
    Return,
    Live,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) public: bool,
    pub(super) autostop: bool,
    /// A request wakes its sleepers.
    pub(super) wakes: bool,
    pub(super) min_running: usize,
    pub(super) checks: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) id: String,
    /// Index of its group; its role decides whether it counts there.
    pub(super) group: usize,
    pub(super) role: Role,
    pub(super) region: &'static str,
    pub(super) before: Before,
    pub(super) fate: Fate,
    /// When flyctl updates it, in milliseconds.
    pub(super) updated_ms: u64,
    /// flyctl updates it and does not start it.
    pub(super) left_down: bool,
    pub(super) health: Health,
    pub(super) host_lost: bool,
    pub(super) cordoned: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Regular,
    Standby,
    Canary,
    ReleaseCommand,
    /// Of a group that no file names.
    Foreign,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Before {
    /// It is made by this deployment.
    Absent,
    Started,
    StoppedOnRequest,
    Suspended,
    Crashed,
}

/// What becomes of its image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Updated,
    /// Updated, and then once more by a newer release of the same image.
    UpdatedAgain,
    Stays,
    /// A newer release of somebody else with another image.
    Taken,
    /// It is gone in the end.
    Lost,
}

/// How the app behaves on the new release.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Health {
    /// After so many milliseconds.
    Good {
        after_ms: u64,
    },
    /// It crashes at its first start and is well after the next.
    CrashesOnce,
    CrashLoop,
    /// The platform gives up on it.
    FailedState,
    Answers503,
    Hangs,
    Cuts,
    /// Every second answer is 503.
    Flaps,
    /// 200, and the body says `unhealthy`.
    SaysUnhealthy,
    OldVersion,
    /// 200 with a page where a version was.
    Page,
    /// A redirect on a path that promised better.
    Redirects,
    /// Well at first, then it answers 503.
    TurnsBad,
    /// Well at first, then it exits.
    Dies,
}

/// What flyctl says and does for itself; thrown without looking at the rest.
#[derive(Clone, Debug)]
pub(super) struct Flyctl {
    pub(super) ends_ms: u64,
    pub(super) exit_code: i32,
    pub(super) words: &'static str,
    pub(super) names_release: bool,
    pub(super) names_digest: bool,
}

/// What can be seen of the world.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// This flyctl prints `host_status` and `cordoned`.
    pub(super) prints_hosts: bool,
    pub(super) prints_instance_id: bool,
    pub(super) prints_release: bool,
    pub(super) prints_services: bool,
    /// Only the configuration changes; the image is the one from before.
    pub(super) same_image: bool,
    /// Lists that fail, of a hundred.
    pub(super) lists_lost: u64,
    /// Machines whose checks a list leaves out, of a hundred.
    pub(super) checks_lost: u64,
    /// From here on no list comes any more, in milliseconds.
    pub(super) api_gone_ms: Option<u64>,
    pub(super) way: Way,
    /// The path is `/`, and answers 404 although all is well.
    pub(super) root_404: bool,
    pub(super) names_version: bool,
}

/// The way to the app's address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    Open,
    /// Nothing public, or nothing that is asked.
    NoAddress,
    NeverOpen,
    /// Open before, and gone now.
    Gone,
    NotAsked,
}

impl Flyctl {
    /// What a script that believes it would make of it.
    pub(super) fn says_good(&self) -> bool {
        self.exit_code == 0 && !self.words.starts_with("Error")
    }
}

impl World {
    /// Something that could have spoken cannot.
    pub(super) fn takes_a_witness(&self) -> bool {
        self.sight.api_gone_ms.is_some() || matches!(self.sight.way, Way::Gone | Way::NotAsked)
    }

    pub(super) fn group(&self, machine: &Machine) -> &Group {
        &self.groups[machine.group]
    }
}
