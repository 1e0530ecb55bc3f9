//! What the documents say is true: their commands are run, their links lead somewhere, their tables are complete.
//!
//! A `console` block is played in the sandbox: each line that begins with `$` is run, and the lines below it must be
//! printed. A `sh` block needs a real account: its lines must parse. A `toml` block that begins with the name of a file
//! is that file in the project; any other is a part of a `fly.<env>.toml`. `config check` has nothing to say of either.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::text::same_each_run;
use crate::support::{TestEnv, fly_toml};

struct Block {
    language: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The README and all pages of `docs/`.
fn documents() -> Vec<(PathBuf, String)> {
    let pages = fs::read_dir(root().join("docs")).unwrap();
    let mut paths: Vec<PathBuf> = pages
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.push(root().join("README.md"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(language), false) => {
                inside = true;
                blocks.push(Block {
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), true) => inside = false,
            (None, true) => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    blocks
}

impl Block {
    /// The file of the project that it is whole.
    fn file(&self) -> Option<(&str, &str)> {
        let name = self.text.lines().next()?.strip_prefix("# ")?;
        let is_toml = Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "toml");
        (self.language == "toml" && is_toml).then_some((name, &self.text))
    }
}

/// The project that a document describes: its files, else the usual ones.
fn project(blocks: &[Block]) -> TestEnv {
    let files: Vec<(&str, &str)> = blocks.iter().filter_map(Block::file).collect();
    if files.is_empty() {
        return TestEnv::sandbox();
    }
    let mut env = TestEnv::new();
    for (name, text) in files {
        env = env.file(name, text);
    }
    // Nobody waits for a test: the times of the page are for people.
    let env = env
        .variable("SHIPCTL_VERIFY_TIMEOUT", "5s")
        .variable("SHIPCTL_VERIFY_BAKE", "0s");
    env.shipctl(["--sandbox", "status"]).succeeds();
    env.order(json!({"do": "settings", "speed": 10}));
    env
}

/// The exit code that the mark of an answer stands for.
fn code_of(expected: &[&str]) -> i32 {
    match expected.first().and_then(|line| line.chars().next()) {
        Some('↩') => 7,
        Some('✖') => 8,
        _ => 0,
    }
}

#[test]
fn what_is_shown_on_a_console_is_what_happens() {
    let mut played = 0;
    for (path, text) in documents() {
        let blocks = blocks(&text);
        if !blocks.iter().any(|block| block.language == "console") {
            continue;
        }
        let env = project(&blocks);
        for block in blocks.iter().filter(|block| block.language == "console") {
            let steps = block.text.split("$ ").filter(|step| !step.trim().is_empty());
            for step in steps {
                let mut lines = step.lines();
                let command = lines.next().unwrap();
                let expected: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
                let args = command
                    .strip_prefix("shipctl ")
                    .unwrap_or_else(|| panic!("{}: `{command}` is no command of shipctl", path.display()));
                let ran = env.shipctl(args.split_whitespace());
                ran.exits(code_of(&expected));
                let printed = same_each_run(&format!("{}{}", ran.stdout, ran.stderr));
                for line in same_each_run(&expected.join("\n")).lines() {
                    assert!(
                        line.is_empty() || printed.lines().any(|said| said == line),
                        "{}: `{command}` does not print\n{line}\nbut\n{printed}",
                        path.display()
                    );
                }
                played += 1;
            }
        }
    }
    assert!(played >= 5, "{played}");
}

#[test]
fn what_is_shown_of_files_can_be_pasted() {
    let mut tried = 0;
    for (path, text) in documents() {
        let blocks = blocks(&text);
        let toml: Vec<&Block> = blocks.iter().filter(|block| block.language == "toml").collect();
        let mut env = TestEnv::new()
            .file("fly.staging.toml", &fly_toml("shop-staging"))
            .file("fly.production.toml", &fly_toml("shop"));
        // What a value takes from a variable is for the reader to set.
        for name in text
            .split("\"env:")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            env = env.variable(name, "value");
        }
        for (name, text) in toml.iter().filter_map(|block| block.file()) {
            env.write(name, text);
            // Each service in a folder of its own has its files there.
            let table: toml::Table = text.parse().unwrap();
            let services = table.get("services").and_then(toml::Value::as_table);
            for (service, keys) in services.into_iter().flatten() {
                let Some(folder) = keys.get("path").and_then(toml::Value::as_str) else {
                    continue;
                };
                for environment in ["staging", "production"] {
                    let file = format!("{folder}/fly.{environment}.toml");
                    env.write(&file, &fly_toml(&format!("{service}-{environment}")));
                }
            }
            tried += 1;
        }
        for part in toml.iter().filter(|block| block.file().is_none()) {
            let whole = format!(
                "app = \"shop-staging\"\n[http_service]\ninternal_port = 8080\n{}",
                part.text
            );
            env.write("fly.staging.toml", &whole);
            tried += 1;
        }
        let ran = env.shipctl(["config", "check"]);
        ran.succeeds();
        assert!(
            ran.stdout.starts_with("nothing to say of ") && ran.stderr.is_empty(),
            "{}: {ran:?}",
            path.display()
        );
    }
    assert!(tried >= 4, "{tried}");
}

/// A hint or a page must not send anybody to a command that there is not.
#[test]
fn every_command_that_is_named_exists() {
    let help = TestEnv::new().shipctl(["--help"]);
    let commands: Vec<&str> = help
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut texts = documents();
    sources(&root().join("src"), &mut texts);
    let mut named = 0;
    for (path, text) in &texts {
        for rest in text.split("`shipctl ").skip(1) {
            let word = rest
                .split_whitespace()
                .find(|word| *word != "--sandbox")
                .unwrap_or_default()
                .trim_end_matches(|char: char| !char.is_ascii_alphanumeric());
            // Not what a reader or the program fills in.
            if word.is_empty() || !word.chars().all(|char| char.is_ascii_lowercase()) {
                continue;
            }
            assert!(commands.contains(&word), "{}: `shipctl {word}`", path.display());
            named += 1;
        }
    }
    assert!(named >= 20, "{named}");
}

fn sources(folder: &Path, texts: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, texts);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            texts.push((path, text));
        }
    }
}

#[test]
fn what_needs_an_account_is_understood() {
    let nowhere = TestEnv::new();
    let mut tried = 0;
    for (path, text) in documents() {
        for block in blocks(&text).iter().filter(|block| block.language == "sh") {
            for line in block.text.lines().filter(|line| line.starts_with("shipctl")) {
                let args = line.split_whitespace().skip(1);
                let ran = nowhere.shipctl(args);
                assert_ne!(ran.code, Some(2), "{}: {line}\n{}", path.display(), ran.stderr);
                tried += 1;
            }
        }
    }
    assert!(tried >= 10, "{tried}");
}

#[test]
fn links_lead_somewhere() {
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let file = path.parent().unwrap().join(target.split('#').next().unwrap());
            assert!(file.exists(), "{}: {target}", path.display());
        }
    }
}

#[test]
fn the_table_of_exit_codes_is_that_of_the_program() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let help = TestEnv::new().shipctl(["--help"]);
    let codes = help
        .stdout
        .lines()
        .skip_while(|line| *line != "Exit codes:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let mut count = 0;
    for line in codes {
        let mut words = line.split_whitespace();
        let (code, name) = (words.next().unwrap(), words.next().unwrap());
        let row = if code == "128+n" {
            "| 128+n | interrupted |".to_owned()
        } else {
            format!("| {code} | {name} |")
        };
        assert!(readme.contains(&row), "README.md has no row `{row}`");
        count += 1;
    }
    assert_eq!(count, 12);
}

#[test]
fn every_action_is_pinned_to_a_commit() {
    for (path, text) in documents() {
        for line in text.lines().filter_map(|line| line.split("uses: ").nth(1)) {
            let (_, commit) = line.split_once('@').unwrap();
            let commit: String = commit.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(
                commit.len() == 40 && commit.chars().all(|char| char.is_ascii_hexdigit()),
                "{}: {line}",
                path.display()
            );
        }
    }
}
