//! The signals by which a person or a runner asks shipctl to stop.

use std::future::pending;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal that was received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Signal {
    /// 1, 2 or 15 on every system that shipctl runs on; the exit code is 128 more.
    pub(crate) number: i32,
}

/// SIGINT, SIGTERM and SIGHUP (the terminal is gone) as they arrive. From the first call of `listen` on they no longer
/// end the process by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Option<Stream>,
    interrupt: Option<Stream>,
    terminate: Option<Stream>,
}

impl Signals {
    /// Must be called inside a tokio runtime. A signal that cannot be listened to keeps its usual effect.
    pub(crate) fn listen() -> Self {
        Self {
            hangup: signal(SignalKind::hangup()).ok(),
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
        }
    }

    /// The next one. Two of a kind that arrive before they are asked for count once, as with any signal.
    pub(crate) async fn next(&mut self) -> Signal {
        let kind = tokio::select! {
            () = arrival(self.hangup.as_mut()) => SignalKind::hangup(),
            () = arrival(self.interrupt.as_mut()) => SignalKind::interrupt(),
            () = arrival(self.terminate.as_mut()) => SignalKind::terminate(),
        };
        Signal {
            number: kind.as_raw_value(),
        }
    }
}

async fn arrival(stream: Option<&mut Stream>) {
    if let Some(stream) = stream
        && stream.recv().await.is_some()
    {
        return;
    }
    pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal as Number, raise};

    use super::Signals;

    #[tokio::test]
    async fn the_signals_are_told_apart_and_do_not_end_the_process() {
        let mut signals = Signals::listen();
        raise(Number::SIGTERM).unwrap();
        let first = signals.next().await;
        assert_eq!(first.number, 15);
        raise(Number::SIGINT).unwrap();
        let second = signals.next().await;
        assert_eq!(second.number, 2);
        raise(Number::SIGHUP).unwrap();
        assert_eq!(signals.next().await.number, 1);
    }
}
