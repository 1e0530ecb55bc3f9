//! The table that is the result: one row for each scenario.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) bare: String,
    pub(crate) code: String,
    pub(crate) serves: String,
    /// Empty where everything is right.
    pub(crate) wrong: Vec<String>,
    pub(crate) seconds: f64,
}

/// Where the table and the transcripts lie: the folder that cargo builds into.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    folder.parent().unwrap_or(folder).to_owned()
}

/// The table as Markdown.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = String::from(
        "| scenario | bare flyctl exit | shipctl exit | what serves | verdict | seconds |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        text.push_str(&line(row));
        text.push('\n');
    }
    text
}

pub(crate) fn line(row: &Row) -> String {
    let verdict = if row.wrong.is_empty() {
        "right".to_owned()
    } else {
        format!("WRONG: {}", row.wrong.join("; "))
    };
    format!(
        "| {} | {} | {} | {} | {verdict} | {:.0} |",
        row.name, row.bare, row.code, row.serves, row.seconds
    )
}

pub(crate) fn write(text: &str) {
    fs::write(folder().join("real-table.md"), text).unwrap();
}

/// Keeps what was called and printed in a scenario.
pub(crate) fn keep(name: &str, log: &str) {
    let folder = folder().join("real");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.log")), log).unwrap();
}
