//! The five rules, one table each, and the rows of FAULTS that end in a rollback.

use serde_json::{Value, json};

use super::{Answer, Question, Rule, pick};
use crate::release::{Image, Release, ReleaseNumber, ReleaseStatus};
use crate::rollback::Running;
use crate::rollback::candidate::Candidate;
use crate::state::record::Outcome;
use crate::state::testing::{APP, Entry, TestLedger, image};

/// Releases as flyctl lists them: newest first, without digests. A letter says how each ended.
fn releases(lines: &[(u64, &str, &str)]) -> Vec<Release> {
    lines
        .iter()
        .map(|(number, status, tag)| Release {
            id: number.to_string(),
            number: ReleaseNumber(*number),
            status: ReleaseStatus::parse(status),
            description: String::new(),
            image: Image::parse(&image(tag).name),
            user: None,
            created_at: String::new(),
        })
        .collect()
}

fn running(tag: &str, good: bool) -> Running {
    Running {
        image: image(tag),
        group: "app".to_owned(),
        release: None,
        config: Value::Null,
        good,
    }
}

fn good(tag: &str) -> Vec<Running> {
    vec![running(tag, true), running(tag, true)]
}

fn bad(tag: &str) -> Vec<Running> {
    vec![running(tag, false), running(tag, true)]
}

fn mixed(one: &str, other: &str) -> Vec<Running> {
    vec![running(one, true), running(other, true)]
}

fn tell(candidate: &Candidate) -> String {
    let verified = if candidate.verified {
        "verified"
    } else {
        "unverified"
    };
    format!("{} {verified}", candidate.image.tag().unwrap_or("?"))
}

/// `RULE TAG verified|unverified`, or `refused`.
fn told(entries: &[Entry], listed: &[(u64, &str, &str)], running: &[Running], to: Option<&str>) -> String {
    let ledger = TestLedger::of(entries);
    match asked(&ledger, listed, running, to) {
        Answer::Nothing(_) => "refused".to_owned(),
        Answer::Target(pick) => {
            let rule = match pick.rule {
                Rule::Named => 1,
                Rule::LastGood | Rule::LastListed => 2,
                Rule::Before => 3,
                Rule::Listed => 4,
                Rule::Remaining => unreachable!("only the registry leads there"),
            };
            format!("{rule} {}", tell(&pick.target))
        }
    }
}

fn asked(ledger: &TestLedger, listed: &[(u64, &str, &str)], running: &[Running], to: Option<&str>) -> Answer {
    pick(&Question {
        app: APP,
        history: &ledger.history(),
        releases: &releases(listed),
        running,
        to,
    })
    .unwrap()
}

fn target(ledger: &TestLedger, listed: &[(u64, &str, &str)], running: &[Running]) -> Box<super::Pick> {
    match asked(ledger, listed, running, None) {
        Answer::Target(pick) => pick,
        Answer::Nothing(none) => panic!("{none:?}"),
    }
}

/// v1, v2 and v3, each shipped and verified as the release of that number.
fn three() -> Vec<Entry> {
    vec![
        Entry::deploy("d1", "v1").verified().release(1),
        Entry::deploy("d2", "v2").over(1, "v1").verified().release(2),
        Entry::deploy("d3", "v3").over(2, "v2").verified().release(3),
    ]
}

const THREE: [(u64, &str, &str); 3] = [
    (3, "complete", "v3"),
    (2, "complete", "v2"),
    (1, "complete", "v1"),
];

fn four_of(tag: &str) -> [(u64, &str, &str); 4] {
    [(4, "running", tag), THREE[0], THREE[1], THREE[2]]
}

fn and(mut entries: Vec<Entry>, more: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    entries.extend(more);
    entries
}

#[test]
fn rule_2_what_is_mixed_or_not_good_goes_to_the_last_verified() {
    let cut_off = Entry::deploy("d4", "v4").over(3, "v3").interrupted().release(4);
    let four = [(4, "running", "v4"), THREE[0], THREE[1], THREE[2]];
    for (entries, listed, running, expected) in [
        // Some instances run the target already.
        (
            and(three(), [cut_off.clone()]),
            &four[..],
            mixed("v3", "v4"),
            "2 v3 verified",
        ),
        (and(three(), [cut_off.clone()]), &four, bad("v4"), "2 v3 verified"),
        // What all of them run is what fails.
        (three(), &THREE, bad("v3"), "2 v2 verified"),
        // Nothing runs at all.
        (three(), &THREE, Vec::new(), "2 v3 verified"),
        // What was refuted, or left by a person, is not gone back to.
        (
            and(
                three(),
                [Entry::verify("d4", "v3").ended(Outcome::Broken, "refuted")],
            ),
            &THREE,
            bad("v4"),
            "2 v2 verified",
        ),
        (
            and(
                three(),
                [Entry::rollback("d4", "v2").over(3, "v3").verified().release(4)],
            ),
            &[(4, "complete", "v2"), THREE[0], THREE[1], THREE[2]],
            mixed("v2", "v9"),
            "2 v2 verified",
        ),
        // A rollback that was cut off while it moved goes where it went, noted or not; one that moved nothing does not
        // speak against what it was to leave.
        (
            and(
                three(),
                [Entry::rollback("d4", "v2").over(3, "v3").interrupted().release(4)],
            ),
            &four_of("v2"),
            mixed("v2", "v3"),
            "2 v2 verified",
        ),
        (
            and(
                three(),
                [Entry::rollback("d4", "v2")
                    .over(3, "v3")
                    .cut_off_while("ship", false)],
            ),
            &four_of("v2"),
            mixed("v2", "v3"),
            "2 v2 verified",
        ),
        (
            and(three(), [Entry::rollback("d4", "v2").over(3, "v3").interrupted()]),
            &THREE,
            mixed("v9", "v3"),
            "2 v3 verified",
        ),
        (
            vec![
                Entry::deploy("d3", "v3").verified().release(3),
                Entry::rollback("d4", "v2").over(3, "v3").interrupted().release(4),
            ],
            &four_of("v2"),
            mixed("v2", "v3"),
            "2 v3 verified",
        ),
        // Without a verified entry: flyctl's newest complete of another image than its newest release.
        (vec![], &four, mixed("v3", "v4"), "2 v3 unverified"),
        (
            vec![],
            &[(4, "running", "v4"), (3, "failed", "v3"), THREE[1]],
            mixed("v2", "v4"),
            "2 v2 unverified",
        ),
        (
            vec![],
            &[(2, "failed", "v2"), (1, "complete", "v1")],
            bad("v1"),
            "refused",
        ),
        (vec![], &[], Vec::new(), "refused"),
    ] {
        assert_eq!(
            told(&entries, listed, &running, None),
            expected,
            "{listed:?} {running:?}"
        );
    }
}

#[test]
fn rule_3_the_newest_verified_before_the_first_that_shipped_what_serves() {
    let four = [(4, "complete", "v4"), THREE[0], THREE[1], THREE[2]];
    let unknown_commits = Entry::deploy("d0", "v0").verified().release(1);
    for (entries, listed, serving, expected) in [
        (three(), &THREE[..], "v3", "3 v2 verified"),
        (three(), &THREE, "v2", "3 v1 verified"),
        // Deployed again later: what counts is when it came first.
        (
            and(
                three(),
                [Entry::deploy("d4", "v2").over(3, "v3").verified().release(4)],
            ),
            &four,
            "v2",
            "3 v1 verified",
        ),
        // What did not stay is passed over.
        (
            and(
                three(),
                [Entry::deploy("d4", "v4").rolled_back_to("v3").release(4)],
            ),
            &four,
            "v3",
            "3 v2 verified",
        ),
        (
            and(
                three(),
                [
                    Entry::deploy("d4", "v4")
                        .ended(Outcome::Inconclusive, "inconclusive")
                        .release(4),
                    Entry::deploy("d5", "v5").over(4, "v4").verified().release(5),
                ],
            ),
            &[(5, "complete", "v5"), four[0], four[1]],
            "v5",
            "3 v3 verified",
        ),
        // Refuted once and returned from, later shipped with success: the later one is when it came.
        (
            and(
                three(),
                [
                    Entry::deploy("d4", "v4").rolled_back_to("v3").release(4),
                    Entry::deploy("d5", "v5").verified().release(6),
                    Entry::deploy("d6", "v4").verified().release(7),
                ],
            ),
            &[(7, "complete", "v4"), (6, "complete", "v5")],
            "v4",
            "3 v5 verified",
        ),
        // Refuted later by `verify`, and verified again after that.
        (
            vec![
                Entry::deploy("d1", "v1").verified().release(1),
                Entry::deploy("d2", "v2").verified().release(2),
                Entry::verify("d3", "v2").broken(),
                Entry::deploy("d4", "v3").verified().release(3),
            ],
            &THREE,
            "v3",
            "3 v1 verified",
        ),
        (
            vec![
                Entry::deploy("d1", "v1").verified().release(1),
                Entry::deploy("d2", "v2").verified().release(2),
                Entry::verify("d3", "v2").broken(),
                Entry::verify("d4", "v2").verified(),
                Entry::deploy("d5", "v3").verified().release(3),
            ],
            &THREE,
            "v3",
            "3 v2 verified",
        ),
        // A release that `verify` verified is a candidate like any other.
        (
            vec![
                Entry::verify("d1", "v2").verified().release(2),
                Entry::deploy("d2", "v3").over(2, "v2").verified().release(3),
            ],
            &THREE,
            "v3",
            "3 v2 verified",
        ),
        // So is one that a return verified.
        (
            vec![
                unknown_commits.clone(),
                Entry::deploy("d1", "v3")
                    .over(2, "v2")
                    .rolled_back_to("v2")
                    .release(3),
                Entry::deploy("d2", "v4").over(4, "v2").verified().release(5),
            ],
            &[
                (5, "complete", "v4"),
                (4, "complete", "v2"),
                (3, "failed", "v3"),
                (2, "complete", "v2"),
            ],
            "v4",
            "3 v2 verified",
        ),
    ] {
        assert_eq!(
            told(&entries, listed, &good(serving), None),
            expected,
            "{serving} {listed:?}"
        );
    }
}

#[test]
fn rule_3_tells_releases_apart_by_image_and_configuration() {
    let entries = vec![
        Entry::deploy("d1", "v1")
            .verified()
            .release(1)
            .running("app", json!({"env": {"A": "1"}})),
        Entry::deploy("d2", "v1")
            .configured("second")
            .verified()
            .release(2)
            .running("app", json!({"env": {"A": "2"}})),
    ];
    let listed = [(2, "complete", "v1"), (1, "complete", "v1")];
    for (value, expected) in [("2", "plain"), ("1", "none"), ("3", "plain")] {
        let config = json!({"env": {"A": value}, "image": "x", "metadata": {"a": "b"}, "guest": {"cpus": 1}});
        let ledger = TestLedger::of(&entries);
        let mut running = good("v1");
        for instance in &mut running {
            instance.config = config.clone();
        }
        let found = match asked(&ledger, &listed, &running, None) {
            Answer::Target(pick) => pick.target.configuration.unwrap().text,
            Answer::Nothing(_) => "none".to_owned(),
        };
        assert_eq!(found, expected, "A={value}");
    }
}

#[test]
fn an_update_of_the_configuration_that_stopped_half_way_is_mixed() {
    let entries = [
        Entry::deploy("d1", "v1").verified().release(1),
        Entry::deploy("d2", "v2").verified().release(2),
        Entry::deploy("d3", "v2")
            .configured("second")
            .interrupted()
            .release(3),
    ];
    let listed = [(3, "running", "v2"), (2, "complete", "v2"), (1, "complete", "v1")];
    let mut running = good("v2");
    running[0].release = Some(ReleaseNumber(2));
    running[1].release = Some(ReleaseNumber(3));
    let ledger = TestLedger::of(&entries);
    let pick = target(&ledger, &listed, &running);
    assert_eq!(
        (pick.rule, tell(&pick.target).as_str()),
        (Rule::LastGood, "v2 verified")
    );
    assert_eq!(pick.target.configuration.unwrap().text, "plain");
}

#[test]
fn rule_4_what_the_ledger_does_not_know_is_looked_up_in_flyctls_list() {
    let four = [(4, "complete", "v4"), THREE[0], THREE[1], THREE[2]];
    for (entries, listed, serving, expected) in [
        (vec![], &THREE[..], "v3", "4 v2 unverified"),
        (
            vec![],
            &[THREE[0], (2, "failed", "v2"), THREE[2]],
            "v3",
            "4 v1 unverified",
        ),
        (
            vec![],
            &[THREE[0], (2, "running", "v2"), THREE[2]],
            "v3",
            "4 v1 unverified",
        ),
        // Deployed again: older than its first release.
        (
            vec![],
            &[(4, "complete", "v1"), THREE[0], THREE[1], THREE[2]],
            "v1",
            "refused",
        ),
        // Not in the list.
        (vec![], &THREE, "v9", "refused"),
        // A complete release whose image first failed.
        (
            vec![],
            &[
                (4, "complete", "v4"),
                (3, "complete", "v2"),
                (2, "failed", "v2"),
                THREE[2],
            ],
            "v4",
            "4 v1 unverified",
        ),
        // Rule 3 finds nothing.
        (
            vec![Entry::deploy("d3", "v3").over(2, "v2").verified().release(3)],
            &THREE,
            "v3",
            "4 v2 unverified",
        ),
        // What was refuted here is not offered, whatever flyctl calls it.
        (
            vec![
                Entry::deploy("d2", "v2").over(1, "v1").broken().release(2),
                Entry::deploy("d3", "v3").over(2, "v2").verified().release(3),
            ],
            &THREE,
            "v3",
            "4 v1 unverified",
        ),
        // Releases that no record names between the ledger's and what serves.
        (
            vec![
                Entry::deploy("d1", "v1").verified().release(1),
                Entry::deploy("d4", "v4").over(3, "v3").verified().release(4),
            ],
            &four,
            "v4",
            "4 v3 unverified",
        ),
        // All named: the ledger's.
        (
            vec![
                Entry::deploy("d1", "v1").verified().release(1),
                Entry::deploy("d2", "v2").failed().release(2),
                Entry::deploy("d4", "v4").over(3, "v3").verified().release(4),
            ],
            &four,
            "v4",
            "3 v1 verified",
        ),
        // Unnamed, but nothing that could be gone back to: the ledger's again.
        (
            vec![
                Entry::deploy("d1", "v1").verified().release(1),
                Entry::deploy("d3", "v3").over(1, "v1").verified().release(3),
            ],
            &[THREE[0], (2, "failed", "v2"), THREE[2]],
            "v3",
            "3 v1 verified",
        ),
        // flyctl's word for it counts less than having seen it verified.
        (
            vec![
                Entry::deploy("d2", "v2").verified().release(2),
                Entry::deploy("d4", "v4").over(2, "v2").verified().release(4),
            ],
            &[
                (4, "complete", "v4"),
                (3, "failed", "v3"),
                (2, "failed", "v2"),
                THREE[2],
            ],
            "v4",
            "3 v2 verified",
        ),
        // `secrets set` of what serves makes releases that no record names; nothing lies between.
        (
            three(),
            &[(5, "complete", "v3"), (4, "complete", "v3"), THREE[0], THREE[1]],
            "v3",
            "3 v2 verified",
        ),
    ] {
        assert_eq!(
            told(&entries, listed, &good(serving), None),
            expected,
            "{serving} {listed:?}"
        );
    }
}

#[test]
fn the_ledgers_own_stands_beside_what_flyctl_lists() {
    let ledger = TestLedger::of(&[
        Entry::deploy("d1", "v1").verified().release(1),
        Entry::deploy("d4", "v4").over(3, "v3").verified().release(4),
    ]);
    let listed = [(4, "complete", "v4"), THREE[0], THREE[1], THREE[2]];
    let pick = target(&ledger, &listed, &good("v4"));
    assert_eq!(tell(&pick.target), "v3 unverified");
    assert_eq!(pick.beside.as_ref().map(tell).as_deref(), Some("v1 verified"));
    assert_eq!(
        pick.target.image.digest,
        image("v3").digest,
        "known as `previous`"
    );
    let next: Vec<String> = pick.older.iter().map(tell).collect();
    assert_eq!(next, ["v2 unverified"]);
}

#[test]
fn rule_1_names_a_release_an_image_or_a_version() {
    let entries = and(
        three(),
        [
            Entry::deploy("d4", "app-5")
                .of_commit("0123456789abcdef0123456789abcdef01234567", "v1.4.0-3-g0123456")
                .built()
                .over(3, "v3")
                .verified()
                .release(4)
                .answering("v1.5.0"),
            Entry::deploy("d5", "v7")
                .over(4, "app-5")
                .verified()
                .release(8)
                .answering("8"),
            Entry::deploy("d6", "v6")
                .over(8, "v7")
                .rolled_back_to("v7")
                .release(9),
        ],
    );
    let listed = [
        (10, "complete", "v7"),
        (9, "failed", "v6"),
        (8, "complete", "v7"),
        (7, "complete", "other"),
        (4, "complete", "app-5"),
        THREE[0],
        THREE[1],
        THREE[2],
    ];
    for (to, expected) in [
        ("2", "1 v2 verified"),
        ("v2", "1 v2 verified"),
        ("release:2", "1 v2 verified"),
        ("release:v2", "1 v2 verified"),
        ("4", "1 app-5 verified"),
        ("9", "1 v6 unverified"),
        ("11", "refused"),
        ("release:x", "refused"),
        ("app-5", "1 app-5 verified"),
        ("image:app-5", "1 app-5 verified"),
        ("registry.fly.io/shop:v2", "1 v2 verified"),
        ("registry.fly.io/shop:v2@sha256:v2", "1 v2 verified"),
        ("sha256:v2", "1 v2 verified"),
        ("r/foreign:new", "1 new unverified"),
        ("image:r/foreign:new", "1 new unverified"),
        // As every table prints it.
        ("shop:v2", "1 v2 verified"),
        ("image:shop:v2", "1 v2 verified"),
        ("shop:v2@sha256:v2", "1 v2 verified"),
        ("shop:app-5", "1 app-5 verified"),
        ("shop:v7", "1 v7 verified"),
        ("shop:v99", "refused"),
        ("other:v2", "refused"),
        ("unheard-of", "refused"),
        ("image:unheard-of", "refused"),
        ("v1.5.0", "1 app-5 verified"),
        ("1.5.0", "1 app-5 verified"),
        ("version:1.5.0", "1 app-5 verified"),
        ("v1.4.0-3-g0123456", "1 app-5 verified"),
        ("0123456789ab", "1 app-5 verified"),
        ("012345", "refused"),
        // Release 8 answers `8` itself; release 7 is not the image v7.
        ("8", "1 v7 verified"),
        ("v7", "refused"),
        ("release:7", "1 other unverified"),
        ("image:v7", "1 v7 verified"),
        ("version:2", "refused"),
        // A failed release that a person names passes.
        ("image:v6", "1 v6 unverified"),
    ] {
        assert_eq!(
            told(&entries, &listed, &good("v7"), Some(to)),
            expected,
            "--to {to}"
        );
    }
    let ledger = TestLedger::of(&entries);
    let Answer::Nothing(none) = asked(&ledger, &listed, &good("v7"), Some("v7")) else {
        panic!("v7 names two");
    };
    assert_eq!(
        none.exists,
        ["release:7  v7 (shop:other)", "image:v7  v8 (shop:v7)"]
    );
    let Answer::Target(refuted) = asked(&ledger, &listed, &good("v7"), Some("9")) else {
        panic!("9 names v6");
    };
    assert_eq!(
        refuted.warnings,
        [
            "v9 (shop:v6) was refuted or rolled back from here",
            "flyctl calls v9 (shop:v6) `failed`"
        ]
    );
}

/// Two registries may hold images that tables print alike.
#[test]
fn a_short_form_that_fits_two_images_is_ambiguous() {
    let ledger = TestLedger::of(&three());
    let mut listed = releases(&THREE);
    listed.push(Release {
        number: ReleaseNumber(7),
        image: Image::parse("ghcr.io/shop:v2"),
        ..listed[0].clone()
    });
    for to in ["shop:v2", "image:shop:v2"] {
        let question = Question {
            app: APP,
            history: &ledger.history(),
            releases: &listed,
            running: &good("v3"),
            to: Some(to),
        };
        let Answer::Nothing(none) = pick(&question).unwrap() else {
            panic!("{to} names two");
        };
        assert_eq!(
            none.exists,
            [
                "image:ghcr.io/shop:v2  v7 (shop:v2)",
                "image:registry.fly.io/shop:v2@sha256:v2  v2 (shop:v2)",
            ],
            "--to {to}"
        );
    }
}

#[test]
fn rule_5_a_refusal_says_what_exists() {
    let ledger = TestLedger::of(&[Entry::deploy("d1", "v1").verified().release(1)]);
    let Answer::Nothing(none) = asked(&ledger, &[(1, "complete", "v1")], &good("v1"), None) else {
        panic!("there is nothing older");
    };
    assert_eq!(
        none.exists,
        ["release:1  complete  shop:v1  verified here  serving"]
    );
    let error = none.error("production");
    assert_eq!(error.kind.exit_code(), 3);
    assert_eq!(
        error.hints,
        [
            "ship one of these with `shipctl rollback production --to release:1`",
            "more of each: `shipctl releases production`",
        ]
    );
}

#[test]
fn fault_33_secrets_set_after_a_failed_deploy() {
    let failed = Entry::deploy("d3", "v3").over(2, "v2").failed().release(3);
    let entries = [three()[0].clone(), three()[1].clone(), failed];
    let listed = [(4, "complete", "v3"), (3, "failed", "v3"), THREE[1], THREE[2]];
    assert_eq!(told(&entries, &listed, &good("v2"), None), "3 v1 verified");
    assert_eq!(told(&entries, &listed, &bad("v3"), None), "2 v2 verified");
    assert_eq!(told(&[], &listed, &good("v2"), None), "4 v1 unverified");
    let later = [(5, "complete", "v5"), listed[0], listed[1], listed[2], listed[3]];
    assert_eq!(told(&[], &later, &good("v5"), None), "4 v2 unverified");
    assert_eq!(told(&[], &later, &bad("v5"), None), "2 v2 unverified");
}

#[test]
fn fault_34_a_failed_release_is_the_newest() {
    let listed = [
        (5, "failed", "v5-unhealthy"),
        (4, "complete", "v4"),
        (3, "failed", "v3-bad"),
        (2, "complete", "v2"),
        (1, "complete", "v1"),
    ];
    let entries = [
        Entry::deploy("d2", "v2").verified().release(2),
        Entry::deploy("d3", "v3-bad").failed().release(3),
        Entry::deploy("d4", "v4").over(2, "v2").verified().release(4),
    ];
    assert_eq!(
        told(&entries, &listed, &mixed("v4", "v5-unhealthy"), None),
        "2 v4 verified"
    );
    assert_eq!(told(&entries, &listed, &good("v4"), None), "3 v2 verified");
    assert_eq!(
        told(&[], &listed, &mixed("v4", "v5-unhealthy"), None),
        "2 v4 unverified"
    );
    assert_eq!(told(&[], &listed, &good("v4"), None), "4 v2 unverified");
}

#[test]
fn fault_35_the_next_older_candidates_are_at_hand() {
    let ledger = TestLedger::of(&three());
    let pick = target(&ledger, &THREE, &good("v3"));
    let next: Vec<String> = pick.older.iter().map(tell).collect();
    assert_eq!(
        (tell(&pick.target).as_str(), next),
        ("v2 verified", vec!["v1 verified".to_owned()])
    );
    assert_eq!(told(&three(), &THREE, &good("v1"), None), "refused");
}

#[test]
fn fault_52_a_second_rollback_goes_further_back_and_never_bounces() {
    let mut entries = three();
    let mut listed = THREE.to_vec();
    assert_eq!(told(&entries, &listed, &good("v3"), None), "3 v2 verified");
    entries.push(Entry::rollback("d4", "v2").over(3, "v3").verified().release(4));
    listed.insert(0, (4, "complete", "v2"));
    assert_eq!(told(&entries, &listed, &good("v2"), None), "3 v1 verified");
    entries.push(Entry::rollback("d5", "v1").over(4, "v2").verified().release(5));
    listed.insert(0, (5, "complete", "v1"));
    assert_eq!(told(&entries, &listed, &good("v1"), None), "refused");
    // v4 is shipped: it goes back to v1, not to what was rolled back from.
    entries.push(Entry::deploy("d6", "v4").over(5, "v1").verified().release(6));
    listed.insert(0, (6, "complete", "v4"));
    assert_eq!(told(&entries, &listed, &good("v4"), None), "3 v1 verified");
    // v3 is shipped again deliberately, and verified: then it counts again.
    entries.push(Entry::deploy("d7", "v3").over(6, "v4").verified().release(7));
    entries.push(Entry::deploy("d8", "v5").over(7, "v3").verified().release(8));
    listed.insert(0, (7, "complete", "v3"));
    listed.insert(0, (8, "complete", "v5"));
    assert_eq!(told(&entries, &listed, &good("v5"), None), "3 v3 verified");
}

#[test]
fn fault_52_also_where_only_flyctl_knew_the_older_ones() {
    let mut entries = vec![
        Entry::deploy("d3", "v3").over(2, "v2").verified().release(3),
        Entry::deploy("d4", "v4").over(3, "v3").verified().release(4),
        Entry::rollback("d5", "v2").over(4, "v4").verified().release(5),
    ];
    let mut listed = vec![
        (5, "complete", "v2"),
        (4, "complete", "v4"),
        THREE[0],
        THREE[1],
        THREE[2],
    ];
    assert_eq!(
        told(&entries, &listed, &good("v2"), None),
        "4 v1 unverified",
        "never forward to v3"
    );
    entries.push(Entry::rollback("d6", "v1").over(5, "v2").verified().release(6));
    listed.insert(0, (6, "complete", "v1"));
    assert_eq!(told(&entries, &listed, &good("v1"), None), "refused");
}

#[test]
fn a_rollback_that_came_to_nothing_leaves_nothing() {
    for (outcome, expected) in [
        (Outcome::Failed, "3 v3 verified"),
        (Outcome::RolledBack, "3 v3 verified"),
        (Outcome::Verified, "3 v1 verified"),
        (Outcome::Broken, "3 v1 verified"),
    ] {
        // v2 is what the rollback shipped; the row refutes it unless it was verified or never ran.
        let verdict = if outcome == Outcome::Verified {
            "verified"
        } else {
            "refuted"
        };
        let entries = and(
            three(),
            [
                Entry::rollback("d4", "v1")
                    .over(3, "v3")
                    .ended(outcome, verdict)
                    .release(4),
                Entry::deploy("d5", "v5").verified().release(5),
            ],
        );
        let mut found = told(&entries, &[], &good("v5"), None);
        if outcome == Outcome::Broken {
            // v1 was refuted by it, v3 left: v2 remains.
            assert_eq!(found, "3 v2 verified");
            expected.clone_into(&mut found);
        }
        assert_eq!(found, expected, "{outcome:?}");
    }
}

#[test]
fn fault_60_what_the_target_answered_is_at_hand() {
    let ledger = TestLedger::of(&[
        Entry::deploy("d1", "v1")
            .verified()
            .release(1)
            .answering("0123456"),
        Entry::deploy("d2", "v2")
            .verified()
            .release(2)
            .answering("89abcde"),
    ]);
    let pick = target(&ledger, &THREE[1..], &good("v2"));
    assert_eq!(pick.target.version.as_deref(), Some("0123456"));
    assert_eq!(pick.target.image, image("v1"), "with its digest");
    assert_eq!(
        pick.target.configuration.map(|it| it.file).as_deref(),
        Some("fly.production.toml")
    );
}

#[test]
fn fault_63_colleagues_shipped_since() {
    let ledger = TestLedger::of(&three());
    let listed = [
        (6, "complete", "v6"),
        (5, "failed", "v5"),
        (4, "complete", "v4"),
        THREE[0],
        THREE[1],
    ];
    let pick = target(&ledger, &listed, &good("v6"));
    assert_eq!(
        (pick.rule, tell(&pick.target).as_str()),
        (Rule::Listed, "v4 unverified")
    );
    assert_eq!(pick.beside.as_ref().map(tell).as_deref(), Some("v3 verified"));
}

#[test]
fn fault_63_what_flyctl_lists_may_be_what_the_ledger_verified() {
    let listed = [(6, "complete", "v6"), (5, "failed", "v5"), THREE[0], THREE[1]];
    assert_eq!(told(&three(), &listed, &good("v6"), None), "4 v3 verified");
}

#[test]
fn fault_65_a_refuted_release_that_flyctl_calls_complete() {
    let listed = [
        (3, "complete", "v1"),
        (2, "complete", "v2"),
        (1, "complete", "v1"),
    ];
    assert_eq!(told(&[], &listed, &good("v1"), None), "refused");
    let with_older = [
        (4, "complete", "v1"),
        (3, "complete", "v2"),
        (2, "complete", "v1"),
        (1, "complete", "v0"),
    ];
    assert_eq!(told(&[], &with_older, &good("v1"), None), "4 v0 unverified");
}

#[test]
fn entries_of_another_app_do_not_count() {
    let mut entries = three();
    for entry in &mut entries {
        entry.start.services[0].app = "else".to_owned();
        entry.end.as_mut().unwrap().services[0].app = "else".to_owned();
    }
    assert_eq!(told(&entries, &[], &good("v3"), None), "refused");
    assert_eq!(told(&entries, &[], &bad("v3"), None), "refused");
}

#[test]
fn each_rule_gives_its_own_reason() {
    let rules = [
        Rule::Named,
        Rule::LastGood,
        Rule::LastListed,
        Rule::Before,
        Rule::Listed,
        Rule::Remaining,
    ];
    for (at, rule) in rules.iter().enumerate() {
        let reason = rule.reason();
        assert!(reason.contains(' '), "{rule:?}: {reason:?}");
        assert!(
            rules[..at].iter().all(|other| other.reason() != reason),
            "{rule:?}"
        );
    }
}

#[test]
fn what_exists_is_named_with_what_is_known_of_it() {
    // v1 has left flyctl's list; v2 serves.
    let ledger = TestLedger::of(&three()[..2]);
    let Answer::Nothing(none) = asked(&ledger, &[(2, "complete", "v2")], &good("v2"), Some("v9")) else {
        panic!("there is no v9");
    };
    let error = none.error("production");
    assert!(
        error.hints[0].ends_with("--to image:registry.fly.io/shop:v1@sha256:v1`"),
        "{error:?}"
    );
    assert_eq!(
        none.exists,
        [
            "release:2  complete  shop:v2  verified here  serving",
            "image:registry.fly.io/shop:v1@sha256:v1  verified here",
        ]
    );
}

/// `verify` found v1 with a configuration that a colleague gave it; what it found there before is no step of its own.
#[test]
fn rule_3_a_verification_is_no_step_to_what_came_before() {
    let entries = vec![
        Entry::deploy("d1", "v1").configured("one").verified().release(1),
        Entry::deploy("d2", "v2").over(1, "v1").verified().release(2),
        Entry::verify("d3", "v1")
            .configured("two")
            .over(3, "v1")
            .verified()
            .release(3),
    ];
    let listed = [
        (3, "complete", "v1"),
        (2, "complete", "v2"),
        (1, "complete", "v1"),
    ];
    let ledger = TestLedger::of(&entries);
    let pick = target(&ledger, &listed, &good("v1"));
    assert_eq!(
        (pick.rule, tell(&pick.target).as_str()),
        (Rule::Before, "v1 verified")
    );
}
