//! One line of `flyctl deploy` → what it says of the deployment's progress. For display and for the number of the
//! release that is ours; no verdict rests on it.

use serde_json::Value;

use crate::release::{Image, ReleaseNumber};

/// What a line says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// The configuration is being looked at.
    Verifying,
    /// The image is being built, or looked for.
    Image,
    /// A build has this image; a registry reference.
    Built(String),
    /// The image is there; the release record comes next.
    Ready,
    ReleaseCommand(ReleaseCommand),
    /// Machines are updated from here on, with this strategy.
    Updating(String),
    Machine(MachineProgress),
    /// A step failed, with flyctl's reason.
    Failed {
        machine: Option<String>,
        reason: String,
    },
    /// A warning, such as one about a lease.
    Warning(String),
    /// The release that this call made; printed on success by a flyctl that knows how (v0.4.56).
    Release(OwnRelease),
}

impl Progress {
    /// Whether flyctl says this only once it has made a release (REFERENCE 2).
    pub(crate) fn follows_the_release(&self) -> bool {
        match self {
            Self::ReleaseCommand(_)
            | Self::Updating(_)
            | Self::Machine(_)
            | Self::Failed { .. }
            | Self::Release(_) => true,
            Self::Warning(text) => text.contains("lease"),
            Self::Verifying | Self::Image | Self::Built(_) | Self::Ready => false,
        }
    }
}

/// The migration's steps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ReleaseCommand {
    Started,
    /// The machine that runs it.
    Machine(String),
    Succeeded,
    Failed,
}

/// A step of one machine's update.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MachineProgress {
    pub(crate) id: String,
    pub(crate) group: Option<String>,
    /// This machine's place and how many there are.
    pub(crate) place: Option<(u32, u32)>,
    pub(crate) step: MachineStep,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum MachineStep {
    Created,
    Updating,
    /// Waited for until it has this state.
    WaitingFor(String),
    Reached(String),
    /// Smoke checks.
    Checking,
    Health {
        passing: u32,
        total: u32,
    },
    Updated,
    Destroyed,
}

/// The line of `FLY_EMIT_RELEASE_JSON`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OwnRelease {
    pub(crate) id: String,
    pub(crate) number: ReleaseNumber,
    pub(crate) image: Image,
}

/// Reads a line without escape codes; most say nothing.
pub(crate) fn parse(line: &str) -> Option<Progress> {
    let text = line.trim();
    let first = text.chars().next()?;
    if first == '{' {
        return own_release(text).map(Progress::Release);
    }
    if let Some(reason) = text.strip_prefix("✖ ") {
        return Some(failed(reason));
    }
    if let Some(text) = text.strip_prefix("> ").or_else(|| text.strip_prefix("✔ ")) {
        return status(text);
    }
    if let Some(warning) = text.strip_prefix("WARN ").or_else(|| text.strip_prefix("Warn: ")) {
        return Some(Progress::Warning(warning.trim().to_owned()));
    }
    if line.starts_with("  ") {
        // Blue-green progress is indented; so are log lines of the app, which look different.
        return machine(text, None).map(Progress::Machine);
    }
    match text {
        "==> Verifying app config" => Some(Progress::Verifying),
        "==> Building image" => Some(Progress::Image),
        _ if text.starts_with("Watch your deployment at ") => Some(Progress::Ready),
        _ if text.starts_with("Running ") && text.contains(" release_command: ") => {
            Some(Progress::ReleaseCommand(ReleaseCommand::Started))
        }
        _ => updating(text).or_else(|| built(text)),
    }
}

fn updating(text: &str) -> Option<Progress> {
    let rest = text.strip_prefix("Updating existing machines in ")?;
    let (_, strategy) = rest.rsplit_once(" with ")?;
    Some(Progress::Updating(strategy.strip_suffix(" strategy")?.to_owned()))
}

fn built(text: &str) -> Option<Progress> {
    let reference = text.strip_prefix("image: ")?;
    (!reference.contains(' ') && reference.contains('/')).then(|| Progress::Built(reference.to_owned()))
}

fn own_release(text: &str) -> Option<OwnRelease> {
    let json: Value = serde_json::from_str(text).ok()?;
    Some(OwnRelease {
        id: json["id"].as_str()?.to_owned(),
        number: ReleaseNumber(json["version"].as_u64()?),
        image: Image::parse(json["image_ref"].as_str()?),
    })
}

/// `[1/2] ` before the text.
fn place(text: &str) -> (Option<(u32, u32)>, &str) {
    let place = || {
        let (inside, rest) = text.strip_prefix('[')?.split_once("] ")?;
        let (at, of) = inside.split_once('/')?;
        Some((Some((at.trim().parse().ok()?, of.parse().ok()?)), rest))
    };
    place().unwrap_or((None, text))
}

fn failed(text: &str) -> Progress {
    let (_, text) = place(text);
    if text == "release_command failed" {
        return Progress::ReleaseCommand(ReleaseCommand::Failed);
    }
    let machine = text
        .strip_prefix("Machine ")
        .and_then(|rest| rest.split(' ').next())
        .map(str::to_owned);
    let reason = text
        .split_once(" update failed: ")
        .map_or(text, |(_, reason)| reason);
    let reason = reason.strip_prefix("Failed: ").unwrap_or(reason).to_owned();
    Progress::Failed { machine, reason }
}

fn status(text: &str) -> Option<Progress> {
    if let Some(id) = text.strip_prefix("Created release_command machine ") {
        return Some(Progress::ReleaseCommand(ReleaseCommand::Machine(id.to_owned())));
    }
    if text.starts_with("release_command ") && text.ends_with(" completed successfully") {
        return Some(Progress::ReleaseCommand(ReleaseCommand::Succeeded));
    }
    let (place, text) = place(text);
    machine(text, place).map(Progress::Machine)
}

fn machine(text: &str, place: Option<(u32, u32)>) -> Option<MachineProgress> {
    let (rest, verb) = [
        "Updating ",
        "Waiting for ",
        "Checking that ",
        "Created machine ",
        "Machine ",
    ]
    .into_iter()
    .find_map(|verb| Some((text.strip_prefix(verb)?, verb)))?;
    let (id, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (group, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((group, rest)) => (Some(group.to_owned()), rest.trim_start()),
        None => (None, rest),
    };
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let step = match (verb, rest) {
        _ if !is_id => return None,
        ("Updating ", "") => MachineStep::Updating,
        ("Created machine ", "") | ("Machine ", "was created") => MachineStep::Created,
        ("Checking that ", "is up and running") => MachineStep::Checking,
        ("Machine ", "update succeeded" | "update finished: success") => MachineStep::Updated,
        ("Machine ", "destroyed") => MachineStep::Destroyed,
        ("Machine ", "now ready") => MachineStep::Reached("ready".to_owned()),
        ("Waiting for ", rest) => match rest.strip_prefix("to have state: ") {
            Some(state) => MachineStep::WaitingFor(state.to_owned()),
            None => health(rest.strip_prefix("to become healthy: ")?)?,
        },
        ("Machine ", rest) => match (rest.strip_prefix("has state: "), rest.strip_prefix("- ")) {
            (Some(state), _) => MachineStep::Reached(state.to_owned()),
            (_, Some(state)) => match state.strip_suffix(" passing") {
                Some(passing) => health(passing)?,
                None => MachineStep::Reached(state.to_owned()),
            },
            _ => return None,
        },
        _ => return None,
    };
    Some(MachineProgress {
        id: id.to_owned(),
        group,
        place,
        step,
    })
}

fn health(text: &str) -> Option<MachineStep> {
    let (passing, total) = text.split_once('/')?;
    Some(MachineStep::Health {
        passing: passing.parse().ok()?,
        total: total.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::captures::capture;
    use super::{MachineProgress, MachineStep, OwnRelease, Progress, ReleaseCommand, parse};
    use crate::release::{Image, ReleaseNumber};
    use crate::secret::sanitise;

    fn all(name: &str) -> Vec<Progress> {
        let capture = capture(name);
        let text = sanitise(&format!("{}\n{}", capture.stderr, capture.stdout));
        text.lines().filter_map(parse).collect()
    }

    fn steps(name: &str) -> Vec<(String, MachineStep)> {
        all(name)
            .into_iter()
            .filter_map(|progress| match progress {
                Progress::Machine(MachineProgress { id, step, .. }) => Some((id, step)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_follows_the_release_is_told_from_what_precedes_it() {
        for (line, follows) in [
            ("==> Verifying app config", false),
            (
                "Watch your deployment at https://fly.io/apps/shop/monitoring",
                false,
            ),
            (
                "WARN DB_PASSWORD may be a potentially sensitive environment variable",
                false,
            ),
            (
                "WARN failed to acquire lease: failed to get lease on VM 1857",
                true,
            ),
            ("Updating existing machines in 'shop' with rolling strategy", true),
            ("> [1/2] Updating 1857 [app]", true),
        ] {
            assert_eq!(
                parse(line).is_some_and(|said| said.follows_the_release()),
                follows,
                "{line}"
            );
        }
    }

    #[test]
    fn a_rolling_deployment_is_followed() {
        let seen = all("deploy_rolling");
        assert_eq!(seen[..3], [Progress::Verifying, Progress::Image, Progress::Ready]);
        assert!(seen.contains(&Progress::Updating("rolling".into())));
        assert!(seen.contains(&Progress::Machine(MachineProgress {
            id: "947ccf25ec84d8".into(),
            group: Some("app".into()),
            place: Some((2, 2)),
            step: MachineStep::Health { passing: 1, total: 1 },
        })));
        let first: Vec<_> = steps("deploy_rolling")
            .into_iter()
            .filter(|(id, _)| id == "6fdaeeb9757298")
            .map(|(_, step)| step)
            .collect();
        assert_eq!(
            first,
            [
                MachineStep::Updating,
                MachineStep::Updating,
                MachineStep::WaitingFor("started".into()),
                MachineStep::Reached("started".into()),
                MachineStep::Checking,
                MachineStep::Health { passing: 1, total: 1 },
                MachineStep::Updated,
            ]
        );
    }

    #[test]
    fn blue_green_and_first_deployments_are_followed() {
        let green: Vec<_> = steps("deploy_bluegreen")
            .into_iter()
            .filter(|(id, _)| id == "7f6a6f0fb23c68")
            .map(|(_, step)| step)
            .collect();
        assert_eq!(
            green,
            [
                MachineStep::Created,
                MachineStep::Reached("started".into()),
                MachineStep::Reached("unchecked".into()),
                MachineStep::Health { passing: 1, total: 1 },
                MachineStep::Reached("ready".into()),
            ]
        );
        assert!(
            steps("deploy_bluegreen")
                .iter()
                .any(|(_, step)| *step == MachineStep::Destroyed)
        );
        let first = steps("deploy_first");
        assert_eq!(
            first
                .iter()
                .filter(|(_, step)| *step == MachineStep::Created)
                .count(),
            2
        );
        assert_eq!(
            first
                .iter()
                .filter(|(_, step)| *step == MachineStep::Updated)
                .count(),
            2
        );
    }

    #[test]
    fn the_release_command_is_followed() {
        let own = |name: &str| -> Vec<_> {
            all(name)
                .into_iter()
                .filter_map(|progress| match progress {
                    Progress::ReleaseCommand(step) => Some(step),
                    _ => None,
                })
                .collect()
        };
        let machine = ReleaseCommand::Machine("b7a767c76fb008".into());
        let good = own("deploy_release_command");
        assert_eq!(
            good,
            [
                ReleaseCommand::Started,
                machine.clone(),
                ReleaseCommand::Succeeded
            ]
        );
        let bad = own("deploy_release_command_fails");
        assert_eq!(bad, [ReleaseCommand::Started, machine, ReleaseCommand::Failed]);
        assert!(all("deploy_release_command_fails").contains(&Progress::Failed {
            machine: None,
            reason: "error release_command machine b7a767c76fb008 exited with non-zero status of 1".into()
        }));
    }

    #[test]
    fn failures_and_warnings_keep_their_reason() {
        assert!(all("deploy_crash").contains(&Progress::Failed {
            machine: Some("6fdaeeb9757298".into()),
            reason: "smoke checks for 6fdaeeb9757298 failed: the app appears to be crashing".into()
        }));
        let warned = all("deploy_lease_conflict").into_iter().any(
            |progress| matches!(progress, Progress::Warning(text) if text.contains("lease currently held by")),
        );
        assert!(warned);
    }

    #[test]
    fn our_release_and_our_image_are_found_amid_other_text() {
        assert_eq!(
            parse(r#"{"id":"rEl1","version":42,"image_ref":"registry.fly.io/shop:v2@sha256:ab"}"#),
            Some(Progress::Release(OwnRelease {
                id: "rEl1".into(),
                number: ReleaseNumber(42),
                image: Image::parse("registry.fly.io/shop:v2@sha256:ab"),
            }))
        );
        assert_eq!(
            parse("image: registry.fly.io/shop:deployment-01J"),
            Some(Progress::Built("registry.fly.io/shop:deployment-01J".into()))
        );
        for line in [
            "",
            "{}",
            "{\"version\":42}",
            "image: it is",
            "image size: 12 MB",
            "> nothing known",
            "  started shop:v2",
            "Machine",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_breaks_it(line in any::<String>()) {
            let _ = parse(&line);
        }

        #[test]
        fn no_line_of_its_words_breaks_it(line in "(> |✖ |✔ |  )?(\\[[0-9/]{0,5}\\] )?(Machine|Waiting for|Updating|Created machine)?[ \\[\\]a-z:0-9/é]{0,30}") {
            let _ = parse(&line);
        }
    }
}
