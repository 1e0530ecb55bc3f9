//! `shipctl history`: every attempt, newest first, and one whole with its failure bundle.

use serde_json::Value;

use crate::support::{Ran, TestEnv};

fn history(env: &TestEnv, args: &[&str]) -> Ran {
    env.shipctl(["--sandbox", "history"].iter().chain(args).copied())
}

/// A good deploy, one that is returned from, and a verification of another environment.
fn played() -> TestEnv {
    let env = TestEnv::sandbox();
    history(&env, &[]).is(0, "nothing is recorded yet\n", "");
    for (tag, code) in [("v3", 0), ("v4-unhealthy", 7)] {
        let image = format!("registry.fly.io/shop:{tag}");
        env.shipctl(["--sandbox", "deploy", "staging", "--image", &image])
            .exits(code);
    }
    env.shipctl(["--sandbox", "verify", "production"]).succeeds();
    env
}

fn attempts(env: &TestEnv) -> Vec<Value> {
    let document = history(env, &["--json"]).json();
    document["deployments"].as_array().unwrap().clone()
}

/// The lines without the id that they begin with, and without their ages.
fn lines(ran: &Ran) -> Vec<String> {
    ran.succeeds();
    assert_eq!(ran.stderr, "");
    let plain = crate::support::text::without_times(&ran.stdout);
    let words = |line: &str| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    plain.lines().map(words).collect()
}

#[test]
fn attempts_are_listed_newest_first() {
    let env = played();
    let verify = "verified verify production [AGO] v2 shop:v2 by dev";
    let bad = "rolled_back deploy staging [AGO] v4 shop:v4-unhealthy by dev";
    let good = "verified deploy staging [AGO] v3 shop:v3 by dev";
    assert_eq!(lines(&history(&env, &[])), [verify, bad, good]);
    assert_eq!(lines(&history(&env, &["staging"])), [bad, good]);
    assert_eq!(lines(&history(&env, &["--limit", "2"])), [verify, bad]);
    assert_eq!(lines(&history(&env, &["staging", "--limit", "1"])), [bad]);
    assert_eq!(lines(&history(&env, &["--since", "1h"])), [verify, bad, good]);
    assert_eq!(
        lines(&history(&env, &["--since", "7d", "--limit", "1"])),
        [verify]
    );
    // The end of an id stands first in each line, and names it.
    let ids: Vec<String> = attempts(&env)
        .iter()
        .map(|attempt| attempt["id"].as_str().unwrap().to_owned())
        .collect();
    let listed = history(&env, &[]);
    for (line, id) in listed.stdout.lines().zip(&ids) {
        assert!(id.ends_with(line.split(' ').next().unwrap()), "{line}: {id}");
    }

    // That nothing is shown does not mean that nothing is there.
    TestEnv::until("all of it is older than a second", || {
        history(&env, &["--since", "1s"]).stdout == "nothing was recorded in that time\n"
    });
    history(&env, &["nowhere"]).is(
        4,
        "",
        "SANDBOX error: there is no environment `nowhere`\n\
         SANDBOX hint: environments are `production` and `staging`\n",
    );
}

#[test]
fn one_is_shown_whole_by_either_end_of_its_id() {
    let env = played();
    let attempts = attempts(&env);
    let id = attempts[1]["id"].as_str().unwrap();
    let whole = history(&env, &["show", id]);
    whole.succeeds();
    let shown = |part: &str| crate::support::text::without_times(&history(&env, &["show", part]).stdout);
    let all = shown(id);
    assert_eq!(shown(&id[id.len() - 8..]), all);
    assert_eq!(shown(&id[..id.len() - 1]), all);
    assert_eq!(shown(&id.to_uppercase()), all);

    let lines: Vec<&str> = whole.stdout.lines().collect();
    assert_eq!(lines[0], "staging deploy rolled_back");
    assert_eq!(lines[1], format!("  id        {id}"));
    assert_eq!(lines[2], "  by        dev");
    whole.says("\n  phases    prepare ").says(" (failed), ");
    assert!(lines.contains(&"  shipped   v4 shop:v4-unhealthy to shop-staging: refuted"));
    // The answer as it was given.
    whole
        .says("\n↩ staging is serving v5 (shop:v3), verified; v4 (shop:v4-unhealthy) was refuted\n")
        .says("answers 503")
        .says("  last log lines:\n  │ ")
        .says(" fra info started shop:v4-unhealthy\n")
        .says("next: mend it and ship again: shipctl --sandbox deploy staging --image <REF>\n")
        .says("\nexit 7 (rolled_back) · ");
    // The failure bundle: what flyctl said, and what the instances did, for whoever wants it whole.
    let files = [
        "phases.json",
        "web-events.json",
        "web-flyctl.txt",
        "web-log.txt",
        "web-verdict.json",
    ];
    for file in files {
        let row = lines.iter().find(|line| line.starts_with(&format!("  {file} ")));
        assert!(
            row.is_some_and(|row| row.ends_with('B')),
            "{file}\n{}",
            whole.stdout
        );
    }
    let state = "[TEMP]/state/shipctl/sandbox/shop";
    let folder = lines
        .iter()
        .find_map(|line| line.strip_prefix("  in        "))
        .unwrap();
    assert!(folder.starts_with(state) && folder.ends_with(id), "{folder}");
    let folder = env.path("").join(folder.strip_prefix("[TEMP]/").unwrap());
    assert!(folder.join("web-log.txt").exists(), "{}", folder.display());
    whole.says(&format!(
        "  to read   shipctl --sandbox history show {} --full\n",
        &id[id.len() - 8..]
    ));
    assert!(lines.len() < 40, "{}", whole.stdout);
    let full = history(&env, &["show", id, "--full"]);
    full.succeeds();
    let lines: Vec<&str> = full.stdout.lines().collect();
    for file in files {
        assert!(lines.contains(&file), "{file}\n{}", full.stdout);
    }
    full.says("\n  ==> Verifying app config\n");

    let good = history(&env, &["show", attempts[2]["id"].as_str().unwrap()]);
    assert_eq!(good.succeeds().answer(), "staging deploy verified");
    good.says("\n✔ staging is serving v3 (shop:v3), verified: 2 instances answer as v3\n");
    assert!(!good.stdout.contains("bundle"), "{}", good.stdout);
}

/// The columns before it are wide: what does not fit beside them stands below.
#[test]
fn a_line_is_whole_on_a_narrow_terminal() {
    let env = played()
        .variable("COLUMNS", "80")
        .variable("USER", "somebody@example.com");
    env.shipctl(["--sandbox", "verify", "production"]).succeeds();
    let ran = history(&env, &[]);
    ran.succeeds()
        .says(" v2 shop:v2\n")
        .says(" by somebody@example.com\n")
        .says(" v2 shop:v2 by dev\n");
    for line in ran.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn one_that_is_not_there_is_not_guessed() {
    let env = played();
    let attempts = attempts(&env);
    let start = &attempts[0]["id"].as_str().unwrap()[..4];
    for part in ["00000000", "zzzzzzzz", "ab", ""] {
        history(&env, &["show", part]).is(
            2,
            "",
            &format!(
                "SANDBOX error: no attempt is called `{part}`\nSANDBOX hint: shipctl --sandbox history\n"
            ),
        );
    }
    // Ids begin with their time: what all of them begin with names none.
    history(&env, &["show", start])
        .exits(2)
        .says(&format!("error: `{start}` fits several attempts: "))
        .says("hint: shipctl --sandbox history show ");
}

#[test]
fn documents_hold_the_whole_attempt() {
    let env = played();
    let listed = attempts(&env);
    assert_eq!(listed.len(), 3);
    let bad = &listed[1];
    assert_eq!(bad["kind"], "deploy");
    assert_eq!(bad["outcome"], "rolled_back");
    assert_eq!(bad["services"][0]["verdict"], "refuted");
    assert!(bad["report"].is_null() && bad["bundle"].is_null(), "{bad}");
    let shown = history(&env, &["show", bad["id"].as_str().unwrap(), "--json"]).json();
    assert_eq!(shown["schema"], "shipctl/history/1");
    assert_eq!(shown["sandbox"], true);
    assert_eq!(shown["deployments"].as_array().unwrap().len(), 1);
    let whole = &shown["deployments"][0];
    for field in ["id", "outcome", "started_at", "services"] {
        assert_eq!(whole[field], bad[field], "{field}");
    }
    assert_eq!(whole["report"]["schema"], "shipctl/deployment/1");
    assert_eq!(whole["report"]["exit_code"], 7);
    assert!(
        whole["bundle"]["web-flyctl.txt"]
            .as_str()
            .is_some_and(|text| text.contains("Verifying app config")),
        "{whole}"
    );
}
