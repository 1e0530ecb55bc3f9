//! `shipctl history`: every attempt, newest first, and one whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::{age, at_least_one};
use crate::deployment::attempt::short_id;
use crate::deployment::report::Report;
use crate::effect::clock;
use crate::error::{Error, Result};
use crate::output::text::{ago, duration, labelled};
use crate::output::{BAD, BOLD, DIM, GOOD, WARN, human, paint};
use crate::project::Environment;
use crate::release::short_image;
use crate::session::Session;
use crate::state::history::{Attempt, Lookup};
use crate::state::record::{GitFacts, Outcome};

/// The ledger: every attempt, newest first
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  shipctl history production --limit 5
  shipctl history --since 7d --json | jq '.deployments[].outcome'
  shipctl history show ae1f2ebb
  shipctl history show ae1f2ebb --full")]
pub(crate) struct HistoryArgs {
    #[command(subcommand)]
    command: Option<HistoryCommand>,
    /// The environment, as in `fly.<env>.toml`; all of them without it
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "20", value_parser = at_least_one)]
    limit: usize,
    /// Not older than this: 90m, 24h, 7d
    #[arg(long, value_name = "D", value_parser = age)]
    since: Option<std::time::Duration>,
}

#[derive(Debug, Subcommand)]
enum HistoryCommand {
    /// One attempt: what was answered, why, and where the failure bundle lies
    Show {
        /// The id, its beginning or its end
        #[arg(value_name = "ID")]
        id: String,
        /// Print the files of the failure bundle, too
        #[arg(long)]
        full: bool,
    },
}

/// `shipctl/history/1`.
#[derive(Serialize)]
struct HistoryView {
    schema: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sandbox: bool,
    deployments: Vec<DeploymentView>,
}

#[derive(Serialize)]
struct DeploymentView {
    id: String,
    kind: Option<&'static str>,
    environment: String,
    /// `null` while unfinished.
    outcome: Option<Outcome>,
    actor: Option<String>,
    reason: Option<String>,
    git: Option<GitFacts>,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_ms: Option<u64>,
    services: Vec<ServiceView>,
    /// The document that the attempt printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Value>,
    /// Names and texts of the failure bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
struct ServiceView {
    service: String,
    app: String,
    release: Option<u64>,
    image: Option<String>,
    digest: Option<String>,
    verdict: Option<String>,
}

pub(crate) fn run(args: &HistoryArgs, session: &Session) -> Result<u8> {
    match &args.command {
        Some(HistoryCommand::Show { id, full }) => show(id, *full, session),
        None => list(args, session),
    }
}

fn environments<'s>(session: &'s Session, name: Option<&str>) -> Result<Vec<&'s Environment>> {
    match (name, &session.globals.app) {
        (None, None) => Ok(session.project.environments.iter().collect()),
        (name, _) => Ok(vec![session.environment(name)?]),
    }
}

fn list(args: &HistoryArgs, session: &Session) -> Result<u8> {
    let now = clock::now();
    let oldest = args.since.and_then(|since| now.checked_sub(since).ok());
    let mut views = Vec::new();
    for environment in environments(session, args.environment.as_deref())? {
        let history = session.ledger(environment)?.read()?;
        for warning in history.warnings() {
            session.printer.warn(warning);
        }
        for attempt in history.attempts().take(args.limit) {
            let view = view(attempt?, &environment.name);
            let begun: Option<Timestamp> = view
                .started_at
                .as_deref()
                .or(view.ended_at.as_deref())
                .and_then(|time| time.parse().ok());
            if oldest.is_some_and(|oldest| begun.is_some_and(|begun| begun < oldest)) {
                break;
            }
            views.push(view);
        }
    }
    views.sort_by(|one, other| other.started_at.cmp(&one.started_at));
    views.truncate(args.limit);
    if session.printer.json {
        let view = HistoryView {
            schema: "shipctl/history/1",
            sandbox: session.printer.sandbox,
            deployments: views,
        };
        session.printer.document(&view);
        return Ok(0);
    }
    if views.is_empty() {
        session.printer.data(match oldest {
            Some(_) => "nothing was recorded in that time\n",
            None => "nothing is recorded yet\n",
        });
    }
    for view in &views {
        session
            .printer
            .data(&line(view, now, session.printer.data_width()));
    }
    Ok(0)
}

fn show(id: &str, full: bool, session: &Session) -> Result<u8> {
    let mut found = None;
    let mut ids = Vec::new();
    for environment in environments(session, None)? {
        match session.ledger(environment)?.read()?.find(id)? {
            Lookup::One(attempt) => {
                ids.push(id_of(&attempt));
                found = Some((environment, *attempt));
            }
            Lookup::None => {}
            Lookup::Several(several) => ids.extend(several),
        }
    }
    // The same part of an id may name an attempt of each environment: the first one is not to be guessed.
    if let [first, _, ..] = ids.as_slice() {
        let hint = format!("shipctl history show {first}");
        return Err(Error::usage(format!("`{id}` fits several attempts: {}", ids.join(", "))).hint(hint));
    }
    let Some((environment, attempt)) = found else {
        return Err(Error::usage(format!("no attempt is called `{id}`")).hint("shipctl history"));
    };
    let report = attempt.end.as_ref().map(|end| end.report.clone());
    let mut view = view(attempt, &environment.name);
    let bundles = session.bundles(environment)?;
    let files = bundles.read(&view.id).unwrap_or_default();
    let bundle: BTreeMap<String, String> = files
        .into_iter()
        .map(|(name, bytes)| (name, String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    if session.printer.json {
        view.report = report;
        view.bundle = Some(bundle);
        let view = HistoryView {
            schema: "shipctl/history/1",
            sandbox: session.printer.sandbox,
            deployments: vec![view],
        };
        session.printer.document(&view);
    } else {
        let width = session.printer.data_width();
        let mut out = whole(&view, report.as_ref(), width);
        let bundle: Vec<(&str, &str)> = bundle
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .filter(|(_, text)| !text.trim().is_empty())
            .collect();
        if full {
            files_whole(&mut out, &bundle);
        } else if !bundle.is_empty() {
            let all = format!("shipctl history show {} --full", short_id(&view.id));
            let all = session.printer.pasteable(&all);
            let folder = bundles.folder(&view.id).display().to_string();
            files_named(&mut out, &bundle, &folder, &all, width);
        }
        session.printer.data(&out);
    }
    Ok(0)
}

/// A record of a newer version may be understood in part alone.
fn id_of(attempt: &Attempt) -> String {
    let start = attempt.start.as_ref().map(|start| &start.id);
    let id = start.or(attempt.end.as_ref().map(|end| &end.id));
    id.cloned().unwrap_or_default()
}

fn view(attempt: Attempt, environment: &str) -> DeploymentView {
    let id = id_of(&attempt);
    let Attempt { start, end } = attempt;
    let mut services: Vec<ServiceView> = Vec::new();
    for service in start.iter().flat_map(|start| &start.services) {
        services.push(ServiceView {
            service: service.service.clone(),
            app: service.app.clone(),
            release: None,
            image: service.image.as_ref().map(|image| image.name.clone()),
            digest: service
                .image
                .as_ref()
                .and_then(|image| image.digest.as_ref().map(ToString::to_string)),
            verdict: None,
        });
    }
    for ended in end.iter().flat_map(|end| &end.services) {
        let view = ServiceView {
            service: ended.service.clone(),
            app: ended.app.clone(),
            release: ended.release.map(|release| release.0),
            image: ended.image.clone(),
            digest: ended.digest.as_ref().map(ToString::to_string),
            verdict: Some(ended.verdict.clone()),
        };
        match services.iter_mut().find(|known| known.service == ended.service) {
            Some(known) => *known = view,
            None => services.push(view),
        }
    }
    DeploymentView {
        id,
        kind: start.as_ref().map(|start| start.kind.as_str()),
        environment: environment.to_owned(),
        outcome: end.as_ref().map(|end| end.outcome),
        actor: start.as_ref().map(|start| start.actor.clone()),
        reason: start.as_ref().and_then(|start| start.reason.clone()),
        git: start.as_ref().map(|start| start.git.clone()),
        started_at: start.as_ref().map(|start| start.started_at.clone()),
        ended_at: end.as_ref().map(|end| end.ended_at.clone()),
        duration_ms: end.as_ref().and_then(|end| end.report["duration_ms"].as_u64()),
        services,
        report: None,
        bundle: None,
    }
}

fn outcome(outcome: Option<Outcome>) -> (&'static str, anstyle::Style) {
    match outcome {
        None => ("unfinished", WARN),
        Some(Outcome::Verified) => ("verified", GOOD),
        Some(word @ (Outcome::Broken | Outcome::Failed)) => (word.as_str(), BAD),
        Some(word) => (word.as_str(), WARN),
    }
}

fn line(view: &DeploymentView, now: Timestamp, width: usize) -> String {
    let (word, style) = outcome(view.outcome);
    let when = view
        .started_at
        .as_deref()
        .or(view.ended_at.as_deref())
        .map(|time| ago(time, now))
        .unwrap_or_default();
    let what: Vec<String> = view
        .services
        .iter()
        .map(|service| {
            let release = service
                .release
                .map(|release| format!("v{release} "))
                .unwrap_or_default();
            format!("{release}{}", service.image.as_deref().map_or("", short_image))
        })
        .collect();
    let (what, by) = (what.join(", "), view.actor.as_deref().unwrap_or("?"));
    let place = format!(
        " {:<8} {:<10} {when:<12}",
        view.kind.unwrap_or("?"),
        view.environment
    );
    let indent = 8 + 1 + 12 + place.chars().count();
    let label = format!(
        "{} {}{place}",
        paint(DIM, short_id(&view.id)),
        paint(style, &format!("{word:<12}")),
    );
    let by = format!("by {by}");
    let (long, short) = (what.chars().count(), by.chars().count());
    if indent + 1 + long > width {
        // The tag of a build names its deployment: it has a line of its own.
        return format!(
            "{label}\n{}\n",
            labelled("        ", 8, &format!("{what} {by}"), width)
        );
    }
    let between = if indent + 1 + long + 1 + short > width {
        '\n'
    } else {
        ' '
    };
    labelled(&label, indent, &format!("{what}{between}{by}"), width) + "\n"
}

fn whole(view: &DeploymentView, report: Option<&Value>, width: usize) -> String {
    let now = clock::now();
    let (word, style) = outcome(view.outcome);
    let mut out = format!(
        "{} {} {}\n",
        paint(BOLD, &view.environment),
        view.kind.unwrap_or("?"),
        paint(style, word)
    );
    let mut row = |label: &str, text: &str| {
        if !text.is_empty() {
            let label = format!("  {}", paint(DIM, &format!("{label:<9}")));
            let _ = writeln!(out, "{}", labelled(&label, 11, text, width));
        }
    };
    row("id", &view.id);
    row("by", view.actor.as_deref().unwrap_or(""));
    row("reason", view.reason.as_deref().unwrap_or(""));
    if let Some(started) = &view.started_at {
        row("begun", &format!("{started} ({})", ago(started, now)));
    }
    if let Some(git) = &view.git {
        row(
            "commit",
            git.describe.as_deref().or(git.sha.as_deref()).unwrap_or(""),
        );
    }
    let phases = report.and_then(|report| report["phases"].as_array());
    let phases = phases.into_iter().flatten().map(|phase| {
        let took = std::time::Duration::from_millis(phase["duration_ms"].as_u64().unwrap_or_default());
        let failed = if phase["result"] == "failed" {
            " (failed)"
        } else {
            ""
        };
        let name = phase["name"].as_str().unwrap_or_default();
        format!("{name} {}{failed}", duration(took))
    });
    row("phases", &phases.collect::<Vec<_>>().join(", "));
    for service in &view.services {
        let image = service.image.as_deref().map_or("", short_image);
        let release = service
            .release
            .map(|release| format!("v{release} "))
            .unwrap_or_default();
        row(
            "shipped",
            &format!(
                "{release}{image} to {}: {}",
                service.app,
                service.verdict.as_deref().unwrap_or("no verdict")
            ),
        );
    }
    // One that was only abandoned answered nothing, and what a newer version answered may not be understood.
    let answer = report.and_then(|report| Report::deserialize(report).ok());
    if let Some(answer) = answer {
        out.push('\n');
        out.push_str(&human::again(&answer, width));
    }
    out
}

/// What the bundle holds, where it lies, and how it is read.
fn files_named(out: &mut String, files: &[(&str, &str)], folder: &str, all: &str, width: usize) {
    let _ = writeln!(out, "\n{}", paint(BOLD, "failure bundle"));
    let longest = files.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, text) in files {
        let _ = writeln!(out, "  {name:<longest$}  {:>8}", size(text.len()));
    }
    for (label, text) in [("in", folder), ("to read", all)] {
        let label = format!("  {}", paint(DIM, &format!("{label:<9}")));
        let _ = writeln!(out, "{}", labelled(&label, 11, text, width));
    }
}

fn files_whole(out: &mut String, files: &[(&str, &str)]) {
    for (name, text) in files {
        let _ = writeln!(out, "\n{}", paint(BOLD, name));
        for line in text.lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
}

/// `340 B`, `1.2 kB`.
fn size(bytes: usize) -> String {
    match bytes {
        ..1000 => format!("{bytes} B"),
        _ => format!("{}.{} kB", bytes / 1000, bytes % 1000 / 100),
    }
}
