//! One run of the stand-in: its variables, its token, its calls of the platform, its waiting, and the signals it gets.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::super::control;
use super::super::file::{self, WorldFile};
use super::super::platform::Refusal;
use super::super::world::{Millis, World, stamp};
use super::arguments::Arguments;
use super::failure::{CallError, Cause, Client, Failure};

/// A 503 is answered by asking again so often (capture `deploy_503_retried`).
const RETRIES: u32 = 3;

/// A call of one of Fly's APIs.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) client: Client,
    pub(super) method: &'static str,
    /// Below the base URL.
    pub(super) path: &'a str,
    /// The GraphQL operation and its fields, such as `query app`.
    pub(super) operation: &'a str,
    /// The app that it is about, which the token must open.
    pub(super) app: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub(super) fn query(operation: &'a str, app: Option<&'a str>) -> Self {
        Self {
            client: Client::Query,
            method: "POST",
            path: "/graphql",
            operation,
            app,
        }
    }

    pub(super) fn generated(operation: &'a str, app: &'a str) -> Self {
        Self {
            client: Client::Generated,
            ..Self::query(operation, Some(app))
        }
    }

    pub(super) fn machines(method: &'static str, path: &'a str, app: &'a str) -> Self {
        Self {
            client: Client::Machines,
            method,
            path,
            operation: "",
            app: Some(app),
        }
    }

    /// What faults and waiting orders match.
    fn label(&self) -> String {
        match self.client {
            Client::Machines => format!("flaps {} {}", self.method, self.path),
            Client::Query | Client::Generated => format!("graphql {}", self.operation),
        }
    }

    fn mutates(&self) -> bool {
        match self.client {
            Client::Machines => self.method != "GET",
            Client::Query | Client::Generated => self.operation.starts_with("mutation"),
        }
    }
}

/// The first SIGINT or SIGTERM; later ones are swallowed, as flyctl does (REFERENCE 2.9).
#[derive(Clone)]
struct Signals {
    caught: Arc<AtomicI32>,
    notify: Arc<Notify>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let signals = Self {
            caught: Arc::new(AtomicI32::new(0)),
            notify: Arc::new(Notify::new()),
        };
        for (kind, number) in [(SignalKind::interrupt(), 2), (SignalKind::terminate(), 15)] {
            let mut stream = signal(kind)?;
            let signals = signals.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    let _ = signals
                        .caught
                        .compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
                    signals.notify.notify_waiters();
                }
            });
        }
        Ok(signals)
    }
}

/// One run.
pub(super) struct Session {
    pub(super) world: WorldFile,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) folder: PathBuf,
    pub(super) arguments: Arguments,
    signals: Signals,
    token: String,
    /// As the world said when it was last looked at.
    speed: Cell<f64>,
    /// How a cancelled call of this command words SIGINT (captures `status_json_sigint`, `deploy_sigint_smoke`).
    pub(super) interrupt_words: &'static str,
}

/// The token that flyctl would take; absent where there is none (captures `token_*`).
fn token(
    arguments: &Arguments,
    variables: &BTreeMap<String, String>,
    login: Option<String>,
) -> Option<String> {
    if let Some(given) = arguments.value("access-token").filter(|token| !token.is_empty()) {
        return Some(given.to_owned());
    }
    let variable = match variables.get("FLY_ACCESS_TOKEN") {
        Some(token) => Some(token),
        None => variables.get("FLY_API_TOKEN"),
    };
    match variable
        .map(|token| token.trim())
        .filter(|token| !token.is_empty())
    {
        Some(token) => Some(token.to_owned()),
        None => config_token(variables).or(login),
    }
}

/// The token of `config.yml`, where a folder for it is named; a person's own is never looked for.
fn config_token(variables: &BTreeMap<String, String>) -> Option<String> {
    let folder = variables.get("FLY_CONFIG_DIR")?;
    let text = std::fs::read_to_string(PathBuf::from(folder).join("config.yml")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("access_token:"))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned()).filter(|token| !token.is_empty())
}

impl Session {
    pub(super) fn open(
        world: WorldFile,
        variables: BTreeMap<String, String>,
        arguments: Arguments,
        command_line: &[String],
    ) -> Result<Self, Failure> {
        world.note_command(command_line)?;
        let (login, speed) = world.look(|world, _| (world.login.clone(), world.settings.speed))?;
        let token = token(&arguments, &variables, login);
        Ok(Self {
            world,
            folder: std::env::current_dir()?,
            signals: Signals::listen()?,
            token: token.unwrap_or_default(),
            variables,
            arguments,
            speed: Cell::new(speed),
            interrupt_words: "interrupt signal received",
        })
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Fly's booleans accept few words (REFERENCE 0).
    pub(super) fn is_truthy(&self, name: &str) -> bool {
        self.variable(name)
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "ok" | "t" | "true"))
    }

    pub(super) fn wants_json(&self) -> bool {
        self.arguments.switch("json", self.is_truthy("FLY_JSON"))
    }

    /// Most commands need a token before anything else.
    pub(super) fn require_token(&self) -> Result<(), Failure> {
        if self.token.is_empty() {
            return Err(Failure::new(
                "No access token available. Please login with 'flyctl auth login'",
            ));
        }
        Ok(())
    }

    /// The signal that ends us, in the words of a cancelled call.
    fn canceled(&self) -> Option<&'static str> {
        match self.signals.caught.load(Ordering::SeqCst) {
            0 => None,
            2 => Some(self.interrupt_words),
            _ => Some("terminated signal received"),
        }
    }

    pub(super) fn is_canceled(&self) -> bool {
        self.canceled().is_some()
    }

    fn speed(&self) -> f64 {
        let speed = self.speed.get();
        if speed > 0.0 { speed } else { 1.0 }
    }

    /// Waits for a world duration or until we are told to end; false in the latter case.
    pub(super) async fn pause(&self, seconds: f64) -> bool {
        let speed = self.speed();
        self.pause_real(Duration::from_secs_f64((seconds / speed).clamp(0.0, 86_400.0)))
            .await
    }

    /// Waits until a moment that a look at the world named, but looks again at least every quarter of a second, and
    /// often enough to renew a lease in time.
    #[expect(clippy::cast_possible_truncation, reason = "at most a quarter of a second")]
    pub(super) async fn pause_until(&self, at: Option<Millis>) -> bool {
        let longest = (2000.0 / self.speed()).clamp(2.0, 250.0) as Millis;
        let left = at.map_or(longest, |at| (at - file::now()).clamp(1, longest));
        self.pause_real(Duration::from_millis(left.unsigned_abs())).await
    }

    async fn pause_real(&self, time: Duration) -> bool {
        let notified = self.signals.notify.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if self.is_canceled() {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = notified => false,
        }
    }

    /// The base URL that a variable names: no such host exists here.
    fn elsewhere(&self, client: Client) -> Option<String> {
        let name = match client {
            Client::Machines => "FLY_FLAPS_BASE_URL",
            Client::Query | Client::Generated => "FLY_API_BASE_URL",
        };
        self.variable(name)
            .filter(|url| !url.is_empty())
            .map(str::to_owned)
    }

    /// Makes one call: it may fail by an order, by the token, by the platform's refusal, or because we are ended.
    pub(super) async fn call<T>(
        &self,
        call: Call<'_>,
        act: impl FnOnce(&mut World, Millis) -> Result<T, Refusal>,
    ) -> Result<T, CallError> {
        let error = |cause: Cause, request: u64| CallError {
            client: call.client,
            method: call.method,
            path: call.path.to_owned(),
            cause,
            request,
        };
        if let Some(base) = self.elsewhere(call.client) {
            return Err(error(Cause::Unreachable(base), 0));
        }
        let mut act = Some(act);
        let mut retries = RETRIES;
        loop {
            if let Some(why) = self.canceled() {
                return Err(error(Cause::Canceled(why), 0));
            }
            let writes = |world: &World| {
                let awaited = world.scheduled.iter().any(|waiting| waiting.call.is_some());
                call.mutates() || awaited || !world.faults.is_empty()
            };
            let tried = self.world.touch_if(writes, |world, now| {
                self.speed.set(world.settings.speed);
                attempt(world, now, &call, &self.token, &mut act)
            });
            let (found, request) = match tried {
                Ok(found) => found,
                // A world that cannot be read is a platform that cannot be reached.
                Err(_) => (Attempt::Failed(Cause::Dropped), 0),
            };
            match found {
                Attempt::Done(value) => return Ok(value),
                Attempt::Failed(Cause::Status(503)) if retries > 0 => {
                    retries -= 1;
                    self.pause(0.1).await;
                }
                Attempt::Failed(cause) => return Err(error(cause, request)),
                Attempt::Delayed(seconds) => {
                    self.pause(seconds).await;
                }
            }
        }
    }

    /// Prints a line to stdout, at once: somebody reads along.
    #[expect(
        clippy::unused_self,
        reason = "what a command prints goes through its session"
    )]
    pub(super) fn out(&self, line: &str) {
        write(&mut io::stdout().lock(), line);
    }

    #[expect(
        clippy::unused_self,
        reason = "what a command prints goes through its session"
    )]
    pub(super) fn err(&self, line: &str) {
        write(&mut io::stderr().lock(), line);
    }

    /// A line of flyctl's own logger; it prints its level in colour and an empty line after it.
    pub(super) fn log(&self, level: &str, message: &str) {
        let wanted = self.variable("LOG_LEVEL").unwrap_or("info").to_ascii_lowercase();
        let rank = |level: &str| {
            ["debug", "info", "warn", "error"]
                .iter()
                .position(|one| *one == level)
                .unwrap_or(1)
        };
        if rank(&level.to_ascii_lowercase()) < rank(&wanted) {
            return;
        }
        let colour = match level {
            "WARN" => 33,
            _ => 2,
        };
        self.out(&format!("\u{1b}[{colour}m{level}\u{1b}[0m {message}"));
    }
}

/// A reader that is gone is no reason to fail: the platform has moved all the same.
fn write(stream: &mut dyn Write, line: &str) {
    // One write: whoever is killed leaves whole lines.
    let _ = stream.write_all(format!("{line}\n").as_bytes());
    let _ = stream.flush();
}

enum Attempt<T> {
    Done(T),
    Failed(Cause),
    Delayed(f64),
}

/// One try of a call under the world's lock; with the number of the request, and whether the world changed.
fn attempt<T, F: FnOnce(&mut World, Millis) -> Result<T, Refusal>>(
    world: &mut World,
    now: Millis,
    call: &Call<'_>,
    token: &str,
    act: &mut Option<F>,
) -> ((Attempt<T>, u64), bool) {
    let label = call.label();
    world.calls += 1;
    let request = world.calls;
    let (fault, spent) = take_fault(world, &label, now);
    if let Some((kind, seconds)) = fault {
        let found = match kind.as_str() {
            "delay" => Attempt::Delayed(seconds),
            "drop" => Attempt::Failed(Cause::Dropped),
            "unreachable" => Attempt::Failed(Cause::Unreachable("http://127.0.0.1:9".to_owned())),
            status => Attempt::Failed(Cause::Status(status.parse().unwrap_or(500))),
        };
        return ((found, request), true);
    }
    let Some(opened) = world.opened_by(token) else {
        return ((Attempt::Failed(Cause::Status(401)), request), spent);
    };
    if let Some(name) = call.app
        && let Err(refusal) = world.app(&opened, name).map(|_| ())
    {
        return ((Attempt::Failed(Cause::Refused(refusal)), request), spent);
    }
    let Some(act) = act.take() else {
        return ((Attempt::Failed(Cause::Dropped), request), spent);
    };
    let result = act(world, now);
    if call.mutates() {
        world.note(json!({"at": stamp(now), "call": label}));
    }
    let followed = control::after_call(world, &label, now);
    let found = match result {
        Ok(value) => Attempt::Done(value),
        Err(refusal) => Attempt::Failed(Cause::Refused(refusal)),
    };
    ((found, request), call.mutates() || spent || followed)
}

/// The fault that hits a call, and whether any fault was spent.
fn take_fault(world: &mut World, label: &str, now: Millis) -> (Option<(String, f64)>, bool) {
    let mut chosen = None;
    let mut spent = false;
    let spans: Vec<Option<Millis>> = world
        .faults
        .iter()
        .map(|fault| fault.for_seconds.map(|seconds| world.span(seconds)))
        .collect();
    for (fault, span) in world.faults.iter_mut().zip(spans) {
        if !label.contains(fault.find.as_str()) || fault.until.is_some_and(|until| until <= now) {
            continue;
        }
        spent = true;
        if fault.after > 0 {
            fault.after -= 1;
            continue;
        }
        match span {
            Some(span) => {
                fault.until.get_or_insert(now + span);
            }
            None => fault.count = fault.count.saturating_sub(1),
        }
        chosen = Some((fault.kind.clone(), fault.seconds));
        break;
    }
    world
        .faults
        .retain(|fault| match (fault.for_seconds, fault.until) {
            (Some(_), None) => true,
            (Some(_), Some(until)) => until > now,
            (None, _) => fault.count > 0,
        });
    (chosen, spent)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::control::obey;
    use super::{World, take_fault};

    #[test]
    fn a_fault_passes_some_calls_hits_some_and_is_gone() {
        let mut world = World::default();
        obey(
            &mut world,
            json!({"do": "fault", "kind": "500", "match": "lease", "after": 1, "count": 2}),
            0,
        )
        .unwrap();
        let mut hits = Vec::new();
        for label in ["x", "lease", "lease", "lease", "lease"] {
            hits.push(take_fault(&mut world, label, 0).0.is_some());
        }
        assert_eq!(hits, [false, false, true, true, false]);
        assert!(world.faults.is_empty());
    }

    #[test]
    fn a_fault_with_a_duration_starts_with_its_first_hit() {
        let mut world = World::default();
        let order = json!({"do": "fault", "kind": "401", "match": "machines", "after": 1, "for_seconds": 12});
        obey(&mut world, order, 0).unwrap();
        assert!(take_fault(&mut world, "machines", 100).0.is_none());
        assert!(take_fault(&mut world, "machines", 50_000).0.is_some());
        assert!(take_fault(&mut world, "machines", 61_999).0.is_some());
        assert!(take_fault(&mut world, "machines", 62_000).0.is_none());
    }
}
