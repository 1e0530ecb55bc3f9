//! Counts the rows of the matrix that have a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

/// The names of the tests in a folder, by row.
fn rows(folder: &Path, found: &mut BTreeMap<u32, Vec<String>>) {
    for entry in fs::read_dir(folder).expect("the folder of the tests") {
        let path = entry.expect("a file of the tests").path();
        if path.is_dir() {
            rows(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("the text of a test");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("fn fault_").filter(|_| is_test) {
                    let row: String = name.chars().take_while(char::is_ascii_digit).collect();
                    let name = name.split('(').next().unwrap_or_default().to_owned();
                    found
                        .entry(row.parse().expect("a row's number"))
                        .or_default()
                        .push(name);
                }
                // An attribute more may stand between the two, an ignored test does not count.
                is_test =
                    line == "#[test]" || (is_test && line.starts_with("#[") && !line.starts_with("#[ignore"));
            }
        }
    }
}

/// The rows of the matrix in `docs/faults.md`.
fn documented() -> BTreeSet<u32> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let text = fs::read_to_string(page).expect("the matrix");
    let number = |line: &str| line.strip_prefix("| ")?.split(' ').next()?.parse().ok();
    text.lines().filter_map(number).collect()
}

#[test]
fn every_row_has_a_test_and_every_test_its_row() {
    let mut found = BTreeMap::new();
    rows(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults"),
        &mut found,
    );
    // Not by a macro: those are captured, and `.ci/run` shows this line.
    writeln!(std::io::stdout(), "\ncount: fault rows: {}", found.len()).expect("stdout");
    let documented = documented();
    assert!(documented.len() >= 84, "{documented:?}");
    let missing: Vec<_> = documented.iter().filter(|row| !found.contains_key(row)).collect();
    // Row 32 asks for `resume`.
    assert_eq!(missing, [&32], "rows of the matrix without a test");
    let unknown: Vec<_> = found.keys().filter(|row| !documented.contains(row)).collect();
    assert!(
        unknown.is_empty(),
        "tests of rows that docs/faults.md does not name: {unknown:?}"
    );
}
