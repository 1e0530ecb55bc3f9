//! `ship` and `verify` of services that go side by side, as two phases.

use std::sync::{Mutex, PoisonError};

use crate::deployment::event::{Emitter, Phase, Running};

/// The two phases of some services: `ship` ends with the last flyctl, `verify` with the last verdict.
pub(crate) struct Stages {
    emitter: Emitter,
    inner: Mutex<Inner>,
}

struct Inner {
    shipping: usize,
    all_shipped_well: bool,
    ship: Option<Running>,
    verify: Option<Running>,
}

impl Stages {
    pub(crate) fn start(emitter: &Emitter, services: usize, first: Phase, detail: impl Into<String>) -> Self {
        let ship = emitter.start(first, detail);
        let inner = Inner {
            shipping: services,
            all_shipped_well: true,
            ship: Some(ship),
            verify: None,
        };
        Self {
            emitter: emitter.clone(),
            inner: Mutex::new(inner),
        }
    }

    /// For a phase that somebody else has started and ends.
    pub(crate) fn within(emitter: &Emitter) -> Self {
        let inner = Inner {
            shipping: 0,
            all_shipped_well: true,
            ship: None,
            verify: None,
        };
        Self {
            emitter: emitter.clone(),
            inner: Mutex::new(inner),
        }
    }

    /// One flyctl has ended.
    pub(crate) fn child_ended(&self, well: bool) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
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
            inner.verify = Some(self.emitter.start(Phase::Verify, "looking at what serves"));
        }
    }

    pub(crate) fn waiting(&self, for_what: String) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = inner.ship.as_ref().or(inner.verify.as_ref()) {
            running.waiting(for_what);
        }
    }

    /// All verdicts are there.
    pub(crate) fn end(self, good: bool, detail: &str) {
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        for running in [inner.ship, inner.verify].into_iter().flatten() {
            if good {
                running.completed(detail);
            } else {
                running.failed(detail);
            }
        }
    }
}
