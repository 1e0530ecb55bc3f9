//! The answer of a deployment for a person: first what serves, then why, then what to do.

use std::fmt::Write;

use crate::deployment::attempt::short_id;
use crate::deployment::report::{Ending, Report, ServedReport, ServiceReport};
use crate::output::text::{duration, labelled, wrap, wrapped};
use crate::output::{BAD, BOLD, DIM, GOOD, Printer, WARN, log, paint};
use crate::release::short_image;
use crate::verification::{Evidence, InstanceReport, Verdict};

/// The whole answer, ready to print; `width` is where lines wrap. What was `warned` of already is not said again.
pub(crate) fn report(report: &Report, warned: bool, width: usize, printer: Printer) -> String {
    let mut out = answer(report, warned, width);
    if report.exit_code != 0 {
        let mut facts = facts(report);
        if !report.id.is_empty() && !report.unrecorded {
            let show = format!("shipctl history show {}", short_id(&report.id));
            facts.push(printer.pasteable(&show));
        }
        let _ = writeln!(out, "{}", paint(DIM, &wrapped(&facts.join(" · "), width)));
    }
    out
}

/// The same, said again later: what was told of it stands around it.
pub(crate) fn again(report: &Report, width: usize) -> String {
    let mut out = answer(report, false, width);
    if report.exit_code != 0 {
        let _ = writeln!(out, "{}", paint(DIM, &wrapped(&facts(report).join(" · "), width)));
    }
    out
}

/// How it ended, and how long it took.
fn facts(report: &Report) -> Vec<String> {
    vec![
        format!("exit {} ({})", report.exit_code, report.ending.name()),
        duration(std::time::Duration::from_millis(report.duration_ms)),
    ]
}

fn answer(report: &Report, warned: bool, width: usize) -> String {
    let mut out = String::new();
    let (mark, style) = match report.ending {
        Ending::Ok => ("✔", GOOD),
        Ending::RolledBack => ("↩", WARN),
        Ending::Interrupted(_) | Ending::Inconclusive => ("?", WARN),
        Ending::Failed | Ending::Config | Ending::Provider | Ending::Broken => ("✖", BAD),
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
    out
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
    if let Some(asked) = report.asked {
        return format!("{place} serves {serving}, not {asked}");
    }
    match report.ending {
        Ending::Ok => format!("{place} is serving {serving}, verified{}", by(first)),
        Ending::RolledBack => format!("{place} is serving {serving}, verified; {shipped} was refuted"),
        Ending::Failed => format!(
            "{place} still serves {serving}, verified; the {} failed",
            report.kind
        ),
        Ending::Config => format!("no release was made, {place} still serves {serving}"),
        Ending::Provider => format!("no release was made, nothing was changed in {place}"),
        Ending::Broken if report.kind == "verify" => format!("{place} is broken, serving {serving}"),
        Ending::Broken => {
            format!("{place} is broken, serving {serving}; {shipped} was refuted and not returned")
        }
        // The record is older than the look at what serves.
        Ending::Interrupted(_) if report.services.iter().all(|service| service.serving.is_none()) => {
            format!("interrupted; what {place} serves was not looked at any more")
        }
        Ending::Interrupted(_) => format!("interrupted; {place} serves {serving}"),
        Ending::Inconclusive => format!("what {place} serves could not be established"),
    }
}

/// The service that decided the outcome: the first that is not verified.
fn deciding(report: &Report) -> Option<&ServiceReport> {
    report
        .services
        .iter()
        .find(|service| service.verdict != Some(Verdict::Verified))
        .or(report.services.first())
}

fn by(service: &ServiceReport) -> String {
    let count = service.instances.len();
    let instances = if count == 1 {
        "1 instance".to_owned()
    } else {
        format!("{count} instances")
    };
    let Some(evidence) = service.evidence else {
        return String::new();
    };
    match (evidence, &service.version) {
        (Evidence::App, Some(version)) => format!(": {instances} answer as {version}"),
        (Evidence::App | Evidence::Http, _) => format!(": {instances} answer well"),
        (Evidence::Checks, _) => format!(": the checks of {instances} pass"),
        (Evidence::State, _) if count == 1 => format!(": {instances} started and stays up"),
        (Evidence::State, _) => format!(": {instances} started and stay up"),
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

/// `v41 (shop:v1.3.0)`, `v41 and v43 (shop:v1.3.0)`, or what is mixed.
pub(crate) fn served(served: &ServedReport) -> String {
    let Some(image) = served.image.as_deref().map(short_image) else {
        let parts = served.releases.iter().map(|part| match part.release {
            Some(release) => format!("{release} {}", short_image(&part.image)),
            None => short_image(&part.image).to_owned(),
        });
        return format!("a mix of releases ({})", joined(parts));
    };
    let releases = joined(served.releases.iter().filter_map(|part| part.release));
    match served.release {
        Some(_) if !releases.is_empty() => format!("{releases} ({image})"),
        Some(release) => format!("{release} ({image})"),
        None if image.is_empty() => "nothing".to_owned(),
        None => image.to_owned(),
    }
}

fn joined(parts: impl Iterator<Item = impl ToString>) -> String {
    let parts: Vec<String> = parts.map(|part| part.to_string()).collect();
    parts.join(" and ")
}

fn evidence(out: &mut String, service: &ServiceReport, report: &Report, width: usize) {
    let good = report.exit_code == 0;
    if report.services.len() > 1 {
        let verdict = service.verdict.map_or("not shipped", Verdict::as_str);
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
        if report.ending == Ending::RolledBack && !service.instances.is_empty() {
            let _ = writeln!(out, "  {}", paint(DIM, "when it was refuted:"));
        }
        for instance in &service.instances {
            let _ = writeln!(out, "  {}", self::instance(instance, width.saturating_sub(2)));
        }
        log::block(out, &service.log, "with --json", width);
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

#[cfg(test)]
mod tests {
    use super::report;
    use crate::cli::Globals;
    use crate::deployment::report::{Ending, Report, ServedReport, ServiceReport};
    use crate::output::Printer;
    use crate::release::ReleaseNumber;
    use crate::state::record::GitFacts;
    use crate::verification::{Evidence, Verdict};

    fn ended(ending: Ending, kind: &'static str, verdict: Verdict) -> Report {
        let served = |number, tag: &str| ServedReport {
            release: Some(ReleaseNumber(number)),
            image: Some(format!("registry.fly.io/shop:{tag}")),
            digest: None,
            verdict: None,
            mixed: false,
            releases: Vec::new(),
        };
        Report {
            schema: "shipctl/deployment/1",
            sandbox: false,
            id: String::new(),
            kind,
            environment: "staging".to_owned(),
            outcome: Some(ending.outcome()),
            exit_code: ending.exit_code(),
            ending,
            actor: "dev".to_owned(),
            reason: None,
            git: GitFacts::default(),
            started_at: String::new(),
            duration_ms: 0,
            phases: Vec::new(),
            services: vec![ServiceReport {
                service: "web".to_owned(),
                app: "shop".to_owned(),
                verdict: Some(verdict),
                evidence: Some(Evidence::Http),
                reasons: Vec::new(),
                warnings: Vec::new(),
                release: Some(ReleaseNumber(4)),
                image: Some("registry.fly.io/shop:v4".to_owned()),
                digest: None,
                version: None,
                previous: None,
                serving: Some(served(5, "v3")),
                provider: None,
                instances: Vec::new(),
                log: Vec::new(),
            }],
            hints: Vec::new(),
            unrecorded: false,
            asked: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn each_ending_says_what_serves_in_its_own_words() {
        use Verdict::{Inconclusive, Refuted, Verified};
        for (ending, kind, verdict, line) in [
            (
                Ending::Ok,
                "deploy",
                Verified,
                "✔ staging is serving v5 (shop:v3), verified: 0 instances answer well",
            ),
            (
                Ending::RolledBack,
                "deploy",
                Refuted,
                "↩ staging is serving v5 (shop:v3), verified; v4 (shop:v4) was refuted",
            ),
            (
                Ending::Failed,
                "rollback",
                Refuted,
                "✖ staging still serves v5 (shop:v3), verified; the rollback failed",
            ),
            (
                Ending::Config,
                "deploy",
                Refuted,
                "✖ no release was made, staging still serves v5 (shop:v3)",
            ),
            (
                Ending::Provider,
                "deploy",
                Refuted,
                "✖ no release was made, nothing was changed in staging",
            ),
            (
                Ending::Broken,
                "verify",
                Refuted,
                "✖ staging is broken, serving v5 (shop:v3)",
            ),
            (
                Ending::Broken,
                "deploy",
                Refuted,
                "✖ staging is broken, serving v5 (shop:v3); v4 (shop:v4) was refuted and not returned",
            ),
            (
                Ending::Inconclusive,
                "deploy",
                Inconclusive,
                "? what staging serves could not be established",
            ),
            (
                Ending::Interrupted(2),
                "deploy",
                Inconclusive,
                "? interrupted; staging serves v5 (shop:v3)",
            ),
        ] {
            let text = report(
                &ended(ending, kind, verdict),
                false,
                200,
                Printer::new(&Globals::default()),
            );
            let said = anstream::adapter::strip_str(&text).to_string();
            assert_eq!(said.lines().next(), Some(line), "{ending:?}");
        }
    }
}
