//! `shipctl releases`: the provider's releases joined with the ledger.

use std::fmt::Write as _;

use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;

use crate::command::at_least_one;
use crate::deployment::prepare::Look;
use crate::deployment::{backward, recall};
use crate::effect::clock;
use crate::error::Result;
use crate::output::text::{ago, cut, labelled, wrap};
use crate::output::{BOLD, DIM, Printer, paint};
use crate::project::{Environment, Service};
use crate::release::{ReleaseNumber, short_image};
use crate::rollback::{self, Answer, Question};
use crate::session::Session;

/// List releases: what serves, what was verified, and what a rollback would pick
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl releases production
  shipctl releases production --limit 25
  shipctl releases production --json | jq '.services[].releases[] | select(.rollback_target)'")]
pub(crate) struct ReleasesArgs {
    /// The environment, as in `fly.<env>.toml`
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// The newest so many, and those that serve or are the rollback's target; a document holds all of them
    #[arg(long, value_name = "N", default_value = "15", value_parser = at_least_one)]
    limit: usize,
}

/// `shipctl/releases/1`.
#[derive(Debug, Serialize)]
struct ReleasesView {
    schema: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sandbox: bool,
    environment: String,
    services: Vec<ServiceView>,
}

#[derive(Debug, Serialize)]
struct ServiceView {
    service: String,
    app: String,
    releases: Vec<ReleaseView>,
}

#[derive(Debug, Serialize)]
struct ReleaseView {
    release: ReleaseNumber,
    status: String,
    image: String,
    digest: Option<String>,
    created_at: String,
    user: Option<String>,
    commit: Option<String>,
    verdict: Option<String>,
    serving: bool,
    rollback_target: bool,
}

pub(crate) async fn run(args: &ReleasesArgs, session: &Session) -> Result<u8> {
    let environment = session.environment(args.environment.as_deref())?;
    let services = session.services(environment)?;
    let views = join_all(
        services
            .iter()
            .map(|service| service_view(session, environment, service)),
    )
    .await;
    let view = ReleasesView {
        schema: "shipctl/releases/1",
        sandbox: session.printer.sandbox,
        environment: environment.name.clone(),
        services: views.into_iter().collect::<Result<_>>()?,
    };
    if session.printer.json {
        session.printer.document(&view);
    } else {
        session.printer.data(&words(
            &view,
            args.limit,
            session.printer.data_width(),
            session.printer,
        ));
    }
    Ok(0)
}

async fn service_view(
    session: &Session,
    environment: &Environment,
    service: &Service,
) -> Result<ServiceView> {
    let flyctl = session.flyctl(environment).await?;
    let health = session.health(service).unasked();
    let look = Look {
        // Which groups there are, without a file.
        remote: service.file.is_none(),
        ..Look::at(session, environment, service, &flyctl, &health)
    };
    let facts = look
        .take()
        .await
        .map_err(|failure| Session::provider_error(environment, &failure))?;
    let history = session.ledger(environment)?.read()?;
    let (baseline, _) = recall::baseline(&history, environment, service, &facts);
    let running = backward::running(&baseline);
    let question = Question {
        app: &service.app,
        history: &history,
        releases: &facts.releases,
        running: &running,
        to: None,
    };
    let target = match rollback::pick(&question)? {
        Answer::Target(pick) => Some(pick.target),
        Answer::Nothing(_) => None,
    };
    let known = history.release_facts(&service.app, &facts.releases)?;
    let releases = facts
        .releases
        .iter()
        .zip(known)
        .map(|(release, known)| {
            let serving = baseline.releases.contains(&release.number);
            let run = baseline
                .instances
                .iter()
                .find(|instance| instance.release == Some(release.number));
            let digest = run
                .and_then(|instance| instance.image.digest.clone())
                .or_else(|| known.as_ref().and_then(|known| known.digest.clone()));
            ReleaseView {
                release: release.number,
                status: release.status.as_str().to_owned(),
                image: release.image.name.clone(),
                digest: digest.map(|digest| digest.to_string()),
                created_at: release.created_at.clone(),
                user: release.user.clone(),
                commit: known.as_ref().and_then(|known| known.commit.clone()),
                verdict: known.and_then(|known| known.verdict),
                serving,
                rollback_target: target
                    .as_ref()
                    .is_some_and(|target| target.release == Some(release.number)),
            }
        })
        .collect();
    Ok(ServiceView {
        service: service.name.clone(),
        app: service.app.clone(),
        releases,
    })
}

/// From this width on there is room for the commit and for who released it.
const ROOMY: usize = 100;

/// What a release is now; of a mix the target of a rollback may serve already.
fn mark(release: &ReleaseView) -> &'static str {
    match (release.serving, release.rollback_target) {
        (true, true) => "serving, rollback",
        (true, false) => "serving",
        (false, true) => "rollback",
        (false, false) => "",
    }
}

fn words(view: &ReleasesView, limit: usize, width: usize, printer: Printer) -> String {
    let now = clock::now();
    let mut out = String::new();
    for service in &view.services {
        let name = if view.services.len() > 1 {
            format!("{}/{}", view.environment, service.service)
        } else {
            view.environment.clone()
        };
        let _ = writeln!(out, "{} ({})", paint(BOLD, &name), service.app);
        if service.releases.is_empty() {
            out.push_str("  no release yet\n");
        }
        let is_shown =
            |at: usize, release: &ReleaseView| at < limit || release.serving || release.rollback_target;
        let shown: Vec<&ReleaseView> = service
            .releases
            .iter()
            .enumerate()
            .filter_map(|(at, release)| is_shown(at, release).then_some(release))
            .collect();
        let marks: Vec<&str> = shown.iter().map(|release| mark(release)).collect();
        let wide = marks
            .iter()
            .map(|mark| mark.len())
            .max()
            .unwrap_or_default()
            .max(8);
        let images = shown.iter().map(|release| short_image(&release.image).len());
        let longest = images.max().unwrap_or_default();
        for (release, mark) in shown.iter().zip(marks) {
            let verdict = release.verdict.as_deref().unwrap_or("-");
            let mut line = format!(
                "  {:<5} {mark:<wide$}  {:<11} {verdict:<12} {:<13} {}",
                release.release.to_string(),
                release.status,
                ago(&release.created_at, now),
                short_image(&release.image),
            );
            if width >= ROOMY {
                let commit = release.commit.as_deref().unwrap_or("-");
                let commit = commit.get(..7).unwrap_or(commit);
                let by = release.user.as_deref().unwrap_or("-");
                let gap = longest - short_image(&release.image).len();
                let _ = write!(line, "{:gap$}  {commit:<7}  {by}", "");
            }
            out.push_str(&cut(&line, width));
            out.push('\n');
        }
        let all = service.releases.len();
        let left_out = all - shown.len();
        if left_out > 0 {
            let more = format!(
                "{left_out} older ones are left out: shipctl releases {} --limit {all}",
                view.environment
            );
            let more = labelled(" ", 1, &printer.pasteable(&more), width);
            let _ = writeln!(out, "{}", paint(DIM, &more));
        }
    }
    let legend = format!(
        "rollback: what `shipctl rollback {}` would return to",
        view.environment
    );
    let legend = wrap(&printer.pasteable(&legend), width).join("\n");
    out.push_str(&paint(DIM, &legend));
    out.push('\n');
    out
}
