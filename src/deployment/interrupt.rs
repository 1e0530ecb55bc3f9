//! Ctrl-C, SIGTERM and a lost terminal, heard by every phase and by all services at once.

use std::sync::Arc;

use tokio::sync::watch;

use crate::effect::signals::Signals;

/// How often a signal came, and which one was the first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Heard {
    count: u32,
    first: u8,
}

/// Listens from its creation on; clones hear the same signals.
#[derive(Clone)]
pub(crate) struct Interrupts {
    heard: watch::Receiver<Heard>,
    /// How many of them were answered already.
    answered: u32,
    /// What the next signal does instead of ending anything.
    spare: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Interrupts {
    /// Starts to listen; from here on a signal no longer ends the program by itself.
    pub(crate) fn listen() -> Self {
        let mut signals = Signals::listen();
        let (sender, heard) = watch::channel(Heard::default());
        tokio::spawn(async move {
            loop {
                let signal = signals.next().await;
                sender.send_modify(|heard| {
                    if heard.count == 0 {
                        heard.first = u8::try_from(signal.number).unwrap_or(2);
                    }
                    heard.count += 1;
                });
                if sender.is_closed() {
                    return;
                }
            }
        });
        Self {
            heard,
            answered: 0,
            spare: None,
        }
    }

    /// Waits for the next signal that nobody here has answered; cancel safe.
    pub(crate) async fn next(&mut self) -> u8 {
        loop {
            let answered = self.answered;
            let Ok(heard) = self
                .heard
                .wait_for(|heard| heard.count > answered)
                .await
                .map(|heard| *heard)
            else {
                return std::future::pending().await;
            };
            self.answered += 1;
            match self.spare.take() {
                Some(instead) => instead(),
                None => return heard.first,
            }
        }
    }

    /// The same signals for a part that must not be ended lightly: those until now are over, the next one only
    /// calls `instead`, and the one after it ends.
    #[must_use]
    pub(crate) fn spared(&self, instead: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            heard: self.heard.clone(),
            answered: self.heard.borrow().count,
            spare: Some(instead),
        }
    }
}
