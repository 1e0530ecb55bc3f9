//! The answer of a deployment for a person: first what serves, then why, then what to do.

use std::fmt::Write;

use crate::deployment::report::{Report, ServedReport, ServiceReport};
use crate::output::text::{cut, duration, labelled, wrap};
use crate::output::{BAD, BOLD, DIM, GOOD, WARN, paint};
use crate::release::ReleaseNumber;
use crate::state::record::Outcome;
use crate::verification::InstanceReport;

/// The whole answer, ready to print; `width` is where lines wrap. What was `warned` of already is not said again.
pub(crate) fn report(report: &Report, warned: bool, width: usize) -> String {
    let mut out = String::new();
    let (mark, style) = match report.outcome {
        Some(Outcome::Verified) => ("✔", GOOD),
        Some(Outcome::RolledBack) => ("↩", WARN),
        Some(Outcome::Interrupted | Outcome::Inconclusive) => ("?", WARN),
        _ => ("✖", BAD),
    };
    let _ = writeln!(
        out,
        "{}",
        labelled(&paint(style, mark), 1, &headline(report), width)
    );
    for service in &report.services {
        evidence(&mut out, service, report, width);
    }
    for warning in report.warnings.iter().filter(|_| !warned) {
        let _ = writeln!(out, "{}", labelled(&paint(WARN, "warning:"), 8, warning, width));
    }
    for hint in &report.hints {
        let _ = writeln!(out, "{}", labelled(&paint(BOLD, "next:"), 5, hint, width));
    }
    if report.exit_code != 0 {
        let mut facts = vec![
            format!("exit {} ({})", report.exit_code, report.name),
            duration(std::time::Duration::from_millis(report.duration_ms)),
        ];
        if !report.id.is_empty() {
            let sandbox = if report.sandbox { " --sandbox" } else { "" };
            facts.push(format!("shipctl{sandbox} history show {}", short_id(&report.id)));
        }
        let _ = writeln!(out, "{}", paint(DIM, &facts.join(" · ")));
    }
    out
}

/// The end of an id, which labels of images show as well.
pub(crate) fn short_id(id: &str) -> &str {
    &id[id.len().saturating_sub(8)..]
}

/// One sentence: what the environment serves, and what became of the attempt.
pub(crate) fn headline(report: &Report) -> String {
    let place = &report.environment;
    let Some(first) = deciding(report) else {
        return format!("{place}: nothing was done");
    };
    let shipped = first
        .release
        .map_or_else(|| "the new release".to_owned(), |number| number.to_string());
    let shipped = match first.image.as_deref().map(short_image) {
        Some(image) if !image.is_empty() => format!("{shipped} ({image})"),
        _ => shipped,
    };
    let serving = serving(&report.services);
    match report.name.as_str() {
        "ok" => format!("{place} is serving {serving}, verified{}", by(first)),
        "rolled_back" => format!("{place} is serving {serving}, verified; {shipped} was refuted"),
        "failed" => format!(
            "{place} still serves {serving}, verified; the {} failed",
            report.kind
        ),
        "config" => format!("no release was made, {place} still serves {serving}"),
        "provider" => format!("no release was made, nothing was changed in {place}"),
        "broken" if report.kind == "verify" => format!("{place} is broken, serving {serving}"),
        "broken" => format!("{place} is broken, serving {serving}; {shipped} was refuted and not returned"),
        "interrupted" => format!("interrupted; {place} serves {serving}"),
        _ => format!("what {place} serves could not be established"),
    }
}

/// The service that decided the outcome: the first that is not verified.
fn deciding(report: &Report) -> Option<&ServiceReport> {
    report
        .services
        .iter()
        .find(|service| service.verdict.as_deref() != Some("verified"))
        .or(report.services.first())
}

fn by(service: &ServiceReport) -> String {
    let count = service.instances.len();
    let instances = if count == 1 {
        "1 instance".to_owned()
    } else {
        format!("{count} instances")
    };
    match (service.evidence.as_deref(), &service.version) {
        (Some("app"), Some(version)) => format!(": {instances} answer as {version}"),
        (Some("http"), _) => format!(": {instances} answer well"),
        (Some("checks"), _) => format!(": the checks of {instances} pass"),
        (Some("state"), _) => format!(": {instances} started and stay up"),
        _ => String::new(),
    }
}

fn serving(services: &[ServiceReport]) -> String {
    let named: Vec<String> = services
        .iter()
        .map(|service| {
            let what = service
                .serving
                .as_ref()
                .map_or_else(|| "nothing that is known".to_owned(), served);
            if services.len() > 1 {
                format!("{} {what}", service.service)
            } else {
                what
            }
        })
        .collect();
    named.join(", ")
}

/// `v41 (shop:v1.3.0)`, or what is mixed.
pub(crate) fn served(served: &ServedReport) -> String {
    if served.mixed {
        return format!("a mix of releases ({})", served.image);
    }
    let image = short_image(&served.image);
    match served.release {
        Some(ReleaseNumber(number)) => format!("v{number} ({image})"),
        None if image.is_empty() => "nothing".to_owned(),
        None => image.to_owned(),
    }
}

/// An image without its registry.
pub(crate) fn short_image(image: &str) -> &str {
    image
        .split_once('/')
        .filter(|(host, _)| host.contains('.') || host.contains(':'))
        .map_or(image, |(_, rest)| rest)
}

fn evidence(out: &mut String, service: &ServiceReport, report: &Report, width: usize) {
    let good = report.exit_code == 0;
    if report.services.len() > 1 {
        let verdict = service.verdict.as_deref().unwrap_or("not shipped");
        let _ = writeln!(out, "  {}: {verdict}", paint(BOLD, &service.service));
    }
    if !good {
        for reason in &service.reasons {
            let _ = writeln!(out, "{}", labelled("  -", 3, reason, width));
        }
        if let Some(message) = service
            .provider
            .as_ref()
            .and_then(|provider| provider.message.as_ref())
            .filter(|message| !service.reasons.iter().any(|reason| reason.contains(*message)))
        {
            let _ = writeln!(out, "{}", labelled("  flyctl:", 9, message, width));
        }
        if report.name == "rolled_back" && !service.instances.is_empty() {
            let _ = writeln!(out, "  {}", paint(DIM, "when it was refuted:"));
        }
        for instance in &service.instances {
            let _ = writeln!(out, "  {}", self::instance(instance, width.saturating_sub(2)));
        }
        if !service.log.is_empty() {
            let _ = writeln!(out, "  {}", paint(DIM, "last log lines:"));
            for line in &service.log {
                let _ = writeln!(
                    out,
                    "  {} {}",
                    paint(DIM, "│"),
                    cut(line, width.saturating_sub(4))
                );
            }
        }
    }
    for warning in &service.warnings {
        let _ = writeln!(out, "{}", labelled(&paint(WARN, "warning:"), 8, warning, width));
    }
}

/// One instance on a line: `148e… iad started v42 checks critical, answers 503`.
pub(crate) fn instance(instance: &InstanceReport, width: usize) -> String {
    let mut facts = vec![
        instance.id.clone(),
        instance.region.clone(),
        instance.state.clone(),
    ];
    if let Some(release) = instance.release {
        facts.push(release.to_string());
    }
    if let Some(checks) = &instance.checks {
        facts.push(format!("checks {checks}"));
    }
    if let Some(status) = instance.probes.last_status {
        facts.push(format!("answers {status}"));
    }
    if let Some(version) = &instance.probes.last_version {
        facts.push(format!("as {version}"));
    }
    wrap(&facts.join(" "), width).join("\n    ")
}
