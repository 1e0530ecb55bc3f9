//! The image of a deployment: resolved in the registry, or built.

use std::path::Path;

use super::super::config::Config;
use super::super::image::hex_of;
use super::failure::Failure;
use super::session::{Call, Session};

/// What precedes every failure here.
const CONTEXT: &str = "failed to fetch an image or build from source";

/// The reference that the release will carry.
pub(super) async fn determine(
    session: &Session,
    app: &str,
    config: &Config,
    folder: &Path,
) -> Result<String, Failure> {
    let given = session
        .arguments
        .value("image")
        .or(config.image())
        .map(str::to_owned);
    if given.is_none() && session.arguments.switch("local-only", false) {
        session.log(
            "WARN",
            "Error connecting to local docker daemon:cannot apply host to transport: *otelhttp.Transport",
        );
        return Err(Failure::new(format!(
            "{CONTEXT}: docker is unavailable to build the deployment image"
        )));
    }
    if given.is_none() {
        check_source(session, config, folder)?;
    }
    record(session, app, "mutation createBuild").await?;
    let found = match given {
        Some(reference) => resolve(session, app, &reference).await,
        None => build(session, app).await,
    };
    let finished = record(session, app, "mutation finishBuild").await;
    let image = found?;
    finished?;
    Ok(image)
}

/// A build record that cannot be written is only warned of (capture `deploy_500_build_record`).
async fn record(session: &Session, app: &str, operation: &str) -> Result<(), Failure> {
    match session.call(Call::generated(operation, app), |_, _| Ok(())).await {
        Err(error) if error.is_cancel() => Err(error.within(CONTEXT)),
        Err(error) => {
            if operation.contains("create") {
                session.log(
                    "WARN",
                    &format!("failed to create build in graphql: {}\n", error.text()),
                );
            }
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn resolve(session: &Session, app: &str, reference: &str) -> Result<String, Failure> {
    session.err(&format!("Searching for image '{reference}' remotely..."));
    let found = session
        .call(Call::query("query app image", Some(app)), |world, _| {
            if !world.resolves(reference) {
                return Ok(None);
            }
            let digest = world.digest_of(reference);
            let shown = if world.settings.ref_with_digest && !reference.contains('@') {
                format!("{reference}@{digest}")
            } else {
                reference.to_owned()
            };
            Ok(Some(shown))
        })
        .await
        .map_err(|error| error.within(CONTEXT))?;
    let Some(shown) = found else {
        return Err(Failure::new(format!(
            "{CONTEXT}: could not find image \"{reference}\""
        )));
    };
    session.err(&format!("image found: img_{}", &hex_of(reference)[..16]));
    Ok(shown)
}

/// Whether there is anything to build from (REFERENCE 2.8).
fn check_source(session: &Session, config: &Config, folder: &Path) -> Result<(), Failure> {
    let named = config.build["dockerfile"]
        .as_str()
        .map(|path| (folder.join(path), path))
        .or_else(|| {
            session
                .arguments
                .value("dockerfile")
                .map(|path| (session.folder.join(path), path))
        });
    if let Some((path, shown)) = named {
        if !shown.contains("://") && !path.is_file() {
            return Err(Failure::new(format!(
                "{CONTEXT}: dockerfile '{}' not found",
                path.display()
            )));
        }
        return Ok(());
    }
    let by_another = ["builder", "builtin", "buildpacks"]
        .iter()
        .any(|key| !config.build[*key].is_null())
        || session.arguments.switch("nixpacks", false);
    let plain = ["Dockerfile", "dockerfile"]
        .iter()
        .any(|name| session.folder.join(name).is_file());
    if by_another || plain {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{CONTEXT}: app does not have a Dockerfile or buildpacks configured. See https://fly.io/docs/reference/configuration/#the-build-section"
    )))
}

/// A build, by the lines that flyctl prints around one.
async fn build(session: &Session, app: &str) -> Result<String, Failure> {
    let seconds = session.world.look(|world, _| world.settings.build_seconds)?;
    session.err("==> Building image with Docker");
    for (step, part) in ["FROM base", "COPY . .", "RUN make", "exporting to image"]
        .iter()
        .enumerate()
    {
        session.err(&format!("#{} {part}", step + 1));
        if !session.pause(seconds / 4.0).await {
            return Err(Failure::new(format!(
                "{CONTEXT}: error building: context canceled"
            )));
        }
    }
    session.err("--> Building image done");
    session.err("==> Pushing image to fly");
    let label = session.arguments.value("image-label").map(str::to_owned);
    let image = session.world.change(|world, now| {
        let label = label.unwrap_or_else(|| format!("deployment-{}", world.ulid()));
        let image = format!("registry.fly.io/{app}:{label}");
        // A tag that is built again holds another image from then on.
        let digest = format!("sha256:{}", hex_of(&format!("{image} {now}")));
        world.images.remove(&image);
        world.register(&image, Some(&digest));
        image
    })?;
    session.err("--> Pushing image done");
    session.err(&format!("image: {image}"));
    session.err("image size: 78 MB");
    Ok(image)
}
