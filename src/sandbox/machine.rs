//! One machine: its life from launch to exit, its lease, and its checks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::image::ImageRef;
use super::rule::{self, Behaviour};
use super::world::{App, Millis, World, short_stamp};

/// Events kept per machine, newest first.
const KEPT_EVENTS: usize = 20;
/// A crash loop ends in `stopped` after so many exits.
const CRASHES: u32 = 10;
/// World seconds from a start to a crash, and from there to the next start.
const CRASH_AFTER: f64 = 0.4;
const RESTART_AFTER: f64 = 0.3;

/// What happens next to a machine by itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    Start,
    /// The process ends by itself with this code; it is started again if `again` and it has not crashed too often.
    Exit {
        code: i32,
        again: bool,
    },
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Next {
    pub(super) at: Millis,
    pub(super) step: Step,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) source: String,
    pub(super) at: Millis,
    pub(super) exit: Option<Exit>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Exit {
    pub(super) code: i32,
    pub(super) requested: bool,
    pub(super) restarting: bool,
    pub(super) restart_count: u32,
    pub(super) at: Millis,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Lease {
    pub(super) nonce: String,
    pub(super) owner: String,
    pub(super) expires_at: Millis,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Machine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) state: String,
    pub(super) cordoned: bool,
    /// False: flyctl passes over it, and whatever it ran it runs on.
    pub(super) reachable: bool,
    /// False: nothing reaches it over HTTP either.
    pub(super) serves: bool,
    pub(super) private_ip: String,
    pub(super) created_at: Millis,
    pub(super) updated_at: Millis,
    pub(super) instance_id: String,
    pub(super) config: Value,
    pub(super) image_ref: ImageRef,
    /// Newest first.
    pub(super) events: Vec<Event>,
    pub(super) lease: Option<Lease>,
    /// Overrides what image and app say, until the next update.
    pub(super) behaviour: String,
    /// Exits since the last launch.
    pub(super) exits: u32,
    /// When it was last told to run.
    pub(super) launched_at: Millis,
    /// When it last came to run after that.
    pub(super) started_at: Option<Millis>,
    pub(super) last_request: Millis,
    /// HTTP requests that it answered.
    pub(super) answered: u64,
    pub(super) next: Option<Next>,
}

/// One check as the platform reports it.
pub(super) struct Check {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) output: String,
    pub(super) updated_at: Millis,
}

impl Machine {
    pub(super) fn new(world: &mut World, region: &str, config: Value, now: Millis) -> Self {
        let image_ref = world.image_ref(config["image"].as_str().unwrap_or_default());
        let private_ip = format!(
            "fdaa:0:1:a7b:{}:{}:{}:2",
            world.hex(3),
            world.hex(4),
            world.hex(4)
        );
        Self {
            id: world.machine_id(),
            name: world.machine_name(),
            region: region.to_owned(),
            state: "created".to_owned(),
            cordoned: false,
            reachable: true,
            serves: true,
            private_ip,
            created_at: now,
            updated_at: now,
            instance_id: world.ulid(),
            config,
            image_ref,
            events: Vec::new(),
            lease: None,
            behaviour: String::new(),
            exits: 0,
            launched_at: now,
            started_at: None,
            last_request: now,
            answered: 0,
            next: None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        !matches!(self.state.as_str(), "destroyed" | "destroying")
    }

    pub(super) fn group(&self) -> &str {
        self.config["metadata"]["fly_process_group"]
            .as_str()
            .unwrap_or_default()
    }

    pub(super) fn is_release_command(&self) -> bool {
        self.group() == "fly_app_release_command"
    }

    pub(super) fn release_version(&self) -> Option<u64> {
        self.config["metadata"]["fly_release_version"]
            .as_str()?
            .parse()
            .ok()
    }

    /// The image by name, with its tag and without digest.
    pub(super) fn image(&self) -> String {
        let image = &self.image_ref;
        format!("{}/{}:{}", image.registry, image.repository, image.tag)
    }

    pub(super) fn services(&self) -> &[Value] {
        self.config["services"].as_array().map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_standby(&self) -> bool {
        self.config["standbys"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    }

    pub(super) fn autostop(&self) -> bool {
        self.services()
            .iter()
            .any(|service| service["autostop"] == true || service["autostop"] == "suspend")
    }

    pub(super) fn autostart(&self) -> bool {
        self.services().iter().any(|service| service["autostart"] == true)
    }

    pub(super) fn min_running(&self) -> u64 {
        self.services()
            .iter()
            .filter_map(|service| service["min_machines_running"].as_u64())
            .max()
            .unwrap_or(0)
    }

    pub(super) fn live_lease(&self, now: Millis) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.expires_at > now)
    }

    fn event(&mut self, kind: &str, status: &str, at: Millis, exit: Option<Exit>) {
        let source = if matches!(kind, "start" | "exit") {
            "flyd"
        } else {
            "user"
        };
        let event = Event {
            kind: kind.to_owned(),
            status: status.to_owned(),
            source: source.to_owned(),
            at,
            exit,
        };
        self.events.insert(0, event);
        self.events.truncate(KEPT_EVENTS);
    }

    fn become_state(&mut self, state: &str, at: Millis) {
        state.clone_into(&mut self.state);
        self.updated_at = at;
    }

    /// After creation or an update: runs after `delay` milliseconds, or stays stopped where `delay` is absent.
    pub(super) fn launch(&mut self, now: Millis, delay: Option<Millis>) {
        self.exits = 0;
        self.launched_at = now;
        self.started_at = None;
        self.event("launch", "created", now, None);
        self.become_state(if delay.is_some() { "created" } else { "stopped" }, now);
        self.next = delay.map(|delay| Next {
            at: now + delay,
            step: Step::Start,
        });
    }

    /// Told to start, by a person or by a request.
    pub(super) fn start(&mut self, now: Millis, delay: Millis) {
        self.exits = 0;
        self.launched_at = now;
        self.started_at = None;
        self.become_state("starting", now);
        self.event("start", "starting", now, None);
        self.next = Some(Next {
            at: now + delay,
            step: Step::Start,
        });
    }

    /// Comes to run; what happens next is decided by the caller, who knows the app.
    pub(super) fn run(&mut self, now: Millis, backdate: Millis) {
        self.become_state("started", now);
        self.started_at = Some(now);
        self.last_request = now;
        self.event("start", "started", now - backdate, None);
        self.next = None;
    }

    /// Ends by itself.
    pub(super) fn exit(&mut self, now: Millis, code: i32, again: bool, restart: Millis) {
        self.exits += 1;
        let restarting = again && self.exits < CRASHES;
        let exit = Exit {
            code,
            requested: false,
            restarting,
            restart_count: if again { self.exits } else { 0 },
            at: now,
        };
        self.event("exit", "stopped", now, Some(exit));
        let gone = self.config["auto_destroy"] == true && !again;
        self.become_state(if gone { "destroyed" } else { "stopped" }, now);
        self.next = restarting.then_some(Next {
            at: now + restart,
            step: Step::Start,
        });
    }

    pub(super) fn stop(&mut self, now: Millis, suspended: bool) {
        self.next = None;
        if suspended {
            self.event("suspend", "suspended", now, None);
            self.become_state("suspended", now);
            return;
        }
        self.event("stop", "stopping", now, None);
        self.become_state("stopped", now);
        let exit = Exit {
            code: 0,
            requested: true,
            restarting: false,
            restart_count: 0,
            at: now,
        };
        self.event("exit", "stopped", now, Some(exit));
    }

    pub(super) fn destroy(&mut self, now: Millis) {
        self.next = None;
        self.become_state("destroyed", now);
        self.event("destroy", "destroyed", now, None);
    }

    /// When it exited with an error for the second time between its launch and a moment.
    pub(super) fn second_crash_until(&self, end: Millis) -> Option<Millis> {
        let crashed = |event: &&Event| {
            let exit = event.exit.as_ref();
            exit.is_some_and(|exit| exit.code != 0 && !exit.requested)
        };
        self.events
            .iter()
            .rev()
            .filter(|event| event.at >= self.launched_at && event.at <= end)
            .filter(crashed)
            .nth(1)
            .map(|event| event.at)
    }
}

impl World {
    /// What a machine does after it came to run.
    pub(super) fn step_after_start(&self, app: &App, machine: &Machine, now: Millis) -> Option<Next> {
        let after = |seconds: f64, code: i32, again: bool| {
            Some(Next {
                at: now + self.span(seconds),
                step: Step::Exit { code, again },
            })
        };
        let does = rule::behaviour(self, app, machine);
        if machine.is_release_command() {
            let seconds = rule::last(app, machine, |rule| rule.release_seconds);
            let code = rule::last(app, machine, |rule| rule.release_exit_code);
            return after(
                seconds.unwrap_or(self.settings.release_seconds),
                code.unwrap_or(i32::from(does.relfail)),
                false,
            );
        }
        if does.crash {
            return after(CRASH_AFTER, 1, true);
        }
        let dies = rule::last(app, machine, |rule| rule.dies_after_seconds)?;
        let code = rule::last(app, machine, |rule| rule.exit_code).unwrap_or(1);
        let again = rule::last(app, machine, |rule| rule.restarts).unwrap_or(true);
        after(dies, code, again)
    }

    /// Milliseconds from launch to `started`.
    pub(super) fn start_delay(&self, app: &App, machine: &Machine) -> Millis {
        let seconds = rule::last(app, machine, |rule| rule.start_seconds);
        self.span(seconds.unwrap_or(self.settings.start_seconds))
    }

    /// Milliseconds from being woken to `started`.
    pub(super) fn wake_delay(&self, app: &App, machine: &Machine) -> Millis {
        match rule::last(app, machine, |rule| rule.wake_seconds) {
            Some(seconds) => self.span(seconds),
            None => self.start_delay(app, machine),
        }
    }

    pub(super) fn restart_delay(&self) -> Millis {
        self.span(RESTART_AFTER)
    }

    /// When the app in a machine is up and well, if it runs and nothing else happens to it.
    pub(super) fn well_from(&self, app: &App, machine: &Machine) -> Option<Millis> {
        let started = machine.started_at.filter(|_| machine.state == "started")?;
        let does = rule::behaviour(self, app, machine);
        if does.unhealthy || does.crash || does.hang {
            return None;
        }
        let usual = if does.slow {
            self.settings.slow_health_seconds
        } else {
            self.settings.health_seconds
        };
        let seconds = rule::last(app, machine, |rule| rule.health_seconds).unwrap_or(usual);
        Some(started + self.span(seconds))
    }

    pub(super) fn is_well(&self, app: &App, machine: &Machine, now: Millis) -> bool {
        self.well_from(app, machine).is_some_and(|from| from <= now)
    }

    /// The checks of a machine as the platform sees them at a time.
    pub(super) fn checks(&self, app: &App, machine: &Machine, now: Millis) -> Vec<Check> {
        let does = rule::behaviour(self, app, machine);
        configured_checks(&machine.config)
            .into_iter()
            .map(|(name, check, port)| self.check(app, machine, does, name, &check, port, now))
            .collect()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one row, put together in one place"
    )]
    fn check(
        &self,
        app: &App,
        machine: &Machine,
        does: Behaviour,
        name: String,
        check: &Value,
        port: u64,
        now: Millis,
    ) -> Check {
        let path = check["path"].as_str().unwrap_or("/");
        let method = check["method"].as_str().unwrap_or("GET");
        let forced = rule::last(app, machine, |rule| rule.checks.clone());
        let (status, output) = if machine.state != "started" {
            ("warning", "the machine hasn't started".to_owned())
        } else if let Some(forced) = &forced {
            (forced.as_str(), format!("{method} {path}: set by order"))
        } else if self.is_well(app, machine, now) {
            let output = if check["type"] == "tcp" {
                "Success".to_owned()
            } else {
                format!(
                    r#"{method} http://172.19.0.2:{port}{path}: 200 OK Output: "{{\"status\":\"healthy\"}}""#
                )
            };
            ("passing", output)
        } else if does.unhealthy {
            let output = r#"503 Service Unavailable Output: {"status":"unhealthy"}"#;
            ("critical", output.to_owned())
        } else if does.hang {
            ("critical", "context deadline exceeded".to_owned())
        } else {
            ("critical", format!("connect: connection refused ({port})"))
        };
        Check {
            name,
            status: status.to_owned(),
            output,
            updated_at: machine.started_at.unwrap_or(now),
        }
    }

    /// When a machine's checks next change by themselves, for whoever waits for them.
    pub(super) fn next_change(&self, app: &App, machine: &Machine, now: Millis) -> Option<Millis> {
        let step = machine.next.map(|next| next.at);
        let well = self.well_from(app, machine).filter(|at| *at > now);
        [step, well].into_iter().flatten().min()
    }
}

/// The checks that a machine's configuration asks for: name, definition, port.
fn configured_checks(config: &Value) -> Vec<(String, Value, u64)> {
    let mut found = Vec::new();
    for (name, check) in config["checks"].as_object().into_iter().flatten() {
        let port = check["port"].as_u64().unwrap_or(8080);
        found.push((name.clone(), check.clone(), port));
    }
    let services = config["services"].as_array().into_iter().flatten();
    let checks = services.flat_map(|service| {
        service["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .map(move |check| (service, check))
    });
    for (index, (service, check)) in checks.enumerate() {
        let port = check["port"].as_u64().or(service["internal_port"].as_u64());
        let port = port.unwrap_or(8080);
        let kind = check["type"].as_str().unwrap_or("tcp");
        found.push((
            format!("servicecheck-{index:02}-{kind}-{port}"),
            check.clone(),
            port,
        ));
    }
    found
}

impl Event {
    /// As flyctl prints it: zero and false values are absent (captures `machine_list_stopped_json`).
    pub(super) fn to_json(&self) -> Value {
        let mut event = Map::new();
        event.insert("type".to_owned(), json!(self.kind));
        event.insert("status".to_owned(), json!(self.status));
        if let Some(exit) = &self.exit {
            let mut found = Map::new();
            if exit.code != 0 {
                found.insert("exit_code".to_owned(), json!(exit.code));
                found.insert("guest_exit_code".to_owned(), json!(exit.code));
            }
            if exit.requested {
                found.insert("requested_stop".to_owned(), json!(true));
            }
            if exit.restarting {
                found.insert("restarting".to_owned(), json!(true));
            }
            found.insert("exited_at".to_owned(), json!(short_stamp(exit.at)));
            let mut request = Map::new();
            request.insert("exit_event".to_owned(), Value::Object(found));
            if exit.restart_count > 0 {
                request.insert("restart_count".to_owned(), json!(exit.restart_count));
            }
            event.insert("request".to_owned(), Value::Object(request));
        }
        event.insert("source".to_owned(), json!(self.source));
        event.insert("timestamp".to_owned(), json!(self.at));
        Value::Object(event)
    }
}
