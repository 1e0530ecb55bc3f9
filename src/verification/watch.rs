//! Looks again and again, while flyctl works and after it, until there is a verdict.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::instance::Instance;
use crate::release::{Image, ReleaseNumber};
use crate::verification::Judgement;
use crate::verification::expectation::Expectation;

/// What a verification looks through; a test gives it a world of its own.
pub(crate) trait Witnesses {
    /// `machine list`. The error says why in one line.
    async fn machines(&self) -> Result<Vec<Instance>, String>;
    /// Asks one instance (`fly-force-instance-id`), or whichever answers on the shared address.
    async fn probe(&self, instance: Option<&str>) -> crate::verification::probe::Answer;
    /// `machine start`.
    async fn start(&self, instance: &str) -> Result<(), String>;
}

/// What the shipping side tells the watch; the fields only ever fill.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shipping {
    /// flyctl has ended, by itself or not. Set together with `address`, which is read again after it.
    pub(crate) ended: bool,
    /// The number of the release, once known.
    pub(crate) release: Option<ReleaseNumber>,
    /// The image that is shipped, once a build has named it.
    pub(crate) image: Option<Image>,
    /// Whether something public leads to the app now. New where there was nothing before.
    pub(crate) address: Option<bool>,
}

/// What changed while watching; for events, progress and the journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// An instance stands differently.
    Instance {
        id: String,
        region: String,
        group: String,
        /// `waiting`, `pending`, `good`, `asleep`, `failed`, `unknown`.
        standing: &'static str,
        reason: Option<String>,
    },
    /// So many counted instances have been seen on the new release.
    Moved(usize),
    /// An instance is being started by shipctl.
    Started(String),
}

/// What is waited for, for the line that is printed each ten seconds while nothing else happens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<Mutex<String>>);

impl Waiting {
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// One verification from the first look to the verdict.
pub(crate) struct Watch<'a, W, C> {
    witnesses: &'a W,
    expectation: Expectation,
    deadline: Instant,
    on_change: C,
    waiting: Waiting,
}

impl<'a, W: Witnesses, C: FnMut(Change)> Watch<'a, W, C> {
    /// `deadline` bounds everything that this watch does: when it passes, and flyctl has ended, what is there is
    /// judged.
    pub(crate) fn new(witnesses: &'a W, expectation: Expectation, deadline: Instant, on_change: C) -> Self {
        Self {
            witnesses,
            expectation,
            deadline,
            on_change,
            waiting: Waiting::default(),
        }
    }

    /// Can be read by others while the watch runs.
    pub(crate) fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// Watches until there is a verdict. `shipping` says how far flyctl is; send `ended: true` at once where
    /// nothing is shipped. A judgement with `early` is given while flyctl still runs.
    pub(crate) async fn verify(&mut self, shipping: watch::Receiver<Shipping>) -> Judgement {
        let _ = (
            shipping,
            &self.witnesses,
            &self.deadline,
            &mut self.on_change,
            &self.expectation,
        );
        Judgement::nothing()
    }

    /// Goes on watching for `duration` after a good verdict; anything bad refutes. A newer release of the same
    /// digest is verified and baked anew.
    pub(crate) async fn bake(&mut self, duration: Duration) -> Judgement {
        let _ = duration;
        Judgement::nothing()
    }
}
