//! The pictures of the documents are final screens of real runs.
//!
//! `SNAPSHOTS=overwrite cargo test --test cli pictures` draws them anew. What differs from run to run (times, ids, the
//! order in which instances answer) is left out of the comparison, never out of the picture.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use snapbox::Data;
use snapbox::data::DataFormat;

use crate::support::TestEnv;
use crate::support::screen::Screen;
use crate::support::text::same_each_run;

const GOOD: &str = "registry.fly.io/shop:v3";
const BAD: &str = "registry.fly.io/shop:v4-unhealthy";

/// How often a run may differ, on a machine that is busy with other things.
const TRIES: usize = 3;

fn draw(name: &str, before: &[&[&str]], args: &[&str], code: u32) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("docs/pictures/{name}.svg"));
    let overwrite = std::env::var("SNAPSHOTS").is_ok_and(|wish| wish == "overwrite");
    let drawn = fs::read_to_string(&file).unwrap_or_default();
    let mut shown = String::new();
    for _ in 0..TRIES {
        let svg = render(&run(before, args, code));
        if overwrite {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, svg).unwrap();
            return;
        }
        if lines(&svg) == lines(&drawn) {
            return;
        }
        shown = lines(&svg).join("\n");
    }
    panic!(
        "docs/pictures/{name}.svg is not what is shown; draw it with `SNAPSHOTS=overwrite cargo test --test cli pictures`\n\
         --- drawn\n{}\n--- shown\n{shown}",
        lines(&drawn).join("\n")
    );
}

/// The screen after a command in a fresh sandbox, with the command above it.
fn run(before: &[&[&str]], args: &[&str], code: u32) -> String {
    let env = TestEnv::sandbox();
    for args in before {
        env.shipctl(args.iter().copied()).succeeds();
    }
    // A log names seconds: the lines of what ran before are to lie in an earlier one.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let mut screen = Screen::start(&env, 80, 50, args);
    assert_eq!(screen.end(), code, "{}", screen.text());
    format!(
        "\u{1b}[1m$ shipctl {}\u{1b}[0m\n{}",
        args.join(" "),
        screen.painted()
    )
}

fn render(painted: &str) -> String {
    Data::text(painted).coerce_to(DataFormat::TermSvg).to_string()
}

/// What can be read in a picture, as far as it is the same in each run.
fn lines(svg: &str) -> Vec<String> {
    svg.split("<tspan x=")
        .skip(1)
        .filter_map(|line| line.split_once('>'))
        .map(|(_, line)| {
            let mut text = String::new();
            let mut inside = false;
            for char in line.chars() {
                match char {
                    '<' => inside = true,
                    '>' => inside = false,
                    _ if !inside => text.push(char),
                    _ => {}
                }
            }
            let text = text
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&");
            let mut words = String::new();
            for word in same_each_run(text.trim_end()).split_whitespace() {
                // Of a number of so many seconds only the unit is the same in each run.
                let number = word.chars().all(|char| char == '0' || char == '.');
                let is_time = word.len() == 8 && word.split(':').all(|part| part.len() == 2);
                let written = match (number, is_time) {
                    (true, _) => write!(words, "0 "),
                    (_, true) => write!(words, "TIME "),
                    _ => write!(words, "{word} "),
                };
                written.unwrap();
            }
            words.replace("0 ms ", "0 s ")
        })
        // An instance that turns good is told of when it does.
        .filter(|line| !line.starts_with("SANDBOX · 0") && !line.starts_with("SANDBOX ✔ 0"))
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn a_good_deploy() {
    draw(
        "verified",
        &[],
        &["--sandbox", "deploy", "staging", "--image", GOOD],
        0,
    );
}

#[test]
fn a_bad_deploy_that_returned() {
    draw(
        "returned",
        &[&["--sandbox", "deploy", "staging", "--image", GOOD]],
        &["--sandbox", "deploy", "staging", "--image", BAD],
        7,
    );
}

#[test]
fn a_rollback() {
    draw(
        "rollback",
        &[
            &["--sandbox", "verify", "production"],
            &[
                "--sandbox",
                "deploy",
                "production",
                "--config",
                "fly.production.toml",
                "--image",
                GOOD,
            ],
        ],
        &["--sandbox", "rollback", "production", "--yes"],
        0,
    );
}
