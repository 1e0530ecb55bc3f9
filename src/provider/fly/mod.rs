//! Fly through flyctl: the one place that knows its command lines, its variables and its words.
//!
//! Calls are data ([`invocation`], [`environment`]), what they print is read by pure functions ([`output`]); this file
//! runs the ones that read, and makes the one that deploys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::effect::process::{Captured, Ended, Invocation, capture};
use crate::instance::Instance;
use crate::release::{AppSecret, Release};
use crate::secret::{Redactor, sanitise, sanitise_bytes};

pub(crate) mod cache;
pub(crate) mod call;
pub(crate) mod environment;
pub(crate) mod flags;
pub(crate) mod invocation;
pub(crate) mod output;
pub(crate) mod passthrough;
pub(crate) mod program;
#[cfg(test)]
mod tests;

use cache::Known;
use call::{CallFailure, hints};
use environment::Environment;
use flags::Flags;
use invocation::{Args, DeployCall, LeftOut};
use output::failure::{EndedBy, FailureClass, classify};
use output::ips::Address;
use output::transcript::Transcript;
use output::version::{OLDEST, Version};
use output::{Unreadable, document, ips, machines, releases, secrets, status};
use program::Program;

/// How long a call that only reads may take.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(30);
/// The same for one that nothing depends on: in an outage nobody should wait for it.
const HINT_LIMIT: Duration = Duration::from_secs(5);

/// A flyctl that was found fit, with the variables of one environment. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Flyctl {
    shared: Arc<Shared>,
    environment: Arc<Environment>,
    redactor: Redactor,
    limit: Duration,
}

#[derive(Debug)]
struct Shared {
    program: Program,
    known: Known,
    /// Where calls that only read run: nothing lies there.
    dir: PathBuf,
}

impl Flyctl {
    /// Makes sure of a flyctl's version and learns its flags, by two calls side by side, or from `cache` (a directory
    /// of shipctl's own, see [`cache::directory`]) for a file that was seen before.
    ///
    /// # Errors
    /// `missing`, `too_old`, `crashed` or `timed_out`.
    pub(crate) async fn open(
        program: Program,
        environment: Environment,
        redactor: Redactor,
        cache: Option<&Path>,
    ) -> Result<Self, CallFailure> {
        let mut flyctl = Self {
            shared: Arc::new(Shared {
                program,
                known: Known {
                    version: OLDEST,
                    flags: Flags::default(),
                },
                dir: cache::empty_directory(cache),
            }),
            redactor: redactor.with(environment.token.iter().map(|token| token.value.clone())),
            environment: Arc::new(environment),
            limit: READ_LIMIT,
        };
        let program = &flyctl.shared.program;
        let recalled = cache.and_then(|cache| cache::recall(cache, program));
        let known = if let Some(known) = recalled {
            known
        } else {
            let known = flyctl.learn().await?;
            if let Some(cache) = cache {
                cache::remember(cache, program, &known);
            }
            known
        };
        if !known.version.is_supported() {
            let message = format!(
                "`{}` is flyctl {}, older than {OLDEST}",
                program.path.display(),
                known.version
            );
            let call = flyctl.name(&invocation::version_json());
            return Err(CallFailure::new(call, FailureClass::TooOld, message)
                .hinted(hints(FailureClass::TooOld, None)));
        }
        flyctl.shared = Arc::new(Shared {
            program: program.clone(),
            known,
            dir: flyctl.shared.dir.clone(),
        });
        Ok(flyctl)
    }

    async fn learn(&self) -> Result<Known, CallFailure> {
        let version_call = invocation::version_json();
        let help_call = invocation::deploy_help();
        let (version, help) = tokio::join!(self.read(&version_call), self.read(&help_call));
        let not_flyctl = |call: &Args, reason: &dyn std::fmt::Display| {
            CallFailure::new(
                self.name(call),
                FailureClass::Crashed,
                format!("this is no flyctl: {reason}"),
            )
        };
        // One that cannot say its version fails by more than a wrong word.
        let broken = |mut failure: CallFailure| {
            if failure.class == FailureClass::Unknown {
                failure.class = FailureClass::Crashed;
            }
            failure
        };
        let version = version.map_err(broken)?;
        let version = Version::parse(&version).map_err(|error| not_flyctl(&version_call, &error))?;
        if !version.is_supported() {
            return Ok(Known {
                version,
                flags: Flags::default(),
            });
        }
        let flags = Flags::parse(&sanitise_bytes(&help.map_err(broken)?));
        if flags.is_empty() {
            return Err(not_flyctl(&help_call, &"its help names no flags"));
        }
        Ok(Known { version, flags })
    }

    /// The flags that its `deploy` knows.
    pub(crate) fn flags(&self) -> &Flags {
        &self.shared.known.flags
    }

    /// A line that flyctl printed, harmless and without secrets.
    pub(crate) fn clean(&self, line: &str) -> String {
        self.redactor.redact(&sanitise(line))
    }

    /// All machines of an app, also those that flyctl made for itself.
    pub(crate) async fn machines(&self, app: &str) -> Result<Vec<Instance>, CallFailure> {
        let call = invocation::machine_list(app);
        let failure = match self.read(&call).await {
            Ok(output) => return self.parsed(&call, machines::parse(&output)),
            Err(failure) if failure.class != FailureClass::Unknown => return Err(failure),
            Err(failure) => failure,
        };
        // It says "machines could not be retrieved", whatever the cause (captures); `status` names it.
        if let Err(mut told) = self.read(&invocation::status(app)).await {
            told.call.clone_from(&failure.call);
            return Err(told);
        }
        let output = self.read(&call).await?;
        self.parsed(&call, machines::parse(&output))
    }

    /// The newest 25 releases of an app, newest first.
    pub(crate) async fn releases(&self, app: &str) -> Result<Vec<Release>, CallFailure> {
        let call = invocation::releases(app);
        let output = self.read(&call).await?;
        self.parsed(&call, releases::parse(&output))
    }

    pub(crate) async fn ips(&self, app: &str) -> Result<Vec<Address>, CallFailure> {
        let call = invocation::ips_list(app);
        let output = self.read(&call).await?;
        self.parsed(&call, ips::parse(&output))
    }

    /// The secrets of an app, for a word of warning alone.
    pub(crate) async fn secrets(&self, app: &str) -> Result<Vec<AppSecret>, CallFailure> {
        let call = invocation::secrets_list(app);
        let hasty = Self {
            limit: self.limit.min(HINT_LIMIT),
            ..self.clone()
        };
        let output = hasty.read(&call).await?;
        self.parsed(&call, secrets::parse(&output))
    }

    /// The slug of the organisation that owns an app.
    pub(crate) async fn organization(&self, app: &str) -> Result<String, CallFailure> {
        let call = invocation::status(app);
        let output = self.read(&call).await?;
        self.parsed(&call, status::organization(&output))
    }

    /// The configuration of the newest release, as JSON; it generally lacks `build` (REFERENCE 1.5).
    pub(crate) async fn config_show(&self, app: &str) -> Result<Value, CallFailure> {
        let call = invocation::config_show(app);
        let output = self.read(&call).await?;
        let config = document(&output).and_then(|value| match value {
            Value::Object(_) => Ok(value),
            _ => Err(Unreadable::new("the configuration is no object")),
        });
        self.parsed(&call, config)
    }

    /// The last `lines` log lines of an app or of one of its machines, as far as they come within `limit`: flyctl
    /// waits for ever where there are none. Nothing is an answer too.
    pub(crate) async fn logs(
        &self,
        app: &str,
        machine: Option<&str>,
        lines: usize,
        limit: Duration,
    ) -> Vec<String> {
        let call = self.invocation(invocation::logs(app, machine));
        let Ok(done) = capture(&call, limit).await else {
            return Vec::new();
        };
        let text = sanitise_bytes(&done.stdout);
        let mut last: Vec<_> = text
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(lines)
            .collect();
        last.reverse();
        last.into_iter().map(|line| self.redactor.redact(line)).collect()
    }

    /// Starts a stopped machine, and does not wait for it.
    pub(crate) async fn start_machine(&self, app: &str, id: &str) -> Result<(), CallFailure> {
        self.read(&invocation::machine_start(app, id)).await.map(drop)
    }

    /// Lets requests reach a machine that was made without them.
    pub(crate) async fn uncordon_machine(&self, app: &str, id: &str) -> Result<(), CallFailure> {
        self.read(&invocation::machine_uncordon(app, id)).await.map(drop)
    }

    /// The call that deploys, and what this flyctl cannot be told.
    pub(crate) fn deploy(&self, call: &DeployCall) -> (Invocation, Vec<LeftOut>) {
        let (args, left_out) = invocation::deploy(call, self.flags());
        let invocation = Invocation {
            env: self.variables(self.environment.for_deploying()),
            dir: Some(call.dir.clone()),
            ..self.invocation(args)
        };
        (invocation, left_out)
    }

    /// Why a deployment's call failed, from what was remembered of its (cleaned) output.
    pub(crate) fn failure(
        &self,
        call: &Invocation,
        transcript: &Transcript,
        ended: Ended,
        by: EndedBy,
    ) -> CallFailure {
        let failure = classify(transcript, ended, by);
        let hints = hints(failure.class, self.environment.token.as_ref());
        CallFailure::of(self.name(&call.args), failure, ended, hints)
    }

    /// Any call of flyctl, with the variables for one that is parsed.
    pub(crate) fn invocation(&self, args: Args) -> Invocation {
        let program = &self.shared.program;
        Invocation {
            program: program.path.clone(),
            arg0: program.arg0.clone(),
            args,
            env: self.variables(self.environment.for_reading()),
            dir: Some(self.shared.dir.clone()),
            stdin: None,
        }
    }

    fn variables(&self, mut variables: Vec<(String, String)>) -> Vec<(String, String)> {
        variables.extend(self.shared.program.env.iter().cloned());
        variables
    }

    /// How a call is named to people.
    fn name(&self, args: &[String]) -> String {
        self.clean(&format!("flyctl {}", args.join(" ")))
    }

    /// The standard output of a call that ended well.
    async fn read(&self, args: &Args) -> Result<Vec<u8>, CallFailure> {
        let done = capture(&self.invocation(args.clone()), self.limit)
            .await
            .map_err(|error| {
                let path = self.shared.program.path.display();
                CallFailure::new(
                    self.name(args),
                    FailureClass::Missing,
                    format!("flyctl (`{path}`) could not be started: {error}"),
                )
            })?;
        if done.code == Some(0) && !done.timed_out {
            return Ok(done.stdout);
        }
        Err(self.read_failure(args, &done))
    }

    fn read_failure(&self, args: &Args, done: &Captured) -> CallFailure {
        let ended = Ended {
            code: done.code,
            signal: done.signal,
        };
        let transcript = Transcript::of(
            &self.redactor.redact(&sanitise_bytes(&done.stdout)),
            &self.redactor.redact(&sanitise_bytes(&done.stderr)),
        );
        let by = if done.timed_out {
            EndedBy::Deadline
        } else {
            EndedBy::Itself
        };
        let mut failure = self.failure(&self.invocation(args.clone()), &transcript, ended, by);
        if done.timed_out {
            failure.message = format!("no answer within {} s", self.limit.as_secs_f32());
        }
        failure
    }

    fn parsed<T>(&self, args: &Args, result: Result<T, Unreadable>) -> Result<T, CallFailure> {
        result.map_err(|error| {
            CallFailure::new(
                self.name(args),
                FailureClass::Unknown,
                self.clean(&error.to_string()),
            )
        })
    }
}
