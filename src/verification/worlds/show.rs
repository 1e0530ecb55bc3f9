//! How a world looks: the lists of flyctl, the answers of the app, and what the deployment expects of both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::effect::http::Answer;
use crate::project::{Identity, VersionField};
use crate::provider::fly::output::machines::parse;
use crate::release::{Digest, Image, ReleaseNumber};
use crate::verification::Evidence;
use crate::verification::expectation::Kind as Asked;
use crate::verification::expectation::{
    Baseline, Expectation, GroupExpectation, PathAuthority, ProbePlan, Reach, Target,
};
use crate::verification::identity::{IdentityRule, Names};

use super::life::Sight;
use super::world::{Before, Fate, Group, Kind, Machine, Role, TIMEOUT_S, Way, World};

/// The release that is shipped; the one before it is 41, the one after it 43.
pub(super) const TARGET: ReleaseNumber = ReleaseNumber(42);
const OLD: &str = "sha256:0001d";
const NEW: &str = "sha256:0002d";
const OTHER: &str = "sha256:0003d";

pub(super) fn target_image(with_digest: bool) -> Image {
    Image {
        name: "registry.fly.io/shop:v2".into(),
        digest: Digest::parse(NEW).filter(|_| with_digest),
    }
}

fn json_answer(status: u16, body: &str) -> Answer {
    Answer::Response {
        status,
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.as_bytes().to_vec(),
        latency: Duration::from_millis(7),
    }
}

fn page_answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    Answer::Response {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        body: body.as_bytes().to_vec(),
        latency: Duration::from_millis(7),
    }
}

pub(super) fn good(world: &World, version: &str) -> Answer {
    if world.sight.root_404 {
        page_answer(404, &[("content-type", "text/plain")], "nothing here")
    } else if world.sight.names_version {
        json_answer(200, &format!(r#"{{"status":"ok","version":"{version}"}}"#))
    } else {
        json_answer(200, r#"{"status":"ok"}"#)
    }
}

pub(super) fn bad_503() -> Answer {
    json_answer(
        503,
        r#"{"status":"unhealthy","checks":{"database":"error: refused"}}"#,
    )
}

pub(super) fn proxy_503() -> Answer {
    page_answer(
        503,
        &[("content-type", "text/plain")],
        "could not find a good candidate",
    )
}

pub(super) fn unhealthy() -> Answer {
    json_answer(200, r#"{"status":"unhealthy","version":"v2"}"#)
}

pub(super) fn page() -> Answer {
    page_answer(200, &[("content-type", "text/html")], "<h1>It works</h1>")
}

pub(super) fn redirect() -> Answer {
    page_answer(302, &[("location", "/login")], "")
}

/// `machine list --json`.
pub(super) fn list(
    world: &World,
    sight: impl Fn(usize) -> Option<Sight>,
    mut lose_checks: impl FnMut() -> bool,
) -> String {
    let mut text = String::from("[");
    for (index, machine) in world.machines.iter().enumerate() {
        if let Some(sight) = sight(index) {
            if text.len() > 1 {
                text.push(',');
            }
            let lost = lose_checks();
            machine_json(&mut text, world, machine, &sight, lost);
        }
    }
    text.push(']');
    text
}

fn machine_json(text: &mut String, world: &World, machine: &Machine, sight: &Sight, checks_lost: bool) {
    let (release, tag, digest) = match (sight.updates, machine.fate) {
        (0, _) => (41, "v1", if world.sight.same_image { NEW } else { OLD }),
        (_, Fate::Taken) => (43, "theirs", OTHER),
        (1, _) => (42, "v2", NEW),
        _ => (43, "v2", NEW),
    };
    let group = world.group(machine);
    let seen = &world.sight;
    let _ = write!(
        text,
        r#"{{"id":"{}","name":"n","state":"{}","region":"{}","image_ref":{{"registry":"registry.fly.io","repository":"shop","tag":"{tag}","digest":"{digest}"}}"#,
        machine.id, sight.state, machine.region
    );
    if seen.prints_instance_id {
        let _ = write!(text, r#","instance_id":"01-{}-{}""#, machine.id, sight.updates);
    }
    if seen.prints_hosts {
        let host = if machine.host_lost { "unreachable" } else { "ok" };
        let _ = write!(text, r#","host_status":"{host}""#);
        if machine.cordoned {
            text.push_str(r#","cordoned":true"#);
        }
    }
    let name = match machine.role {
        Role::ReleaseCommand => "fly_app_release_command",
        Role::Foreign => "elsewhere",
        _ => group.name,
    };
    let config = if machine.host_lost {
        "incomplete_config"
    } else {
        "config"
    };
    let _ = write!(
        text,
        r#","{config}":{{"image":"registry.fly.io/shop:{tag}","metadata":{{"fly_platform_version":"v2","fly_process_group":"{name}""#
    );
    if seen.prints_release {
        let _ = write!(text, r#","fly_release_version":"{release}""#);
    }
    if machine.role == Role::Canary {
        text.push_str(r#","fly_canary":"true""#);
    }
    text.push('}');
    if machine.role == Role::Standby {
        text.push_str(r#","standbys":["m0"]"#);
    }
    if seen.prints_services {
        services_json(text, group);
    }
    text.push('}');
    events_json(text, sight);
    if !checks_lost && group.checks > 0 {
        checks_json(text, group, sight);
    }
    text.push('}');
}

fn services_json(text: &mut String, group: &Group) {
    let _ = write!(
        text,
        r#","services":[{{"internal_port":8080,"autostop":{},"checks":["#,
        group.autostop
    );
    for check in 0..group.checks {
        let comma = if check == 0 { "" } else { "," };
        let _ = write!(text, r#"{comma}{{"type":"http","path":"/health"}}"#);
    }
    text.push_str("]}]");
}

fn events_json(text: &mut String, sight: &Sight) {
    text.push_str(r#","events":["#);
    for (index, (kind, at, exit)) in sight.events.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // The platform's clock is not ours.
        let at = at + 1_795_233_474_100;
        let _ = write!(text, r#"{comma}{{"type":"{kind}","timestamp":{at}"#);
        if let Some((code, requested)) = exit {
            text.push_str(r#","request":{"exit_event":{"restarting":false"#);
            if *code != 0 {
                let _ = write!(text, r#","exit_code":{code}"#);
            }
            if *requested {
                text.push_str(r#","requested_stop":true"#);
            }
            text.push_str("}}");
        }
        text.push('}');
    }
    text.push(']');
}

fn checks_json(text: &mut String, group: &Group, sight: &Sight) {
    let status = match (sight.state, sight.passing) {
        ("started", true) => "passing",
        ("started", false) => "critical",
        _ => "warning",
    };
    text.push_str(r#","checks":["#);
    for check in 0..group.checks {
        let comma = if check == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"name":"servicecheck-0{check}-http-8080","status":"{status}","output":"x"}}"#
        );
    }
    text.push(']');
}

/// What the deployment expects, as it would be built from files, baseline and ledger.
pub(super) fn expectation(world: &World) -> Expectation {
    let live = world.kind == Kind::Live;
    let words = |words: &[&str]| Names {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        ..Names::default()
    };
    let groups: BTreeMap<String, GroupExpectation> = world
        .groups
        .iter()
        .map(|group| {
            let expected = GroupExpectation {
                public: group.public,
                autostop: group.autostop,
                min_machines_running: group.min_running,
                checks: group.checks,
                named_before: !live,
                recreated: false,
                had: None,
            };
            (group.name.to_owned(), expected)
        })
        .collect();
    Expectation {
        kind: match world.kind {
            Kind::Forward => Asked::Forward,
            Kind::Rollback => Asked::Rollback,
            Kind::Return => Asked::Return,
            Kind::Live => Asked::Live,
        },
        app: "shop".into(),
        target: Target {
            newest_before: (!live).then_some(ReleaseNumber(41)),
            left: None,
            image: (!live).then(|| target_image(false)),
            ..Target::default()
        },
        groups,
        primary_region: Some("fra".into()),
        regions: world.regions.iter().map(|region| (*region).to_owned()).collect(),
        min_instances: None,
        baseline: (!live).then(|| Baseline {
            instances: before(world),
            none_ran: false,
        }),
        probe: ProbePlan {
            path: if world.sight.root_404 { "/" } else { "/health" }.into(),
            address: world.sight.way != Way::NoAddress,
            authority: if world.sight.root_404 {
                PathAuthority::Root
            } else {
                PathAuthority::Named
            },
            successes: 3,
            reach: match world.sight.way {
                Way::Open | Way::NoAddress | Way::Gone => Reach::ReachableBefore,
                Way::NeverOpen => Reach::UnreachableBefore,
                Way::NotAsked => Reach::NotAsked,
            },
        },
        identity: IdentityRule {
            mode: Identity::Auto,
            field: VersionField::Pointer("/version".into()),
            expected: words(&["v2"]),
            others: words(&["v1"]),
            named_before: world.sight.names_version,
            both: std::collections::BTreeSet::default(),
        },
        min_evidence: Evidence::State,
        timeout: Duration::from_secs(TIMEOUT_S),
    }
}

/// The list of the moment before anything changed.
fn before(world: &World) -> Vec<crate::instance::Instance> {
    let player = super::life::Player::new(world, 0);
    let text = list(
        world,
        |index| {
            player
                .sight(index, -1)
                .filter(|_| world.machines[index].before != Before::Absent)
        },
        || false,
    );
    parse(text.as_bytes()).unwrap()
}
