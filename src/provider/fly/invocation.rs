//! Every flyctl command line that shipctl issues, as data.

use std::path::PathBuf;
use std::time::Duration;

use super::flags::Flags;

/// A command line without the program's name.
pub(crate) type Args = Vec<String>;

fn args<const N: usize>(words: [&str; N]) -> Args {
    words.map(str::to_owned).to_vec()
}

pub(crate) fn version_json() -> Args {
    args(["version", "--json"])
}

pub(crate) fn deploy_help() -> Args {
    args(["deploy", "--help"])
}

/// Unfiltered: flyctl's own machines are in it too (REFERENCE 1.2).
pub(crate) fn machine_list(app: &str) -> Args {
    args(["machine", "list", "-a", app, "--json"])
}

/// The newest 25.
pub(crate) fn releases(app: &str) -> Args {
    args(["releases", "-a", app, "--json"])
}

/// Names the cause of a failure, which `machine list` hides.
pub(crate) fn status(app: &str) -> Args {
    args(["status", "-a", app, "--json"])
}

pub(crate) fn ips_list(app: &str) -> Args {
    args(["ips", "list", "-a", app, "--json"])
}

/// Names, digests and, of some versions, times; never a value (REFERENCE 1.4).
pub(crate) fn secrets_list(app: &str) -> Args {
    args(["secrets", "list", "-a", app, "--json"])
}

/// The configuration of the newest release; JSON without being asked to.
pub(crate) fn config_show(app: &str) -> Args {
    args(["config", "show", "-a", app])
}

/// Waits for ever where there is no log line yet (REFERENCE 1.8): needs a limit. `--instance` is the old name of
/// `--machine`, and still an alias.
pub(crate) fn logs(app: &str, machine: Option<&str>) -> Args {
    let mut line = args(["logs", "-a", app, "--no-tail"]);
    if let Some(machine) = machine {
        line.push(format!("--instance={machine}"));
    }
    line
}

/// Lets requests reach a machine again, or for the first time.
pub(crate) fn machine_uncordon(app: &str, id: &str) -> Args {
    args(["machine", "uncordon", id, "-a", app])
}

pub(crate) fn machine_start(app: &str, id: &str) -> Args {
    args(["machine", "start", id, "-a", app])
}

/// One `flyctl deploy`. What is `None` is left to flyctl and its file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct DeployCall {
    pub(crate) app: String,
    /// Absolute: relative paths would be taken from `dir`.
    pub(crate) config: PathBuf,
    /// Working directory of the child, which is the build context (REFERENCE 3.1).
    pub(crate) dir: PathBuf,
    /// Ships this instead of building.
    pub(crate) image: Option<String>,
    /// The tag of what is built.
    pub(crate) image_label: Option<String>,
    pub(crate) strategy: Option<String>,
    pub(crate) smoke_checks: Option<bool>,
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) release_command_timeout: Option<Duration>,
    /// Pins the code path: with 0 and with more flyctl behaves differently (REFERENCE 2.1).
    pub(crate) deploy_retries: Option<u32>,
    /// Passed on after everything else, so that of a flag given twice this one counts.
    pub(crate) extra: Vec<String>,
}

/// A flag that this flyctl does not know and that was left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LeftOut {
    /// With its dashes.
    pub(crate) flag: &'static str,
    /// What goes without it, for people.
    pub(crate) cost: &'static str,
}

/// The command line of a deployment, and what this flyctl cannot be told. The DNS question is always switched off
/// where it can be: addresses are asked by shipctl itself.
pub(crate) fn deploy(call: &DeployCall, flags: &Flags) -> (Args, Vec<LeftOut>) {
    let mut line = args(["deploy", "-a", &call.app, "-c"]);
    line.push(call.config.to_string_lossy().into_owned());
    line.push("--yes".to_owned());
    if let Some(image) = &call.image {
        line.extend(["--image".to_owned(), image.clone()]);
    }
    let optional = [
        (
            "--image-label",
            call.image_label.clone(),
            "the tag of the image does not name its commit",
        ),
        (
            "--strategy",
            call.strategy.clone(),
            "the strategy of the file is used",
        ),
        (
            "--smoke-checks",
            call.smoke_checks.map(|on| on.to_string()),
            "flyctl watches each machine for ten seconds, one after the other",
        ),
        (
            "--wait-timeout",
            call.wait_timeout.map(go_duration),
            "flyctl waits for each machine as long as it likes",
        ),
        (
            "--release-command-timeout",
            call.release_command_timeout.map(go_duration),
            "flyctl waits for the release command as long as it likes",
        ),
        (
            "--deploy-retries",
            call.deploy_retries.map(|retries| retries.to_string()),
            "flyctl decides by itself whether it tries a machine again",
        ),
        (
            "--dns-checks",
            Some("false".to_owned()),
            "flyctl asks for the app's address and may fail after a good deploy",
        ),
    ];
    let mut left_out = Vec::new();
    for (flag, value, cost) in optional {
        let Some(value) = value else { continue };
        if flags.knows(&flag[2..]) {
            line.push(format!("{flag}={value}"));
        } else if flag != "--deploy-retries" {
            // A flyctl without that flag never retries, which is what is asked of the others.
            left_out.push(LeftOut { flag, cost });
        }
    }
    line.extend(call.extra.iter().cloned());
    (line, left_out)
}

/// In whole seconds, never none: 0 means something else to flyctl (REFERENCE 2.1).
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    format!("{}s", seconds.max(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::flags::Flags;
    use super::super::output::captures::capture;
    use super::{DeployCall, deploy, go_duration, logs, machine_list, machine_start, secrets_list};

    fn call() -> DeployCall {
        DeployCall {
            app: "shop".into(),
            config: "/src/fly.production.toml".into(),
            dir: "/src".into(),
            ..DeployCall::default()
        }
    }

    #[test]
    fn every_call_names_its_app() {
        assert_eq!(machine_list("shop").join(" "), "machine list -a shop --json");
        assert_eq!(secrets_list("shop").join(" "), "secrets list -a shop --json");
        assert_eq!(logs("shop", None).join(" "), "logs -a shop --no-tail");
        assert_eq!(
            logs("shop", Some("148e")).join(" "),
            "logs -a shop --no-tail --instance=148e"
        );
        assert_eq!(
            machine_start("shop", "148e").join(" "),
            "machine start 148e -a shop"
        );
    }

    #[test]
    fn a_bare_deployment_says_no_more_than_it_must() {
        let flags = Flags::parse(&capture("help_deploy").stdout);
        let (line, left_out) = deploy(&call(), &flags);
        assert_eq!(
            line,
            [
                "deploy",
                "-a",
                "shop",
                "-c",
                "/src/fly.production.toml",
                "--yes",
                "--dns-checks=false"
            ]
        );
        assert!(left_out.is_empty());
    }

    #[test]
    fn a_full_one_says_all_and_the_users_own_flags_come_last() {
        let flags = Flags::parse(&(capture("help_deploy").stdout + "      --deploy-retries string   x\n"));
        let call = DeployCall {
            image: Some("registry.fly.io/shop:v2@sha256:ab".into()),
            image_label: Some("v1.4.0-7f3a9c0d".into()),
            strategy: Some("immediate".into()),
            smoke_checks: Some(false),
            wait_timeout: Some(Duration::from_millis(300_200)),
            release_command_timeout: Some(Duration::from_secs(600)),
            deploy_retries: Some(0),
            extra: vec!["--strategy".into(), "rolling".into()],
            ..call()
        };
        let (line, left_out) = deploy(&call, &flags);
        assert_eq!(
            line[6..],
            [
                "--image",
                "registry.fly.io/shop:v2@sha256:ab",
                "--image-label=v1.4.0-7f3a9c0d",
                "--strategy=immediate",
                "--smoke-checks=false",
                "--wait-timeout=301s",
                "--release-command-timeout=600s",
                "--deploy-retries=0",
                "--dns-checks=false",
                "--strategy",
                "rolling"
            ]
        );
        assert!(left_out.is_empty());
    }

    #[test]
    fn an_unknown_flag_is_left_out_and_named() {
        let call = DeployCall {
            smoke_checks: Some(false),
            deploy_retries: Some(0),
            ..call()
        };
        let (line, left_out) = deploy(&call, &Flags::default());
        assert_eq!(line.last().unwrap(), "--yes");
        let names: Vec<_> = left_out.iter().map(|left| left.flag).collect();
        assert_eq!(names, ["--smoke-checks", "--dns-checks"]);
    }

    #[test]
    fn durations_are_whole_seconds_and_never_none() {
        for (millis, text) in [
            (0, "1s"),
            (1, "1s"),
            (1000, "1s"),
            (1001, "2s"),
            (300_000, "300s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
    }
}
