//! Machines for process groups that have none: on a first deployment, for a new group, and for one that was emptied.

use serde_json::json;

use super::deploy::Deployment;
use super::failure::Failure;
use super::update::Mark;

/// How many machines a new group gets, and whether a standby beside its only one.
pub(super) fn count(deployment: &Deployment<'_>, group: &str) -> (usize, bool) {
    let spare = deployment.session.arguments.switch("ha", true);
    let public = deployment.config.has_services(group);
    match (spare, public) {
        (true, true) => (2, false),
        (true, false) => (1, true),
        (false, _) => (1, false),
    }
}

pub(super) async fn new_groups(deployment: &Deployment<'_>, groups: &[String]) -> Result<(), Failure> {
    for (index, group) in groups.iter().enumerate() {
        let mark = Mark::new(index, groups.len());
        deployment.say(&mark, "Launching new machine");
        deployment
            .session
            .out(&format!("No machines in group {group}, launching a new machine"));
        let first = spawn(deployment, group, &mark).await?;
        let (count, standby) = count(deployment, group);
        let done = Mark {
            glyph: "✔",
            number: mark.number,
        };
        if count > 1 {
            deployment
                .session
                .out("Creating a second machine to increase service availability");
            spawn(deployment, group, &done).await?;
        } else if standby {
            deployment
                .session
                .out(&format!("Creating a standby machine for {first}"));
            create(deployment, group, &done, Some(&first)).await?;
        }
    }
    deployment.session.err("Finished launching new machines");
    Ok(())
}

/// Makes a machine and waits for it as for an updated one.
async fn spawn(deployment: &Deployment<'_>, group: &str, mark: &Mark) -> Result<String, Failure> {
    let id = create(deployment, group, mark, None).await?;
    if deployment.detach {
        return Ok(id);
    }
    let name = format!("{id} [{group}]");
    let told = |glyph: &'static str, text: &str| {
        deployment.say(
            &Mark {
                glyph,
                number: mark.number.clone(),
            },
            &format!("Machine {name} {text}"),
        );
    };
    match settle(deployment, &id, &name, mark).await {
        Ok(()) => {
            told("✔", "update finished: success");
            Ok(id)
        }
        Err(failure) => {
            told("✖", &format!("update failed: {}", failure.message));
            Err(failure)
        }
    }
}

/// Waits for a machine that was just made: a smoke check is announced before it is started.
pub(super) async fn settle(
    deployment: &Deployment<'_>,
    id: &str,
    name: &str,
    mark: &Mark,
) -> Result<(), Failure> {
    if deployment.smoke {
        deployment.say(mark, &format!("Checking that {name} is up and running"));
    }
    deployment.say(mark, &format!("Waiting for {name} to have state: started"));
    let mut at = deployment.wait_started(id).await?;
    deployment.say(mark, &format!("Machine {name} has state: started"));
    if deployment.smoke {
        at = deployment.smoke_check(id, at).await?;
    }
    deployment.wait_healthy(id, name, mark, at).await
}

/// Makes one machine; a standby is not launched.
async fn create(
    deployment: &Deployment<'_>,
    group: &str,
    mark: &Mark,
    standby_for: Option<&str>,
) -> Result<String, Failure> {
    let mut config = deployment.machine_config(group, None);
    if let Some(id) = standby_for {
        config["standbys"] = json!([id]);
    }
    let region = deployment.config.primary_region().to_owned();
    let path = deployment.path("");
    let app = &deployment.app;
    let (id, nonce) = deployment
        .session
        .call(deployment.machines_call("POST", &path), |world, now| {
            let id = world.create_machine(app, &region, config, standby_for.is_some(), now)?;
            let nonce = world.lease(app, &id, None, None, deployment.wait, now)?;
            Ok((id, nonce))
        })
        .await
        .map_err(|error| error.within("error creating a new machine: failed to launch VM"))?;
    deployment.holds(&id, nonce);
    deployment.say(mark, &format!("Machine {id} [{group}] was created"));
    Ok(id)
}
