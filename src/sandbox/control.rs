//! What a test, a demo or a person exploring may ask of the world: one JSON order at a time.
//!
//! Seconds are world seconds, divided by `settings.speed`, except where an order says real. Any order may carry
//! `"after_seconds": N` (it is obeyed when that time has come) or `"on_call": "part of a label"` with an optional
//! `"skip": N` (it is obeyed right after the matching call of the stand-in; labels are
//! `graphql query viewer`, `graphql query app`, `graphql query app secrets`,
//! `graphql mutation createRelease|updateRelease|createBuild`,
//! `flaps GET|POST|DELETE /v1/apps/<app>/machines[/<id>[/wait|/lease|/start|/stop]]`).
//!
//! | Order | Effect |
//! |---|---|
//! | `{"do":"seed","app":"shop","images":["registry.fly.io/shop:v1"],"statuses":["complete"],"regions":["fra"],"per_region":2}` | an app with releases and running machines; also `org`, `ids`, `services`, `autostop`, `min_running`, `env`, `secrets`, `volume`, `shared_ip`, `age_seconds`, `fly_toml` (text: machines as that file asks for), `count` (machines per group) |
//! | `{"do":"create_app","app":"shop","org":"personal"}` | an app that was never deployed |
//! | `{"do":"forget_app","app":"shop"}` | there is no such app, and opening a sandbox makes none |
//! | `{"do":"settings","speed":20,"health_seconds":1}` | see `Settings` in `world.rs` |
//! | `{"do":"fault","kind":"500","count":1,"match":"createRelease","after":0}` | the next matching calls fail: `500`, `503`, `401`, `404`, `409`, `429`, `delay` (with `seconds`), `drop`, `unreachable`; with `for_seconds` all of them for so long from the first one on |
//! | `{"do":"clear","what":"faults"}` | also `journal`, `rules`, `scheduled` |
//! | `{"do":"token","token":"x","orgs":["acme"]}` | a token and what it opens; no organisation: a refused token |
//! | `{"do":"login","token":"fo1_all"}` | flyctl's own login; null: none |
//! | `{"do":"lease","app":"shop","machine":null,"seconds":60,"owner":"someone-else@example.com"}` | someone else holds the leases |
//! | `{"do":"behaviour","app":"shop","behaviour":"unhealthy","machine":null}` | overrides the tag's words; a machine's is lifted by its next update; `""` lifts it |
//! | `{"do":"health_body","app":"shop","body":{"version":null}}` | lays fields over every answer |
//! | `{"do":"rule","app":"shop","image":"v2","status":302,"headers":{"location":"/login"}}` | answers and lives as `Rule` in `rule.rs` lists them: `status`, `headers`, `body`, `fields`, `text`, `version`, `delay_seconds`, `size`, `endless`, `drip_seconds`, `cut`, `hang`, `every`, `from_seconds`; `start_seconds`, `health_seconds`, `wake_seconds`, `dies_after_seconds`, `exit_code`, `restarts`, `checks`, `release_seconds`, `release_exit_code`; for `machine`, `image` (tag, digest or reference, `*` at its end), `group`, `region`, `path`, `host` |
//! | `{"do":"machine","app":"shop","machine":"ID","action":"stop"}` | `start`, `stop`, `suspend`, `destroy`, `exit` (with `code`), `cordon`, `uncordon`; without a machine: all of them |
//! | `{"do":"host","app":"shop","machine":"ID","reachable":false,"serves":true}` | flyctl passes over that machine; `serves` false: nothing answers for it either |
//! | `{"do":"scale","app":"shop","group":"app","count":0}` | machines by hand, no release |
//! | `{"do":"release","app":"shop","version":3,"status":"failed"}` | rewrites the status of a release |
//! | `{"do":"new_release","app":"shop","image":"registry.fly.io/shop:v9","status":"complete","user":"other@example.com","moves":true}` | somebody else's deployment at once; `moves` false: no machine gets it |
//! | `{"do":"secrets_set","app":"shop","name":"A","value":"1","user":"other@example.com"}` | a complete release of the newest release's image; the machines keep theirs and restart |
//! | `{"do":"image","image":"registry.fly.io/shop:v2","gone":true}` | removed from the registry; `digest` moves the tag |
//! | `{"do":"addresses","app":"shop","kinds":["v6","shared_v4"]}` | the app's addresses; `[]`: none |
//! | `{"do":"route","up":false}` | nothing accepts connections for the apps |
//! | `{"do":"ids","ids":["6fdaeeb9757298"]}` | identifiers that the next machines get |
//! | `{"do":"state"}` | the truth: settings, faults, and of each app releases, machines, leases, addresses |
//! | `{"do":"journal"}` | the stand-in's command lines and mutating calls |

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rule::Rule;
use super::seed::{self, Seed};
use super::truth;
use super::world::{App, Fault, Millis, Scheduled, World};

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Order {
    Seed(Box<Seed>),
    CreateApp {
        app: String,
        #[serde(default = "personal")]
        org: String,
    },
    ForgetApp {
        app: String,
    },
    Settings(Map<String, Value>),
    Fault(Fault),
    Clear {
        #[serde(default = "faults")]
        what: String,
    },
    Token {
        token: String,
        orgs: Vec<String>,
    },
    Login {
        token: Option<String>,
    },
    Lease {
        app: String,
        machine: Option<String>,
        #[serde(default = "minute")]
        seconds: f64,
        #[serde(default = "someone")]
        owner: String,
    },
    Behaviour {
        app: String,
        behaviour: String,
        machine: Option<String>,
    },
    HealthBody {
        app: String,
        body: Map<String, Value>,
    },
    Rule(AppRule),
    Machine {
        app: String,
        machine: Option<String>,
        action: String,
        #[serde(default = "one")]
        code: i32,
    },
    Host {
        app: String,
        machine: String,
        reachable: bool,
        #[serde(default = "yes")]
        serves: bool,
    },
    Scale {
        app: String,
        #[serde(default = "app_group")]
        group: String,
        count: usize,
    },
    Release {
        app: String,
        version: u64,
        status: String,
    },
    NewRelease {
        app: String,
        image: String,
        #[serde(default = "complete")]
        status: String,
        #[serde(default = "other")]
        user: String,
        #[serde(default = "yes")]
        moves: bool,
    },
    SecretsSet {
        app: String,
        name: String,
        value: String,
        user: Option<String>,
    },
    Image {
        image: String,
        #[serde(default)]
        gone: bool,
        digest: Option<String>,
    },
    Addresses {
        app: String,
        kinds: Vec<String>,
    },
    Route {
        up: bool,
    },
    Ids {
        ids: Vec<String>,
    },
    State {},
    Journal {},
}

#[derive(Deserialize)]
struct AppRule {
    app: String,
    #[serde(flatten)]
    rule: Map<String, Value>,
}

fn personal() -> String {
    "personal".to_owned()
}
fn faults() -> String {
    "faults".to_owned()
}
fn minute() -> f64 {
    60.0
}
fn someone() -> String {
    "someone-else@example.com".to_owned()
}
fn other() -> String {
    "other@example.com".to_owned()
}
fn complete() -> String {
    "complete".to_owned()
}
fn app_group() -> String {
    "app".to_owned()
}
fn yes() -> bool {
    true
}
fn one() -> i32 {
    1
}

/// Obeys one order, or sets it aside for its time; the answer is what the order asks for, else null.
pub(super) fn obey(world: &mut World, mut order: Value, now: Millis) -> Result<Value, String> {
    let Some(fields) = order.as_object_mut() else {
        return Err("an order is an object".to_owned());
    };
    let after = fields.remove("after_seconds").and_then(|value| value.as_f64());
    let call = fields.remove("on_call");
    let skip = fields
        .remove("skip")
        .and_then(|value| value.as_u64())
        .unwrap_or(0);
    if after.is_some() || call.is_some() {
        let at = after.map(|seconds| now + world.span(seconds));
        let call = call.and_then(|call| call.as_str().map(str::to_owned));
        let skip = u32::try_from(skip).unwrap_or(u32::MAX);
        world.scheduled.push(Scheduled {
            at: at.filter(|_| call.is_none()),
            call,
            skip,
            order,
        });
        return Ok(Value::Null);
    }
    let order: Order = serde_json::from_value(order).map_err(|error| error.to_string())?;
    perform(world, order, now)
}

/// Lets the orders that waited for a call happen after it.
pub(super) fn after_call(world: &mut World, label: &str, now: Millis) -> bool {
    let mut due = Vec::new();
    let mut changed = false;
    world.scheduled.retain_mut(|waiting| {
        if !waiting
            .call
            .as_ref()
            .is_some_and(|part| label.contains(part.as_str()))
        {
            return true;
        }
        changed = true;
        if waiting.skip > 0 {
            waiting.skip -= 1;
            return true;
        }
        due.push(waiting.order.take());
        false
    });
    for order in due {
        if let Err(why) = obey(world, order, now) {
            world.note(super::world::entry(now, "refused order", &why));
        }
    }
    changed
}

#[expect(clippy::too_many_lines, reason = "one arm per order, each a few lines")]
fn perform(world: &mut World, order: Order, now: Millis) -> Result<Value, String> {
    match order {
        Order::Seed(seed) => seed::seed(world, &seed, now)?,
        Order::CreateApp { app, org } => {
            world.apps.insert(app.clone(), App::new(&app, &org));
        }
        Order::ForgetApp { app } => {
            world.apps.remove(&app);
            world.forgotten.insert(app);
        }
        Order::Settings(changes) => {
            let mut settings = serde_json::to_value(&world.settings).map_err(|error| error.to_string())?;
            for (key, value) in changes {
                if settings[key.as_str()].is_null() {
                    return Err(format!("unknown setting `{key}`"));
                }
                settings[key] = value;
            }
            world.settings = serde_json::from_value(settings).map_err(|error| error.to_string())?;
        }
        Order::Fault(fault) => {
            let kinds = [
                "500",
                "503",
                "401",
                "404",
                "409",
                "429",
                "delay",
                "drop",
                "unreachable",
            ];
            if !kinds.contains(&fault.kind.as_str()) {
                return Err(format!("a fault's kind is one of {}", kinds.join(", ")));
            }
            world.faults.push(fault);
        }
        Order::Clear { what } => match what.as_str() {
            "faults" => world.faults.clear(),
            "journal" => world.journal.clear(),
            "scheduled" => world.scheduled.clear(),
            "rules" => world.apps.values_mut().for_each(|app| app.rules.clear()),
            _ => return Err(format!("`{what}` cannot be cleared")),
        },
        Order::Token { token, orgs } => {
            world.tokens.insert(token, orgs.into_iter().collect());
        }
        Order::Login { token } => {
            world.login = token;
            world.login_ordered = true;
        }
        Order::Lease {
            app,
            machine,
            seconds,
            owner,
        } => {
            for id in ids(world, &app, machine.as_deref())? {
                if let Ok(found) = world.machine_mut(&app, &id) {
                    found.lease = None;
                }
                let taken = world.lease(&app, &id, None, Some(&owner), seconds, now);
                taken.map_err(|refusal| refusal.message())?;
            }
        }
        Order::Behaviour {
            app,
            behaviour,
            machine,
        } => match machine {
            Some(id) => behaviour.clone_into(&mut find(world, &app, &id)?.behaviour),
            None => app_mut(world, &app)?.behaviour = behaviour,
        },
        Order::HealthBody { app, body } => app_mut(world, &app)?.rules.push(Rule {
            fields: body,
            ..Rule::default()
        }),
        Order::Rule(AppRule { app, rule }) => {
            let rule = serde_json::from_value(Value::Object(rule)).map_err(|error| error.to_string())?;
            app_mut(world, &app)?.rules.push(rule);
        }
        Order::Machine {
            app,
            machine,
            action,
            code,
        } => {
            for id in ids(world, &app, machine.as_deref())? {
                act(world, &app, &id, &action, code, now)?;
            }
        }
        Order::Host {
            app,
            machine,
            reachable,
            serves,
        } => {
            let machine = find(world, &app, &machine)?;
            machine.reachable = reachable;
            machine.serves = serves;
        }
        Order::Scale { app, group, count } => seed::scale(world, &app, &group, count, now)?,
        Order::Release { app, version, status } => {
            app_mut(world, &app)?
                .releases
                .iter_mut()
                .find(|release| release.version == version)
                .ok_or_else(|| format!("no release {version}"))?
                .status = status;
        }
        Order::NewRelease {
            app,
            image,
            status,
            user,
            moves,
        } => {
            let moved = if moves { Moves::To(&image) } else { Moves::Nothing };
            foreign_release(world, &app, &image, &status, &user, &moved, now)?;
        }
        Order::SecretsSet {
            app,
            name,
            value,
            user,
        } => {
            app_mut(world, &app)?.set_secret(&name, &value, now);
            let user = user.unwrap_or_else(|| world.user.email.clone());
            let newest = app_mut(world, &app)?
                .releases
                .last()
                .map(|release| release.image.clone());
            let newest = newest.ok_or("the app has no release")?;
            foreign_release(world, &app, &newest, "complete", &user, &Moves::Restart, now)?;
        }
        Order::Image { image, gone, digest } => {
            world.register(&image, None);
            let found = world.images.get_mut(image.split('@').next().unwrap_or_default());
            let found = found.ok_or("an image is named with its tag")?;
            found.gone = gone;
            if let Some(digest) = digest {
                found.digest = digest;
            }
        }
        Order::Addresses { app, kinds } => {
            app_mut(world, &app)?.addresses.clear();
            for kind in kinds {
                world.allocate(&app, &kind, "global", now);
            }
        }
        Order::Route { up } => world.route = up,
        Order::Ids { ids } => world.machine_ids.extend(ids),
        Order::State {} => return Ok(truth::state(world, now)),
        Order::Journal {} => return Ok(json!(world.journal)),
    }
    Ok(Value::Null)
}

pub(super) fn app_mut<'a>(world: &'a mut World, app: &str) -> Result<&'a mut App, String> {
    world.apps.get_mut(app).ok_or_else(|| format!("no app `{app}`"))
}

fn find<'a>(world: &'a mut World, app: &str, id: &str) -> Result<&'a mut super::machine::Machine, String> {
    app_mut(world, app)?
        .machine_mut(id)
        .ok_or_else(|| format!("no machine `{id}`"))
}

/// The machine that is named, or all that live.
fn ids(world: &World, app: &str, id: Option<&str>) -> Result<Vec<String>, String> {
    let app = world.apps.get(app).ok_or_else(|| format!("no app `{app}`"))?;
    match id {
        Some(id) if app.machine(id).is_some() => Ok(vec![id.to_owned()]),
        Some(id) => Err(format!("no machine `{id}`")),
        None => Ok(app.live().map(|machine| machine.id.clone()).collect()),
    }
}

fn act(world: &mut World, app: &str, id: &str, action: &str, code: i32, now: Millis) -> Result<(), String> {
    let restart = world.restart_delay();
    if action == "start" {
        let holder = find(world, app, id)?
            .live_lease(now)
            .map(|lease| lease.nonce.clone());
        world
            .start_machine(app, id, holder.as_deref(), now)
            .map_err(|refusal| refusal.message())?;
        return Ok(());
    }
    let machine = find(world, app, id)?;
    match action {
        "stop" => machine.stop(now, false),
        "suspend" => machine.stop(now, true),
        "destroy" => machine.destroy(now),
        "exit" => machine.exit(now, code, false, restart),
        "cordon" => machine.cordoned = true,
        "uncordon" => machine.cordoned = false,
        _ => return Err(format!("a machine cannot `{action}`")),
    }
    Ok(())
}

/// What somebody else's release does to the machines.
enum Moves<'a> {
    Nothing,
    /// They restart as they are.
    Restart,
    /// They get this image.
    To(&'a str),
}

/// Somebody else's release.
fn foreign_release(
    world: &mut World,
    app: &str,
    image: &str,
    status: &str,
    user: &str,
    moves: &Moves<'_>,
    now: Millis,
) -> Result<(), String> {
    world.register(image, None);
    let definition = app_mut(world, app)?
        .releases
        .last()
        .map(|last| last.definition.clone());
    let index = world
        .add_release(app, image, definition.unwrap_or_else(|| json!({})), status, now)
        .ok_or_else(|| format!("no app `{app}`"))?;
    let release = &mut app_mut(world, app)?.releases[index];
    user.clone_into(&mut release.user);
    let (id, version) = (release.id.clone(), release.version);
    if matches!(moves, Moves::Nothing) {
        return Ok(());
    }
    let machines: BTreeMap<_, _> = world.apps[app]
        .live()
        .filter(|machine| !machine.is_release_command())
        .map(|machine| {
            (
                machine.id.clone(),
                (machine.config.clone(), machine.state == "stopped"),
            )
        })
        .collect();
    for (machine, (mut config, stopped)) in machines {
        config["metadata"]["fly_release_id"] = json!(id);
        config["metadata"]["fly_release_version"] = json!(version.to_string());
        if let Moves::To(image) = moves {
            config["image"] = json!(image);
        }
        let holder = find(world, app, &machine)?
            .live_lease(now)
            .map(|lease| lease.nonce.clone());
        world
            .update_machine(app, &machine, config, stopped, holder.as_deref(), now)
            .map_err(|refusal| refusal.message())?;
    }
    Ok(())
}
