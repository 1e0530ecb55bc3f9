//! A program under test: started in a process group of its own, its output in files, with a limit nothing outlives.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use std::os::unix::process::{CommandExt, ExitStatusExt};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;

/// No program of a test runs longer.
const LIMIT: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(10);

/// A program that runs. What still runs when it is dropped is killed, with its group.
pub(crate) struct Running {
    line: String,
    child: Child,
    started: Instant,
    stdout: PathBuf,
    stderr: PathBuf,
    over: Option<ExitStatus>,
}

impl Running {
    /// Starts it; its output goes to files in `folder`.
    pub(crate) fn start(mut command: Command, line: String, folder: &Path, number: usize) -> Self {
        let stdout = folder.join(format!("{number}.stdout"));
        let stderr = folder.join(format!("{number}.stderr"));
        command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).expect("a file for stdout"))
            .stderr(File::create(&stderr).expect("a file for stderr"))
            .process_group(0);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("`{line}` does not start: {error}"));
        Self {
            line,
            child,
            started: Instant::now(),
            stdout,
            stderr,
            over: None,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        if self.over.is_none() {
            self.over = self.child.try_wait().expect("a child to wait for");
        }
        self.over.is_none()
    }

    /// What it said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// What it said on stdout so far.
    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Sends a signal to the process alone, not to its group.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("a process to signal");
    }

    /// Waits until `happened`, or panics after the limit or when the program ends before.
    pub(crate) fn wait_until(&mut self, what: &str, mut happened: impl FnMut() -> bool) {
        while !happened() {
            assert!(
                self.runs(),
                "`{}` ended before {what}:\n{}",
                self.line,
                self.stderr()
            );
            assert!(
                self.started.elapsed() < LIMIT,
                "`{}` runs for too long before {what}:\n{}",
                self.line,
                self.stderr()
            );
            sleep(LOOK);
        }
    }

    /// Waits for its end; after the limit it is killed, and the test fails.
    pub(crate) fn wait(mut self) -> Ended {
        while self.runs() {
            if self.started.elapsed() > LIMIT {
                self.kill();
                panic!(
                    "`{}` ran longer than {} s\n--- stdout\n{}\n--- stderr\n{}",
                    self.line,
                    LIMIT.as_secs(),
                    self.stdout(),
                    self.stderr()
                );
            }
            sleep(LOOK);
        }
        let status = self.over.expect("an end");
        Ended {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout(),
            stderr: self.stderr(),
            took: self.started.elapsed(),
            line: self.line.clone(),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process identifier"))
    }

    fn kill(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.runs() {
            self.kill();
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; absent where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
    line: String,
}

impl Ended {
    /// Everything about it, for the words of a failed assertion.
    pub(crate) fn told(&self) -> String {
        format!(
            "`{}` ended with {:?} (signal {:?}) after {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.line, self.code, self.signal, self.took, self.stdout, self.stderr
        )
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.told());
        self
    }

    /// The document of `--json`.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{}", self.told()))
    }

    /// Asserts exit code and outcome of a deployment's document, which must agree.
    #[track_caller]
    pub(crate) fn concludes(&self, outcome: &str, code: i32) -> Value {
        self.exits(code);
        let document = self.json();
        assert_eq!(document["schema"], "shipctl/deployment/1", "{}", self.told());
        assert_eq!(document["outcome"], outcome, "{}", self.told());
        assert_eq!(document["exit_code"], code, "{}", self.told());
        document
    }

    /// Asserts that an error's document says this exit code and name.
    #[track_caller]
    pub(crate) fn refuses(&self, name: &str, code: i32) -> Value {
        self.exits(code);
        let document = self.json();
        assert_eq!(document["schema"], "shipctl/error/1", "{}", self.told());
        assert_eq!(document["name"], name, "{}", self.told());
        assert_eq!(document["exit_code"], code, "{}", self.told());
        document
    }

    /// Asserts that stdout or stderr holds each of these.
    #[track_caller]
    pub(crate) fn says<S: AsRef<str>>(&self, words: impl IntoIterator<Item = S>) -> &Self {
        for words in words {
            let words = words.as_ref();
            assert!(
                self.stdout.contains(words) || self.stderr.contains(words),
                "nothing says `{words}`: {}",
                self.told()
            );
        }
        self
    }

    /// Asserts that neither stdout nor stderr holds this.
    #[track_caller]
    pub(crate) fn never_says(&self, words: &str) -> &Self {
        assert!(
            !self.stdout.contains(words) && !self.stderr.contains(words),
            "something says `{words}`: {}",
            self.told()
        );
        self
    }
}

/// Ends by their identifiers the processes that work on a world, such as a flyctl that outlived its shipctl.
pub(super) fn end_those_of(world: &Path) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    let needle = world.as_os_str().as_encoded_bytes();
    let own = std::process::id().to_string();
    for process in processes.filter_map(io::Result::ok) {
        let name = process.file_name().to_string_lossy().into_owned();
        let Ok(id) = name.parse::<i32>() else { continue };
        if name == own {
            continue;
        }
        let Ok(environment) = fs::read(process.path().join("environ")) else {
            continue;
        };
        let works_here = environment
            .split(|byte| *byte == 0)
            .filter_map(|variable| variable.strip_prefix(b"SHIPCTL_SANDBOX_WORLD="))
            .any(|value| value == needle);
        if works_here {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}
