//! What a deployment will do, in words: the line before it starts, and what `--dry-run` prints.

use std::time::Duration;

use serde::Serialize;

use crate::deployment::attempt::Attempt;
use crate::deployment::job::Job;
use crate::deployment::report::ServedReport;
use crate::output::text::{duration, labelled};
use crate::output::{BOLD, DIM, paint};
use crate::release::short_image;
use crate::session::Session;

/// `serving v41 (shop:v1.3.0) on 2 instances`, of every service.
pub(crate) fn summary(jobs: &[Job<'_>]) -> String {
    let one = |job: &Job<'_>| {
        let baseline = &job.baseline;
        let count = baseline.instances.len();
        let instances = format!("{count} instance{}", if count == 1 { "" } else { "s" });
        let what = match (&baseline.image, baseline.release) {
            (Some(image), Some(release)) => {
                format!("serving {release} ({}) on {instances}", image.short())
            }
            (Some(image), None) => format!("serving {} on {instances}", image.short()),
            (None, _) if baseline.is_empty() => "nothing serves yet".to_owned(),
            (None, _) => format!("{instances} run different releases"),
        };
        let asleep = count - baseline.awake();
        let sleep = if asleep > 0 {
            format!(", {asleep} not running")
        } else {
            String::new()
        };
        let failing = baseline
            .failing
            .first()
            .map(|reason| format!("; already so before: {reason}"))
            .unwrap_or_default();
        let name = if jobs.len() > 1 {
            format!("{}: ", job.service.name)
        } else {
            String::new()
        };
        format!("{name}{what}{sleep}{failing}")
    };
    jobs.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What is shipped, for the events.
pub(crate) fn version(jobs: &[Job<'_>]) -> Option<String> {
    let image = jobs.first()?.shipment.image.as_ref()?;
    Some(image.tag().unwrap_or(&image.name).to_owned())
}

/// `Deploying shop:v2 to production (shop)`.
pub(crate) fn headline(environment: &str, jobs: &[Job<'_>]) -> String {
    let what: Vec<String> = jobs
        .iter()
        .map(|job| {
            let image = job
                .shipment
                .image
                .as_ref()
                .map_or_else(String::new, |image| image.short().to_owned());
            let built = if job.shipment.label.is_some() {
                "a build, "
            } else {
                ""
            };
            let from = job
                .baseline
                .release
                .map_or_else(String::new, |release| format!(" over {release}"));
            format!("{built}{image}{from} to {}", job.service.app)
        })
        .collect();
    format!("{environment}: shipping {}", what.join(", "))
}

/// `shipctl/plan/1`.
#[derive(Debug, Serialize)]
struct PlanView {
    schema: &'static str,
    kind: &'static str,
    environment: String,
    phases: Vec<&'static str>,
    services: Vec<ServicePlan>,
    bake_ms: u64,
    timeout_ms: u64,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ServicePlan {
    service: String,
    app: String,
    image: Option<String>,
    digest: Option<String>,
    builds: bool,
    configuration: Option<String>,
    /// It says the same as the file of today; `null` where there is none.
    configuration_is_todays: Option<bool>,
    strategy: Option<String>,
    release_command: bool,
    serving: Option<ServedReport>,
    returns_to: Option<String>,
    no_return: Option<String>,
    instances: usize,
}

/// Prints the plan; nothing has been changed.
pub(crate) fn print(
    session: &Session,
    attempt: &Attempt<'_>,
    jobs: &[Job<'_>],
    no_rollback: bool,
    bake: Option<Duration>,
) {
    let longest = jobs
        .iter()
        .map(|job| bake.unwrap_or(job.service.verify.bake))
        .max()
        .unwrap_or_default();
    let mut phases = vec!["prepare", "lock", "ship", "verify"];
    if !longest.is_zero() {
        phases.push("bake");
    }
    phases.push("conclude");
    let services: Vec<ServicePlan> = jobs.iter().map(|job| service(job, no_rollback)).collect();
    let view = PlanView {
        schema: "shipctl/plan/1",
        kind: attempt.kind.as_str(),
        environment: attempt.environment.name.clone(),
        phases,
        bake_ms: crate::deployment::event::millis(longest),
        timeout_ms: crate::deployment::event::millis(attempt.timeout),
        warnings: attempt.emitter.warnings(),
        services,
    };
    if session.printer.json {
        session.printer.document(&view);
    } else {
        session
            .printer
            .data(&words(&view, longest, session.printer.data_width()));
    }
}

fn service(job: &Job<'_>, no_rollback: bool) -> ServicePlan {
    let image = job.shipment.image.as_ref();
    let destination = job.destination.as_ref();
    ServicePlan {
        service: job.service.name.clone(),
        app: job.service.app.clone(),
        image: image.map(|image| image.name.clone()),
        digest: image.and_then(|image| image.digest.as_ref().map(ToString::to_string)),
        builds: job.shipment.label.is_some(),
        configuration: job
            .shipment
            .configuration
            .as_ref()
            .map(|configuration| configuration.file.clone()),
        configuration_is_todays: is_todays(job),
        strategy: job
            .shipment
            .strategy
            .clone()
            .or_else(|| job.shipment.file.strategy.clone()),
        release_command: job.shipment.release_command,
        serving: ServedReport::of(&job.baseline.instances, None),
        returns_to: destination
            .ok()
            .filter(|_| !no_rollback)
            .map(|destination| destination.image.name.clone()),
        no_return: if no_rollback {
            Some("`--no-rollback`".to_owned())
        } else {
            destination.err().map(|none| none.reason.clone())
        },
        instances: job.baseline.instances.len(),
    }
}

/// Whether what is shipped is formed by the file of today.
fn is_todays(job: &Job<'_>) -> Option<bool> {
    let shipped = job.shipment.configuration.as_ref()?;
    let file = job.service.file.as_ref()?;
    Some(shipped.text == file.text)
}

/// Which configuration it is, for people.
fn configuration(service: &ServicePlan) -> String {
    match (&service.configuration, service.configuration_is_todays) {
        (None, _) => "the configuration that Fly has".to_owned(),
        (Some(file), Some(true)) => file.clone(),
        (Some(file), Some(false)) => format!("{file} as it was for that release, not as it is today"),
        (Some(file), None) => format!("{file}, as it was last known"),
    }
}

/// What is shipped over, for people.
fn over(serving: Option<&ServedReport>) -> String {
    let Some(served) = serving else {
        return "nothing".to_owned();
    };
    let Some(image) = served.image.as_deref().map(short_image) else {
        return "a mix of releases".to_owned();
    };
    match served.release {
        Some(release) => format!("{release} ({image})"),
        None => format!("({image})"),
    }
}

fn words(view: &PlanView, bake: Duration, width: usize) -> String {
    let mut out = format!(
        "{} {}: nothing has been changed, this is the plan\n",
        paint(BOLD, view.kind),
        view.environment
    );
    for service in &view.services {
        let image = service.image.as_deref().map_or("", short_image);
        let what = if service.builds {
            format!("build and ship {image}")
        } else {
            format!("ship {image}")
        };
        let lines = [
            ("ship", format!("{what} to {}", service.app)),
            ("with", configuration(service)),
            ("over", over(service.serving.as_ref())),
            (
                "migrate",
                if service.release_command {
                    "the release command runs first".to_owned()
                } else {
                    String::new()
                },
            ),
            (
                "verify",
                match service.instances.max(1) {
                    1 => format!("1 instance, then bake {}", duration(bake)),
                    count => format!("{count} instances, then bake {}", duration(bake)),
                },
            ),
            (
                "return",
                match (&service.returns_to, &service.no_return) {
                    (Some(image), _) => format!("to {} if it is refuted", short_image(image)),
                    (None, Some(reason)) => format!("none: {reason}"),
                    (None, None) => "none".to_owned(),
                },
            ),
        ];
        for (label, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
            let label = format!("  {}", paint(DIM, &format!("{label:<8}")));
            out.push_str(&labelled(&label, 10, text, width));
            out.push('\n');
        }
    }
    out
}
