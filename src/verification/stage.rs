//! A small stage for tests: a list of instances and an app that answers, both of which may change with time.

use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::effect::http::Answer;
use crate::instance::{CheckState, Exit, Instance, InstanceEvent, InstanceState};
use crate::project::{Identity, VersionField};
use crate::release::{Digest, Image, ReleaseNumber};
use crate::verification::expectation::{
    Baseline, Expectation, GroupExpectation, Kind, PathAuthority, ProbePlan, Reach, Target,
};
use crate::verification::identity::{IdentityRule, Names};
use crate::verification::watch::{Change, Shipping, Watch, Witnesses};
use crate::verification::{Evidence, Judgement, Verdict};

pub(super) const OLD: &str = "sha256:01d";
pub(super) const NEW: &str = "sha256:2e3";
pub(super) const MINUTE: Duration = Duration::from_secs(60);

type Act = Box<dyn Fn(&mut Cast) + Send + Sync>;

/// What is on stage now.
pub(super) struct Cast {
    pub(super) instances: Vec<Instance>,
    /// By instance, else that of `*`, which is also the shared address.
    pub(super) answers: Vec<(&'static str, Answer)>,
    /// The answer to the next question, whoever is asked.
    pub(super) once: Option<Answer>,
    /// What each instance answers in turn, where there is any.
    pub(super) in_turn: Vec<Answer>,
    /// Lists fail.
    pub(super) silent: bool,
    pub(super) lists_take: Duration,
    /// A request wakes what is stopped.
    pub(super) wakes: bool,
    pub(super) started: Vec<String>,
    pub(super) asked: Vec<String>,
    last_probe: Option<Instant>,
}

pub(super) struct Stage {
    pub(super) cast: Mutex<Cast>,
    acts: Mutex<Vec<(Duration, Act)>>,
    pub(super) expectation: Expectation,
    begun: OnceLock<Instant>,
    /// When flyctl ends.
    pub(super) ships_for: Duration,
    pub(super) timeout: Duration,
    /// So long nobody looks after the verdict, while another service ships.
    pub(super) rests_for: Duration,
    pub(super) changes: Mutex<Vec<Change>>,
}

/// A verdict, and when it came.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) judgement: Judgement,
    pub(super) after: Duration,
    /// From the last answer to the verdict.
    pub(super) lag: Option<Duration>,
}

impl Stage {
    /// Two machines that flyctl has just updated, each with a check that passes, and an app that names the release.
    pub(super) fn new() -> Self {
        let baseline = ["a", "b"].map(|id| on_release(instance(id), 41, OLD));
        Self {
            cast: Mutex::new(Cast {
                instances: ["a", "b"].map(instance).to_vec(),
                answers: vec![("*", good("v2"))],
                once: None,
                in_turn: Vec::new(),
                silent: false,
                lists_take: Duration::from_millis(40),
                wakes: true,
                started: Vec::new(),
                asked: Vec::new(),
                last_probe: None,
            }),
            acts: Mutex::new(Vec::new()),
            expectation: expectation(baseline.to_vec()),
            begun: OnceLock::new(),
            ships_for: Duration::ZERO,
            timeout: 10 * MINUTE,
            rests_for: Duration::ZERO,
            changes: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn cast(self, change: impl FnOnce(&mut Cast)) -> Self {
        change(&mut self.cast.lock().unwrap());
        self
    }

    pub(super) fn one(self, id: &str, change: impl FnOnce(&mut Instance)) -> Self {
        self.cast(|cast| change(cast.get(id)))
    }

    pub(super) fn each(self, change: impl FnMut(&mut Instance)) -> Self {
        self.cast(|cast| cast.instances.iter_mut().for_each(change))
    }

    pub(super) fn answers(self, answer: Answer) -> Self {
        self.cast(|cast| cast.answers = vec![("*", answer)])
    }

    pub(super) fn expecting(mut self, change: impl FnOnce(&mut Expectation)) -> Self {
        change(&mut self.expectation);
        self
    }

    /// Looks at a group as `change` makes it, in the file and in the configuration of its instances.
    pub(super) fn group(self, change: impl Fn(&mut GroupExpectation)) -> Self {
        self.expecting(|expectation| expectation.groups.values_mut().for_each(change))
    }

    pub(super) fn shipping_for(mut self, duration: Duration) -> Self {
        self.ships_for = duration;
        self
    }

    pub(super) fn at(self, when: Duration, act: impl Fn(&mut Cast) + Send + Sync + 'static) -> Self {
        self.acts.lock().unwrap().push((when, Box::new(act)));
        self
    }

    /// The curtain rises when somebody looks.
    fn begun(&self) -> Instant {
        *self.begun.get_or_init(Instant::now)
    }

    fn now(&self) -> MutexGuard<'_, Cast> {
        let mut cast = self.cast.lock().unwrap();
        let elapsed = self.begun().elapsed();
        self.acts.lock().unwrap().retain(|(when, act)| {
            let due = *when <= elapsed;
            if due {
                act(&mut cast);
            }
            !due
        });
        cast
    }

    /// Verifies, and bakes for `bake` where that was good.
    pub(super) async fn play(&self, bake: Duration) -> Came {
        let (told, shipping) = watch::channel(Shipping::default());
        let deadline = self.begun() + self.timeout;
        let note = |change| self.changes.lock().unwrap().push(change);
        let mut watch = Watch::new(self, self.expectation.clone(), deadline, note);
        let flyctl = async {
            sleep(self.ships_for).await;
            told.send_modify(|shipping| shipping.ended = true);
            std::future::pending::<()>().await;
        };
        let judged = async {
            let judgement = watch.verify(shipping).await;
            if judgement.verdict == Verdict::Verified && !self.rests_for.is_zero() {
                sleep(self.rests_for).await;
                watch.forget_answers();
                watch.bake(bake).await
            } else if judgement.verdict == Verdict::Verified && !bake.is_zero() {
                watch.bake(bake).await
            } else {
                judgement
            }
        };
        let judgement = tokio::select! {
            judgement = judged => judgement,
            () = flyctl => unreachable!("it never ends"),
        };
        let lag = self.cast.lock().unwrap().last_probe.map(|at| at.elapsed());
        Came {
            judgement,
            after: self.begun().elapsed(),
            lag,
        }
    }

    pub(super) async fn verdict(&self) -> Judgement {
        self.play(Duration::ZERO).await.judgement
    }
}

impl Cast {
    pub(super) fn get(&mut self, id: &str) -> &mut Instance {
        self.instances
            .iter_mut()
            .find(|instance| instance.id == id)
            .unwrap()
    }

    /// One that is gone meanwhile stays gone.
    fn wake(&mut self, id: &str) {
        let Some(instance) = self.instances.iter_mut().find(|instance| instance.id == id) else {
            return;
        };
        if matches!(instance.state, InstanceState::Stopped | InstanceState::Suspended) {
            instance.state = InstanceState::Started;
            self.started.push(id.to_owned());
        }
    }
}

impl Witnesses for Stage {
    async fn machines(&self) -> Result<Vec<Instance>, String> {
        let (now, takes) = {
            let cast = self.now();
            let now = if cast.silent {
                Err("status 500".to_owned())
            } else {
                Ok(cast.instances.clone())
            };
            (now, cast.lists_take)
        };
        sleep(takes).await;
        now
    }

    async fn probe(&self, instance: Option<&str>) -> Answer {
        let answer = {
            let mut cast = self.now();
            let name = instance.unwrap_or("*");
            cast.asked.push(name.to_owned());
            if let Some(id) = instance.filter(|_| cast.wakes) {
                cast.wake(id);
            }
            let turn = cast.asked.iter().filter(|asked| *asked == name).count();
            let turns = cast.in_turn.len().max(1);
            let once = cast
                .once
                .take()
                .or_else(|| cast.in_turn.get(turn % turns).cloned());
            let of = |wanted: &str| cast.answers.iter().find(|(id, _)| *id == wanted);
            once.unwrap_or_else(|| of(name).or_else(|| of("*")).unwrap().1.clone())
        };
        sleep(Duration::from_millis(5)).await;
        self.cast.lock().unwrap().last_probe = Some(Instant::now());
        answer
    }

    async fn start(&self, instance: &str) -> Result<(), String> {
        self.now().wake(instance);
        Ok(())
    }
}

/// Started on release 42, its check passes.
pub(super) fn instance(id: &str) -> Instance {
    let config = json!({"image": "registry.fly.io/shop:v2",
        "services": [{"autostop": false, "checks": [{"type": "http", "path": "/health"}]}]});
    let mut instance = Instance {
        id: id.to_owned(),
        region: "fra".into(),
        state: InstanceState::Started,
        group: Some("app".into()),
        image: Image::parse("registry.fly.io/shop:v2"),
        release: None,
        version: String::new(),
        checks: vec![check("passing")],
        events: Vec::new(),
        updated_at: String::new(),
        host_reachable: None,
        cordoned: None,
        standbys: Vec::new(),
        canary: false,
        config,
    };
    instance = on_release(instance, 42, NEW);
    instance
}

pub(super) fn on_release(mut instance: Instance, release: u64, digest: &str) -> Instance {
    let tag = if digest == OLD { "v1" } else { "v2" };
    instance.image = Image {
        name: format!("registry.fly.io/shop:{tag}"),
        digest: Digest::parse(digest),
    };
    instance.release = Some(ReleaseNumber(release));
    instance.version = format!("{}-{release}", instance.id);
    instance
}

pub(super) fn check(status: &str) -> CheckState {
    CheckState {
        name: "servicecheck-00-http-8080".into(),
        status: status.into(),
        output: "connect: refused".into(),
    }
}

/// Neither check nor configured check.
pub(super) fn without_checks(instance: &mut Instance) {
    instance.checks.clear();
    instance.config["services"][0]["checks"] = Value::Null;
}

pub(super) fn autostop(instance: &mut Instance) {
    instance.config["services"][0]["autostop"] = Value::Bool(true);
}

/// Stopped: on request, or by an exit code.
pub(super) fn stopped(instance: &mut Instance, at_ms: i64, code: Option<i64>) {
    instance.state = InstanceState::Stopped;
    instance.checks = vec![check("warning")];
    instance
        .events
        .push(exit(at_ms, code.unwrap_or(0), code.is_none()));
}

pub(super) fn exit(at_ms: i64, code: i64, requested_stop: bool) -> InstanceEvent {
    InstanceEvent {
        kind: "exit".into(),
        status: "stopped".into(),
        at_ms,
        exit: Some(Exit {
            code,
            requested_stop,
            oom_killed: false,
        }),
    }
}

pub(super) fn event(kind: &str, at_ms: i64) -> InstanceEvent {
    InstanceEvent {
        kind: kind.into(),
        status: String::new(),
        at_ms,
        exit: None,
    }
}

pub(super) fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    Answer::Response {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        body: body.as_bytes().to_vec(),
        latency: Duration::from_millis(5),
    }
}

pub(super) fn json_body(status: u16, body: &Value) -> Answer {
    response(status, &[("content-type", "application/json")], &body.to_string())
}

pub(super) fn good(version: &str) -> Answer {
    json_body(200, &json!({"status": "healthy", "version": version}))
}

pub(super) fn expectation(baseline: Vec<Instance>) -> Expectation {
    let names = |word: &str| Names {
        words: [word.to_owned()].into(),
        ..Names::default()
    };
    let group = GroupExpectation {
        public: true,
        checks: 1,
        named_before: true,
        ..GroupExpectation::default()
    };
    Expectation {
        kind: Kind::Forward,
        app: "shop".into(),
        target: Target {
            newest_before: Some(ReleaseNumber(41)),
            left: None,
            image: Some(Image::parse("registry.fly.io/shop:v2")),
            ..Target::default()
        },
        groups: [("app".to_owned(), group)].into(),
        primary_region: Some("fra".into()),
        regions: Vec::new(),
        min_instances: None,
        baseline: Some(Baseline {
            instances: baseline,
            none_ran: false,
        }),
        probe: ProbePlan {
            path: "/health".into(),
            address: true,
            authority: PathAuthority::Named,
            successes: 3,
            reach: Reach::ReachableBefore,
        },
        identity: IdentityRule {
            mode: Identity::Auto,
            field: VersionField::Pointer("/version".into()),
            expected: names("v2"),
            others: names("v1"),
            named_before: true,
            both: std::collections::BTreeSet::default(),
        },
        min_evidence: Evidence::State,
        timeout: Duration::from_secs(30),
    }
}
