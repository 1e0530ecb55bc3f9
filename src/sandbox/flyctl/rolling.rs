//! Machines updated in place: one after the other in each group, the groups side by side; or all at once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::super::machine::Machine;
use super::deploy::{Deployment, Strategy};
use super::failure::Failure;
use super::update::Mark;

/// The part of a group that may be down at once, unless a flag or the file says otherwise.
const MAX_UNAVAILABLE: f64 = 0.33;

pub(super) async fn run(deployment: &Deployment<'_>, machines: &[&Machine]) -> Result<(), Failure> {
    let mut groups: BTreeMap<&str, Vec<&Machine>> = BTreeMap::new();
    for machine in machines {
        groups.entry(machine.group()).or_default().push(machine);
    }
    let count = machines.len();
    let mut index = 0;
    let numbered: Vec<Vec<(Mark, &Machine)>> = groups
        .into_values()
        .map(|members| {
            let number = |machine| {
                index += 1;
                (Mark::new(index - 1, count), machine)
            };
            members.into_iter().map(number).collect()
        })
        .collect();
    if deployment.strategy == Strategy::Immediate {
        return immediately(deployment, &numbered).await;
    }
    // The first failure keeps the other groups from starting another machine.
    let failed = RefCell::new(None);
    join_all(numbered.iter().map(|members| group(deployment, members, &failed))).await;
    match failed.into_inner() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// One machine alone, then as many at once as may be down.
async fn group(deployment: &Deployment<'_>, members: &[(Mark, &Machine)], failed: &RefCell<Option<Failure>>) {
    let width = width(deployment, members.len());
    let mut rest = members;
    let mut take = 1;
    while !rest.is_empty() && failed.borrow().is_none() {
        let (now, later) = rest.split_at(take.min(rest.len()));
        let results = join_all(now.iter().map(|(mark, machine)| deployment.update(machine, mark))).await;
        if let Some(failure) = results.into_iter().find_map(Result::err) {
            failed.borrow_mut().get_or_insert(failure);
        }
        rest = later;
        take = width;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a handful of machines"
)]
fn width(deployment: &Deployment<'_>, members: usize) -> usize {
    let flag = deployment
        .session
        .arguments
        .value("max-unavailable")
        .and_then(|value| value.parse().ok());
    let limit: f64 = flag
        .or(deployment.config.max_unavailable())
        .unwrap_or(MAX_UNAVAILABLE);
    let count = if limit < 1.0 {
        (limit * members as f64).ceil()
    } else {
        limit
    };
    (count as usize).max(1)
}

/// Every machine is told; none is waited for.
async fn immediately(deployment: &Deployment<'_>, numbered: &[Vec<(Mark, &Machine)>]) -> Result<(), Failure> {
    let mut result = Ok(());
    let mut told = Vec::new();
    for (mark, machine) in numbered.iter().flatten() {
        let name = format!("{} [{}]", machine.id, machine.group());
        let sent = deployment.send_update(machine, &name, mark).await;
        told.push((mark, name, sent));
    }
    for (mark, name, sent) in told {
        let glyph = if sent.is_ok() { "✔" } else { "✖" };
        let mark = Mark {
            glyph,
            number: mark.number.clone(),
        };
        match sent {
            Ok(_) => deployment.say(&mark, &format!("Machine {name} update succeeded")),
            Err(failure) => {
                deployment.say(
                    &mark,
                    &format!("Machine {name} update failed: {}", failure.message),
                );
                result = Err(failure);
            }
        }
    }
    result
}
