//! The demo: the things that matter, played by the real commands in a fresh world of its own, in a few seconds.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::effect::process::{Child, Invocation, Stream};
use crate::error::{Error, Result};
use crate::output::{BOLD, DIM, Printer, paint, text};
use crate::sandbox::{Beginning, Sandbox, order};
use crate::state::home::Home;

const FILE: &str = r#"app = "hello"
primary_region = "iad"

[http_service]
internal_port = 8080
auto_stop_machines = false
min_machines_running = 2

[[http_service.checks]]
path = "/health"
interval = "10s"
timeout = "2s"
grace_period = "5s"
"#;

const SETTINGS: &str = r#"[project]
name = "demo"

[verify]
timeout = "4s"
bake = "1s"
"#;

/// World seconds pass so much faster for the stand-in; shipctl's own times are those of the file.
const SPEED: f64 = 4.0;
/// No scene may hang: each is ended after this time.
const LIMIT: Duration = Duration::from_secs(60);

struct Scene {
    title: &'static str,
    args: &'static [&'static str],
    exit_code: i32,
}

const SCENES: [Scene; 5] = [
    Scene {
        title: "What serves is verified first, so that there is something to go back to.",
        args: &["verify", "production"],
        exit_code: 0,
    },
    Scene {
        title: "A good release is shipped, and every instance is asked before it counts.",
        args: &[
            "deploy",
            "production",
            "--config",
            "fly.production.toml",
            "--image",
            "registry.fly.io/hello:v3",
        ],
        exit_code: 0,
    },
    Scene {
        title: "A bad one answers 503. It is refuted, and what served before is put back.",
        args: &[
            "deploy",
            "production",
            "--config",
            "fly.production.toml",
            "--image",
            "registry.fly.io/hello:v4-unhealthy",
        ],
        exit_code: 7,
    },
    Scene {
        title: "v3 turns out to be wrong after all: one word undoes it.",
        args: &["rollback", "production", "--yes"],
        exit_code: 0,
    },
    Scene {
        title: "What there is now.",
        args: &["status", "production"],
        exit_code: 0,
    },
];

/// Plays all scenes; answers 0 where each one ended as it should.
pub(crate) async fn run(printer: &Printer) -> Result<u8> {
    let unusable = |error: std::io::Error| Error::internal("the demo cannot be set up").cause(error);
    let folder = tempfile::Builder::new()
        .prefix("shipctl-demo-")
        .tempdir()
        .map_err(unusable)?;
    let project = folder.path().join("demo");
    let state = folder.path().join("state");
    fs::create_dir_all(&project).map_err(unusable)?;
    fs::write(project.join("fly.production.toml"), FILE).map_err(unusable)?;
    fs::write(project.join("shipctl.toml"), SETTINGS).map_err(unusable)?;
    let root = Home::sandbox_folder("demo", |name| {
        (name == "XDG_STATE_HOME").then(|| state.clone().into_os_string())
    })?;
    let apps = [Beginning {
        app: "hello".to_owned(),
        fly_toml: FILE.to_owned(),
        regions: Vec::new(),
    }];
    let sandbox = Sandbox::open(&root, &apps).map_err(unusable)?;
    order(&sandbox.world(), json!({"do": "settings", "speed": SPEED}));

    printer.say("a fresh world: the real shipctl, a stand-in for flyctl, apps on loopback");
    printer.say("shorter than usual: 4 s for an instance to turn good, 1 s of baking");
    let mut all_good = true;
    for scene in &SCENES {
        printer.data(&format!(
            "\n{}\n{} shipctl {}\n",
            paint(BOLD, scene.title),
            paint(DIM, "$"),
            scene.args.join(" ")
        ));
        let code = play(printer, &project, &state, scene).await.map_err(unusable)?;
        if code != Some(scene.exit_code) {
            all_good = false;
            printer.warn(&format!(
                "this scene should have ended with {}, but did with {code:?}",
                scene.exit_code
            ));
        }
    }
    printer.say("nothing of it is left behind; play on in a project of your own:");
    printer.say("shipctl --sandbox deploy ENV --image registry.fly.io/APP:v3");
    if all_good {
        Ok(0)
    } else {
        Err(Error::internal("the demo did not go as it should"))
    }
}

async fn play(
    printer: &Printer,
    project: &Path,
    state: &Path,
    scene: &Scene,
) -> std::io::Result<Option<i32>> {
    let mut args = vec!["--sandbox".to_owned()];
    if printer.has_color() {
        args.extend(["--color".to_owned(), "always".to_owned()]);
    }
    args.extend(scene.args.iter().map(|arg| (*arg).to_owned()));
    let mut env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !name.starts_with("SHIPCTL_") && name != "XDG_STATE_HOME" && name != "COLUMNS")
        .collect();
    // Its streams are pipes; what it says is read on this terminal.
    if let Some(columns) = text::columns(&console::Term::stdout()) {
        env.push(("COLUMNS".to_owned(), columns.to_string()));
    }
    env.push(("XDG_STATE_HOME".to_owned(), state.display().to_string()));
    let call = Invocation {
        program: std::env::current_exe()?,
        args,
        env,
        dir: Some(project.to_owned()),
        ..Invocation::default()
    };
    let (lines, mut printed) = mpsc::channel(64);
    let mut child = Child::spawn(&call, lines).await?;
    let showing = async {
        while let Some(line) = printed.recv().await {
            match line.stream {
                Stream::Stdout => printer.data(&format!("{}\n", line.text)),
                Stream::Stderr => printer.pass(&line.text),
            }
        }
        child.wait().await
    };
    match timeout(LIMIT, showing).await {
        Ok(ended) => Ok(ended.code),
        Err(_) => Ok(None),
    }
}
