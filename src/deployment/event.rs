//! Facts emitted while a deployment runs: the one input of terminal, event stream and phase times.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::deployment::report::PhaseReport;
use crate::effect::clock;

/// The phases of DESIGN 5, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Prepare,
    Lock,
    Ship,
    Verify,
    Bake,
    Diagnose,
    Return,
    Conclude,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Lock => "lock",
            Self::Ship => "ship",
            Self::Verify => "verify",
            Self::Bake => "bake",
            Self::Diagnose => "diagnose",
            Self::Return => "return",
            Self::Conclude => "conclude",
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum What {
    DeploymentStarted {
        headline: String,
    },
    DeploymentCompleted,
    DeploymentFailed {
        outcome: &'static str,
    },
    PhaseStarted {
        phase: Phase,
        detail: String,
    },
    PhaseCompleted {
        phase: Phase,
        duration: Duration,
        detail: String,
    },
    PhaseFailed {
        phase: Phase,
        duration: Duration,
        detail: String,
    },
    ProbeChanged {
        service: String,
        instance: String,
        region: String,
        state: String,
        good: bool,
    },
    RollbackStarted {
        to: String,
    },
    RollbackCompleted {
        to: String,
    },
    RollbackFailed {
        reason: String,
    },
    LockAcquired {
        app: String,
    },
    LockWaiting {
        app: String,
        holder: String,
    },
    LockReleased {
        app: String,
    },
    LockTakenOver {
        app: String,
        from: String,
    },
    /// Said on a terminal and in logs, at least each ten seconds of silence.
    Waiting {
        phase: Phase,
        for_what: String,
        since: Duration,
    },
    /// A line of flyctl's, redacted and made harmless.
    Output {
        service: String,
        line: String,
    },
    Warning {
        text: String,
    },
}

impl What {
    /// The name in the event stream; `None` for what only a person reads.
    fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::DeploymentStarted { .. } => "deployment.started",
            Self::DeploymentCompleted => "deployment.completed",
            Self::DeploymentFailed { .. } => "deployment.failed",
            Self::PhaseStarted { .. } => "phase.started",
            Self::PhaseCompleted { .. } => "phase.completed",
            Self::PhaseFailed { .. } => "phase.failed",
            Self::ProbeChanged { .. } => "probe.changed",
            Self::RollbackStarted { .. } => "rollback.started",
            Self::RollbackCompleted { .. } => "rollback.completed",
            Self::RollbackFailed { .. } => "rollback.failed",
            Self::LockAcquired { .. } => "lock.acquired",
            Self::LockWaiting { .. } => "lock.waiting",
            Self::LockReleased { .. } => "lock.released",
            Self::LockTakenOver { .. } => "lock.taken_over",
            Self::Waiting { .. } | Self::Output { .. } | Self::Warning { .. } => return None,
        })
    }
}

/// What every event of one deployment carries.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) deployment: String,
    pub(crate) environment: String,
    pub(crate) version: Option<String>,
    pub(crate) deployer: String,
}

/// One line of `--events`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    event: &'static str,
    id: String,
    time: String,
    deployment: &'a str,
    environment: &'a str,
    version: Option<&'a str>,
    deployer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// The event as one line of JSON; `None` for what only a person reads.
pub(crate) fn to_json(what: &What, subject: &Subject) -> Option<String> {
    let mut line = Line {
        event: what.name()?,
        id: uuid::Uuid::now_v7().to_string(),
        time: clock::now().to_string(),
        deployment: &subject.deployment,
        environment: &subject.environment,
        version: subject.version.as_deref(),
        deployer: &subject.deployer,
        phase: None,
        duration_ms: None,
        service: None,
        instance: None,
        region: None,
        state: None,
        detail: None,
    };
    match what {
        What::PhaseStarted { phase, detail } => {
            line.phase = Some(*phase);
            line.detail = some_text(detail);
        }
        What::PhaseCompleted {
            phase,
            duration,
            detail,
        }
        | What::PhaseFailed {
            phase,
            duration,
            detail,
        } => {
            line.phase = Some(*phase);
            line.duration_ms = Some(millis(*duration));
            line.detail = some_text(detail);
        }
        What::ProbeChanged {
            service,
            instance,
            region,
            state,
            ..
        } => {
            line.service = Some(service);
            line.instance = Some(instance);
            line.region = Some(region);
            line.state = Some(state);
        }
        What::RollbackStarted { to } | What::RollbackCompleted { to } => line.detail = Some(to),
        What::RollbackFailed { reason } => line.detail = Some(reason),
        What::DeploymentFailed { outcome } => line.state = Some(outcome),
        What::LockAcquired { app } | What::LockReleased { app } => line.detail = Some(app),
        What::LockWaiting { holder, .. } => line.detail = Some(holder),
        What::LockTakenOver { from, .. } => line.detail = Some(from),
        _ => {}
    }
    serde_json::to_string(&line).ok()
}

fn some_text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Whole milliseconds, for JSON.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A reader of events: terminal, file, or nothing.
pub(crate) trait Reader: Send {
    fn read(&mut self, what: &What, subject: &Subject);
}

/// Hands every event to its readers and keeps the times of the phases.
#[derive(Clone)]
pub(crate) struct Emitter {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    subject: Subject,
    readers: Vec<Box<dyn Reader>>,
    phases: Vec<PhaseReport>,
    warnings: Vec<String>,
}

impl Emitter {
    pub(crate) fn new(subject: Subject, readers: Vec<Box<dyn Reader>>) -> Self {
        let inner = Inner {
            subject,
            readers,
            phases: Vec::new(),
            warnings: Vec::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    pub(crate) fn emit(&self, what: &What) {
        let mut inner = self
            .inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let inner = &mut *inner;
        match what {
            What::PhaseCompleted { phase, duration, .. } => inner.phases.push(PhaseReport {
                name: phase.as_str().to_owned(),
                duration_ms: millis(*duration),
                result: "completed",
            }),
            What::PhaseFailed { phase, duration, .. } => inner.phases.push(PhaseReport {
                name: phase.as_str().to_owned(),
                duration_ms: millis(*duration),
                result: "failed",
            }),
            What::Warning { text } => {
                if inner.warnings.contains(text) {
                    return;
                }
                inner.warnings.push(text.clone());
            }
            _ => {}
        }
        for reader in &mut inner.readers {
            reader.read(what, &inner.subject);
        }
    }

    /// Said at once, and again in the answer.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.emit(&What::Warning { text: text.into() });
    }

    /// Names the version that is being shipped in all events from here on.
    pub(crate) fn set_version(&self, version: Option<String>) {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .subject
            .version = version;
    }

    pub(crate) fn start(&self, phase: Phase, detail: impl Into<String>) -> Running {
        self.emit(&What::PhaseStarted {
            phase,
            detail: detail.into(),
        });
        Running {
            emitter: self.clone(),
            phase,
            started: Instant::now(),
        }
    }

    /// A wait inside another phase: said, but no phase of its own.
    pub(crate) fn within(&self, phase: Phase) -> Running {
        Running {
            emitter: self.clone(),
            phase,
            started: Instant::now(),
        }
    }

    pub(crate) fn phases(&self) -> Vec<PhaseReport> {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .phases
            .clone()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .warnings
            .clone()
    }
}

/// A phase that has begun; it ends by one of its methods.
pub(crate) struct Running {
    emitter: Emitter,
    phase: Phase,
    started: Instant,
}

impl Running {
    pub(crate) fn completed(self, detail: impl Into<String>) {
        let duration = self.started.elapsed();
        self.emitter.emit(&What::PhaseCompleted {
            phase: self.phase,
            duration,
            detail: detail.into(),
        });
    }

    pub(crate) fn failed(self, detail: impl Into<String>) {
        let duration = self.started.elapsed();
        self.emitter.emit(&What::PhaseFailed {
            phase: self.phase,
            duration,
            detail: detail.into(),
        });
    }

    pub(crate) fn waiting(&self, for_what: String) {
        self.emitter.emit(&What::Waiting {
            phase: self.phase,
            for_what,
            since: self.started.elapsed(),
        });
    }
}
