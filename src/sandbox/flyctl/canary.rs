//! One extra machine per group before the others; a bad one stays behind (capture `deploy_canary_unhealthy`).

use serde_json::json;

use super::deploy::Deployment;
use super::failure::Failure;
use super::launch;
use super::update::Mark;

pub(super) async fn run(deployment: &Deployment<'_>) -> Result<(), Failure> {
    let groups: Vec<String> = deployment
        .config
        .groups()
        .into_iter()
        .filter(|group| deployment.machines.iter().any(|machine| machine.group() == group))
        .collect();
    let mut made = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let mark = Mark::new(index, groups.len());
        deployment.say(&mark, &format!("Creating canary machine for group {group}"));
        let id = create(deployment, group).await?;
        let name = format!("{id} [{group}]");
        deployment.say(&mark, &format!("Machine {name} was created"));
        let settled = launch::settle(deployment, &id, &name, &mark).await;
        let told = |glyph: &'static str, text: &str| {
            deployment.say(
                &Mark {
                    glyph,
                    number: mark.number.clone(),
                },
                text,
            );
        };
        match settled {
            Ok(()) => told("✔", &format!("Machine {name} update finished: success")),
            Err(failure) => {
                deployment.session.log(
                    "WARN",
                    &format!("failed to release lease for machine {id}: lease not found\n"),
                );
                told(
                    "✖",
                    &format!("Failed to create canary machine: {}", failure.message),
                );
                return Err(failure);
            }
        }
        made.push(id);
    }
    deployment
        .session
        .out("Canary machines successfully created and healthy, destroying before continuing");
    for id in made {
        deployment.session.out(&format!(
            "machine {id} was found and is currently in created state, attempting to destroy..."
        ));
        let path = deployment.path(&format!("/{id}"));
        deployment
            .session
            .call(deployment.machines_call("DELETE", &path), |world, now| {
                world.destroy_machine(&deployment.app, &id, None, now)
            })
            .await
            .map_err(|error| error.within(&format!("failed to destroy VM {id}")))?;
    }
    Ok(())
}

async fn create(deployment: &Deployment<'_>, group: &str) -> Result<String, Failure> {
    let model = deployment
        .machines
        .iter()
        .find(|machine| machine.group() == group);
    let mut config = deployment.machine_config(group, model.map(|machine| &machine.config));
    config["metadata"]["fly_canary"] = json!("true");
    if let Some(fields) = config.as_object_mut() {
        fields.remove("standbys");
        fields.remove("mounts");
    }
    let region = model
        .map_or(deployment.config.primary_region(), |machine| &machine.region)
        .to_owned();
    let path = deployment.path("");
    deployment
        .session
        .call(deployment.machines_call("POST", &path), |world, now| {
            world.create_machine(&deployment.app, &region, config, false, now)
        })
        .await
        .map_err(|error| error.within("failed to launch VM"))
}
