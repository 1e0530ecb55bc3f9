//! `shipctl status`: what runs where; never asks an app.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use futures_util::stream::{StreamExt, iter};
use serde::Serialize;

use crate::command::duration;
use crate::command::view::{FreezeView, LockView};
use crate::deployment::baseline::Baseline;
use crate::deployment::prepare::{Facts, Look};
use crate::deployment::recall;
use crate::effect::clock;
use crate::error::{Error, Result};
use crate::instance::CheckState;
use crate::output::text::{ago, cut, labelled};
use crate::output::{BAD, BOLD, DIM, GOOD, Printer, WARN, paint};
use crate::project::{Environment, Service};
use crate::release::{Digest, Image, ReleaseNumber, short_image};
use crate::session::Session;
use crate::state::history::{History, Unfinished, Word};

/// Show what runs: all environments, or one in detail
///
/// Asks Fly alone; never sends a request to an app, so nothing is woken.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl status
  shipctl status production --watch
  shipctl status --json | jq '.environments[].services[].release'")]
pub(crate) struct StatusArgs {
    /// The environment, as in `fly.<env>.toml`
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// Show it again every few seconds, until interrupted
    #[arg(long)]
    watch: bool,
    /// Between two looks of `--watch`
    #[arg(long, value_name = "D", value_parser = duration, default_value = "2s", requires = "watch", hide = true)]
    interval: Duration,
}

/// `shipctl/status/1`.
#[derive(Debug, Serialize)]
struct StatusView {
    schema: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sandbox: bool,
    environments: Vec<EnvironmentView>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EnvironmentView {
    environment: String,
    protected: bool,
    services: Vec<ServiceView>,
    lock: Option<LockView>,
    frozen: Option<FreezeView>,
    unfinished: Option<UnfinishedView>,
    /// What could not be looked at; of all environments together in the document.
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct UnfinishedView {
    id: String,
    kind: &'static str,
    actor: String,
    started_at: String,
    /// Of its flyctl, where that outlived it on this machine.
    process_group: Option<i32>,
    /// The commands that mend what it left, most likely first.
    hints: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ServiceView {
    service: String,
    app: String,
    /// Why Fly could not be asked, and what mends that.
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
    release: Option<ReleaseNumber>,
    image: Option<String>,
    digest: Option<String>,
    /// Instances run different images.
    mixed: bool,
    /// The ledger's last word on the release that serves: `verified`, `refuted`, `inconclusive`, or `null`.
    verdict: Option<&'static str>,
    /// Why there is none, for people.
    #[serde(skip)]
    unjudged: Unjudged,
    /// When the release was made; RFC 3339.
    created_at: Option<String>,
    user: Option<String>,
    /// The newest release of the list, where it is not the one that serves.
    newest: Option<ReleaseNumber>,
    newest_status: Option<String>,
    instances: Vec<InstanceView>,
}

impl ServiceView {
    /// What all its instances run.
    fn runs(&self) -> Option<Image> {
        let digest = self.digest.as_deref().and_then(Digest::parse);
        Some(Image::parse(self.image.as_deref()?).with_digest(digest))
    }
}

/// What is known of a release that nobody judged.
#[derive(Clone, Copy, Debug, Default)]
enum Unjudged {
    #[default]
    Unknown,
    /// What shipped it ended before a verdict.
    CutOff,
    /// Its image was verified as another release.
    VerifiedAs(ReleaseNumber),
}

#[derive(Debug, Serialize)]
struct InstanceView {
    id: String,
    region: String,
    group: Option<String>,
    state: String,
    release: Option<ReleaseNumber>,
    digest: Option<String>,
    checks: Option<String>,
    updated_at: String,
}

pub(crate) async fn run(args: &StatusArgs, session: &Session) -> Result<u8> {
    if !args.watch {
        let (view, code) = look(args, session).await?;
        show(&view, args, session);
        return Ok(code);
    }
    // One for all looks: a Ctrl-C in the middle of one counts as any other.
    let mut interrupted = pin!(crate::command::interrupted());
    loop {
        let round = async {
            let (view, _) = look(args, session).await?;
            show(&view, args, session);
            tokio::time::sleep(args.interval).await;
            Ok::<(), Error>(())
        };
        tokio::select! {
            looked = round => looked?,
            code = &mut interrupted => return Ok(code),
        }
    }
}

fn show(view: &StatusView, args: &StatusArgs, session: &Session) {
    if session.printer.json {
        session.printer.document(view);
        return;
    }
    let clear = if args.watch && session.printer.lively {
        "\u{1b}[H\u{1b}[2J"
    } else {
        ""
    };
    let detail = args.environment.is_some() || session.globals.app.is_some() || view.environments.len() == 1;
    session.printer.data(&format!(
        "{clear}{}",
        words(view, detail, session.printer.data_width(), session.printer)
    ));
}

async fn look(args: &StatusArgs, session: &Session) -> Result<(StatusView, u8)> {
    let environments: Vec<&Environment> = match (&args.environment, &session.globals.app) {
        (None, None) => session.project.environments.iter().collect(),
        (name, _) => vec![session.environment(name.as_deref())?],
    };
    // As many side by side as there are cores to run a flyctl on, and one more to wait with.
    let at_once = std::thread::available_parallelism().map_or(2, usize::from) * 2;
    let mut views: Vec<EnvironmentView> = iter(
        environments
            .iter()
            .map(|environment| environment_view(session, environment)),
    )
    .buffered(at_once)
    .collect()
    .await;
    let one_failed = args.environment.is_some() || session.globals.app.is_some();
    let failed = views
        .iter()
        .flat_map(|view| &view.services)
        .filter(|service| service.error.is_some())
        .count();
    let services: usize = views.iter().map(|view| view.services.len()).sum();
    let code = if failed > 0 && (one_failed || failed == services) {
        10
    } else {
        0
    };
    let mut warnings = session.project.warnings.clone();
    for view in &mut views {
        warnings.append(&mut view.warnings);
    }
    let view = StatusView {
        schema: "shipctl/status/1",
        sandbox: session.printer.sandbox,
        environments: views,
        warnings,
    };
    Ok((view, code))
}

async fn environment_view(session: &Session, environment: &Environment) -> EnvironmentView {
    let services = match session.services(environment) {
        Ok(services) => services,
        Err(_) => environment.services.iter().collect(),
    };
    let mut warnings = Vec::new();
    let name = &environment.name;
    let read = session.ledger(environment).and_then(|ledger| ledger.read());
    let history = seen(read.map(Some), &mut warnings, || {
        format!("what was deployed to `{name}` is not known")
    });
    let views = join_all(
        services
            .iter()
            .map(|service| service_view(session, environment, service, history.as_ref())),
    )
    .await;
    let mut lock = None;
    for service in &environment.services {
        let held = seen(session.lock_holder(&service.app), &mut warnings, || {
            format!("whether `{}` is locked is not known", service.app)
        });
        lock = lock.or(held);
    }
    let frozen = seen(session.freeze(environment), &mut warnings, || {
        format!("whether `{name}` is frozen is not known")
    });
    EnvironmentView {
        environment: environment.name.clone(),
        protected: environment.protected,
        unfinished: unfinished(session, environment, history.as_ref(), lock.is_some(), &views),
        services: views,
        lock: lock.map(LockView::from),
        frozen: frozen.map(Into::into),
        warnings,
    }
}

/// What could be read; what could not is said, since silence would read as "there is none".
fn seen<T>(read: Result<Option<T>>, warnings: &mut Vec<String>, what: impl FnOnce() -> String) -> Option<T> {
    read.unwrap_or_else(|error| {
        let mut said = vec![what(), error.message];
        said.extend(error.causes);
        warnings.push(said.join(": "));
        None
    })
}

/// The newest deployment that was cut off; one that still runs holds the lock.
fn unfinished(
    session: &Session,
    environment: &Environment,
    history: Option<&History>,
    is_locked: bool,
    services: &[ServiceView],
) -> Option<UnfinishedView> {
    let unfinished = recall::unfinished(history?, is_locked).into_iter().next()?;
    let group = recall::living_groups(&unfinished, &session.this_process().host)
        .first()
        .map(|(group, _)| *group);
    let deploy = session.deploy_command(environment);
    let verified = services.iter().all(|service| service.verdict == Some("verified"));
    let verified = services.first().filter(|_| verified).and_then(ServiceView::runs);
    let hints = recall::ways_out(&unfinished, &environment.name, &deploy, verified.as_ref())
        .iter()
        .map(|hint| session.printer.pasteable(hint))
        .collect();
    let Unfinished { start, .. } = unfinished;
    Some(UnfinishedView {
        id: start.id,
        kind: start.kind.as_str(),
        actor: start.actor,
        started_at: start.started_at,
        process_group: group,
        hints,
    })
}

async fn service_view(
    session: &Session,
    environment: &Environment,
    service: &Service,
    history: Option<&History>,
) -> ServiceView {
    let mut view = ServiceView {
        service: service.name.clone(),
        app: service.app.clone(),
        error: None,
        hints: Vec::new(),
        release: None,
        image: None,
        digest: None,
        mixed: false,
        verdict: None,
        unjudged: Unjudged::Unknown,
        created_at: None,
        user: None,
        newest: None,
        newest_status: None,
        instances: Vec::new(),
    };
    if service.app.is_empty() {
        view.error = Some("its file names no app, and no record does".to_owned());
        return view;
    }
    match facts(session, environment, service).await {
        Ok(facts) => fill(&mut view, service, &facts, history),
        Err(error) => {
            let cause = error.causes.iter().find(|cause| !error.message.contains(*cause));
            let because = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            view.error = Some(format!("{}{because}", error.message));
            view.hints = error.hints;
        }
    }
    view
}

async fn facts(session: &Session, environment: &Environment, service: &Service) -> Result<Facts> {
    let flyctl = session.flyctl(environment).await?;
    let health = session.health(service).unasked();
    let look = Look::at(session, environment, service, &flyctl, &health);
    look.take()
        .await
        .map_err(|failure| Session::provider_error(environment, &failure))
}

fn fill(view: &mut ServiceView, service: &Service, facts: &Facts, history: Option<&History>) {
    let groups: Vec<String> = facts
        .machines
        .iter()
        .filter_map(|machine| machine.group.clone())
        .collect();
    let baseline = Baseline::of(facts, &groups, Vec::new(), &service.verify);
    view.release = baseline.release;
    view.mixed = baseline.is_mixed();
    view.image = baseline.image.as_ref().map(|image| image.name.clone());
    view.digest = baseline
        .image
        .as_ref()
        .and_then(|image| image.digest.as_ref().map(ToString::to_string));
    if let (Some(image), Some(history)) = (&baseline.image, history) {
        let word = recall::word(history, &service.app, &baseline.instances);
        view.verdict = word.and_then(Word::verdict);
        view.unjudged = match word {
            Some(Word::CutOff) => Unjudged::CutOff,
            Some(_) => Unjudged::Unknown,
            None => recall::image_verified_as(history, &service.app, image)
                .map_or(Unjudged::Unknown, Unjudged::VerifiedAs),
        };
    }
    if let Some(release) = facts
        .releases
        .iter()
        .find(|release| Some(release.number) == baseline.release)
    {
        view.created_at = Some(release.created_at.clone());
        view.user.clone_from(&release.user);
    }
    if let Some(newest) = facts.releases.iter().max_by_key(|release| release.number)
        && Some(newest.number) != baseline.release
    {
        view.newest = Some(newest.number);
        view.newest_status = Some(newest.status.as_str().to_owned());
    }
    view.instances = baseline
        .instances
        .iter()
        .map(|instance| InstanceView {
            id: instance.id.clone(),
            region: instance.region.clone(),
            group: instance.group.clone(),
            state: instance.state.as_str().to_owned(),
            release: instance.release,
            digest: instance.image.digest.as_ref().map(ToString::to_string),
            checks: checks(&instance.checks),
            updated_at: instance.updated_at.clone(),
        })
        .collect();
}

fn checks(checks: &[CheckState]) -> Option<String> {
    let worst = checks
        .iter()
        .find(|check| !check.is_passing())
        .or(checks.first())?;
    Some(worst.status.clone())
}

fn words(view: &StatusView, detail: bool, width: usize, printer: Printer) -> String {
    let now = clock::now();
    let mut out = String::new();
    for environment in &view.environments {
        for service in &environment.services {
            let name = if environment.services.len() > 1 {
                format!("{}/{}", environment.environment, service.service)
            } else {
                environment.environment.clone()
            };
            out.push_str(&labelled(
                &paint(BOLD, &format!("{name}:")),
                name.chars().count() + 1,
                &line(service, now),
                width,
            ));
            out.push('\n');
            for hint in &service.hints {
                let label = format!("  {}", paint(BOLD, "hint:"));
                out.push_str(&labelled(&label, 7, &printer.pasteable(hint), width));
                out.push('\n');
            }
            if detail {
                for instance in &service.instances {
                    out.push_str(&cut(&instance_line(instance, now), width));
                    out.push('\n');
                }
            }
        }
        let mut fact = |label: &str, text: &str| {
            let label_width = 2 + label.chars().count();
            let label = format!("  {}", paint(WARN, label));
            out.push_str(&labelled(&label, label_width, text, width));
            out.push('\n');
        };
        if let Some(lock) = &environment.lock {
            fact("locked", &lock.words(now));
        }
        if let Some(frozen) = &environment.frozen {
            fact("frozen", &frozen.words(now));
        }
        if let Some(unfinished) = &environment.unfinished {
            let started = ago(&unfinished.started_at, now);
            let (kind, actor) = (unfinished.kind, &unfinished.actor);
            let flyctl = unfinished.process_group.map_or_else(String::new, |group| {
                format!("; its flyctl (process group {group}) STILL RUNS and may move more instances")
            });
            let since = if unfinished.hints.is_empty() && flyctl.is_empty() {
                "; what serves was verified since"
            } else {
                ""
            };
            fact(
                "unfinished",
                &format!("{kind} by {actor}, begun {started}, was cut off{flyctl}{since}"),
            );
            for hint in &unfinished.hints {
                out.push_str(&next(hint, width));
            }
        } else if environment.lock.is_none() && environment.services.iter().any(|service| service.mixed) {
            let back = format!(
                "to put back what was verified last: shipctl rollback {}",
                environment.environment
            );
            out.push_str(&next(&printer.pasteable(&back), width));
        }
    }
    for warning in &view.warnings {
        out.push_str(&labelled(&paint(WARN, "warning:"), 8, warning, width));
        out.push('\n');
    }
    out
}

/// A line with the next command.
fn next(hint: &str, width: usize) -> String {
    let label = format!("  {}", paint(BOLD, "next:"));
    labelled(&label, 7, hint, width) + "\n"
}

/// What runs, in one sentence.
fn line(service: &ServiceView, now: jiff::Timestamp) -> String {
    if let Some(error) = &service.error {
        return format!("{} {error}", paint(BAD, "cannot be asked:"));
    }
    if service.instances.is_empty() {
        return format!("{} ({})", paint(BAD, "no instance"), service.app);
    }
    let bad = service
        .instances
        .iter()
        .filter(|instance| {
            instance
                .checks
                .as_deref()
                .is_some_and(|checks| checks != "passing")
        })
        .count();
    let started = service
        .instances
        .iter()
        .filter(|instance| instance.state == "started")
        .count();
    let numbers = releases(&service.instances);
    let what = if service.mixed {
        format!("{}, {numbers}", paint(BAD, "a mix of releases"))
    } else {
        let image = service.image.as_deref().map_or("", short_image);
        format!("{numbers} ({image})")
    };
    let verdict = match (service.verdict, service.unjudged) {
        _ if service.mixed => String::new(),
        (Some("verified"), _) => format!(", {}", paint(GOOD, "verified")),
        (Some(other), _) => format!(", {}", paint(WARN, other)),
        (None, Unjudged::CutOff) => {
            format!(", {}", paint(WARN, "not verified: its deployment was cut off"))
        }
        (None, Unjudged::VerifiedAs(release)) => {
            format!(
                ", {}",
                paint(DIM, &format!("not verified (its image was, as {release})"))
            )
        }
        (None, Unjudged::Unknown) => format!(", {}", paint(DIM, "never verified here")),
    };
    let checks = if bad > 0 {
        format!(", {}", paint(BAD, &format!("{bad} with failing checks")))
    } else {
        String::new()
    };
    let age = service
        .created_at
        .as_deref()
        .map(|time| format!(", {}", ago(time, now)))
        .unwrap_or_default();
    let newest = service.newest.map_or_else(String::new, |newest| {
        format!(
            ", {}",
            paint(
                WARN,
                &format!(
                    "newest release {newest} is {}",
                    service.newest_status.as_deref().unwrap_or("")
                )
            )
        )
    });
    format!(
        "{what}{verdict}, {started}/{} up{checks}{age}{newest}",
        service.instances.len()
    )
}

/// The releases of instances that run one image; one, unless an attempt was cut off.
fn releases(instances: &[InstanceView]) -> String {
    let numbers: BTreeSet<ReleaseNumber> = instances.iter().filter_map(|instance| instance.release).collect();
    let names: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    names.join(" and ")
}

fn instance_line(instance: &InstanceView, now: jiff::Timestamp) -> String {
    let release = instance
        .release
        .map(|release| release.to_string())
        .unwrap_or_default();
    let checks = instance.checks.as_deref().map_or("no checks", |checks| checks);
    let group = instance.group.as_deref().unwrap_or("");
    format!(
        "  {:<15} {:<4} {:<8} {:<8} {release:<5} {checks:<9} {}",
        instance.id,
        instance.region,
        group,
        instance.state,
        ago(&instance.updated_at, now)
    )
}
