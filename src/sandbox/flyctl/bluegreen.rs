//! New machines beside the old ones, which go when all new ones are well; a failure or a signal before that takes
//! the new ones away (captures `deploy_bluegreen*`, `deploy_sigint_bluegreen`).

use super::super::file;
use super::super::machine::Machine;
use super::super::world::Millis;
use super::deploy::Deployment;
use super::failure::Failure;

/// A green machine and the blue one that it stands beside.
struct Green<'a> {
    id: String,
    blue: &'a Machine,
}

pub(super) async fn run(deployment: &Deployment<'_>, blue: &[&Machine]) -> Result<(), Failure> {
    let mut green = Vec::new();
    let result = replace(deployment, blue, &mut green).await;
    let Err(mut failure) = result else { return Ok(()) };
    if deployment.session.is_canceled() {
        deployment.session.err("");
        let context = failure.message.split(':').next().unwrap_or_default().to_owned();
        failure = Failure::new(format!("{context}: deployment aborted by user"));
    }
    deployment
        .session
        .err(&format!("Deployment failed after error: {}", failure.message));
    let _ = deployment.session.world.change(|world, now| {
        for machine in &green {
            let _ = world.destroy_machine(&deployment.app, &machine.id, None, now);
        }
    });
    Err(failure)
}

async fn replace<'a>(
    deployment: &Deployment<'_>,
    blue: &[&'a Machine],
    green: &mut Vec<Green<'a>>,
) -> Result<(), Failure> {
    let session = deployment.session;
    session.err("\nCreating green machines");
    for machine in blue {
        let id = create(deployment, machine).await?;
        session.err(&format!("  Created machine {id} [{}]", machine.group()));
        green.push(Green { id, blue: machine });
    }
    session.err("\nWaiting for all green machines to start");
    for machine in green.iter() {
        deployment
            .wait_started(&machine.id)
            .await
            .map_err(|failure| Failure {
                message: format!(
                    "could not get all green machines into started state: {}",
                    failure.message
                ),
                ..failure
            })?;
        session.err(&format!(
            "  Machine {} [{}] - started",
            machine.id,
            machine.blue.group()
        ));
    }
    session.err("\nWaiting for all green machines to be healthy");
    for machine in green.iter() {
        session.err(&format!(
            "  Machine {} [{}] - unchecked",
            machine.id,
            machine.blue.group()
        ));
    }
    wait_healthy(deployment, green).await?;
    session.err("\nMarking green machines as ready");
    for machine in green.iter() {
        let path = deployment.path(&format!("/{}/uncordon", machine.id));
        session
            .call(deployment.machines_call("POST", &path), |world, _| {
                world.machine_mut(&deployment.app, &machine.id)?.cordoned = false;
                Ok(())
            })
            .await
            .map_err(|error| error.within("could not mark all green machines as ready"))?;
        session.err(&format!(
            "  Machine {} [{}] now ready",
            machine.id,
            machine.blue.group()
        ));
    }
    session.err("\nDestroying all blue machines");
    for machine in blue {
        let path = deployment.path(&format!("/{}", machine.id));
        let nonce = deployment.nonce(&machine.id);
        session
            .call(deployment.machines_call("DELETE", &path), |world, now| {
                world.destroy_machine(&deployment.app, &machine.id, nonce.as_deref(), now)
            })
            .await
            .map_err(|error| error.within("could not destroy all blue machines"))?;
        session.err(&format!(
            "  Machine {} [{}] destroyed",
            machine.id,
            machine.group()
        ));
    }
    session.err("\nDeployment Complete");
    // What was made is no longer to be taken away.
    green.clear();
    Ok(())
}

/// A green machine is not registered with the proxy until it is marked as ready.
async fn create(deployment: &Deployment<'_>, blue: &Machine) -> Result<String, Failure> {
    let config = deployment.machine_config(blue.group(), Some(&blue.config));
    let path = deployment.path("");
    deployment
        .session
        .call(deployment.machines_call("POST", &path), |world, now| {
            let id = world.create_machine(&deployment.app, &blue.region, config, false, now)?;
            world.machine_mut(&deployment.app, &id)?.cordoned = true;
            Ok(id)
        })
        .await
        .map_err(|error| error.within("could not create all green machines: failed to launch VM"))
}

/// flyctl tells the count of passing checks for the first time this long after the start, in seconds.
const FIRST_COUNT: f64 = 1.5;

async fn wait_healthy(deployment: &Deployment<'_>, green: &[Green<'_>]) -> Result<(), Failure> {
    const CONTEXT: &str = "could not get all green machines to be healthy";
    let mut seen = vec![None; green.len()];
    let mut at = None;
    loop {
        deployment.renew_leases();
        let path = deployment.path("");
        let looked = deployment
            .session
            .call(deployment.machines_call("GET", &path), |world, now| {
                let app = &world.apps[&deployment.app];
                let machines: Vec<&Machine> = green.iter().filter_map(|one| app.machine(&one.id)).collect();
                let started = machines
                    .iter()
                    .filter_map(|machine| machine.started_at)
                    .max()
                    .unwrap_or(now);
                let deadline = started + world.span(deployment.wait);
                let at = at.unwrap_or(started + world.span(FIRST_COUNT)).min(deadline);
                let mut counts = Vec::new();
                let mut next = deadline;
                for machine in machines {
                    let checks = world.checks(app, machine, at);
                    let passing = checks.iter().filter(|check| check.status == "passing").count();
                    counts.push((passing, checks.len()));
                    next = next.min(world.next_change(app, machine, at).unwrap_or(Millis::MAX));
                }
                Ok((counts, at, next, deadline, now))
            })
            .await;
        let (counts, looked_at, next, deadline, now) = looked.map_err(|error| error.within(CONTEXT))?;
        if now < looked_at {
            at = Some(looked_at);
            deployment.session.pause_until(Some(looked_at)).await;
            continue;
        }
        for ((machine, count), seen) in green.iter().zip(&counts).zip(&mut seen) {
            if count.1 > 0 && *seen != Some(*count) {
                *seen = Some(*count);
                deployment.session.err(&format!(
                    "  Machine {} [{}] - {}/{} passing",
                    machine.id,
                    machine.blue.group(),
                    count.0,
                    count.1
                ));
            }
        }
        if counts.iter().all(|(passing, all)| passing == all) {
            return Ok(());
        }
        if looked_at >= deadline {
            return Err(Failure::timeout(
                format!("{CONTEXT}: wait timeout"),
                "wait-timeout",
            ));
        }
        if next > now {
            deployment.session.pause_until(Some(next)).await;
        }
        at = Some(file::now().min(next).max(looked_at));
    }
}
