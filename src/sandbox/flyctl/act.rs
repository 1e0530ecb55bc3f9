//! The subcommands that change single things: machines by hand, and secrets with their release.

use super::failure::Failure;
use super::project;
use super::read::machines_path;
use super::session::{Call, Session};

/// `machine start`, `stop`, `uncordon` and `destroy`.
pub(super) async fn machine(session: &Session, action: &str) -> Result<(), Failure> {
    session.require_token()?;
    let app = project::app_name(session)?;
    if session.arguments.positionals.is_empty() {
        return Err(Failure::new(
            "a machine ID must be specified when not running interactively",
        ));
    }
    for id in &session.arguments.positionals {
        match action {
            "stop" => session.out(&format!("Sending kill signal to machine {id}...")),
            "uncordon" => session.out(&format!("Deactivating cordon on machine {id}...")),
            _ => {}
        }
        let (method, path) = match action {
            "destroy" => ("DELETE", format!("{}/{id}", machines_path(&app))),
            _ => ("POST", format!("{}/{id}/{action}", machines_path(&app))),
        };
        session
            .call(Call::machines(method, &path, &app), |world, now| match action {
                "start" => world.start_machine(&app, id, None, now).map(|_| ()),
                "stop" => world.stop_machine(&app, id, now),
                "uncordon" => {
                    world.machine_mut(&app, id)?.cordoned = false;
                    Ok(())
                }
                _ => world.destroy_machine(&app, id, None, now),
            })
            .await
            .map_err(|error| {
                error.within(&match action {
                    "uncordon" => "failed to uncordon VM".to_owned(),
                    _ => format!("could not {action} machine {id}: failed to {action} VM {id}"),
                })
            })?;
        session.out(&match action {
            "start" => format!("{id} has been started"),
            "stop" => format!("{id} has been successfully stopped"),
            "uncordon" => "done!".to_owned(),
            _ => format!("{id} has been destroyed"),
        });
    }
    Ok(())
}

/// `secrets set` and `unset`: without `--stage`, a release of the newest image, and a restart of the machines.
pub(super) async fn secrets(session: &Session, set: bool) -> Result<(), Failure> {
    session.require_token()?;
    let app = project::app_name(session)?;
    let pairs: Vec<(String, String)> = session
        .arguments
        .positionals
        .iter()
        .map(|one| {
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect();
    if pairs.is_empty() {
        return Err(Failure::new("requires at least one SECRET=VALUE pair"));
    }
    let stage = session.arguments.switch("stage", false);
    let operation = if set {
        "mutation setSecrets"
    } else {
        "mutation unsetSecrets"
    };
    session
        .call(Call::generated(operation, &app), |world, now| {
            if let Some(found) = world.apps.get_mut(&app) {
                for (name, value) in &pairs {
                    if set {
                        found.set_secret(name, value, now);
                    } else {
                        found.secrets.remove(name);
                    }
                }
            }
            Ok(())
        })
        .await
        .map_err(|error| error.within("update secrets"))?;
    if stage {
        session.out("Secrets have been staged, but not set on VMs. Deploy or update machines in this app for the secrets to take effect.");
        return Ok(());
    }
    super::deploy::restart(session, app).await
}
