//! One attempt: who, what, under which deadline, and where it is recorded.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::deployment::course::talk;
use crate::deployment::event::{Emitter, Running, Subject, What, millis};
use crate::deployment::interrupt::Interrupts;
use crate::deployment::job::Job;
use crate::deployment::report::{Ending, Report};
use crate::effect::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::git::{self, Checkout, Refs};
use crate::project::Environment;
use crate::session::Session;
use crate::state::ledger::Ledger;
use crate::state::lock::Guards;
use crate::state::record::{End, GitFacts, Kind, Mark, Record, ServiceEnd, ServiceStart, Start};

/// What the phases of one deployment share.
pub(crate) struct Attempt<'a> {
    pub(crate) session: &'a Session,
    pub(crate) environment: &'a Environment,
    /// A `UUIDv7`.
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) emitter: Emitter,
    pub(crate) interrupts: Interrupts,
    pub(crate) ledger: Ledger,
    pub(crate) started: Instant,
    pub(crate) started_at: String,
    /// For the deployment, and afresh for a return.
    pub(crate) timeout: Duration,
    pub(crate) deadline: Instant,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    /// `--image` as it was given, so that a hint ships the same again.
    pub(crate) image: Option<String>,
    pub(crate) overridden: Vec<String>,
    pub(crate) git: GitFacts,
    /// Whether the ledger hears of it.
    pub(crate) is_recorded: bool,
    /// Held from the lock phase to the conclusion.
    pub(crate) locks: Option<Guards>,
    /// flyctl's process group and start time, by service.
    groups: Mutex<BTreeMap<String, (i32, u64)>>,
}

/// What the checkout says; a project need not be one.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) checkout: Option<Checkout>,
    pub(crate) refs: Refs,
    pub(crate) facts: GitFacts,
}

impl Seen {
    async fn look(session: &Session, environment: &Environment) -> Self {
        let checkout = Checkout::look(&session.project.root, &environment.variables.0).await;
        let refs = git::refs(|name| environment.variables.get(name), checkout.as_ref());
        let facts = git::record(checkout.as_ref(), &refs);
        Self {
            checkout,
            refs,
            facts,
        }
    }
}

/// The end of an id, by which people name an attempt and labels of images show it: ids begin with their time, and those
/// of one day look alike.
pub(crate) fn short_id(id: &str) -> &str {
    &id[id.len().saturating_sub(8)..]
}

impl<'a> Attempt<'a> {
    /// Looks before anything is changed: the phase says what is waited for, and ends with what went wrong; a signal
    /// or the deadline ends the look.
    pub(crate) async fn look<T>(
        &self,
        phase: Running,
        look: impl Future<Output = Result<T>>,
    ) -> Result<(T, Running)> {
        let mut interrupts = self.interrupts.clone();
        let looked = tokio::select! {
            looked = look => looked,
            () = talk(|| phase.waiting("flyctl to answer".to_owned())) => unreachable!("talk never ends"),
            signal = interrupts.next() => Err(Error::interrupted(signal)),
            () = sleep_until(self.deadline) => Err(self.out_of_time()),
        };
        match looked {
            Ok(looked) => Ok((looked, phase)),
            Err(error) => {
                phase.failed(error.message.clone());
                Err(error)
            }
        }
    }

    /// The deadline came while nothing was established yet and nothing was changed.
    fn out_of_time(&self) -> Error {
        let limit = self.timeout.as_secs();
        Error::new(
            ErrorKind::Inconclusive,
            format!("flyctl has not said what serves within {limit} s; nothing was changed"),
        )
        .hint("give it longer with `--timeout`, or see whether Fly has an incident: https://status.flyio.net")
    }

    pub(crate) async fn begin(
        session: &'a Session,
        environment: &'a Environment,
        kind: Kind,
        timeout: Duration,
        reason: Option<String>,
    ) -> Result<(Self, Seen)> {
        let started = Instant::now();
        let id = uuid::Uuid::now_v7().to_string();
        let checkout = Seen::look(session, environment).await;
        let actor = session.actor(checkout.checkout.as_ref());
        let subject = Subject {
            deployment: id.clone(),
            environment: environment.name.clone(),
            version: None,
            deployer: actor.clone(),
        };
        let emitter = Emitter::new(subject, session.readers()?);
        let interrupts = Interrupts::listen();
        let attempt = Self {
            session,
            environment,
            id,
            kind,
            emitter,
            interrupts,
            ledger: session.ledger(environment)?,
            started,
            started_at: clock::stamp(),
            timeout,
            deadline: started + timeout,
            actor,
            reason,
            image: None,
            overridden: Vec::new(),
            git: checkout.facts.clone(),
            is_recorded: true,
            locks: None,
            groups: Mutex::default(),
        };
        Ok((attempt, checkout))
    }

    /// The first line in the ledger. A deploy that cannot write it must not ship (DESIGN 8).
    pub(crate) fn record_start(&self, services: Vec<ServiceStart>) -> Result<()> {
        let start = Start {
            id: self.id.clone(),
            kind: self.kind,
            environment: self.environment.name.clone(),
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            overridden: self.overridden.clone(),
            git: self.git.clone(),
            started_at: self.started_at.clone(),
            deployer: self.session.this_process(),
            services,
        };
        if !self.is_recorded {
            return Ok(());
        }
        match self.ledger.append(&Record::Start(Box::new(start))) {
            Ok(warnings) => {
                for warning in warnings {
                    self.emitter.warn(warning);
                }
                Ok(())
            }
            Err(error) if self.kind == Kind::Deploy => Err(error),
            Err(error) => {
                self.emitter
                    .warn(format!("this attempt is not recorded: {error}"));
                Ok(())
            }
        }
    }

    /// Names flyctl's process group, so that whoever comes after a kill can end it. A mark that cannot be written
    /// stops nothing: the start is there.
    pub(crate) fn record_mark(
        &self,
        phase: &str,
        service: &str,
        process_group: i32,
        start_time: u64,
        moved: bool,
    ) {
        // The last mark of a service is the one that is read after a kill, so each of them names the group.
        let (process_group, start_time) = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            if process_group > 0 {
                groups.insert(service.to_owned(), (process_group, start_time));
            }
            groups
                .get(service)
                .copied()
                .unwrap_or((process_group, start_time))
        };
        let mark = Mark {
            id: self.id.clone(),
            at: clock::now().to_string(),
            phase: phase.to_owned(),
            service: service.to_owned(),
            process_group,
            start_time,
            moved,
        };
        if let Err(error) = self.ledger.append(&Record::Mark(mark)) {
            tracing::warn!(%error, "a mark was not recorded");
        }
    }

    /// The last line in the ledger; what cannot be written is said.
    pub(crate) fn record_end(&self, report: &Report, services: Vec<ServiceEnd>) {
        let end = End {
            id: self.id.clone(),
            ended_at: clock::stamp(),
            outcome: report
                .outcome
                .unwrap_or(crate::state::record::Outcome::Inconclusive),
            services,
            report: serde_json::to_value(report).unwrap_or_default(),
        };
        if !self.is_recorded {
            return;
        }
        if let Err(error) = self.ledger.append(&Record::End(Box::new(end))) {
            self.emitter
                .warn(format!("the end of this attempt is not recorded: {error}"));
        }
    }

    /// Asked before every call that changes something: the lock may have been taken away by force.
    pub(crate) fn still_ours(&self) -> Result<()> {
        self.locks.as_ref().map_or(Ok(()), Guards::still_held)
    }

    /// The tag of what is built: it names the commit, and no two builds share it (DESIGN 5).
    pub(crate) fn label(&self) -> String {
        let end = short_id(&self.id);
        let Some(describe) = self.git.describe.as_deref() else {
            return self.id.clone();
        };
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') {
                c
            } else {
                '-'
            }
        };
        let describe: String = describe.chars().map(allowed).collect();
        let describe = describe.trim_start_matches(['.', '-']);
        let room = 128 - end.len() - 1;
        format!("{}-{end}", &describe[..describe.len().min(room)])
    }

    /// The answer as it stands, without its services.
    pub(crate) fn report(&self, ending: Ending, jobs: &[Job<'_>], hints: Vec<String>) -> Report {
        Report {
            schema: "shipctl/deployment/1",
            sandbox: self.session.printer.sandbox,
            id: self.id.clone(),
            kind: self.kind.as_str(),
            environment: self.environment.name.clone(),
            outcome: Some(ending.outcome()),
            exit_code: ending.exit_code(),
            ending,
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            git: self.git.clone(),
            started_at: self.started_at.clone(),
            duration_ms: millis(self.started.elapsed()),
            phases: self.emitter.phases(),
            services: jobs.iter().map(super::conclude::service_report).collect(),
            hints,
            unrecorded: !self.is_recorded,
            asked: None,
            warnings: self.emitter.warnings(),
        }
    }

    pub(crate) fn emit_end(&self, ending: Ending) {
        self.emitter.emit(&match ending {
            Ending::Ok => What::DeploymentCompleted,
            other => What::DeploymentFailed {
                outcome: other.name(),
            },
        });
    }
}
