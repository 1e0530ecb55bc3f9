//! Scenes: the world before each recorded call, as orders and files, in `tests/fixtures/scenes.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than any recorded call takes at a scene's speed, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A call that was made again.
pub(crate) struct Played {
    pub(crate) name: String,
    pub(crate) recorded: Value,
    /// As recorded: below zero for a signal.
    pub(crate) exit_code: i64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The truth about the app that the capture tells the end of.
    pub(crate) after: Option<Value>,
    pub(crate) folder: PathBuf,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub(crate) fn all() -> Vec<Value> {
    let text = fs::read(fixtures().join("scenes.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn capture(name: &str) -> Value {
    let text = fs::read(fixtures().join("captures").join(format!("{name}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The captures of subcommands that shipctl issues, or that its worlds need.
pub(crate) fn captures_of_our_subcommands() -> BTreeSet<String> {
    const OURS: [&str; 14] = [
        "version",
        "deploy",
        "status",
        "releases",
        "machine list",
        "machine start",
        "machine stop",
        "ips list",
        "config show",
        "logs",
        "auth whoami",
        "secrets list",
        "secrets set",
        "secrets unset",
    ];
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(fixtures().join("captures")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        // What `status` prints of a Postgres app is another page, which shipctl never asks for.
        if name == "measurements"
            || name.starts_with("postgres")
            || path.extension().is_none_or(|ending| ending != "json")
        {
            continue;
        }
        let words: Vec<String> = serde_json::from_value(capture(&name)["argv"].clone()).unwrap();
        let line = words[1..].join(" ");
        if OURS.iter().any(|ours| line.starts_with(ours)) {
            found.insert(name);
        }
    }
    found
}

/// The stage of one scene.
struct Stage {
    folder: tempfile::TempDir,
    world: PathBuf,
    running: Option<(Value, Running)>,
}

/// A call under way, its output read as it comes.
struct Running {
    child: Child,
    stdout: Output,
    stderr: Output,
}

struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Output {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                shared.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn whole(self) -> String {
        self.reader.join().unwrap();
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }
}

impl Running {
    /// Waits until a text was printed, or until the call has ended.
    fn until(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.stdout.so_far().contains(text) && !self.stderr.so_far().contains(text) {
            if self.child.try_wait().unwrap().is_some() || Instant::now() > deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(mut self) -> (i64, String, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let code = status
            .code()
            .map_or_else(|| -i64::from(status.signal().unwrap_or(0)), i64::from);
        (code, self.stdout.whole(), self.stderr.whole())
    }
}

impl Stage {
    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn config_folder(&self) -> PathBuf {
        self.folder.path().join("fly")
    }

    fn order(&self, order: &Value) {
        let answer = shipctl::sandbox_order(&self.world, order.clone());
        assert!(answer["error"].is_null(), "{order}: {answer}");
    }

    fn write(&self, name: &str, text: &str) {
        let path = match name.strip_prefix("$CONFIG/") {
            Some(rest) => self.config_folder().join(rest),
            None => self.work().join(name),
        };
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Starts the stand-in: this crate's binary, under the name `flyctl`.
    #[expect(clippy::disallowed_methods, reason = "a test starts what it tests")]
    fn start(&self, argv: &[String], env: &BTreeMap<String, Option<String>>) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipctl"));
        command
            .arg0("flyctl")
            .args(argv)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SHIPCTL_SANDBOX_WORLD", &self.world)
            .env("FLY_CONFIG_DIR", self.config_folder())
            .current_dir(self.work())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in env {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let mut child = command.spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Running {
            child,
            stdout,
            stderr,
        }
    }

    fn finish(&self, step: &Value, running: Running) -> Option<Played> {
        let (exit_code, stdout, stderr) = running.end();
        let name = step["capture"].as_str()?.to_owned();
        let after = step["after"].as_str().map(|app| {
            let state = shipctl::sandbox_order(&self.world, json!({"do": "state"}));
            state["apps"][app].clone()
        });
        Some(Played {
            recorded: capture(&name),
            name,
            exit_code,
            stdout,
            stderr,
            after,
            folder: self.work(),
        })
    }

    fn call(&mut self, step: &Value) -> Option<Played> {
        let recorded = step["capture"].as_str().map_or_else(
            || {
                let mut argv = vec![json!("flyctl")];
                argv.extend(step["run"].as_array().cloned().unwrap());
                json!({"argv": argv, "env": {"FLY_API_TOKEN": "fo1_all"}})
            },
            capture,
        );
        let argv: Vec<String> = serde_json::from_value(recorded["argv"].clone()).unwrap();
        let env: BTreeMap<String, Option<String>> = serde_json::from_value(recorded["env"].clone()).unwrap();
        let mut running = self.start(&argv[1..], &env);
        if let Some(text) = step["until"].as_str() {
            running.until(text);
        }
        if step["background"] == true {
            self.running = Some((step.clone(), running));
            return None;
        }
        if let Some(signal) = step["signal"].as_i64() {
            if step["until"].is_null() {
                std::thread::sleep(Duration::from_millis(150));
            }
            let signal = nix::sys::signal::Signal::try_from(i32::try_from(signal).unwrap()).unwrap();
            let pid = nix::unistd::Pid::from_raw(i32::try_from(running.child.id()).unwrap());
            nix::sys::signal::kill(pid, signal).unwrap();
        }
        self.finish(step, running)
    }
}

/// Plays a scene from its beginning; answers with every recorded call in it.
pub(crate) fn play(scene: &Value) -> Vec<Played> {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world.json");
    let mut stage = Stage {
        folder,
        world,
        running: None,
    };
    fs::create_dir_all(stage.work()).unwrap();
    fs::create_dir_all(stage.config_folder()).unwrap();
    let mut settings = scene["settings"].clone();
    settings["do"] = json!("settings");
    settings["speed"] = scene["speed"].clone();
    stage.order(&settings);
    let mut played = Vec::new();
    for step in scene["steps"].as_array().unwrap() {
        if let Some(name) = step["write"].as_str() {
            stage.write(name, step["text"].as_str().unwrap());
        } else if let Some(seconds) = step["wait_seconds"].as_f64() {
            let speed = scene["speed"].as_f64().unwrap();
            std::thread::sleep(Duration::from_secs_f64(seconds / speed));
        } else if step["order"].is_object() {
            stage.order(&step["order"]);
        } else {
            played.extend(stage.call(step));
        }
    }
    if let Some((step, running)) = stage.running.take() {
        played.extend(stage.finish(&step, running));
    }
    played
}
