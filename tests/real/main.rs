//! shipctl with the real flyctl against a platform double: does the exit code ever lie?
//!
//! `SHIPCTL_REAL_FLYCTL` names a flyctl and `SHIPCTL_DOUBLE` a command line that starts the double, `{dir}` in it
//! standing for a folder of its own; it prints one line of JSON with `control_url`, `proxy_url` and `env`. Without
//! them nothing is played. `SHIPCTL_REAL_ONLY` plays the scenarios whose name contains one of its words.
//!
//! Each scenario is played twice, with shipctl and with the bare flyctl. What serves afterwards is read from the
//! double and asked of each machine, and the exit code is held against that by a judge that shares no code with
//! shipctl. The table goes to `real-table.md` in the folder that cargo builds into, transcripts beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::format_push_string, reason = "tables and transcripts are small")]

mod scenario;
mod scenarios;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::scenario::Scenario;
use crate::support::call::Ended;
use crate::support::oracle;
use crate::support::stage::{Player, Stage};
use crate::support::table::{self, Row};

/// Scenarios at a time.
const HANDS: usize = 4;

#[test]
fn the_exit_code_never_lies_about_a_real_flyctl() {
    let (Ok(flyctl), Ok(double)) = (
        std::env::var("SHIPCTL_REAL_FLYCTL"),
        std::env::var("SHIPCTL_DOUBLE"),
    ) else {
        println!("count: real flyctl: skipped, SHIPCTL_REAL_FLYCTL is not set");
        return;
    };
    let only = std::env::var("SHIPCTL_REAL_ONLY").unwrap_or_default();
    let words: Vec<&str> = only.split_whitespace().collect();
    let chosen: Vec<&Scenario> = scenarios::ALL
        .iter()
        .flat_map(|scenarios| scenarios.iter())
        .filter(|scenario| words.is_empty() || words.iter().any(|word| scenario.name.contains(word)))
        .collect();
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..HANDS {
            scope.spawn(|| {
                while let Some(scenario) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = row(scenario, &double, &flyctl);
                    println!("{}", table::line(&row));
                    rows.lock().unwrap().push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|row| row.name);
    let table = table::text(&rows);
    table::write(&table);
    println!("{table}");
    let wrong: Vec<&str> = rows
        .iter()
        .filter(|row| !row.wrong.is_empty())
        .map(|row| row.name)
        .collect();
    println!(
        "count: real flyctl: {} scenarios, {} right, {} wrong",
        rows.len(),
        rows.len() - wrong.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "the exit code lied in {}", wrong.join(", "));
}

/// What playing a scenario once came to.
struct Played {
    ended: Option<Ended>,
    wrong: Vec<String>,
    log: String,
}

fn play(scenario: &Scenario, double: &str, flyctl: &str, player: Player) -> Played {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let stage = Stage::new(double, PathBuf::from(flyctl), player);
        let ended = (scenario.play)(&stage);
        let mut wrong = stage.complaints.take();
        if player == Player::Shipctl {
            if !scenario.exits.contains(&ended.code) {
                wrong.push(format!("expected {:?}", scenario.exits));
            }
            wrong.extend(oracle::judge(ended.code, &ended.cases, stage.excuse.get()).err());
        }
        Played {
            ended: Some(ended),
            wrong,
            log: stage.log.take(),
        }
    }));
    outcome.unwrap_or_else(|_| Played {
        ended: None,
        wrong: vec!["the scenario could not be played to its end".to_owned()],
        log: String::new(),
    })
}

fn row(scenario: &Scenario, double: &str, flyctl: &str) -> Row {
    let bare = scenario
        .with_bare
        .then(|| play(scenario, double, flyctl, Player::Bare));
    let mut played = play(scenario, double, flyctl, Player::Shipctl);
    let bare_code = bare
        .as_ref()
        .map(|bare| bare.ended.as_ref().map(|ended| ended.code));
    if let (Some(found), false) = (bare_code.flatten(), scenario.bare.is_empty())
        && !scenario.bare.contains(&found)
    {
        played.wrong.push(format!("bare: expected {:?}", scenario.bare));
    }
    let mut log = bare.map(|bare| bare.log).unwrap_or_default();
    log.push_str("\n======== shipctl\n");
    log.push_str(&played.log);
    let serves = played.ended.as_ref().map_or_else(String::new, |ended| {
        let words: Vec<String> = ended.cases.iter().map(|case| case.after.words()).collect();
        words.join(" / ")
    });
    log.push_str(&format!("\nserves: {serves}\nwrong: {:?}\n", played.wrong));
    table::keep(scenario.name, &log);
    let code = |code: Option<i32>| code.map_or_else(|| "?".to_owned(), |code| code.to_string());
    Row {
        name: scenario.name,
        bare: bare_code.map_or_else(|| "–".to_owned(), code),
        code: code(played.ended.as_ref().map(|ended| ended.code)),
        serves,
        wrong: played.wrong,
        seconds: played.ended.as_ref().map_or(0.0, |ended| ended.seconds),
    }
}
