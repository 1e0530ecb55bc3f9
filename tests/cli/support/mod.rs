//! A place to run the real binary in: a project, a home and a state folder of its own, and no other variable.

pub(crate) mod screen;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The file of an app with one public group whose health is checked.
pub(crate) fn fly_toml(app: &str) -> String {
    format!(
        "app = \"{app}\"\nprimary_region = \"fra\"\n\n[http_service]\ninternal_port = 8080\n\n\
         [[http_service.checks]]\npath = \"/health\"\ninterval = \"10s\"\ntimeout = \"2s\"\n"
    )
}

/// Times that fit a world which is faster than Fly.
pub(crate) const QUICK: &str = "[verify]\ntimeout = \"5s\"\nbake = \"0s\"\n";

pub(crate) struct TestEnv {
    folder: tempfile::TempDir,
    variables: BTreeMap<String, OsString>,
}

impl TestEnv {
    /// An empty project named `shop`; no flyctl and no git on `PATH`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = Self {
            folder,
            variables: BTreeMap::new(),
        };
        for name in ["home", "state", "cache", "bin", "shop"] {
            fs::create_dir_all(env.folder.path().join(name)).unwrap();
        }
        let at = |name: &str| env.folder.path().join(name).into_os_string();
        let variables = BTreeMap::from([
            ("HOME".to_owned(), at("home")),
            ("XDG_STATE_HOME".to_owned(), at("state")),
            ("XDG_CACHE_HOME".to_owned(), at("cache")),
            ("PATH".to_owned(), at("bin")),
            ("USER".to_owned(), "dev".into()),
        ]);
        Self { variables, ..env }
    }

    /// A project with a staging and a production, and times that fit the sandbox.
    pub(crate) fn shop() -> Self {
        Self::new()
            .file("fly.staging.toml", &fly_toml("shop-staging"))
            .file("fly.production.toml", &fly_toml("shop"))
            .file("shipctl.toml", QUICK)
    }

    /// The same with a sandbox that is ten times as fast as Fly.
    pub(crate) fn sandbox() -> Self {
        let env = Self::shop();
        env.shipctl(["--sandbox", "status"]).succeeds();
        env.order(json!({"do": "settings", "speed": 10}));
        env
    }

    /// Writes a file of the project.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.folder.path().join("shop")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn world(&self) -> PathBuf {
        self.folder.path().join("state/shipctl/sandbox/shop/world.json")
    }

    /// Gives an order to the sandbox's world.
    pub(crate) fn order(&self, order: Value) -> Value {
        assert!(self.world().exists(), "no world in {}", self.world().display());
        let answer = shipctl::sandbox_order(&self.world(), order);
        assert!(answer["error"].is_null(), "{answer}");
        answer
    }

    /// The tags that the machines of an app run: the truth, whatever was said.
    pub(crate) fn tags(&self, app: &str) -> Vec<String> {
        let state = self.order(json!({"do": "state"}));
        let machines = state["apps"][app]["machines"].as_array().unwrap();
        let tag = |machine: &Value| machine["tag"].as_str().unwrap().to_owned();
        machines.iter().map(tag).collect()
    }

    /// How many releases an app has.
    pub(crate) fn releases(&self, app: &str) -> usize {
        let state = self.order(json!({"do": "state"}));
        state["apps"][app]["releases"].as_array().unwrap().len()
    }

    /// The variables that the program gets, and nothing else.
    pub(crate) fn variables(&self) -> &BTreeMap<String, OsString> {
        &self.variables
    }

    /// Runs the program in the project until it ends.
    pub(crate) fn shipctl<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        self.shipctl_in(&self.project(), args)
    }

    pub(crate) fn shipctl_in<'a>(&self, dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Ran {
        let args: Vec<&str> = args.into_iter().collect();
        let output = self.command(dir, &args).output().unwrap();
        Ran {
            line: args.join(" "),
            code: output.status.code(),
            stdout: self.normal(&output.stdout),
            stderr: self.normal(&output.stderr),
        }
    }

    /// Starts the program and lets it run.
    pub(crate) fn start<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Child {
        let args: Vec<&str> = args.into_iter().collect();
        self.command(&self.project(), &args).spawn().unwrap()
    }

    fn command(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipctl"));
        command
            .args(args)
            .current_dir(dir)
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Text with the folder of this test written `[TEMP]`.
    fn normal(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8(bytes.to_vec()).expect("what is printed is UTF-8");
        let folder = self.folder.path().to_string_lossy().into_owned();
        text.replace(&folder, "[TEMP]")
    }

    /// Waits until something holds.
    pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes an executable script on `PATH`.
    #[cfg(unix)]
    pub(crate) fn program(self, name: &str, script: &str) -> Self {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.folder.path().join("bin").join(name);
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o755)
            .open(path)
            .unwrap();
        file.write_all(script.as_bytes()).unwrap();
        drop(file);
        self
    }
}

/// A command that has ended. Nothing of it may stay unasserted by accident: `is` compares all three.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) line: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Exactly this exit code, this answer and this talk.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, stdout: &str, stderr: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str(), self.stderr.as_str()),
            (Some(code), stdout, stderr),
            "shipctl {}",
            self.line
        );
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(
            self.code,
            Some(code),
            "shipctl {}\n--- stdout\n{}--- stderr\n{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        self.exits(0)
    }

    /// As `is`, whenever it happened.
    #[track_caller]
    pub(crate) fn is_but_for_times(&self, code: i32, stdout: &str, stderr: &str) {
        let said = (
            text::without_times(&self.stdout),
            text::without_times(&self.stderr),
        );
        assert_eq!(
            (self.code, said.0.as_str(), said.1.as_str()),
            (Some(code), stdout, stderr),
            "shipctl {}",
            self.line
        );
    }

    /// The first line of the answer.
    pub(crate) fn answer(&self) -> &str {
        self.stdout.lines().next().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "shipctl {} does not say {text:?}\n--- stdout\n{}--- stderr\n{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The one document on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(document) => document,
            Err(error) => panic!(
                "shipctl {}: {error}\n--- stdout\n{}--- stderr\n{}",
                self.line, self.stdout, self.stderr
            ),
        }
    }
}
