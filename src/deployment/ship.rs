//! `flyctl deploy` as a child, and the watch that looks at the instances meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval_at, sleep_until};

use crate::deployment::event::{Emitter, What};
use crate::deployment::interrupt::Interrupts;
use crate::deployment::rules::FRESH;
use crate::deployment::stages::Stages;
use crate::deployment::witnesses::FlyWitnesses;
use crate::effect::process::{Child, Ended, Invocation, Line};
use crate::provider::fly::Flyctl;
use crate::provider::fly::output::failure::{EndedBy, FailureClass};
use crate::provider::fly::output::ips::Address;
use crate::provider::fly::output::progress::{MachineStep, Progress};
use crate::provider::fly::output::transcript::Transcript;
use crate::release::{Image, Release, ReleaseNumber};
use crate::verification::Judgement;
use crate::verification::watch::{Change, Shipping, Watch};

/// Leases that a killed flyctl leaves behind live this long (REFERENCE 2.5).
pub(crate) const LEASE: Duration = Duration::from_secs(13);
/// What a phase that waits says something at least each.
pub(crate) const TALK: Duration = Duration::from_secs(10);
/// How often a deployer says that it lives.
const BEAT: Duration = Duration::from_secs(2);
/// Lines of flyctl's that are kept for the class of a failure and for the bundle.
const TAIL: usize = 400;
/// How long flyctl may take to end after SIGTERM when its end is not needed any more.
const GRACE: Duration = Duration::from_secs(5);

/// The watch of a deployment: its listener can be handed around.
pub(crate) type DeploymentWatch<'a> = Watch<'a, FlyWitnesses, Box<dyn FnMut(Change) + Send + 'a>>;

/// How flyctl's part ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProviderEnd {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// shipctl ended it: its words then say nothing about the release.
    pub(crate) ended_by_us: bool,
    /// When its leases are gone at the latest, where it could not give them back.
    pub(crate) leases_until: Option<Instant>,
    pub(crate) class: Option<FailureClass>,
    /// The line that tells most.
    pub(crate) message: Option<String>,
    /// Who holds the lease that stood in the way.
    pub(crate) holder: Option<String>,
    pub(crate) release: Option<ReleaseNumber>,
    /// It said something that it only says once it has made a release.
    pub(crate) began: bool,
    pub(crate) tail: Vec<String>,
}

impl ProviderEnd {
    pub(crate) fn succeeded(&self) -> bool {
        self.code == Some(0)
    }
}

/// What became of one shipment.
pub(crate) enum Shipped {
    Judged {
        provider: ProviderEnd,
        judgement: Judgement,
        /// As listed since flyctl ended, where that was asked for and is fresh.
        releases: Option<Vec<Release>>,
    },
    /// A signal came; flyctl may still run.
    Interrupted { signal: u8, child: Option<Child> },
}

/// What a shipment runs under.
pub(crate) struct Conditions<'a> {
    pub(crate) service: &'a str,
    pub(crate) emitter: &'a Emitter,
    pub(crate) stages: &'a Stages<'a>,
    pub(crate) flyctl: &'a Flyctl,
    pub(crate) deadline: Instant,
    /// What flyctl was told to wait for one machine.
    pub(crate) timeout: Duration,
    /// The addresses are read again once flyctl has ended.
    pub(crate) readdress: Option<FlyWitnesses>,
    /// Instances that requests are let reach once flyctl has updated everything.
    pub(crate) unreached: &'a [String],
    pub(crate) app: &'a str,
    /// Nothing follows a good verdict: the releases are listed beside the last looks, and not after them.
    pub(crate) lists: bool,
    /// Called once with the process group and its start time.
    pub(crate) on_start: &'a (dyn Fn(i32, u64) + Sync),
    /// Called every other second while flyctl or the watch works.
    pub(crate) beat: &'a (dyn Fn() + Sync),
}

/// Runs the call to its end, or to the verdict that makes the end unnecessary.
pub(crate) async fn ship(
    call: &Invocation,
    watching: &mut DeploymentWatch<'_>,
    conditions: &Conditions<'_>,
    interrupts: &mut Interrupts,
) -> Shipped {
    let (lines, mut printed) = mpsc::channel::<Line>(256);
    let (shipping, seen) = watch::channel(Shipping::default());
    let shipping = Arc::new(shipping);
    let mut heard = Heard::new(conditions);
    let mut child = match Child::spawn(call, lines).await {
        Ok(child) => child,
        Err(error) => {
            let provider = ProviderEnd {
                class: Some(FailureClass::Missing),
                message: Some(format!("`{}` cannot be started: {error}", call.program.display())),
                ..ProviderEnd::default()
            };
            conditions.stages.child_ended(false);
            return Shipped::Judged {
                provider,
                judgement: Judgement::nothing(),
                releases: None,
            };
        }
    };
    (conditions.on_start)(child.pgid, child.start_time);

    let begun = Instant::now();
    let waiting = watching.waiting();
    let mut ended: Option<Ended> = None;
    let mut listing = None;
    let mut by = EndedBy::Itself;
    let mut judgement: Option<Judgement> = None;
    let mut talk = interval_at(Instant::now() + TALK, TALK);
    let mut beat = interval_at(Instant::now() + BEAT, BEAT);
    let mut patience = conditions.deadline;
    let mut verdict = std::pin::pin!(watching.verify(seen));
    while ended.is_none() || judgement.is_none() {
        tokio::select! {
            biased;
            signal = interrupts.next() => {
                let child = ended.is_none().then_some(child);
                return Shipped::Interrupted { signal, child };
            }
            Some(line) = printed.recv() => {
                tell_line(&shipping, heard.take(&line));
            }
            end = child.wait(), if ended.is_none() => {
                // The line that names the release is one of the last.
                while let Ok(line) = printed.try_recv() {
                    tell_line(&shipping, heard.take(&line));
                }
                ended = Some(end);
                let well = end.code == Some(0);
                conditions.stages.child_ended(well);
                tell_end(&shipping, conditions, well);
                listing = conditions.lists.then(|| Listing::begin(conditions));
            }
            reached = &mut verdict, if judgement.is_none() => {
                if reached.early {
                    patience = patience.min(Instant::now() + worth_waiting(conditions.timeout, begun.elapsed()));
                }
                judgement = Some(reached);
            }
            () = sleep_until(patience), if ended.is_none() => {
                by = if judgement.is_some() { EndedBy::Signal } else { EndedBy::Deadline };
                ended = Some(end_while_reading(&mut child, GRACE, &mut printed, &mut heard).await);
                conditions.stages.child_ended(false);
                tell_end(&shipping, conditions, false);
            }
            _ = beat.tick() => (conditions.beat)(),
            _ = talk.tick() => {
                conditions.stages.waiting(if ended.is_some() { waiting.text() } else { heard.last.clone() });
            }
        }
    }
    let provider = heard.into_end(
        call,
        ended.unwrap_or(Ended {
            code: None,
            signal: None,
        }),
        by,
    );
    Shipped::Judged {
        provider,
        judgement: judgement.unwrap_or_else(Judgement::nothing),
        releases: listing.and_then(Listing::fresh),
    }
}

/// The releases, being listed.
struct Listing {
    begun: Instant,
    task: JoinHandle<Option<Vec<Release>>>,
}

impl Listing {
    fn begin(conditions: &Conditions<'_>) -> Self {
        let (flyctl, app) = (conditions.flyctl.clone(), conditions.app.to_owned());
        Self {
            begun: Instant::now(),
            task: tokio::spawn(async move { flyctl.releases(&app).await.ok() }),
        }
    }

    /// `None` where it is not there yet, or says what was a while ago.
    fn fresh(self) -> Option<Vec<Release>> {
        if self.task.is_finished() && self.begun.elapsed() < FRESH {
            return self.task.now_or_never()?.ok().flatten();
        }
        self.task.abort();
        None
    }
}

/// How much longer flyctl is left alone once the verdict is there. It gives up on a machine by itself after the same
/// `timeout`, and then gives its leases back; ending it before costs the time that they live on.
fn worth_waiting(timeout: Duration, elapsed: Duration) -> Duration {
    let left = timeout.saturating_sub(elapsed);
    if left > LEASE {
        Duration::ZERO
    } else {
        left + GRACE
    }
}

/// Ends flyctl, and goes on reading: a child that is blocked on a full pipe cannot end.
async fn end_while_reading(
    child: &mut Child,
    grace: Duration,
    printed: &mut mpsc::Receiver<Line>,
    heard: &mut Heard<'_>,
) -> Ended {
    let mut ending = std::pin::pin!(child.end(grace));
    loop {
        tokio::select! {
            biased;
            end = &mut ending => return end,
            Some(line) = printed.recv() => drop(heard.take(&line)),
        }
    }
}

/// Tells the watch what a line of flyctl's says of the release.
fn tell_line(shipping: &watch::Sender<Shipping>, progress: Option<Progress>) {
    match progress {
        Some(Progress::Release(own)) => shipping.send_modify(|shipping| shipping.release = Some(own.number)),
        Some(Progress::Built(image)) => {
            shipping.send_modify(|shipping| shipping.image = Some(Image::parse(&image)));
        }
        _ => {}
    }
}

/// Tells the watch that flyctl has ended, together with what leads to the app now.
///
/// `well`: it updated everything. What it left alone may run what was cut off, and nothing is sent there.
fn tell_end(shipping: &Arc<watch::Sender<Shipping>>, conditions: &Conditions<'_>, well: bool) {
    let shipping = Arc::clone(shipping);
    let readdress = conditions.readdress.clone();
    let unreached = if well {
        conditions.unreached.to_vec()
    } else {
        Vec::new()
    };
    let (app, flyctl, emitter) = (
        conditions.app.to_owned(),
        conditions.flyctl.clone(),
        conditions.emitter.clone(),
    );
    tokio::spawn(async move {
        for id in unreached {
            emitter.warn(match flyctl.uncordon_machine(&app, &id).await {
                Ok(()) => format!("instance {id} is of a deployment that was cut off; requests reach it again"),
                Err(failure) => format!(
                    "instance {id} is of a deployment that was cut off, and requests could not be let reach it: {}",
                    failure.message
                ),
            });
        }
        let address = match readdress {
            Some(witnesses) => {
                let list = witnesses.flyctl.ips(&witnesses.app).await.ok();
                list.map(|list| list.iter().any(Address::is_public))
            }
            None => None,
        };
        shipping.send_modify(|shipping| {
            shipping.ended = true;
            shipping.address = address;
        });
    });
}

/// What flyctl printed, bounded.
struct Heard<'a> {
    conditions: &'a Conditions<'a>,
    transcript: Transcript,
    tail: VecDeque<String>,
    last: String,
    began: bool,
}

impl<'a> Heard<'a> {
    fn new(conditions: &'a Conditions<'a>) -> Self {
        let last = "waiting for flyctl".to_owned();
        Self {
            conditions,
            transcript: Transcript::default(),
            tail: VecDeque::new(),
            last,
            began: false,
        }
    }

    /// Keeps the line; answers with what the line tells the watch.
    fn take(&mut self, line: &Line) -> Option<Progress> {
        let text = self.conditions.flyctl.clean(&line.text);
        if text.trim().is_empty() {
            return None;
        }
        let progress = self.transcript.push(line.stream, &text);
        if let Some(progress) = &progress {
            self.began |= progress.follows_the_release();
            if let Some(words) = words(progress) {
                self.last = words;
            }
        }
        let service = self.conditions.service.to_owned();
        self.conditions.emitter.emit(&What::Output {
            service,
            line: text.clone(),
        });
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(text);
        progress
    }

    fn into_end(self, call: &Invocation, ended: Ended, by: EndedBy) -> ProviderEnd {
        let by_us = by != EndedBy::Itself;
        let failure = (ended.code != Some(0))
            .then(|| self.conditions.flyctl.failure(call, &self.transcript, ended, by));
        ProviderEnd {
            code: ended.code,
            signal: ended.signal,
            ended_by_us: by_us,
            leases_until: by_us.then(|| Instant::now() + LEASE),
            class: failure.as_ref().map(|failure| failure.class),
            message: failure.as_ref().map(|failure| failure.message.clone()),
            holder: failure
                .as_ref()
                .and_then(|failure| failure.lease.as_ref())
                .map(|lease| lease.account.clone()),
            release: self.transcript.release.as_ref().map(|release| release.number),
            began: self.began,
            tail: self.tail.into(),
        }
    }
}

/// What flyctl is at, for a line each ten seconds.
fn words(progress: &Progress) -> Option<String> {
    Some(match progress {
        Progress::Verifying => "flyctl checks its configuration".to_owned(),
        Progress::Image => "flyctl gets the image".to_owned(),
        Progress::Built(image) => format!("built {image}"),
        Progress::ReleaseCommand(_) => "the release command runs".to_owned(),
        Progress::Updating(strategy) => format!("updating machines ({strategy})"),
        Progress::Machine(machine) => {
            let place = machine
                .place
                .map_or_else(String::new, |(place, of)| format!("{place}/{of}: "));
            let step = match &machine.step {
                MachineStep::Updating => "updating".to_owned(),
                MachineStep::WaitingFor(state) => format!("waiting until it is {state}"),
                MachineStep::Checking => "smoke checks".to_owned(),
                MachineStep::Health { .. } => "waiting for its health checks".to_owned(),
                MachineStep::Updated => "updated".to_owned(),
                MachineStep::Created => "created".to_owned(),
                MachineStep::Destroyed => "destroyed".to_owned(),
                MachineStep::Reached(state) => state.clone(),
            };
            format!("{place}{} {step}", machine.id)
        }
        Progress::Ready | Progress::Failed { .. } | Progress::Warning(_) | Progress::Release(_) => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::worth_waiting;

    #[test]
    fn flyctl_is_ended_early_where_that_saves_more_than_its_leases_cost() {
        for (timeout, elapsed, left_alone) in
            [(300, 5, 0), (20, 2, 0), (15, 3, 17), (15, 16, 5), (300, 301, 5)]
        {
            let time = worth_waiting(Duration::from_secs(timeout), Duration::from_secs(elapsed));
            assert_eq!(time.as_secs(), left_alone, "{timeout} {elapsed}");
        }
    }
}
