//! What is measured beside the real flyctl, against a platform double.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::relay::{self, Noted};
use crate::support::call::Ended;
use crate::support::stage::{PLAIN, Player, Stage};
use crate::{median, ms, say};

pub(crate) const NAMES: [&str; 8] = [
    "own time before the first change (at most 150 ms)",
    "last witness to verdict (at most 100 ms)",
    "memory while flyctl prints 100 MB (at most 30 MB)",
    "verified deploy beside the bare one (at most 0.75)",
    "the same with more machines (lower)",
    "--bake 0s beside a bare one without smoke checks (at most 1.2)",
    "bad one back and verified beside a bare one failing (0.6)",
    "status of 200 apps (bounded by the cores)",
];
const RUNS: usize = 3;
const APPS: usize = 200;

struct Beside<'f> {
    flyctl: &'f str,
    double: &'f str,
}

/// The places of its names, and what measures them.
type Part<'f> = (&'static [usize], fn(&Beside<'f>));

pub(crate) fn all<'f>(flyctl: &'f str, double: &'f str, is_wanted: impl Fn(&str) -> bool) {
    let beside = Beside { flyctl, double };
    let parts: [Part<'f>; 6] = [
        (&[0, 1], Beside::own_time),
        (&[2], Beside::memory),
        (&[3, 4], Beside::deploys),
        (&[5], Beside::unbaked),
        (&[6], Beside::bad),
        (&[7], Beside::status),
    ];
    for (names, measure) in parts {
        if names.iter().any(|name| is_wanted(NAMES[*name])) {
            measure(&beside);
        }
    }
}

impl Beside<'_> {
    /// Two machines or more on a verified v1, at the pace of the real platform where flyctl waits by the clock.
    fn stage(&self, player: Player, machines: usize, toml: &str) -> Stage {
        let stage = Stage::new(self.double, PathBuf::from(self.flyctl), player);
        stage.settings(&json!({"backdate_start_seconds": 0, "start_seconds": 0.3, "health_seconds": 1.0}));
        stage.write("shipctl.toml", toml);
        stage.seed(&json!({"per_region": machines}));
        stage.write("fly.production.toml", &PLAIN.text());
        stage.trust();
        stage
    }

    /// The same with this program standing before flyctl.
    fn relayed(&self, machines: usize, toml: &str, flood: Option<usize>) -> (Stage, PathBuf) {
        let pass = format!(
            "[flyctl]\npass = [\"{}\", \"{}\", \"{}\"]\n",
            relay::REAL,
            relay::LOG,
            relay::FLOOD
        );
        let mut stage = self.stage(Player::Shipctl, machines, &format!("{toml}{pass}"));
        let log = stage.path("relay.log");
        stage.set(relay::REAL, Some(self.flyctl));
        stage.set(relay::LOG, Some(&log.display().to_string()));
        let flood = flood.map(|megabytes| megabytes.to_string());
        stage.set(relay::FLOOD, flood.as_deref());
        stage.flyctl = std::env::current_exe().unwrap();
        // What a new flyctl can do is asked once and remembered.
        stage.shipctl(&["status", "production"]).run();
        (stage, log)
    }

    fn own_time(&self) {
        let (mut before, mut rows, mut after) = (Vec::new(), 0, Vec::new());
        for _ in 0..RUNS {
            let (stage, log) = self.relayed(2, "[verify]\nbake = \"0s\"\n", None);
            let earlier = relay::noted(&log).len();
            let (mut begun, mut ended) = (Duration::ZERO, Duration::ZERO);
            let run = stage.deploy("v2").meanwhile(|running| {
                begun = relay::now().saturating_sub(running.elapsed());
                while !running.has_ended() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                ended = relay::now();
            });
            assert_eq!(run.code, 0, "{}", run.stderr);
            let noted = relay::noted(&log);
            let calls: Vec<&Noted> = noted.iter().skip(earlier).collect();
            let deploy = calls
                .iter()
                .find(|call| call.line.starts_with("deploy "))
                .unwrap();
            let reads: Vec<&Noted> = calls
                .iter()
                .copied()
                .filter(|call| call.begun < deploy.begun)
                .collect();
            before.push(deploy.begun.saturating_sub(begun).saturating_sub(covered(&reads)));
            rows = rows.max(in_a_row(&reads));
            let last_probe = stage
                .double
                .journal()
                .iter()
                .filter(|entry| entry["api"] == "proxy")
                .filter_map(|entry| entry["at"].as_str()?.parse::<jiff::Timestamp>().ok())
                .filter_map(|at| Duration::try_from(at.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok())
                .filter(|at| *at < ended)
                .max();
            let last_call = calls.iter().map(|call| call.ended).filter(|at| *at < ended).max();
            let last = last_probe.max(last_call).unwrap_or(ended);
            after.push(ended.saturating_sub(last));
        }
        say(
            NAMES[0],
            &format!(
                "{:.0} ms beyond flyctl's calls, {rows} of them in a row (at most 2), median of {RUNS}",
                ms(median(before))
            ),
        );
        say(
            NAMES[1],
            &format!("{:.0} ms, median of {RUNS}", ms(median(after))),
        );
    }

    fn memory(&self) {
        let (stage, _) = self.relayed(2, "[verify]\nbake = \"0s\"\n", Some(100));
        let mut most = 0;
        let run = stage.deploy("v2").meanwhile(|running| {
            while !running.has_ended() {
                most = peak_memory(running.pid()).unwrap_or(most);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        say(
            NAMES[2],
            &format!("{:.1} MB, exit {}", f64::from(most) / 1024.0, run.code),
        );
    }

    /// Seconds of one deploy of a good image, by whoever plays.
    fn deploy(&self, player: Player, machines: usize, toml: &str, flags: &[&str]) -> f64 {
        let stage = self.stage(player, machines, toml);
        let run: Ended = stage.deploy("v2").flyctl_flags(flags).run();
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.seconds
    }

    fn deploys(&self) {
        for (name, machines) in [(NAMES[3], 2), (NAMES[4], 4)] {
            let bare = self.deploy(Player::Bare, machines, "", &[]);
            let own = self.deploy(Player::Shipctl, machines, "", &[]);
            say(
                name,
                &format!(
                    "{:.2} ({own:.1} s of {bare:.1} s, {machines} machines, bake 10 s)",
                    own / bare
                ),
            );
        }
    }

    fn unbaked(&self) {
        let middle = |player, toml: &str, flags: &[&str]| {
            let seconds = |_| Duration::from_secs_f64(self.deploy(player, 2, toml, flags));
            median((0..RUNS).map(seconds).collect()).as_secs_f64()
        };
        let bare = middle(Player::Bare, "", &["--smoke-checks=false"]);
        let own = middle(Player::Shipctl, "[verify]\nbake = \"0s\"\n", &[]);
        say(
            NAMES[5],
            &format!("{:.2} ({own:.1} s of {bare:.1} s, median of {RUNS})", own / bare),
        );
    }

    fn bad(&self) {
        for (tag, seconds) in [("v2-crash", 30), ("v2-unhealthy", 30)] {
            let wait = format!("{seconds}s");
            let toml = format!("[verify]\ntimeout = \"{seconds}s\"\n");
            let bare = self.stage(Player::Bare, 2, "");
            let begun = Instant::now();
            let image = format!("registry.fly.io/shop:{tag}");
            let args = [
                "deploy",
                "-c",
                "fly.production.toml",
                "--image",
                &image,
                "--yes",
                "--wait-timeout",
                &wait,
            ];
            let failed = bare.bare(&[&args[..], &["--smoke-checks=false"]].concat());
            let bare = begun.elapsed().as_secs_f64();
            let stage = self.stage(Player::Shipctl, 2, &toml);
            let own = stage.deploy(tag).run();
            say(
                NAMES[6],
                &format!(
                    "{:.2} ({:.1} s, exit {}, of {bare:.1} s, exit {}: {tag}, both wait {wait})",
                    own.seconds / bare,
                    own.seconds,
                    own.code,
                    failed.code
                ),
            );
        }
    }

    fn status(&self) {
        let stage = Stage::new(self.double, PathBuf::from(self.flyctl), Player::Shipctl);
        for number in 0..APPS {
            let app = format!("app{number}");
            let image = format!("registry.fly.io/{app}:v1");
            stage
                .double
                .order(&json!({"do": "seed", "app": app, "images": [image], "per_region": 1}));
            let text = PLAIN.text().replace("\"shop\"", &format!("\"{app}\""));
            stage.write(&format!("fly.e{number}.toml"), &text);
        }
        let calls = [
            ["machine", "list", "-a", "app0", "--json"].as_slice(),
            ["releases", "-a", "app0", "--json"].as_slice(),
        ];
        stage.shipctl(&["status", "e0"]).run();
        let one: f64 = calls.iter().map(|call| stage.bare(call).seconds).sum();
        let all = stage.shipctl(&["status"]).run();
        #[expect(clippy::cast_precision_loss, reason = "a count for people")]
        let in_turn = one * APPS as f64;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        say(
            NAMES[7],
            &format!(
                "{:.2} of one flyctl at a time ({:.1} s of {in_turn:.1} s, exit {}, {cores} cores)",
                all.seconds / in_turn,
                all.seconds,
                all.code
            ),
        );
    }
}

/// The most memory that a process held so far, in KiB.
fn peak_memory(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How long at least one of the calls was under way.
fn covered(calls: &[&Noted]) -> Duration {
    let (mut total, mut until) = (Duration::ZERO, Duration::ZERO);
    for call in calls {
        let from = call.begun.max(until);
        total += call.ended.saturating_sub(from);
        until = until.max(call.ended);
    }
    total
}

/// How many calls began only after one before them had ended, one after the other.
fn in_a_row(calls: &[&Noted]) -> usize {
    let (mut rows, mut until) = (0, Duration::ZERO);
    let mut by_end = calls.to_vec();
    by_end.sort_by_key(|call| call.ended);
    for call in by_end {
        if call.begun >= until {
            rows += 1;
            until = call.ended;
        }
    }
    rows
}
