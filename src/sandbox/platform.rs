//! What the platform does by itself and when asked: time passes, machines are made, updated, leased and stopped.

use serde_json::Value;

use super::control;
use super::machine::{Lease, Machine, Step};
use super::world::{App, Millis, World};

/// Why the platform refused; the texts are those of the captures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    NoApp(String),
    NoMachine,
    /// The machine's lease is held by somebody.
    Leased(String),
}

impl Refusal {
    pub(super) fn message(&self) -> String {
        match self {
            Self::NoApp(name) => format!("Could not find App \"{name}\""),
            Self::NoMachine => "machine not found".to_owned(),
            Self::Leased(text) => text.clone(),
        }
    }
}

impl World {
    /// Lets everything happen that is due, in its order; true if anything did.
    pub(super) fn advance(&mut self, now: Millis) -> bool {
        let mut changed = false;
        // Orders may set off others; a world that never settles is cut off rather than waited for.
        for _ in 0..100_000 {
            let Some((at, what)) = self.next_due(now) else {
                break;
            };
            changed = true;
            match what {
                Due::Order(index) => {
                    let order = self.scheduled.remove(index).order;
                    let refused = control::obey(self, order, at).err();
                    if let Some(why) = refused {
                        self.note(super::world::entry(at, "refused order", &why));
                    }
                }
                Due::Machine(app, index, step) => self.step(&app, index, step, at),
                Due::Idle(app, index) => self.fall_asleep(&app, index, at),
            }
        }
        changed
    }

    /// Whether anything is due.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.next_due(now).is_some()
    }

    fn next_due(&self, now: Millis) -> Option<(Millis, Due)> {
        let orders = self.scheduled.iter().enumerate().filter_map(|(index, waiting)| {
            let at = waiting.at?;
            Some((at, Due::Order(index)))
        });
        let machines = self.apps.values().flat_map(|app| {
            let steps = app.machines.iter().enumerate().filter_map(|(index, machine)| {
                let next = machine.next?;
                Some((next.at, Due::Machine(app.name.clone(), index, next.step)))
            });
            steps.chain(self.idle(app))
        });
        orders
            .chain(machines)
            .filter(|(at, _)| *at <= now)
            .min_by_key(|(at, _)| *at)
    }

    /// The machine of an app that autostop puts to sleep next, and when.
    fn idle(&self, app: &App) -> Option<(Millis, Due)> {
        let running: Vec<_> = app
            .machines
            .iter()
            .enumerate()
            .filter(|(_, machine)| machine.state == "started" && machine.autostop())
            .collect();
        let keep = running
            .iter()
            .map(|(_, machine)| machine.min_running())
            .max()
            .unwrap_or(0);
        if running.len() as u64 <= keep {
            return None;
        }
        running
            .into_iter()
            .map(|(index, machine)| {
                let quiet_since = machine.last_request.max(machine.started_at.unwrap_or(0));
                let leased_until = machine.lease.as_ref().map_or(0, |lease| lease.expires_at);
                let at = (quiet_since + self.span(self.settings.idle_seconds)).max(leased_until);
                (at, Due::Idle(app.name.clone(), index))
            })
            .min_by_key(|(at, _)| *at)
    }

    fn fall_asleep(&mut self, app: &str, index: usize, at: Millis) {
        let Some(app) = self.apps.get_mut(app) else { return };
        let suspends = app.machines[index]
            .services()
            .iter()
            .any(|service| service["autostop"] == "suspend");
        app.machines[index].stop(at, suspends);
        let (id, region) = name_of(&app.machines[index]);
        let text = "App has excess capacity, autostopping machine".to_owned();
        app.log(at, &id, &region, "info", text);
    }

    fn step(&mut self, name: &str, index: usize, step: Step, at: Millis) {
        let backdate = self.backdate();
        let restart = self.restart_delay();
        let Some(app) = self.apps.get_mut(name) else {
            return;
        };
        let (id, region) = name_of(&app.machines[index]);
        match step {
            Step::Start => {
                let machine = &mut app.machines[index];
                machine.run(at, backdate);
                let image = &machine.image_ref;
                let text = format!("started {}:{}", image.repository, image.tag);
                app.log(at, &id, &region, "info", text);
                let next = self
                    .apps
                    .get(name)
                    .and_then(|app| self.step_after_start(app, &app.machines[index], at));
                if let Some(app) = self.apps.get_mut(name) {
                    app.machines[index].next = next;
                }
            }
            Step::Exit { code, again } => {
                let machine = &mut app.machines[index];
                let (level, text) = if machine.is_release_command() {
                    if code == 0 {
                        ("info", "release step done".to_owned())
                    } else {
                        ("error", format!("release step failed: exit {code}"))
                    }
                } else {
                    ("error", "Error: cannot read configuration".to_owned())
                };
                machine.exit(at, code, again, restart);
                app.log(at, &id, &region, level, text);
            }
        }
    }

    /// How far reported start events are moved back; not divided, for flyctl compares them with its own ten seconds.
    #[expect(clippy::cast_possible_truncation, reason = "a handful of seconds")]
    fn backdate(&self) -> Millis {
        (self.settings.backdate_start_seconds * 1000.0) as Millis
    }

    /// The app, if this set of organisations opens it.
    pub(super) fn app<'a>(
        &'a self,
        opened: &std::collections::BTreeSet<String>,
        name: &str,
    ) -> Result<&'a App, Refusal> {
        self.apps
            .get(name)
            .filter(|app| opened.contains(&app.org))
            .ok_or_else(|| Refusal::NoApp(name.to_owned()))
    }

    /// Adds a machine to an app and launches it, unless `skip_launch`.
    pub(super) fn create_machine(
        &mut self,
        app: &str,
        region: &str,
        config: Value,
        skip_launch: bool,
        now: Millis,
    ) -> Result<String, Refusal> {
        if !self.apps.contains_key(app) {
            return Err(Refusal::NoApp(app.to_owned()));
        }
        let machine = Machine::new(self, region, config, now);
        let id = machine.id.clone();
        if let Some(found) = self.apps.get_mut(app) {
            found.machines.push(machine);
        }
        self.launch(app, &id, skip_launch, now);
        Ok(id)
    }

    /// Launches a machine with the delay that its own rules name.
    fn launch(&mut self, app: &str, id: &str, skip: bool, now: Millis) {
        let delay = self
            .apps
            .get(app)
            .and_then(|app| Some(self.start_delay(app, app.machine(id)?)));
        if let Some(machine) = self.apps.get_mut(app).and_then(|app| app.machine_mut(id)) {
            machine.launch(now, delay.filter(|_| !skip));
        }
    }

    fn leased_by_another(machine: &Machine, nonce: Option<&str>, now: Millis) -> Result<(), Refusal> {
        match machine.live_lease(now) {
            Some(lease) if Some(lease.nonce.as_str()) != nonce => Err(Refusal::Leased(format!(
                "machine ID {} lease currently held by {}, expires at {}",
                machine.id,
                lease.owner,
                super::world::stamp(lease.expires_at / 1000 * 1000)
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn machine_mut(&mut self, app: &str, id: &str) -> Result<&mut Machine, Refusal> {
        self.apps
            .get_mut(app)
            .ok_or_else(|| Refusal::NoApp(app.to_owned()))?
            .machine_mut(id)
            .filter(|machine| machine.is_live())
            .ok_or(Refusal::NoMachine)
    }

    /// Gives a machine another configuration and launches it, unless `skip_launch`.
    pub(super) fn update_machine(
        &mut self,
        app: &str,
        id: &str,
        config: Value,
        skip_launch: bool,
        nonce: Option<&str>,
        now: Millis,
    ) -> Result<(), Refusal> {
        let image_ref = self.image_ref(config["image"].as_str().unwrap_or_default());
        let instance = self.ulid();
        let machine = self.machine_mut(app, id)?;
        Self::leased_by_another(machine, nonce, now)?;
        machine.config = config;
        machine.image_ref = image_ref;
        machine.instance_id = instance;
        machine.behaviour.clear();
        self.launch(app, id, skip_launch, now);
        Ok(())
    }

    /// Starts a machine that does not run; answers with its state before.
    pub(super) fn start_machine(
        &mut self,
        app: &str,
        id: &str,
        nonce: Option<&str>,
        now: Millis,
    ) -> Result<String, Refusal> {
        let delay = self
            .apps
            .get(app)
            .and_then(|app| Some(self.wake_delay(app, app.machine(id)?)))
            .unwrap_or(0);
        let machine = self.machine_mut(app, id)?;
        Self::leased_by_another(machine, nonce, now)?;
        let before = machine.state.clone();
        if !matches!(before.as_str(), "started" | "starting") {
            machine.start(now, delay);
        }
        Ok(before)
    }

    pub(super) fn stop_machine(&mut self, app: &str, id: &str, now: Millis) -> Result<(), Refusal> {
        let machine = self.machine_mut(app, id)?;
        Self::leased_by_another(machine, None, now)?;
        machine.stop(now, false);
        Ok(())
    }

    pub(super) fn destroy_machine(
        &mut self,
        app: &str,
        id: &str,
        nonce: Option<&str>,
        now: Millis,
    ) -> Result<(), Refusal> {
        let machine = self.machine_mut(app, id)?;
        Self::leased_by_another(machine, nonce, now)?;
        machine.destroy(now);
        Ok(())
    }

    /// Takes a lease, or renews the one that `nonce` names; answers with its nonce.
    pub(super) fn lease(
        &mut self,
        app: &str,
        id: &str,
        nonce: Option<&str>,
        owner: Option<&str>,
        seconds: f64,
        now: Millis,
    ) -> Result<String, Refusal> {
        let expires_at = now + self.span(seconds);
        let fresh = self.hex(12);
        let owner = owner.map_or_else(|| self.user.email.clone(), str::to_owned);
        let machine = self.machine_mut(app, id)?;
        Self::leased_by_another(machine, nonce, now)?;
        let held = machine.lease.take().filter(|lease| lease.expires_at > now);
        let lease = held.unwrap_or(Lease {
            nonce: fresh,
            owner,
            expires_at,
        });
        let nonce = lease.nonce.clone();
        machine.lease = Some(Lease { expires_at, ..lease });
        Ok(nonce)
    }

    /// Gives a lease back; false if it was not held.
    pub(super) fn drop_lease(&mut self, app: &str, id: &str, nonce: &str, now: Millis) -> bool {
        let Ok(machine) = self.machine_mut(app, id) else {
            return false;
        };
        let held = machine.live_lease(now).is_some_and(|lease| lease.nonce == nonce);
        if held {
            machine.lease = None;
        }
        held
    }
}

enum Due {
    Order(usize),
    Machine(String, usize, Step),
    Idle(String, usize),
}

fn name_of(machine: &Machine) -> (String, String) {
    (machine.id.clone(), machine.region.clone())
}
