//! One call of shipctl or flyctl, what is done meanwhile, and what came of it.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::oracle::Case;
use crate::support::stage::{Player, Stage};
use crate::support::truth::{self, Look};

/// Longer than any scenario takes: what runs on has hung.
const LIMIT: Duration = Duration::from_secs(150);

pub(crate) struct Call<'s> {
    stage: &'s Stage,
    player: Player,
    args: Vec<String>,
    /// Flags for `flyctl deploy`: after `--` with shipctl.
    passed: Vec<String>,
    wanted: Vec<(String, String)>,
    old: Option<String>,
}

/// What a call came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    /// 128 + n where a signal ended it; -1 where it had to be killed.
    pub(crate) code: i32,
    pub(crate) seconds: f64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) cases: Vec<Case>,
}

impl Ended {
    /// The document of `--json`; null where there is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }

    pub(crate) fn says(&self, text: &str) -> bool {
        self.stdout.contains(text) || self.stderr.contains(text)
    }
}

/// A call that is under way.
pub(crate) struct Running<'s> {
    pub(crate) stage: &'s Stage,
    child: Child,
    begun: Instant,
    out: PathBuf,
    player: Player,
    line: String,
}

impl<'s> Call<'s> {
    fn new(stage: &'s Stage, player: Player, args: &[&str]) -> Self {
        Self {
            stage,
            player,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            passed: Vec::new(),
            wanted: Vec::new(),
            old: None,
        }
    }

    pub(crate) fn shipctl(stage: &'s Stage, args: &[&str]) -> Self {
        Self::new(stage, Player::Shipctl, args)
    }

    pub(crate) fn flyctl(stage: &'s Stage, args: &[&str]) -> Self {
        Self::new(stage, Player::Bare, args)
    }

    pub(crate) fn deploy(stage: &'s Stage, tag: &str) -> Self {
        let image = format!("registry.fly.io/shop:{tag}");
        let file = "fly.production.toml";
        let call = match stage.player {
            Player::Shipctl => Self::shipctl(
                stage,
                &["deploy", "production", "--config", file, "--image", &image],
            ),
            Player::Bare => Self::flyctl(
                stage,
                &[
                    "deploy",
                    "-c",
                    file,
                    "--image",
                    &image,
                    "--yes",
                    "--wait-timeout",
                    "10s",
                ],
            ),
        };
        call.wants(tag)
    }

    /// Flags of shipctl alone; the bare flyctl goes without.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        if self.player == Player::Shipctl {
            self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        }
        self
    }

    /// Flags of both.
    pub(crate) fn both(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Flags for `flyctl deploy`, by whoever calls it.
    pub(crate) fn flyctl_flags(mut self, flags: &[&str]) -> Self {
        self.passed.extend(flags.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// The tag that is to serve afterwards.
    pub(crate) fn wants(self, tag: &str) -> Self {
        self.wants_of("shop", tag)
    }

    pub(crate) fn wants_of(mut self, app: &str, tag: &str) -> Self {
        self.wanted.retain(|(known, _)| known != app);
        self.wanted.push((app.to_owned(), tag.to_owned()));
        self
    }

    /// The tag that is to serve if this fails; else what serves before it.
    pub(crate) fn old(mut self, tag: &str) -> Self {
        self.old = Some(tag.to_owned());
        self
    }

    pub(crate) fn run(self) -> Ended {
        self.meanwhile(|_| ())
    }

    /// Starts it, does something beside it, and waits for its end.
    pub(crate) fn meanwhile(self, beside: impl FnOnce(&mut Running<'s>)) -> Ended {
        let stage = self.stage;
        let before: Vec<Look> = self
            .wanted
            .iter()
            .map(|(app, _)| truth::glance(&stage.double, app))
            .collect();
        let mut running = self.start();
        beside(&mut running);
        let mut ended = running.wait();
        for ((app, wanted), before) in self.wanted.iter().zip(before) {
            let mut after = truth::look(&stage.double, app, stage.named.get());
            if !after.all_good() && !matches!(ended.code, 0 | 6 | 7) {
                // What it called good must be good now; what it called bad may have needed another moment.
                truth::settle();
                after = truth::look(&stage.double, app, stage.named.get());
            }
            ended.cases.push(Case {
                wanted: wanted.clone(),
                old: self.old.clone(),
                before,
                after,
            });
        }
        ended
    }

    #[expect(clippy::disallowed_methods, reason = "a test starts what it tests")]
    fn start(&self) -> Running<'s> {
        let stage = self.stage;
        let (program, mut args) = match self.player {
            Player::Shipctl => (
                PathBuf::from(env!("CARGO_BIN_EXE_shipctl")),
                vec!["--json".to_owned()],
            ),
            Player::Bare => (stage.flyctl.clone(), Vec::new()),
        };
        args.extend(self.args.iter().cloned());
        if self.player == Player::Shipctl && !self.passed.is_empty() {
            args.push("--".to_owned());
        }
        args.extend(self.passed.iter().cloned());
        let out = tempfile::Builder::new()
            .prefix("call-")
            .tempdir_in(stage.path(""))
            .unwrap()
            .keep();
        let file = |name: &str| File::create(out.join(name)).unwrap();
        let child = Command::new(program)
            .args(&args)
            .env_clear()
            .envs(stage.variables(self.player))
            .current_dir(stage.work())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Running {
            stage,
            child,
            begun: Instant::now(),
            out,
            player: self.player,
            line: args.join(" "),
        }
    }
}

impl Running<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        let _ = kill(Pid::from_raw(pid), signal);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for a condition of the world while the call is under way; complains where it never holds.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Stage) -> bool) -> bool {
        while self.elapsed() < LIMIT {
            if holds(self.stage) {
                return true;
            }
            if self.has_ended() {
                break;
            }
            sleep(Duration::from_millis(50));
        }
        // The bare flyctl often fails or ends before what a scenario waits for.
        self.stage
            .insist(self.player == Player::Bare, &format!("never so: {what}"));
        false
    }

    fn wait(mut self) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if self.elapsed() > LIMIT {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                break None;
            }
            sleep(Duration::from_millis(20));
        };
        let read = |name: &str| String::from_utf8_lossy(&fs::read(self.out.join(name)).unwrap()).into_owned();
        let code = status.map_or(-1, |status| {
            let by_signal = status.signal().map(|signal| 128 + signal);
            status.code().or(by_signal).unwrap_or(-1)
        });
        let ended = Ended {
            code,
            seconds: self.elapsed().as_secs_f64(),
            stdout: read("stdout"),
            stderr: read("stderr"),
            cases: Vec::new(),
        };
        let who = if self.player == Player::Bare {
            "flyctl"
        } else {
            "shipctl"
        };
        let text = format!(
            "\n$ {who} {}\n--- exit {code} after {:.1} s\n{}\n{}\n",
            self.line, ended.seconds, ended.stderr, ended.stdout
        );
        self.stage.log.borrow_mut().push_str(&text);
        ended
    }
}
