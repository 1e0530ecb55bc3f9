//! What an app answers to one request, and which of its machines does: the proxy in front of it.

use serde_json::{Map, Value, json};

use super::machine::Machine;
use super::rule::{self, Asked};
use super::world::{App, Millis, World, short_stamp};

/// A request, as far as the proxy and the apps look at it.
pub(super) struct Request {
    pub(super) app: String,
    pub(super) path: String,
    pub(super) host: String,
    /// The machine that `fly-force-instance-id` names.
    pub(super) machine: Option<String>,
    /// The region that `fly-prefer-region` names.
    pub(super) region: Option<String>,
}

/// How the body comes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Transfer {
    Whole(Vec<u8>),
    /// So many bytes.
    Sized(u64),
    Endless,
    /// One byte per so many real seconds.
    Drip(Vec<u8>, f64),
    /// Announced in full, and cut off in the middle.
    Cut(Vec<u8>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) transfer: Transfer,
    /// Real seconds before it begins.
    pub(super) delay: f64,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Answer(Answer),
    /// The connection is held open.
    Hang,
    /// The connection is closed.
    Close,
    /// This machine was woken for it: ask again when it runs.
    Woken(String),
}

fn plain(status: u16, text: &str) -> Outcome {
    Outcome::Answer(Answer {
        status,
        headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
        transfer: Transfer::Whole(text.as_bytes().to_vec()),
        delay: 0.0,
    })
}

/// Whether a woken machine can be asked: it runs, or it will not any more.
pub(super) fn is_awake(world: &World, app: &str, id: &str, now: Millis) -> bool {
    let Some((app, machine)) = world.apps.get(app).and_then(|app| Some((app, app.machine(id)?))) else {
        return true;
    };
    match (machine.state.as_str(), world.well_from(app, machine)) {
        ("started", Some(from)) => from <= now,
        ("started", None) => true,
        ("created" | "starting", _) => false,
        // Between two crashes the proxy waits for the next start, after the last one it gives up.
        _ => machine.next.is_none(),
    }
}

/// Lets the proxy choose a machine, and that machine answer; a sleeping one is woken where autostart says so.
pub(super) fn answer(world: &mut World, request: &Request, now: Millis) -> Outcome {
    let Some(app) = world.apps.get(&request.app) else {
        return plain(404, "no such app\n");
    };
    let serving: Vec<&Machine> = app
        .live()
        .filter(|machine| !machine.services().is_empty() && !machine.cordoned && machine.serves)
        .filter(|machine| !machine.is_release_command() && !machine.is_standby())
        .filter(|machine| request.machine.as_ref().is_none_or(|id| *id == machine.id))
        .collect();
    let near: Vec<&Machine> = serving
        .iter()
        .copied()
        .filter(|machine| Some(&machine.region) == request.region.as_ref())
        .collect();
    let started = |from: &[&Machine]| -> Vec<String> {
        let running = from.iter().filter(|machine| machine.state == "started");
        running.map(|machine| machine.id.clone()).collect()
    };
    let mut pool = started(&near);
    if pool.is_empty() {
        pool = started(&serving);
    }
    if pool.is_empty() {
        let sleeper = near.iter().chain(&serving).find(|machine| {
            matches!(machine.state.as_str(), "stopped" | "suspended")
                && machine.autostart()
                && machine.next.is_none()
        });
        let waking = serving
            .iter()
            .find(|machine| machine.state == "starting" && machine.autostart());
        return match (sleeper, waking) {
            (_, Some(machine)) => Outcome::Woken(machine.id.clone()),
            (Some(machine), None) => {
                let id = machine.id.clone();
                wake(world, &request.app, &id, now);
                Outcome::Woken(id)
            }
            (None, None) => plain(503, "could not find a good candidate\n"),
        };
    }
    let Some(app) = world.apps.get_mut(&request.app) else {
        return plain(404, "no such app\n");
    };
    app.turn = app.turn.wrapping_add(1);
    let id = pool[app.turn % pool.len()].clone();
    if let Some(machine) = app.machine_mut(&id) {
        machine.last_request = now;
        machine.answered += 1;
    }
    let app = &world.apps[&request.app];
    match app.machine(&id) {
        Some(machine) => speak(world, app, machine, request, now),
        None => plain(503, "could not find a good candidate\n"),
    }
}

/// Starts a sleeping machine for a request, whoever holds its lease.
fn wake(world: &mut World, app: &str, id: &str, now: Millis) {
    let nonce = world
        .apps
        .get(app)
        .and_then(|app| app.machine(id)?.live_lease(now).map(|lease| lease.nonce.clone()));
    // A machine that went away meanwhile is found missing by the next question.
    let _ = world.start_machine(app, id, nonce.as_deref(), now);
}

/// What the app in a machine says.
#[expect(clippy::cast_precision_loss, reason = "seconds since a start")]
fn speak(world: &World, app: &App, machine: &Machine, request: &Request, now: Millis) -> Outcome {
    let does = rule::behaviour(world, app, machine);
    let asked = Asked {
        path: request.path.split('?').next().unwrap_or("/"),
        host: &request.host,
    };
    let up = (now - machine.started_at.unwrap_or(now)) as f64 / 1000.0;
    let up = up * world.settings.speed.max(f64::MIN_POSITIVE);
    let rules: Vec<_> = app
        .rules
        .iter()
        .filter(|rule| rule.answers(machine, &asked, up))
        .collect();
    let cut = rules.iter().rev().find_map(|rule| rule.cut.as_deref());
    if rules.iter().rev().find_map(|rule| rule.hang).unwrap_or(does.hang) {
        return Outcome::Hang;
    }
    if cut == Some("before") {
        return Outcome::Close;
    }
    let well = world.is_well(app, machine, now);
    let status = rules.iter().rev().find_map(|rule| rule.status);
    let mut headers: Map<String, Value> = Map::new();
    headers.insert("content-type".to_owned(), json!("application/json"));
    let mut document = document(app, machine, does.oldversion, well, now);
    for rule in &rules {
        if let Some(version) = &rule.version {
            document["version"] = version.clone();
        }
        for (key, value) in &rule.fields {
            if value.is_null() {
                document.as_object_mut().map(|fields| fields.remove(key));
            } else {
                document[key] = value.clone();
            }
        }
        if let Some(body) = &rule.body {
            document = body.clone();
        }
    }
    let mut text = document.to_string();
    if does.garbage {
        "<!doctype html><html><body><h1>It works</h1></body></html>".clone_into(&mut text);
        headers.insert("content-type".to_owned(), json!("text/html"));
    }
    if let Some(given) = rules.iter().rev().find_map(|rule| rule.text.as_ref()) {
        given.clone_into(&mut text);
        headers.insert("content-type".to_owned(), json!("text/html"));
    }
    for rule in &rules {
        headers.extend(rule.headers.clone());
    }
    headers.insert("fly-machine-id".to_owned(), json!(machine.id));
    headers.insert("fly-region".to_owned(), json!(machine.region));
    let transfer = if let Some(size) = rules.iter().rev().find_map(|rule| rule.size) {
        Transfer::Sized(size)
    } else if rules.iter().rev().find_map(|rule| rule.endless) == Some(true) {
        Transfer::Endless
    } else if let Some(seconds) = rules.iter().rev().find_map(|rule| rule.drip_seconds) {
        Transfer::Drip(text.into_bytes(), seconds)
    } else if cut.is_some() {
        Transfer::Cut(text.into_bytes())
    } else {
        Transfer::Whole(text.into_bytes())
    };
    let spoken = headers.into_iter().map(|(name, value)| {
        (
            name,
            value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        )
    });
    Outcome::Answer(Answer {
        // An app that answers garbage answers it happily.
        status: status.unwrap_or(if well || does.garbage { 200 } else { 503 }),
        headers: spoken.collect(),
        transfer,
        delay: rules
            .iter()
            .rev()
            .find_map(|rule| rule.delay_seconds)
            .unwrap_or(0.0),
    })
}

/// The usual document of a health path.
fn document(app: &App, machine: &Machine, old: bool, well: bool, now: Millis) -> Value {
    let version = if old {
        "0.0.0-old"
    } else {
        machine.config["env"]["APP_VERSION"]
            .as_str()
            .unwrap_or(&machine.image_ref.tag)
    };
    let database = if well { "ok" } else { "error: connection refused" };
    json!({
        "status": if well { "healthy" } else { "unhealthy" }, "version": version,
        "checks": {"database": database, "cache": "ok"},
        "timestamp": short_stamp(now), "machine": machine.id, "region": machine.region, "app": app.name,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::control::obey;
    use super::{Answer, Outcome, Request, Transfer, World, answer};

    const NOW: i64 = 1_000_000;

    fn world(image: &str) -> World {
        let mut world = World::default();
        obey(
            &mut world,
            json!({"do": "seed", "app": "shop", "images": [image], "per_region": 2}),
            NOW,
        )
        .unwrap();
        world
    }

    fn ask(world: &mut World, machine: Option<&str>) -> Outcome {
        let request = Request {
            app: "shop".to_owned(),
            path: "/health".to_owned(),
            host: "shop.fly.dev".to_owned(),
            machine: machine.map(str::to_owned),
            region: None,
        };
        answer(world, &request, NOW)
    }

    fn told(outcome: Outcome) -> (Answer, Value) {
        let Outcome::Answer(answer) = outcome else {
            panic!("{outcome:?}")
        };
        let Transfer::Whole(body) = &answer.transfer else {
            panic!("{answer:?}")
        };
        let body = serde_json::from_slice(body).unwrap_or_default();
        (answer, body)
    }

    #[test]
    fn requests_go_round_or_to_the_forced_machine() {
        let mut world = world("registry.fly.io/shop:v1");
        let (first, body) = told(ask(&mut world, None));
        assert_eq!((first.status, &body["version"]), (200, &json!("v1")));
        let (_, second) = told(ask(&mut world, None));
        assert_ne!(body["machine"], second["machine"]);
        let id = body["machine"].as_str().unwrap();
        assert_eq!(told(ask(&mut world, Some(id))).1["machine"], id);
        assert_eq!(told(ask(&mut world, Some("nobody"))).0.status, 503);
    }

    #[test]
    fn tags_and_rules_shape_the_answer() {
        let mut world = world("registry.fly.io/shop:v1-unhealthy");
        assert_eq!(told(ask(&mut world, None)).0.status, 503);
        for (rule, status) in [
            (json!({"status": 302, "headers": {"location": "/login"}}), 302),
            (
                json!({"status": 200, "fields": {"status": "unhealthy", "version": null}}),
                200,
            ),
        ] {
            let mut order = rule;
            order["do"] = json!("rule");
            order["app"] = json!("shop");
            order["image"] = json!("v1-*");
            obey(&mut world, order, NOW).unwrap();
            assert_eq!(told(ask(&mut world, None)).0.status, status);
        }
        let (answer, body) = told(ask(&mut world, None));
        assert_eq!(body["status"], "unhealthy");
        assert!(body["version"].is_null());
        assert!(
            answer
                .headers
                .contains(&("location".to_owned(), "/login".to_owned()))
        );
        obey(
            &mut world,
            json!({"do": "rule", "app": "shop", "hang": true}),
            NOW,
        )
        .unwrap();
        assert_eq!(ask(&mut world, None), Outcome::Hang);
    }

    #[test]
    fn every_second_answer_may_be_another() {
        let mut world = world("registry.fly.io/shop:v1");
        obey(
            &mut world,
            json!({"do": "rule", "app": "shop", "every": 2, "status": 503}),
            NOW,
        )
        .unwrap();
        let id = world.apps["shop"].machines[0].id.clone();
        let statuses: Vec<_> = (0..4)
            .map(|_| told(ask(&mut world, Some(&id))).0.status)
            .collect();
        assert_eq!(statuses, [200, 503, 200, 503]);
    }

    #[test]
    fn a_sleeping_machine_is_woken_once() {
        let mut world = World::default();
        obey(
            &mut world,
            json!({"do": "seed", "app": "shop", "autostop": true}),
            NOW,
        )
        .unwrap();
        obey(
            &mut world,
            json!({"do": "machine", "app": "shop", "action": "stop"}),
            NOW,
        )
        .unwrap();
        let Outcome::Woken(id) = ask(&mut world, None) else {
            panic!("not woken")
        };
        assert_eq!(ask(&mut world, None), Outcome::Woken(id.clone()));
        let starts = world.apps["shop"].machine(&id).unwrap().events.iter();
        assert_eq!(starts.filter(|event| event.status == "starting").count(), 1);
    }
}
