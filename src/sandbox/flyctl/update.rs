//! One machine: given its new configuration, and waited for until it is started, has not crashed, and is healthy.
//!
//! What is judged is when things happened by the world's record, not when this process came to look: a slow
//! machine under test changes no verdict.

use super::super::file;
use super::super::machine::Machine;
use super::super::platform::Refusal;
use super::super::world::{App, Millis, World};
use super::deploy::{Deployment, Strategy};
use super::failure::{CallError, Failure};

/// How long a smoke check watches.
const SMOKE: f64 = 10.0;

/// The start of a line about a machine: its glyph, and its number among several.
pub(super) struct Mark {
    pub(super) glyph: &'static str,
    /// `[1/2] `, or nothing for a single machine.
    pub(super) number: String,
}

impl Mark {
    pub(super) fn new(index: usize, of: usize) -> Self {
        Self {
            glyph: ">",
            number: if of > 1 {
                format!("[{}/{of}] ", index + 1)
            } else {
                String::new()
            },
        }
    }

    fn line(&self, text: &str) -> String {
        format!("{} {}{text}", self.glyph, self.number)
    }
}

impl Deployment<'_> {
    pub(super) fn say(&self, mark: &Mark, text: &str) {
        self.session.out(&mark.line(text));
    }

    /// Updates one machine and says how it went.
    pub(super) async fn update(&self, machine: &Machine, mark: &Mark) -> Result<(), Failure> {
        let name = format!("{} [{}]", machine.id, machine.group());
        let result = self.update_and_wait(machine, &name, mark).await;
        let told = |glyph: &'static str, text: &str| {
            let mark = Mark {
                glyph,
                number: mark.number.clone(),
            };
            self.say(&mark, &format!("Machine {name} {text}"));
        };
        match &result {
            Ok(()) => told("✔", "update succeeded"),
            Err(_) if self.session.is_canceled() => told("✖", "update canceled while it was in progress"),
            Err(failure) => told("✖", &format!("update failed: {}", failure.message)),
        }
        result
    }

    /// Tells a machine its new configuration; true if it is left stopped.
    pub(super) async fn send_update(
        &self,
        machine: &Machine,
        name: &str,
        mark: &Mark,
    ) -> Result<bool, Failure> {
        self.renew_leases();
        self.say(mark, &format!("Updating {name}"));
        self.say(mark, &format!("Updating {name}"));
        let id = &machine.id;
        let path = self.path(&format!("/{id}"));
        let nonce = self.nonce(id);
        let group = machine.group().to_owned();
        self.session
            .call(self.machines_call("POST", &path), |world, now| {
                let before = world.machine_mut(&self.app, id)?;
                let config = self.machine_config(&group, Some(&before.config));
                let stopped = before.state == "stopped";
                let skip = before.is_standby() || (stopped && scales_by_itself(&config));
                world.update_machine(&self.app, id, config, skip, nonce.as_deref(), now)?;
                Ok(skip)
            })
            .await
            .map_err(|error| error.within(&format!("failed to update VM {id}")))
    }

    async fn update_and_wait(&self, machine: &Machine, name: &str, mark: &Mark) -> Result<(), Failure> {
        let skipped = self.send_update(machine, name, mark).await?;
        if skipped || self.detach || self.strategy == Strategy::Immediate {
            return Ok(());
        }
        self.say(mark, &format!("Waiting for {name} to have state: started"));
        let mut at = self.wait_started(&machine.id).await?;
        self.say(mark, &format!("Machine {name} has state: started"));
        if self.smoke {
            self.say(mark, &format!("Checking that {name} is up and running"));
            at = self.smoke_check(&machine.id, at).await?;
        }
        self.wait_healthy(&machine.id, name, mark, at).await
    }

    /// Looks at a machine by a call of the API.
    async fn watched<T>(
        &self,
        id: &str,
        rest: &str,
        look: impl FnOnce(&World, &App, &Machine, Millis) -> T,
    ) -> Result<T, CallError> {
        self.renew_leases();
        let path = self.path(&format!("/{id}{rest}"));
        self.session
            .call(self.machines_call("GET", &path), |world, now| {
                let app = &world.apps[&self.app];
                let machine = app.machine(id).ok_or(Refusal::NoMachine)?;
                Ok(look(world, app, machine, now))
            })
            .await
    }

    /// Waits until a machine came to run after its last launch; answers with that moment.
    pub(super) async fn wait_started(&self, id: &str) -> Result<Millis, Failure> {
        loop {
            let looked = self
                .watched(id, "/wait", |world, _, machine, now| {
                    let deadline = machine.launched_at + world.span(self.wait);
                    let started = machine.started_at.filter(|at| *at <= deadline);
                    (started, now >= deadline, machine.next.map(|next| next.at))
                })
                .await;
            let (started, over, next) = looked
                .map_err(|error| error.within(&format!("failed to wait for VM {id} in started state")))?;
            if let Some(at) = started {
                return Ok(at);
            }
            if over {
                return Err(Failure::timeout(
                    "timeout reached waiting for machine's state to change".to_owned(),
                    "wait-timeout",
                ));
            }
            self.session.pause_until(next).await;
        }
    }

    /// Watches for ten seconds; two crashes are one too many. Answers with the moment it was content.
    pub(super) async fn smoke_check(&self, id: &str, started: Millis) -> Result<Millis, Failure> {
        loop {
            let looked = self
                .watched(id, "", |world, _, machine, now| {
                    let end = if world.settings.backdate_start_seconds > SMOKE {
                        started
                    } else {
                        started + world.span(SMOKE)
                    };
                    let crashed = machine.second_crash_until(end);
                    (crashed, end, now >= end, machine.next.map(|next| next.at))
                })
                .await;
            let (crashed, end, over, next) = match looked {
                Ok(found) => found,
                Err(error) => {
                    let text = format!("failed to get VM {id}: {}", error.text());
                    if error.is_cancel() {
                        self.remark();
                    }
                    self.smoke_failed(id, &text, &[]);
                    return Err(Failure {
                        canceled: error.is_cancel(),
                        ..Failure::new(text)
                    });
                }
            };
            if let Some(end) = crashed {
                let text = "the app appears to be crashing";
                self.smoke_failed(id, text, &self.log_lines(id, end));
                return Err(Failure::new(format!("smoke checks for {id} failed: {text}")));
            }
            if over {
                return Ok(end);
            }
            self.session
                .pause_until(Some(next.map_or(end, |next| next.min(end))))
                .await;
        }
    }

    fn smoke_failed(&self, id: &str, why: &str, lines: &[String]) {
        self.session.err(&format!("Smoke checks for {id} failed: {why}"));
        self.session.err(&format!(
            "Check its logs: here's the last lines below, or run 'fly logs -i {id}':"
        ));
        for line in lines {
            self.session.err(&format!("  {line}"));
        }
    }

    /// What a machine said between its launch and a moment.
    pub(super) fn log_lines(&self, id: &str, end: Millis) -> Vec<String> {
        let lines = self.session.world.look(|world, _| {
            let app = world.apps.get(&self.app)?;
            let since = app.machine(id)?.launched_at;
            let all = app.logs.iter().filter(|line| line.machine == id);
            let told = all.filter(|line| line.at >= since && line.at <= end);
            Some(told.map(|line| line.message.clone()).collect())
        });
        lines.ok().flatten().unwrap_or_default()
    }

    /// Waits until all checks of a machine pass; each change is told. A machine without checks is content at once.
    pub(super) async fn wait_healthy(
        &self,
        id: &str,
        name: &str,
        mark: &Mark,
        from: Millis,
    ) -> Result<(), Failure> {
        let mut seen = None;
        let mut at = from;
        loop {
            let looked = self
                .watched(id, "", |world, app, machine, now| {
                    let deadline = from + world.span(self.wait);
                    let checks = world.checks(app, machine, at);
                    let passing = checks.iter().filter(|check| check.status == "passing").count();
                    let next = world
                        .next_change(app, machine, at)
                        .unwrap_or(Millis::MAX)
                        .min(deadline);
                    (passing, checks.len(), deadline, next, now)
                })
                .await;
            let (passing, all, deadline, next, now) =
                looked.map_err(|error| error.within(&format!("failed to get VM {id}")))?;
            if all == 0 {
                return Ok(());
            }
            if seen != Some(passing) {
                seen = Some(passing);
                self.say(
                    mark,
                    &format!("Waiting for {name} to become healthy: {passing}/{all}\n"),
                );
            }
            if passing == all {
                return Ok(());
            }
            if at >= deadline {
                return Err(Failure::timeout(
                    format!(
                        "timeout reached waiting for health checks to pass for machine {id}: failed to get VM {id}: {}",
                        self.given_up(id)
                    ),
                    "wait-timeout",
                ));
            }
            if next > now {
                self.session.pause_until(Some(next)).await;
            }
            at = file::now().min(next).max(at);
        }
    }
}

/// Whether a stopped machine with this configuration is left to the proxy to start.
fn scales_by_itself(config: &serde_json::Value) -> bool {
    config["services"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|service| service["autostop"] == true || service["autostart"] == true)
}
