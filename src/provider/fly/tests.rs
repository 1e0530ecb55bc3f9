//! The calls that read, against small scripts in flyctl's place.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::Flyctl;
use super::call::CallFailure;
use super::environment::{Environment, Token, Variables};
use super::invocation::DeployCall;
use super::output::captures::capture;
use super::output::failure::{EndedBy, FailureClass};
use super::output::transcript::Transcript;
use super::program::Program;
use crate::effect::process::Ended;
use crate::secret::{Redactor, Secret};

/// A script that notes how it was called, knows its version and help, and else does as `body` says.
struct Fake {
    dir: TempDir,
    program: Program,
}

impl Fake {
    fn new(version: &str, body: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("help"), capture("help_deploy").stdout).unwrap();
        let script = format!(
            "#!/bin/sh\nhere='{}'\necho \"$*\" >> \"$here/calls\"\ncase \"$*\" in\n\
             'version --json') echo '{{\"Name\":\"flyctl\",\"Version\":\"{version}\"}}';;\n\
             'deploy --help') cat \"$here/help\";;\n{body}\n\
             *) echo \"Error: unknown command $*\" >&2; exit 1;;\nesac\n",
            dir.path().display()
        );
        fs::write(at("flyctl"), script).unwrap();
        fs::set_permissions(at("flyctl"), Permissions::from_mode(0o755)).unwrap();
        let program = Program {
            path: at("flyctl"),
            arg0: None,
            env: vec![("WORLD".into(), "w".into())],
        };
        Self { dir, program }
    }

    /// A script that prints a recorded answer.
    fn answering(call: &str, name: &str) -> Self {
        let recorded = capture(name);
        let fake = Self::new("0.2.4", &recorded_arm(call, name, recorded.exit_code));
        fake.record(name);
        fake
    }

    fn record(&self, name: &str) {
        let recorded = capture(name);
        fs::write(self.dir.path().join(format!("{name}.out")), recorded.stdout).unwrap();
        fs::write(self.dir.path().join(format!("{name}.err")), recorded.stderr).unwrap();
    }

    async fn try_open(&self) -> Result<Flyctl, CallFailure> {
        let mut given: Variables = std::env::vars().filter(|(name, _)| name == "PATH").collect();
        given.insert("FLY_API_TOKEN".into(), "a-very-secret-token".into());
        let token = Token::choose(&given, None);
        let environment = Environment::new(&given, token, &[]);
        Flyctl::open(
            self.program.clone(),
            environment,
            Redactor::default(),
            Some(&self.cache()),
        )
        .await
    }

    async fn open(&self) -> Flyctl {
        self.try_open().await.unwrap()
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn forget_calls(&self) {
        let _ = fs::remove_file(self.dir.path().join("calls"));
    }
}

fn recorded_arm(call: &str, name: &str, code: i32) -> String {
    format!("'{call}') cat \"$here/{name}.out\"; cat \"$here/{name}.err\" >&2; exit {code};;")
}

#[tokio::test]
async fn version_and_flags_are_asked_once() {
    let fake = Fake::new("0.2.4", "");
    let flyctl = fake.open().await;
    assert_eq!(flyctl.shared.known.version.to_string(), "v0.2.4");
    assert!(flyctl.flags().knows("smoke-checks") && !flyctl.flags().knows("deploy-retries"));
    let mut calls = fake.calls();
    calls.sort();
    assert_eq!(calls, ["deploy --help", "version --json"]);
    fake.forget_calls();
    let again = fake.open().await;
    assert_eq!(
        (&again.shared.known.version, again.flags()),
        (&flyctl.shared.known.version, flyctl.flags())
    );
    assert!(fake.calls().is_empty(), "{:?}", fake.calls());
}

#[tokio::test]
async fn many_may_open_at_once() {
    let fake = Fake::new("0.2.4", "");
    let opened = futures_util::future::join_all((0..8).map(|_| fake.try_open())).await;
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    fake.forget_calls();
    fake.open().await;
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn what_is_no_fit_flyctl_is_refused_with_its_class() {
    let old = Fake::new("0.2.3", "").try_open().await.unwrap_err();
    assert_eq!(old.class, FailureClass::TooOld);
    assert!(
        old.message.contains("v0.2.3, older than v0.2.4"),
        "{}",
        old.message
    );
    assert!(Fake::new("2026.11.21-dev.1", "").try_open().await.is_ok());

    for (script, class) in [
        ("echo hello", FailureClass::Crashed),
        ("exit 1", FailureClass::Crashed),
        ("echo 'panic: oh' >&2; exit 2", FailureClass::Crashed),
        ("kill -SEGV $$", FailureClass::Crashed),
        ("echo '{\"Version\":\"0.4.87\"}'", FailureClass::Crashed),
    ] {
        let fake = Fake::new("0.2.4", "");
        fs::write(&fake.program.path, format!("#!/bin/sh\n{script}\n")).unwrap();
        let failure = fake.try_open().await.unwrap_err();
        assert_eq!(failure.class, class, "{script}: {failure:?}");
    }
    let fake = Fake::new("0.2.4", "");
    fs::write(&fake.program.path, "#!/no/such/interpreter\n").unwrap();
    assert_eq!(fake.try_open().await.unwrap_err().class, FailureClass::Missing);
}

#[tokio::test]
async fn answers_are_read() {
    let machines = Fake::answering("machine list -a shop --json", "machine_list_json");
    assert_eq!(machines.open().await.machines("shop").await.unwrap().len(), 2);
    let releases = Fake::answering("releases -a shop --json", "releases_json");
    assert_eq!(releases.open().await.releases("shop").await.unwrap().len(), 4);
    let ips = Fake::answering("ips list -a shop --json", "ips_list_json");
    assert_eq!(ips.open().await.ips("shop").await.unwrap().len(), 2);
    let secrets = Fake::answering("secrets list -a shop --json", "secrets_list_json");
    assert_eq!(secrets.open().await.secrets("shop").await.unwrap().len(), 2);
    let config = Fake::answering("config show -a shop", "config_show");
    assert_eq!(
        config.open().await.config_show("shop").await.unwrap()["app"],
        "shop"
    );
    let start = Fake::answering("machine start 6fdaeeb9757298 -a shop", "machine_start");
    start
        .open()
        .await
        .start_machine("shop", "6fdaeeb9757298")
        .await
        .unwrap();
    let logs = Fake::answering("logs -a shop --no-tail", "logs_no_tail");
    let lines = logs
        .open()
        .await
        .logs("shop", None, 1, Duration::from_secs(60))
        .await;
    assert_eq!(
        lines,
        ["2026-11-21T03:57:54Z app[5dcad6ba2b0ae8] fra [info]started shop:v4"]
    );
}

#[tokio::test]
async fn calls_run_where_no_file_can_mislead_them_with_their_own_variables() {
    let fake = Fake::new(
        "0.2.4",
        "'releases -a shop --json') env > \"$here/env\"; ls -a > \"$here/ls\"; echo null;;",
    );
    assert!(fake.open().await.releases("shop").await.unwrap().is_empty());
    let seen = |name: &str| fs::read_to_string(fake.dir.path().join(name)).unwrap();
    assert_eq!(seen("ls"), ".\n..\n");
    let env = seen("env");
    for line in [
        "FLY_API_TOKEN=a-very-secret-token",
        "LOG_LEVEL=error",
        "NO_COLOR=1",
        "WORLD=w",
    ] {
        assert!(env.lines().any(|seen| seen == line), "{line} in {env}");
    }
}

#[tokio::test]
async fn the_cause_that_machine_list_hides_is_asked_for() {
    for (status, class) in [
        ("status_json_401", FailureClass::Unauthorized),
        ("status_unknown_app_json", FailureClass::AppNotFound),
        ("status_json_500", FailureClass::Network),
    ] {
        let arms = recorded_arm("machine list -a shop --json", "machine_list_json_401", 1)
            + &recorded_arm("status -a shop --json", status, 1);
        let fake = Fake::new("0.2.4", &arms);
        fake.record("machine_list_json_401");
        fake.record(status);
        let failure = fake.open().await.machines("shop").await.unwrap_err();
        assert_eq!(failure.class, class, "{failure:?}");
        assert_eq!(failure.call, "flyctl machine list -a shop --json");
    }
}

#[tokio::test]
async fn a_machine_list_that_fails_once_while_status_answers_is_asked_again() {
    let arms = "'machine list -a shop --json') if [ -e \"$here/once\" ]; then echo null; else touch \"$here/once\"; \
                echo 'Error: machines could not be retrieved' >&2; exit 1; fi;;\n'status -a shop --json') echo '{}';;";
    let fake = Fake::new("0.2.4", arms);
    assert!(fake.open().await.machines("shop").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failure_says_what_was_called_and_shows_no_secret() {
    let arm = "'releases -a shop --json') \
               printf '\\033[31mError: unauthorized: a-very-secret-token FlyV1 fm2_abc\\n::error::x\\n' >&2; exit 1;;";
    let failure = Fake::new("0.2.4", arm)
        .open()
        .await
        .releases("shop")
        .await
        .unwrap_err();
    assert_eq!(
        (failure.class, failure.code),
        (FailureClass::Unauthorized, Some(1))
    );
    assert_eq!(
        failure.to_string(),
        "`flyctl releases -a shop --json` failed: unauthorized: [REDACTED] FlyV1 [REDACTED]"
    );
    assert!(
        failure.hints[0].contains("`FLY_API_TOKEN`"),
        "{:?}",
        failure.hints
    );
    assert!(!format!("{failure:?}").contains("very-secret"));
    assert!(
        failure.details.iter().all(|line| !line.starts_with("::")),
        "{:?}",
        failure.details
    );
}

#[tokio::test]
async fn a_silent_call_is_ended_and_a_senseless_answer_is_a_failure() {
    let arms = "'releases -a slow --json') sleep 1000;;\n'releases -a odd --json') echo '{}';;\n\
                'logs -a slow --no-tail') echo one; echo two; sleep 1000;;";
    let flyctl = Fake::new("0.2.4", arms);
    let opened = flyctl.open().await;
    let hasty = Flyctl {
        limit: Duration::from_millis(300),
        ..opened.clone()
    };
    let slow = hasty.releases("slow").await.unwrap_err();
    assert_eq!(slow.class, FailureClass::TimedOut);
    assert!(
        slow.message.contains("no answer within 0.3 s"),
        "{}",
        slow.message
    );
    let odd = opened.releases("odd").await.unwrap_err();
    assert_eq!(odd.class, FailureClass::Unknown);
    assert!(odd.message.contains("expected a list"), "{}", odd.message);
    let lines = opened.logs("slow", None, 30, Duration::from_secs(4)).await;
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn a_deployment_runs_where_it_builds_and_its_failure_is_explained() {
    let fake = Fake::new("0.2.4", "");
    let other = Token {
        variable: "FLY_API_TOKEN_STAGING".into(),
        value: Secret::new("another-secret"),
    };
    let environment = Environment::new(&Variables::new(), Some(other), &[]);
    let secrets = ["another-secret", "a-very-secret-token"].map(Secret::new);
    let flyctl = Flyctl {
        environment: Arc::new(environment),
        redactor: Redactor::new(secrets.into()),
        ..fake.open().await
    };
    let (call, left_out) = flyctl.deploy(&DeployCall {
        app: "shop".into(),
        config: "/src/fly.toml".into(),
        dir: "/src".into(),
        deploy_retries: Some(0),
        ..DeployCall::default()
    });
    assert!(left_out.is_empty());
    assert_eq!(call.dir, Some("/src".into()));
    assert_eq!(
        call.args.join(" "),
        "deploy -a shop -c /src/fly.toml --yes --dns-checks=false"
    );
    let has = |name: &str, value: &str| call.env.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("FLY_API_TOKEN", "another-secret") && has("FLY_EMIT_RELEASE_JSON", "1") && has("WORLD", "w"));
    assert!(call.env.iter().all(|(name, _)| name != "LOG_LEVEL"));
    assert_eq!(
        flyctl.clean("\u{1b}[1manother-secret a-very-secret-token"),
        "[REDACTED] [REDACTED]"
    );

    let recorded = capture("deploy_token_other_org");
    let transcript = Transcript::of(&recorded.stdout, &recorded.stderr);
    let ended = Ended {
        code: Some(1),
        signal: None,
    };
    let failure = flyctl.failure(&call, &transcript, ended, EndedBy::Itself);
    assert_eq!(failure.class, FailureClass::AppNotFound);
    assert!(failure.hints[0].contains("`FLY_API_TOKEN_STAGING`"));
}
