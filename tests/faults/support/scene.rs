//! One project with a world of its own, as a row of the matrix begins.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Ended, Running, end_those_of};
use super::truth::Truth;
use super::{FLY_TOML, image};

/// The binary under test.
const SHIPCTL: &str = env!("CARGO_BIN_EXE_shipctl");

/// What a scene begins with; [`Builder::ready`] makes it.
pub(crate) struct Builder {
    project: String,
    files: Vec<(String, String)>,
    timeout: String,
    bake: String,
    verify: String,
    extra: String,
    seed: Option<Value>,
    speed: f64,
    orders: Vec<Value>,
    verified: bool,
}

/// A project, its world, its ledger, and nothing else of this machine.
pub(crate) struct Scene {
    folder: TempDir,
    world: PathBuf,
    runs: Cell<usize>,
}

impl Builder {
    /// The staging environment's `fly.toml`; its app must stay `shop`, or be seeded by an order.
    pub(crate) fn fly_toml(self, text: &str) -> Self {
        self.file("fly.staging.toml", text)
    }

    /// A file of the project, in place of one of the same name.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.retain(|(known, _)| known != name);
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// `[verify] timeout`: long where the good case must pass, short where the bad one must be refuted by it.
    pub(crate) fn timeout(mut self, duration: &str) -> Self {
        duration.clone_into(&mut self.timeout);
        self
    }

    pub(crate) fn bake(mut self, duration: &str) -> Self {
        duration.clone_into(&mut self.bake);
        self
    }

    /// A line of `[verify]`.
    pub(crate) fn verify(mut self, line: &str) -> Self {
        self.verify.push_str(line);
        self.verify.push('\n');
        self
    }

    /// Tables at the end of `shipctl.toml`.
    pub(crate) fn shipctl_toml(mut self, text: &str) -> Self {
        self.extra.push_str(text);
        self.extra.push('\n');
        self
    }

    /// Fields laid over the order that seeds the app `shop`: two machines on `v1`, as its file asks for.
    /// `Value::Null` seeds nothing at all.
    pub(crate) fn seed(mut self, fields: Value) -> Self {
        match fields {
            Value::Null => self.seed = None,
            fields => {
                if let (Some(Value::Object(seed)), Value::Object(fields)) = (&mut self.seed, fields) {
                    seed.extend(fields);
                }
            }
        }
        self
    }

    /// Divides the times of the world; shipctl's own are real.
    pub(crate) fn speed(mut self, speed: f64) -> Self {
        self.speed = speed;
        self
    }

    /// An order for the world, obeyed before anything is verified.
    pub(crate) fn order(mut self, order: Value) -> Self {
        self.orders.push(order);
        self
    }

    /// What serves was never verified by shipctl: its ledger is empty.
    pub(crate) fn unverified(mut self) -> Self {
        self.verified = false;
        self
    }

    /// Makes the scene; unless told otherwise, `shipctl verify staging` has put v1 into the ledger.
    #[track_caller]
    pub(crate) fn ready(self) -> Scene {
        let folder = tempfile::Builder::new()
            .prefix("shipctl-")
            .tempdir()
            .expect("a folder for the scene");
        let root = fs::canonicalize(folder.path()).expect("a real path");
        for name in ["project", "home", "state", "cache", "tmp", "output"] {
            fs::create_dir(root.join(name)).expect("a folder of the scene");
        }
        let world = root
            .join("state/shipctl/sandbox")
            .join(&self.project)
            .join("world.json");
        let scene = Scene {
            folder,
            world,
            runs: Cell::new(0),
        };
        let file = format!(
            "[project]\nname = \"{}\"\n\n[verify]\ntimeout = \"{}\"\nsuccesses = 2\nbake = \"{}\"\n{}\n{}",
            self.project, self.timeout, self.bake, self.verify, self.extra
        );
        scene.write("shipctl.toml", &file);
        for (name, text) in &self.files {
            scene.write(name, text);
        }
        scene.order(json!({"do": "login", "token": "fo1_all"}));
        scene.order(json!({"do": "settings", "speed": self.speed, "idle_seconds": 100_000}));
        if let Some(mut seed) = self.seed {
            let own = self.files.iter().find(|(name, _)| name == "fly.staging.toml");
            if let (None, Some((_, text))) = (seed.get("fly_toml"), own) {
                seed["fly_toml"] = json!(text);
            }
            scene.order(seed);
        }
        for order in self.orders {
            scene.order(order);
        }
        if self.verified {
            scene.verify();
        }
        scene
    }
}

impl Scene {
    /// The usual beginning of a row, to be changed before it is `ready`: environment `staging`, app `shop`, two
    /// started machines in `iad` on v1 with a check on `/health`.
    pub(crate) fn builder() -> Builder {
        Builder {
            project: "shop".to_owned(),
            files: vec![("fly.staging.toml".to_owned(), FLY_TOML.to_owned())],
            timeout: "20s".to_owned(),
            bake: "300ms".to_owned(),
            verify: String::new(),
            extra: String::new(),
            seed: Some(
                json!({"do": "seed", "app": "shop", "images": [image("v1")], "count": 2, "shared_ip": true}),
            ),
            speed: 20.0,
            orders: Vec::new(),
            verified: true,
        }
    }

    /// The folder of the project.
    pub(crate) fn project(&self) -> PathBuf {
        self.path("project")
    }

    /// A path below the scene's own folder: `project`, `home`, `state`, `cache`, `tmp`, `output`.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        fs::canonicalize(self.folder.path())
            .expect("the scene's folder")
            .join(below)
    }

    /// The world's file.
    pub(crate) fn world(&self) -> &Path {
        &self.world
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.project().join(name);
        let parent = path.parent().expect("a folder");
        fs::create_dir_all(parent).expect("a folder of the project");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Gives the world an order that it must obey.
    #[track_caller]
    pub(crate) fn order(&self, order: Value) -> Value {
        order_of(&self.world, order)
    }

    /// The truth now.
    #[track_caller]
    pub(crate) fn truth(&self) -> Truth {
        Truth(self.order(json!({"do": "state"})))
    }

    /// What the stand-in did: its command lines and mutating calls.
    #[track_caller]
    pub(crate) fn journal(&self) -> Vec<Value> {
        let journal = self.order(json!({"do": "journal"}));
        journal.as_array().expect("a journal").clone()
    }

    /// How many `flyctl deploy` there were so far.
    #[track_caller]
    pub(crate) fn deploys(&self) -> usize {
        let journal = self.journal();
        let deploys = journal.iter().filter(|entry| entry["command"][0] == "deploy");
        deploys
            .filter(|entry| !entry["command"].to_string().contains("\"--help\""))
            .count()
    }

    /// The folder of an environment's ledger.
    pub(crate) fn ledger(&self, environment: &str) -> PathBuf {
        let root = self.world.parent().expect("the sandbox's folder");
        root.join("environments").join(environment)
    }

    /// How the recorded attempts of the environment `staging` ended, oldest first.
    #[track_caller]
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let text = fs::read_to_string(self.ledger("staging").join("ledger.jsonl")).expect("a ledger");
        let records = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a record"));
        records
            .filter_map(|record| record["outcome"].as_str().map(str::to_owned))
            .collect()
    }

    /// A command line of shipctl in the sandbox, in the project's folder, with an environment of its own.
    pub(crate) fn shipctl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Call<'_> {
        let mut call = self.bare_shipctl(["--sandbox"]);
        call.command
            .args(args.into_iter().map(|arg| arg.as_ref().to_os_string()));
        call
    }

    /// The same without `--sandbox`.
    pub(crate) fn bare_shipctl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Call<'_> {
        let mut call = self.call(SHIPCTL);
        call.command
            .args(args.into_iter().map(|arg| arg.as_ref().to_os_string()));
        call
    }

    /// `shipctl deploy staging --image registry.fly.io/shop:<tag> --json`.
    pub(crate) fn deploy(&self, tag: &str) -> Call<'_> {
        self.shipctl(["deploy", "staging", "--json", "--image", &image(tag)])
    }

    /// `shipctl rollback staging --yes --json`.
    pub(crate) fn rollback(&self) -> Call<'_> {
        self.shipctl(["rollback", "staging", "--yes", "--json"])
    }

    /// Verifies what serves, which must succeed.
    #[track_caller]
    pub(crate) fn verify(&self) {
        self.shipctl(["verify", "staging", "--json"])
            .run()
            .concludes("verified", 0);
    }

    /// Ships a tag through shipctl, which must succeed.
    #[track_caller]
    pub(crate) fn ship(&self, tag: &str) -> Value {
        self.deploy(tag).run().concludes("verified", 0)
    }

    /// The stand-in alone, on the scene's own world: somebody with bare flyctl.
    pub(crate) fn flyctl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Call<'_> {
        self.flyctl_on(&self.world, args)
    }

    fn flyctl_on<S: AsRef<OsStr>>(&self, world: &Path, args: impl IntoIterator<Item = S>) -> Call<'_> {
        let mut call = self.call(SHIPCTL);
        call.command
            .arg0("flyctl")
            .env("SHIPCTL_SANDBOX_WORLD", world)
            .args(args.into_iter().map(|arg| arg.as_ref().to_os_string()));
        call
    }

    /// Another world that is as this one is now, for what bare flyctl would have done.
    #[track_caller]
    pub(crate) fn elsewhere(&self) -> Elsewhere<'_> {
        // Read under the world's own lock, and after what is due has happened.
        let _ = self.truth();
        let number = self.next();
        let world = self.path("output").join(format!("{number}-world.json"));
        fs::copy(&self.world, &world).expect("a copy of the world");
        Elsewhere { scene: self, world }
    }

    /// What bare `flyctl deploy -c fly.staging.toml --image …:<tag>` with these further arguments says and does, in
    /// a copy of the world.
    #[track_caller]
    pub(crate) fn bare_deploy(&self, tag: &str, more: &[&str]) -> (Ended, Truth) {
        let elsewhere = self.elsewhere();
        let ended = elsewhere.deploy(tag, more);
        (ended, elsewhere.truth())
    }

    fn call(&self, program: &str) -> Call<'_> {
        #[expect(clippy::disallowed_methods, reason = "the binary under test")]
        let mut command = Command::new(program);
        command.current_dir(self.project()).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        for (name, folder) in [
            ("HOME", "home"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
            ("TMPDIR", "tmp"),
        ] {
            command.env(name, self.path(folder));
        }
        Call { scene: self, command }
    }

    fn next(&self) -> usize {
        self.runs.set(self.runs.get() + 1);
        self.runs.get()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        end_those_of(&self.world);
        if std::thread::panicking() && std::env::var_os("KEEP_SCENES").is_some() {
            self.folder.disable_cleanup(true);
        }
    }
}

#[track_caller]
fn order_of(world: &Path, order: Value) -> Value {
    let told = order.to_string();
    let answer = shipctl::sandbox_order(world, order);
    assert!(answer["error"].is_null(), "the world refuses {told}: {answer}");
    answer
}

/// A copy of a scene's world.
pub(crate) struct Elsewhere<'a> {
    scene: &'a Scene,
    world: PathBuf,
}

impl Elsewhere<'_> {
    #[track_caller]
    pub(crate) fn order(&self, order: Value) -> Value {
        order_of(&self.world, order)
    }

    #[track_caller]
    pub(crate) fn truth(&self) -> Truth {
        Truth(self.order(json!({"do": "state"})))
    }

    /// Bare flyctl with any arguments.
    pub(crate) fn flyctl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Call<'_> {
        self.scene.flyctl_on(&self.world, args)
    }

    #[track_caller]
    pub(crate) fn deploy(&self, tag: &str, more: &[&str]) -> Ended {
        let image = image(tag);
        let mut args = vec![
            "deploy",
            "-a",
            "shop",
            "-c",
            "fly.staging.toml",
            "--image",
            &image,
        ];
        args.extend(more);
        self.flyctl(args).run()
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        end_those_of(&self.world);
    }
}

/// A command line that is not yet run.
pub(crate) struct Call<'a> {
    scene: &'a Scene,
    command: Command,
}

impl Call<'_> {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(self) -> Ended {
        self.start().wait()
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        let words: Vec<_> = self
            .command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        let number = self.scene.next();
        Running::start(self.command, words.join(" "), &self.scene.path("output"), number)
    }
}
