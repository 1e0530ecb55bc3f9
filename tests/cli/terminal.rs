//! What a terminal shows, and what keys do.

use serde_json::json;

use crate::support::TestEnv;
use crate::support::screen::Screen;

const QUESTION: &str = "roll back production: shop to v1 (shop:v1), which nobody verified? [y/N]";

#[test]
fn the_question_is_asked_and_no_changes_nothing() {
    let env = TestEnv::sandbox();
    let mut screen = Screen::start(&env, 100, 30, &["--sandbox", "rollback", "production"]);
    screen.wait_for(QUESTION);
    screen.press("n\r");
    assert_eq!(screen.end(), 3);
    assert!(
        screen.text().contains("error: declined: roll back production"),
        "{}",
        screen.text()
    );
    assert_eq!(env.releases("shop"), 2);
}

/// A yes that is typed after it finds nobody who would read it.
#[test]
fn ctrl_c_answers_the_question_at_once() {
    let env = TestEnv::sandbox();
    let mut screen = Screen::start(&env, 100, 30, &["--sandbox", "rollback", "production"]);
    screen.wait_for(QUESTION);
    screen.press("\u{3}");
    assert_eq!(screen.end(), 130, "{}", screen.text());
    let text = screen.text();
    assert!(text.contains("error: interrupted; nothing was changed"), "{text}");
    assert_eq!(env.releases("shop"), 2);
    assert_eq!(env.tags("shop"), ["v2", "v2"]);
}

#[test]
fn yes_rolls_back() {
    let env = TestEnv::sandbox();
    let mut screen = Screen::start(&env, 100, 30, &["--sandbox", "rollback", "production"]);
    screen.wait_for(QUESTION);
    screen.press("y\r");
    assert_eq!(screen.end(), 0);
    assert!(
        screen
            .text()
            .contains("✔ production is serving v3 (shop:v1), verified"),
        "{}",
        screen.text()
    );
    assert_eq!(env.tags("shop"), ["v1", "v1"]);
}

#[test]
fn nothing_is_asked_under_ci() {
    let env = TestEnv::sandbox().variable("CI", "true");
    let mut screen = Screen::start(&env, 100, 30, &["--sandbox", "rollback", "production"]);
    assert_eq!(screen.end(), 3);
    assert_eq!(env.releases("shop"), 2);
}

#[test]
fn ctrl_c_exits_130_gives_the_lock_back_and_says_what_serves() {
    let env = TestEnv::sandbox();
    let args = [
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v3-hang",
    ];
    let mut screen = Screen::start(&env, 80, 30, &args);
    screen.wait_for("staging: shipping");
    TestEnv::until("the release was made", || env.releases("shop-staging") == 3);
    screen.press("\u{3}");
    assert_eq!(screen.end(), 130, "{}", screen.text());
    let text = screen.text();
    assert!(text.contains("? interrupted; staging serves "), "{text}");
    assert!(
        text.contains("next: to go back: shipctl --sandbox rollback staging"),
        "{text}"
    );
    let status = env.shipctl(["--sandbox", "status", "staging", "--json"]).json();
    assert_eq!(status["environments"][0]["lock"], json!(null));
    env.shipctl([
        "--sandbox",
        "deploy",
        "staging",
        "--image",
        "registry.fly.io/shop:v4",
    ])
    .succeeds();
}

#[test]
fn colours_show_on_a_terminal_and_not_with_no_color() {
    let env = TestEnv::sandbox();
    let mut screen = Screen::start(&env, 80, 24, &["--sandbox", "status"]);
    assert_eq!(screen.end(), 0);
    assert!(screen.bytes().contains(&0x1b));
    let env = env.variable("NO_COLOR", "1");
    let mut screen = Screen::start(&env, 80, 24, &["--sandbox", "status"]);
    assert_eq!(screen.end(), 0);
    assert!(!screen.bytes().contains(&0x1b), "{}", screen.text());
}

#[test]
fn nothing_is_wider_than_80_columns() {
    let env = TestEnv::sandbox().variable("USER", "somebody@example.com");
    for args in [
        [
            "--sandbox",
            "deploy",
            "staging",
            "--image",
            "registry.fly.io/shop:v3",
        ]
        .as_slice(),
        &[
            "--sandbox",
            "deploy",
            "staging",
            "--image",
            "registry.fly.io/shop:v4-unhealthy",
        ],
        &["--sandbox", "deploy", "staging"],
        &["--sandbox", "status", "staging"],
        &["--sandbox", "history"],
        &["--sandbox", "rollback", "production"],
        &[
            "--sandbox",
            "freeze",
            "staging",
            "--reason",
            "the database is being restored",
        ],
        &[
            "--sandbox",
            "freeze",
            "staging",
            "--reason",
            "the database is still being restored",
        ],
        &["--sandbox", "unfreeze", "staging"],
        &[
            "--sandbox",
            "lock",
            "acquire",
            "staging",
            "--reason",
            "the database is being restored",
        ],
        &["--sandbox", "lock", "status", "staging"],
    ] {
        let mut screen = Screen::start(&env, 80, 40, args);
        if args.contains(&"rollback") {
            screen.wait_for("[y/N]");
            screen.press("y\r");
        }
        assert!(matches!(screen.end(), 0 | 6 | 7), "{}", screen.text());
        let (width, line) = screen.widest_line();
        assert!(width <= 80, "{width}: {line}");
    }
}
