//! The release command: a machine of its own that runs it and goes; machines of the app wait for it.

use serde_json::json;

use super::super::world::Millis;
use super::deploy::Deployment;
use super::failure::Failure;

/// What precedes every failure here.
const CONTEXT: &str = "release command failed - aborting deployment.";
const TIMEOUT: &str = "timeout reached waiting for machine's state to change";

pub(super) async fn run(deployment: &Deployment<'_>) -> Result<(), Failure> {
    let Some(command) = deployment.config.release_command() else {
        return Ok(());
    };
    let session = deployment.session;
    session.err(&format!("Running {} release_command: {command}", deployment.app));
    let id = create(deployment, command).await?;
    session.out(&format!("> Created release_command machine {id}"));
    session.out(&format!("> Waiting for {id} to have state: started"));
    deployment
        .wait_started(&id)
        .await
        .map_err(|failure| failed(deployment, &id, failure, "start"))?;
    session.out(&format!("> Machine {id} has state: started"));
    session.out(&format!("> Waiting for {id} to have state: destroyed"));
    let code = wait_finished(deployment, &id).await?;
    session.out(&format!("> Machine {id} has state: destroyed"));
    session.out(&format!("> Waiting for {id} to get exit event"));
    if code == 0 {
        session.out(&format!("✔ release_command {id} completed successfully"));
        return Ok(());
    }
    session.out("✖ release_command failed");
    session.err(&format!(
        "Error release_command failed running on machine {id} with exit code {code}."
    ));
    session.err(&format!(
        "Check its logs: here's the last 100 lines below, or run 'fly logs -i {id}':"
    ));
    for line in deployment.log_lines(&id, Millis::MAX) {
        session.err(&format!("  {line}"));
    }
    let text = format!("error release_command machine {id} exited with non-zero status of {code}");
    session.out(&format!("✖ Failed: {text}"));
    Err(Failure::new(format!("{CONTEXT} {text}")))
}

/// Says how it failed, and keeps the suggestion.
fn failed(deployment: &Deployment<'_>, id: &str, failure: Failure, step: &str) -> Failure {
    let text = format!(
        "error waiting for release_command machine {id} to {step}: {}",
        failure.message
    );
    deployment.session.out(&format!("✖ Failed: {text}"));
    if failure.canceled {
        deployment.remark();
    }
    Failure {
        message: format!("{CONTEXT} {text}"),
        ..failure
    }
}

async fn create(deployment: &Deployment<'_>, command: &str) -> Result<String, Failure> {
    let group = deployment.config.groups().remove(0);
    let mut config = deployment.machine_config(&group, None);
    config["env"]["RELEASE_COMMAND"] = json!("1");
    config["env"]["FLY_PROCESS_GROUP"] = json!("fly_app_release_command");
    config["metadata"]["fly_process_group"] = json!("fly_app_release_command");
    config["init"] = json!({"cmd": command.split_whitespace().collect::<Vec<_>>()});
    config["auto_destroy"] = json!(true);
    config["restart"] = json!({"policy": "no"});
    if let Some(fields) = config.as_object_mut() {
        fields.remove("services");
        fields.remove("checks");
        fields.remove("mounts");
    }
    let region = deployment.config.primary_region().to_owned();
    let path = deployment.path("");
    deployment
        .session
        .call(deployment.machines_call("POST", &path), |world, now| {
            world.create_machine(&deployment.app, &region, config, false, now)
        })
        .await
        .map_err(|error| error.within(&format!("{CONTEXT} error creating a release_command machine")))
}

/// Waits for the end of the command, for no longer than it may take; zero seconds is no limit.
async fn wait_finished(deployment: &Deployment<'_>, id: &str) -> Result<i32, Failure> {
    loop {
        let path = deployment.path(&format!("/{id}/wait"));
        let looked = deployment
            .session
            .call(deployment.machines_call("GET", &path), |world, now| {
                let machine = world.apps[&deployment.app].machine(id);
                let started = machine.and_then(|machine| machine.started_at).unwrap_or(now);
                let deadline = if deployment.release_wait > 0.0 {
                    started + world.span(deployment.release_wait)
                } else {
                    Millis::MAX
                };
                let exit =
                    machine.and_then(|machine| machine.events.iter().find_map(|event| event.exit.clone()));
                let next = machine.and_then(|machine| machine.next).map(|next| next.at);
                Ok((exit.filter(|exit| exit.at <= deadline), deadline, next, now))
            })
            .await;
        let (exit, deadline, next, now) = looked.map_err(|error| {
            let failure = error.within(&format!("failed to wait for VM {id} in destroyed state"));
            failed(deployment, id, failure, "finish running")
        })?;
        if let Some(exit) = exit {
            return Ok(exit.code);
        }
        if now >= deadline {
            let failure = Failure::timeout(TIMEOUT.to_owned(), "release-command-timeout");
            return Err(failed(deployment, id, failure, "finish running"));
        }
        deployment
            .session
            .pause_until(Some(next.map_or(deadline, |next| next.min(deadline))))
            .await;
    }
}
