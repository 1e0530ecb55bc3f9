//! `ship` and `verify` of services that go side by side, as two phases.

use std::sync::{Mutex, PoisonError};

use crate::deployment::event::{Emitter, Phase, Running};

/// What a flyctl that ships and the watch beside it say their phase to be.
pub(crate) enum Stages<'p> {
    /// Two phases of some services: `ship` ends with the last flyctl, `verify` with the last verdict.
    Two { emitter: Emitter, inner: Mutex<Inner> },
    /// A part of a phase that somebody else has started and ends.
    Within(&'p Running),
}

pub(crate) struct Inner {
    shipping: usize,
    all_shipped_well: bool,
    ship: Option<Running>,
    verify: Option<Running>,
}

impl Stages<'static> {
    pub(crate) fn start(emitter: &Emitter, services: usize, first: Phase, detail: impl Into<String>) -> Self {
        let ship = emitter.start(first, detail);
        let inner = Inner {
            shipping: services,
            all_shipped_well: true,
            ship: Some(ship),
            verify: None,
        };
        Self::Two {
            emitter: emitter.clone(),
            inner: Mutex::new(inner),
        }
    }
}

impl Stages<'_> {
    /// One flyctl has ended.
    pub(crate) fn child_ended(&self, well: bool) {
        let Self::Two { emitter, inner } = self else {
            return;
        };
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.shipping = inner.shipping.saturating_sub(1);
        inner.all_shipped_well &= well;
        if inner.shipping == 0
            && let Some(ship) = inner.ship.take()
        {
            if inner.all_shipped_well {
                ship.completed("");
            } else {
                ship.failed("flyctl failed");
            }
            inner.verify = Some(emitter.start(Phase::Verify, "looking at what serves"));
        }
    }

    pub(crate) fn waiting(&self, for_what: String) {
        let inner = match self {
            Self::Within(phase) => return phase.waiting(for_what),
            Self::Two { inner, .. } => inner.lock().unwrap_or_else(PoisonError::into_inner),
        };
        if let Some(running) = inner.ship.as_ref().or(inner.verify.as_ref()) {
            running.waiting(for_what);
        }
    }

    /// All verdicts are there.
    pub(crate) fn end(self, good: bool, detail: &str) {
        let Self::Two { inner, .. } = self else { return };
        let inner = inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        for running in [inner.ship, inner.verify].into_iter().flatten() {
            if good {
                running.completed(detail);
            } else {
                running.failed(detail);
            }
        }
    }
}
