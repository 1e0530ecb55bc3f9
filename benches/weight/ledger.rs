//! Picking a rollback target among 100,000 entries, through the binary, in a sandbox of its own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{median, ms, say};

const ENTRIES: usize = 100_000;
const RUNS: usize = 11;
const FLY_TOML: &str = "app = \"shop\"\nprimary_region = \"fra\"\n[http_service]\n  internal_port = 8080\n";

pub(crate) const PICKING: &str = "picking a target among 100,000 entries (at most 20 ms)";

pub(crate) fn picking() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("fly.production.toml"), FLY_TOML).unwrap();
    fs::write(work.join("shipctl.toml"), "[verify]\nbake = \"0s\"\n").unwrap();
    let file = "fly.production.toml";
    let seeded = shipctl(folder.path(), &["verify", "production"])
        && shipctl(
            folder.path(),
            &[
                "deploy",
                "production",
                "--config",
                file,
                "--image",
                "registry.fly.io/shop:v3",
            ],
        );
    let ledger = find(folder.path(), "ledger.jsonl");
    let (true, Some(ledger)) = (seeded, ledger) else {
        say(PICKING, "not measured: the sandbox could not be played");
        return;
    };
    let rollback = || {
        let begun = Instant::now();
        let good = shipctl(folder.path(), &["rollback", "production", "--yes", "--dry-run"]);
        good.then(|| begun.elapsed())
    };
    let timed = || -> Option<Duration> {
        // The first reads what was added since; every later one what it left.
        rollback()?;
        (0..RUNS)
            .map(|_| rollback())
            .collect::<Option<Vec<_>>>()
            .map(median)
    };
    let few = timed();
    let bytes = grow(&ledger);
    let first = rollback();
    let many = timed();
    let (Some(few), Some(first), Some(many)) = (few, first, many) else {
        say(PICKING, "not measured: the rollback could not be planned");
        return;
    };
    say(
        PICKING,
        &format!(
            "{:.1} ms more than among 2 ({:.1} ms in all); {:.0} ms at first sight; {} MB, median of {RUNS}",
            ms(many.saturating_sub(few)),
            ms(many),
            ms(first),
            bytes >> 20
        ),
    );
}

#[expect(clippy::disallowed_methods, reason = "a bench starts what it measures")]
fn shipctl(folder: &Path, args: &[&str]) -> bool {
    let status = Command::new(env!("CARGO_BIN_EXE_shipctl"))
        .arg("--sandbox")
        .args(args)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .current_dir(folder.join("work"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let here = files
        .into_iter()
        .find(|path| path.file_name().is_some_and(|found| found == name));
    here.or_else(|| folders.iter().find_map(|folder| find(folder, name)))
}

/// Puts as many older attempts, each of an image of its own, before what the ledger holds; gives its new size.
fn grow(ledger: &Path) -> usize {
    let text = fs::read_to_string(ledger).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let newest = lines.last().unwrap()["id"].clone();
    let deploy: Vec<String> = lines
        .iter()
        .filter(|line| line["id"] == newest && line["record"] != "mark")
        .map(Value::to_string)
        .collect();
    let id = newest.as_str().unwrap();
    let digest = lines
        .iter()
        .filter(|line| line["id"] == newest)
        .find_map(|line| line.pointer("/services/0/digest").and_then(Value::as_str))
        .and_then(|digest| digest.strip_prefix("sha256:"))
        .unwrap()
        .to_owned();
    let mut out: Vec<u8> = Vec::new();
    let mut after = String::new();
    let mut add = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record["after"] = Value::String(after.clone());
        let line = record.to_string();
        after = format!("{:x}", HexOf(Sha256::digest(line.as_bytes()).as_slice()));
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    };
    for number in 0..ENTRIES {
        for line in &deploy {
            let line = line
                .replace(id, &format!("00000000-0000-7000-8000-{number:012x}"))
                .replace(&digest, &format!("{number:064x}"))
                .replace("shop:v3", &format!("shop:old-{number}"));
            add(&line);
        }
    }
    for line in text.lines() {
        add(line);
    }
    fs::File::create(ledger).unwrap().write_all(&out).unwrap();
    out.len()
}

/// Bytes as lower-case hexadecimal digits.
struct HexOf<'b>(&'b [u8]);

impl std::fmt::LowerHex for HexOf<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}
