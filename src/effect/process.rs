//! Children: the one place that starts a program.
//!
//! Each child leads a process group of its own, so that a Ctrl-C at the terminal reaches shipctl alone and a signal
//! of ours reaches the child with all that it started. Its standard input is the null device unless bytes are given,
//! and its variables are exactly those of the [`Invocation`].

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::process::{Child as Process, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

mod group;
mod lines;
mod pipe;

pub(crate) use group::{end_group, group_is_alive, running_since};
use group::{signal_group, start_time};
use pipe::{Kept, PIPES_AFTER_EXIT, collect, forward};

/// What `capture` keeps of standard output, from its start.
const STDOUT_KEPT: usize = 16 << 20;
/// What `capture` keeps of standard error, from its end.
const STDERR_KEPT: usize = 1 << 20;
/// Between SIGTERM and SIGKILL for a captured child that takes too long.
const CAPTURE_GRACE: Duration = Duration::from_secs(2);

/// A call of a child process as a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Invocation {
    pub(crate) program: PathBuf,
    /// What the child sees as its own name, if not the program's path.
    pub(crate) arg0: Option<String>,
    pub(crate) args: Vec<String>,
    /// All variables of the child; nothing is inherited.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) dir: Option<PathBuf>,
    /// `None`: the null device.
    pub(crate) stdin: Option<Vec<u8>>,
}

/// A captured child that has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// The first 16 MiB.
    pub(crate) stdout: Vec<u8>,
    /// The last MiB.
    pub(crate) stderr: Vec<u8>,
    /// It was ended because it took longer than its limit.
    pub(crate) timed_out: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        Self {
            code: status.code(),
            signal: status.signal(),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// One line of a child's output, without its end, cut at 8 KiB; bytes that are no UTF-8 are replaced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    pub(crate) stream: Stream,
    pub(crate) text: String,
}

/// Runs a child to its end and keeps what it printed. After `limit` its group gets SIGTERM, two seconds later
/// SIGKILL. Dropping the future kills the group.
///
/// # Errors
/// The child could not be started.
pub(crate) async fn capture(invocation: &Invocation, limit: Duration) -> io::Result<Captured> {
    let mut running = Running::start(invocation).await?;
    let stdout = running.stdout();
    let stderr = running.stderr();
    let exited = running.exited.subscribe();
    let out = tokio::spawn(collect(stdout, Kept::first(STDOUT_KEPT), exited.clone()));
    let err = tokio::spawn(collect(stderr, Kept::last(STDERR_KEPT), exited));

    let (ended, timed_out) = match timeout(limit, running.exit()).await {
        Ok(ended) => (ended?, false),
        Err(_) => (running.end(CAPTURE_GRACE).await?, true),
    };
    Ok(Captured {
        code: ended.code,
        signal: ended.signal,
        stdout: out.await.unwrap_or_default(),
        stderr: err.await.unwrap_or_default(),
        timed_out,
    })
}

/// A running child whose output is streamed line by line.
#[derive(Debug)]
pub(crate) struct Child {
    running: Running,
    readers: Vec<JoinHandle<()>>,
    /// The number of its process group, which is its own.
    pub(crate) pgid: i32,
    /// When it started, in clock ticks since boot; 0 where the system does not tell. It tells a reused number apart.
    pub(crate) start_time: u64,
}

impl Child {
    /// Starts a child and sends each line that it prints. A full channel makes the child wait; once the receiver is
    /// dropped, the rest is read and thrown away.
    ///
    /// # Errors
    /// The child could not be started.
    pub(crate) async fn spawn(invocation: &Invocation, lines: mpsc::Sender<Line>) -> io::Result<Self> {
        let mut running = Running::start(invocation).await?;
        let stdout = running.stdout();
        let stderr = running.stderr();
        let exited = running.exited.subscribe();
        let readers = vec![
            tokio::spawn(forward(stdout, Stream::Stdout, lines.clone(), exited.clone())),
            tokio::spawn(forward(stderr, Stream::Stderr, lines, exited)),
        ];
        Ok(Self {
            pgid: running.pgid,
            start_time: running.start_time,
            running,
            readers,
        })
    }

    /// Waits for the process, and for its pipes at most a second longer. The channel closes when all that was read
    /// has been taken from it. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> Ended {
        let ended = self.running.exit().await.unwrap_or(LOST);
        self.finish_reading().await;
        ended
    }

    /// SIGTERM to the group, SIGKILL after `grace`, then as [`Child::wait`]. The channel should be emptied meanwhile: a
    /// child that waits to be read does not end by itself.
    pub(crate) async fn end(&mut self, grace: Duration) -> Ended {
        let ended = self.running.end(grace).await.unwrap_or(LOST);
        self.finish_reading().await;
        ended
    }

    async fn finish_reading(&mut self) {
        let all = async {
            while let Some(reader) = self.readers.last_mut() {
                let _ = reader.await;
                self.readers.pop();
            }
        };
        // Whoever waits here may be the one who should empty the channel: the readers go on without us.
        let _ = timeout(PIPES_AFTER_EXIT + Duration::from_millis(200), all).await;
    }
}

/// The system lost track of the child; nothing is known of its end.
const LOST: Ended = Ended {
    code: None,
    signal: None,
};

/// A process with its group. Dropped before its end, it takes the group with it.
#[derive(Debug)]
struct Running {
    process: Process,
    pgid: i32,
    start_time: u64,
    exited: watch::Sender<bool>,
    ended: Option<Ended>,
    stdin: Option<JoinHandle<()>>,
}

impl Running {
    async fn start(invocation: &Invocation) -> io::Result<Self> {
        let mut process = spawn(invocation).await?;
        let pgid = process
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .ok_or_else(|| io::Error::other("the child has no process number"))?;
        let stdin = process
            .stdin
            .take()
            .zip(invocation.stdin.clone())
            .map(|(mut pipe, bytes)| {
                // A child that never reads leaves this task waiting until the child ends; a closed pipe is its right.
                tokio::spawn(async move {
                    let _ = pipe.write_all(&bytes).await;
                })
            });
        Ok(Self {
            process,
            pgid,
            start_time: start_time(pgid),
            exited: watch::Sender::new(false),
            ended: None,
            stdin,
        })
    }

    fn stdout(&mut self) -> Option<impl AsyncRead + Unpin + Send + 'static> {
        self.process.stdout.take()
    }

    fn stderr(&mut self) -> Option<impl AsyncRead + Unpin + Send + 'static> {
        self.process.stderr.take()
    }

    async fn exit(&mut self) -> io::Result<Ended> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        let ended = Ended::from(self.process.wait().await?);
        self.ended = Some(ended);
        if let Some(stdin) = self.stdin.take() {
            stdin.abort();
        }
        self.exited.send_replace(true);
        Ok(ended)
    }

    async fn end(&mut self, grace: Duration) -> io::Result<Ended> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        signal_group(self.pgid, Signal::SIGTERM);
        if let Ok(ended) = timeout(grace, self.exit()).await {
            // What it started may have ignored the signal; its number stays taken while one of them lives.
            signal_group(self.pgid, Signal::SIGKILL);
            return ended;
        }
        signal_group(self.pgid, Signal::SIGKILL);
        self.exit().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            signal_group(self.pgid, Signal::SIGKILL);
        }
        // Readers that wait for a pipe which somebody else holds must not wait for ever.
        self.exited.send_replace(true);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that starts children"
)]
async fn spawn(invocation: &Invocation) -> io::Result<Process> {
    let mut command = Command::new(&invocation.program);
    if let Some(name) = &invocation.arg0 {
        command.arg0(name);
    }
    if let Some(dir) = &invocation.dir {
        command.current_dir(dir);
    }
    command
        .args(&invocation.args)
        .env_clear()
        .envs(invocation.env.iter().map(|(name, value)| (name, value)))
        .process_group(0)
        .stdin(if invocation.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut attempt = 0;
    loop {
        match command.spawn() {
            // A program that is being replaced right now; the writer is done in a moment.
            Err(error) if error.raw_os_error() == Some(Errno::ETXTBSY as i32) && attempt < 20 => {
                attempt += 1;
                sleep(Duration::from_millis(10 * attempt)).await;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
