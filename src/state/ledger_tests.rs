//! The ledger on a real disk: torn lines, strangers, newer formats, full disks, many writers.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::error::ErrorKind;
use crate::release::Image;
use crate::state::history::Lookup;
use crate::state::record::Outcome;
use crate::state::testing::{APP, Entry, TestLedger, image};

const LEDGER: &str = "ledger.jsonl";
const INDEX: &str = "ledger.index";

fn path(ledger: &TestLedger, name: &str) -> std::path::PathBuf {
    ledger.folder.path().join("production").join(name)
}

fn append_raw(ledger: &TestLedger, bytes: &[u8]) {
    let mut file = OpenOptions::new()
        .append(true)
        .open(path(ledger, LEDGER))
        .unwrap();
    file.write_all(bytes).unwrap();
}

/// Ids and outcomes, newest first.
fn told(ledger: &TestLedger) -> Vec<(String, Option<Outcome>)> {
    ledger
        .history()
        .attempts()
        .map(|attempt| attempt.unwrap())
        .map(|attempt| {
            let id = attempt.start.map_or_else(|| "?".to_owned(), |start| start.id);
            (id, attempt.end.map(|end| end.outcome))
        })
        .collect()
}

fn two() -> TestLedger {
    TestLedger::of(&[
        Entry::deploy("d1", "v1").verified().release(1),
        Entry::deploy("d2", "v2").cut_off_while("ship", false),
    ])
}

fn told_of_two() -> Vec<(String, Option<Outcome>)> {
    vec![
        ("d2".to_owned(), None),
        ("d1".to_owned(), Some(Outcome::Verified)),
    ]
}

#[test]
fn what_was_appended_is_read_newest_first() {
    let ledger = two();
    assert_eq!(told(&ledger), told_of_two());
    assert!(ledger.history().warnings().is_empty());
    let mode = |name| fs::metadata(path(&ledger, name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(LEDGER), mode(INDEX), mode("")), (0o600, 0o600, 0o700));
    let text = fs::read_to_string(path(&ledger, LEDGER)).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["after"], "");
    for (line, before) in lines[1..].iter().zip(text.lines()) {
        assert_eq!(line["after"], crate::state::keys::hash(before.as_bytes()));
        assert_eq!(line["format"], 1);
    }
}

#[test]
fn no_ledger_is_an_empty_one() {
    let ledger = TestLedger::new();
    let history = ledger.history();
    assert!(history.newest_id().is_none() && history.warnings().is_empty());
    assert!(!path(&ledger, "").exists(), "reading makes no folder");
}

#[test]
fn a_torn_last_line_is_kept_aside_and_said_once() {
    let ledger = two();
    append_raw(&ledger, b"{\"format\":1,\"after\":\"");
    let length = fs::metadata(path(&ledger, LEDGER)).unwrap().len();
    let history = ledger.history();
    let [warning] = history.warnings() else {
        panic!("{:?}", history.warnings());
    };
    let whole = length - 21;
    assert!(warning.contains(&format!("ledger.torn-{whole}")), "{warning}");
    let aside = fs::read(path(&ledger, &format!("ledger.torn-{whole}"))).unwrap();
    assert_eq!(aside, b"{\"format\":1,\"after\":\"");
    assert_eq!(told(&ledger), told_of_two());
    assert!(ledger.history().warnings().is_empty(), "said once");
    ledger.add(&Entry::deploy("d3", "v3").verified());
    assert_eq!(told(&ledger).len(), 3);
}

#[test]
fn a_torn_only_line_leaves_an_empty_ledger() {
    let ledger = TestLedger::new();
    fs::create_dir_all(path(&ledger, "")).unwrap();
    fs::write(path(&ledger, LEDGER), "{\"for").unwrap();
    assert!(ledger.history().newest_id().is_none());
    ledger.add(&Entry::deploy("d1", "v1").verified());
    assert_eq!(told(&ledger).len(), 1);
}

#[test]
fn an_append_sets_a_torn_line_aside_too() {
    let ledger = two();
    append_raw(&ledger, b"{\"torn");
    let record = Entry::deploy("d3", "v3").records().remove(0);
    let warnings = ledger.state.ledger().append(&record).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(told(&ledger).len(), 3);
}

#[test]
fn a_newer_format_is_read_and_not_written() {
    let ledger = two();
    append_raw(
        &ledger,
        b"{\"format\":2,\"after\":\"x\",\"record\":\"end\",\"id\":\"d2\",\"outcome\":\"transcended\",\"services\":[]}\n\
          {\"format\":2,\"record\":\"novelty\",\"id\":\"d3\"}\n",
    );
    let history = ledger.history();
    assert!(
        history.warnings().iter().any(|it| it.contains("format 2")),
        "{:?}",
        history.warnings()
    );
    assert!(
        history.unfinished(false).unwrap().is_empty(),
        "it has an end, whatever its word means"
    );
    let before = fs::read(path(&ledger, LEDGER)).unwrap();
    let record = Entry::deploy("d4", "v4").records().remove(0);
    let error = ledger.state.ledger().append(&record).unwrap_err();
    assert_eq!((error.kind, error.hints.len()), (ErrorKind::Error, 1));
    assert!(error.message.contains("format 2"), "{}", error.message);
    assert_eq!(fs::read(path(&ledger, LEDGER)).unwrap(), before);
}

#[test]
fn a_stranger_in_the_middle_is_passed_over_and_counted() {
    let ledger = two();
    append_raw(&ledger, b"not json\n");
    ledger.add(&Entry::deploy("d3", "v3").verified());
    let history = ledger.history();
    assert!(
        history
            .warnings()
            .iter()
            .any(|it| it.starts_with("1 of the lines")),
        "{:?}",
        history.warnings()
    );
    assert_eq!(told(&ledger).len(), 3);
}

#[test]
fn a_broken_link_at_the_end_is_said() {
    let ledger = two();
    let text = fs::read_to_string(path(&ledger, LEDGER)).unwrap();
    fs::write(
        path(&ledger, LEDGER),
        text.replacen("\"phase\":\"ship\"", "\"phase\":\"shop\"", 1),
    )
    .unwrap();
    assert!(
        ledger.history().warnings().is_empty(),
        "the last line itself is named by none"
    );
    ledger.add_end(&Entry::deploy("d2", "v2").failed());
    fs::write(
        path(&ledger, LEDGER),
        fs::read_to_string(path(&ledger, LEDGER)).unwrap().replacen(
            "\"phase\":\"shop\"",
            "\"phase\":\"ship\"",
            1,
        ),
    )
    .unwrap();
    let history = ledger.history();
    assert!(
        history.warnings().iter().any(|it| it.contains("does not follow")),
        "{:?}",
        history.warnings()
    );
}

#[test]
fn an_index_that_does_not_fit_is_built_anew() {
    let ledger = two();
    let right = told(&ledger);
    let whole = fs::read(path(&ledger, INDEX)).unwrap();
    let mut damaged_row = whole.clone();
    damaged_row[64 + 200] ^= 1;
    let mut damaged_header = whole.clone();
    damaged_header[9] ^= 1;
    let mut zeroed = whole.clone();
    zeroed[64..].fill(0);
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("short", whole[..100].to_vec()),
        ("no rows", whole[..64].to_vec()),
        ("row", damaged_row),
        ("header", damaged_header),
        ("zeroed", zeroed),
        ("garbage", vec![0xa5; 5000]),
    ] {
        fs::write(path(&ledger, INDEX), &bytes).unwrap();
        assert_eq!(told(&ledger), right, "{name}");
        assert_eq!(
            fs::read(path(&ledger, INDEX)).unwrap(),
            whole,
            "{name} is written anew"
        );
    }
    fs::remove_file(path(&ledger, INDEX)).unwrap();
    assert_eq!(told(&ledger), right);
}

#[test]
fn an_index_of_another_ledger_does_not_count() {
    let ledger = two();
    let other = TestLedger::of(&[
        Entry::deploy("e1", "v8").verified(),
        Entry::deploy("e2", "v9").verified(),
    ]);
    fs::copy(path(&other, INDEX), path(&ledger, INDEX)).unwrap();
    assert_eq!(told(&ledger), told_of_two());
}

#[test]
fn lines_that_the_index_lacks_are_read() {
    let ledger = two();
    let old = fs::read(path(&ledger, INDEX)).unwrap();
    ledger.add_end(&Entry::deploy("d2", "v2").failed());
    ledger.add(&Entry::deploy("d3", "v3").verified());
    let right = told(&ledger);
    assert_eq!(right[1], ("d2".to_owned(), Some(Outcome::Failed)));
    fs::write(path(&ledger, INDEX), old).unwrap();
    assert_eq!(told(&ledger), right);
}

#[test]
fn an_index_that_cannot_be_written_is_done_without() {
    let ledger = two();
    fs::remove_file(path(&ledger, INDEX)).unwrap();
    fs::create_dir(path(&ledger, INDEX)).unwrap();
    ledger.add(&Entry::deploy("d3", "v3").verified());
    assert_eq!(told(&ledger).len(), 3);
    assert!(matches!(ledger.history().find("nothing").unwrap(), Lookup::None));
}

#[test]
fn an_end_long_after_its_start_finds_it() {
    let ledger = TestLedger::of(&[Entry::deploy("d0", "v0").cut_off_while("ship", false)]);
    let mut text = fs::read_to_string(path(&ledger, LEDGER)).unwrap();
    for number in 0..1500 {
        let records = Entry::deploy(&format!("e{number}"), "v1").verified().records();
        for record in &records {
            let mut line = serde_json::to_value(record).unwrap();
            line["format"] = 1.into();
            text.push_str(&line.to_string());
            text.push('\n');
        }
    }
    fs::write(path(&ledger, LEDGER), text).unwrap();
    assert_eq!(ledger.history().unfinished(false).unwrap().len(), 1);
    ledger.add_end(&Entry::deploy("d0", "v0").ended(Outcome::Abandoned, "inconclusive"));
    let history = ledger.history();
    assert!(history.unfinished(false).unwrap().is_empty());
    assert_eq!(history.len(), 1501);
}

#[test]
fn an_end_without_a_start_still_counts() {
    let ledger = TestLedger::new();
    ledger.add_end(&Entry::deploy("d1", "v1").verified().release(1).answering("1"));
    let history = ledger.history();
    assert_eq!(
        history
            .last_verified_of(APP, &image("v1"))
            .unwrap()
            .unwrap()
            .version
            .as_deref(),
        Some("1")
    );
    assert_eq!(history.bound_app("web").unwrap().as_deref(), Some(APP));
}

#[test]
fn fault_43_what_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let record = Entry::deploy("d1", "v1").records().remove(0);
    let under_a_file = crate::state::EnvironmentState::at(file.join("production"), "production");
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    symlink("/dev/full", full.join(LEDGER)).unwrap();
    let device = crate::state::EnvironmentState::at(full, "production");
    for state in [under_a_file, device] {
        let error = state.ledger().append(&record).unwrap_err();
        assert_eq!(error.kind.exit_code(), 1);
        assert!(
            error.message.contains(&folder.path().display().to_string()),
            "{}",
            error.message
        );
        assert!(
            error.hints.iter().any(|hint| hint.contains("SHIPCTL_STATE")),
            "{:?}",
            error.hints
        );
    }
}

#[test]
fn many_writers_make_one_chain() {
    let ledger = TestLedger::new();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                for number in 0..5 {
                    ledger.add(&Entry::deploy(&format!("w{writer}-{number}"), "v1").verified());
                }
            });
        }
    });
    let text = fs::read_to_string(path(&ledger, LEDGER)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 40);
    for pair in lines.windows(2) {
        let line: serde_json::Value = serde_json::from_str(pair[1]).unwrap();
        assert_eq!(line["after"], crate::state::keys::hash(pair[0].as_bytes()));
    }
    assert_eq!(told(&ledger).len(), 20);
    assert!(ledger.history().warnings().is_empty());
}

#[test]
fn an_attempt_is_found_by_the_beginning_or_the_end_of_its_id() {
    let (one, other) = (
        "019aa1c2-0000-7000-8000-00000000abcd",
        "019aa1c2-0000-7000-8000-00000000dcba",
    );
    let ledger = TestLedger::of(&[
        Entry::deploy(one, "v1").verified(),
        Entry::deploy(other, "v2").verified(),
    ]);
    let history = ledger.history();
    let found = |part| match history.find(part).unwrap() {
        Lookup::One(attempt) => attempt.start.map(|start| start.id),
        Lookup::None => None,
        Lookup::Several(ids) => Some(ids.join(" ")),
    };
    for (part, expected) in [
        (one, Some(one.to_owned())),
        ("0000ABCD", Some(one.to_owned())),
        ("dcba", Some(other.to_owned())),
        ("019aa1c2", Some(format!("{one} {other}"))),
        ("0000ffff", None),
        ("cd", None),
    ] {
        assert_eq!(found(part), expected, "{part}");
    }
}

#[test]
fn the_app_that_the_last_record_names_is_the_bound_one() {
    let mut renamed = Entry::deploy("d2", "v2").verified();
    "shop-eu".clone_into(&mut renamed.start.services[0].app);
    "shop-eu".clone_into(&mut renamed.end.as_mut().unwrap().services[0].app);
    let ledger = TestLedger::of(&[Entry::deploy("d1", "v1").verified()]);
    assert_eq!(ledger.history().bound_app("web").unwrap().as_deref(), Some(APP));
    ledger.add(&renamed);
    let history = ledger.history();
    assert_eq!(history.bound_app("web").unwrap().as_deref(), Some("shop-eu"));
    assert_eq!(history.bound_app("worker").unwrap(), None);
    assert!(history.is_bound_to("shop-eu") && !history.is_bound_to(APP));
}

#[test]
fn builds_and_answers_are_found_by_their_image() {
    let ledger = TestLedger::of(&[
        Entry::deploy("d1", "v1").verified().answering("v1.0.0"),
        Entry::deploy("d2", "v2")
            .built()
            .of_commit("0123456789abcdef0123456789abcdef01234567", "v1.1.0-2-g0123456")
            .verified()
            .answering("1.1.0"),
        Entry::deploy("d3", "v3")
            .of_commit("fedcba9876543210fedcba9876543210fedcba98", "v9")
            .verified(),
    ]);
    let history = ledger.history();
    let build = history.build_of(APP, &image("v2")).unwrap().unwrap();
    assert_eq!(build.git.unwrap().describe.as_deref(), Some("v1.1.0-2-g0123456"));
    assert!(history.build_of(APP, &image("v3")).unwrap().is_none());
    let last = history
        .last_verified_of(APP, &Image::parse("r/x@sha256:v1"))
        .unwrap()
        .unwrap();
    assert_eq!(last.version.as_deref(), Some("v1.0.0"));
}

#[test]
fn after_asks_for_the_image_or_a_clean_commit() {
    let sha = "0123456789abcdef0123456789abcdef01234567";
    let mut dirty = Entry::deploy("d2", "v2").of_commit("1123456789abcdef0123456789abcdef01234567", "x");
    dirty.start.git.dirty = true;
    let ledger = TestLedger::of(&[
        Entry::deploy("d1", "v1").of_commit(sha, "x").verified(),
        dirty.verified(),
        Entry::deploy("d3", "v3").rolled_back_to("v2"),
    ]);
    let history = ledger.history();
    for (image_tag, sha, expected) in [
        (Some("v1"), None, true),
        (None, Some(sha), true),
        (None, Some("1123456789abcdef0123456789abcdef01234567"), false),
        (Some("v2"), None, true),
        (Some("v3"), None, false),
        (Some("v4"), Some(sha), true),
        (None, None, false),
    ] {
        let found = history.has_verified(image_tag.map(image).as_ref(), sha).unwrap();
        assert_eq!(found, expected, "{image_tag:?} {sha:?}");
    }
    ledger.add(&Entry::verify("d4", "v1").broken());
    assert!(!ledger.history().has_verified(Some(&image("v1")), None).unwrap());
}
