//! Whether a world is good. Imports nothing of what it judges.

use super::world::{Before, Fate, Health, Kind, Machine, Role, World};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Truth {
    Good,
    Bad,
}

/// Good: in every group, as many machines as before run the new image and are well, or sleep and would be. A return
/// makes no new ones for those that were destroyed: what is left is well.
pub(super) fn truth(world: &World) -> Truth {
    let counts = |machine: &&Machine| {
        let put_away = machine.before == Before::StoppedOnRequest
            && !world.group(machine).autostop
            && (machine.left_down || machine.fate == Fate::Stays);
        machine.role == Role::Regular && !put_away
    };
    let well = |machine: &&Machine| {
        let moved = matches!(machine.fate, Fate::Updated | Fate::UpdatedAgain);
        let healthy = matches!(machine.health, Health::Good { .. } | Health::CrashesOnce);
        moved && healthy && !machine.host_lost && !machine.cordoned
    };
    let counted: Vec<&Machine> = world.machines.iter().filter(counts).collect();
    let there: Vec<&Machine> = counted
        .iter()
        .copied()
        .filter(|machine| machine.fate != Fate::Lost)
        .collect();
    let full = (0..world.groups.len()).all(|group| {
        let of = |machine: &&&Machine| machine.group == group;
        let kept = |machine: &&&Machine| world.kind != Kind::Return && machine.before != Before::Absent;
        let needed = counted.iter().filter(of).filter(kept).count();
        there.iter().filter(of).count() >= needed.max(1)
    });
    let spread = world
        .regions
        .iter()
        .all(|region| there.iter().any(|machine| machine.region == *region));
    if full && spread && there.iter().all(well) {
        Truth::Good
    } else {
        Truth::Bad
    }
}
