//! Reading what a child prints, without ever waiting for a pipe that somebody else holds.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::lines::Splitter;
use super::{Line, Stream};

/// How long pipes are read after the child is gone: a detached agent may hold them open (REFERENCE 5).
pub(super) const PIPES_AFTER_EXIT: Duration = Duration::from_secs(1);
/// What is read past that time if it lies ready: a pipe holds less.
const READY_AFTER_EXIT: usize = 1 << 20;
const READ_SIZE: usize = 64 << 10;

/// Reads a pipe in pieces until its end, or until the child is gone and a second has passed.
struct PipeReader<R> {
    pipe: Option<R>,
    exited: watch::Receiver<bool>,
    /// Set once the child is gone.
    until: Option<Instant>,
    after: usize,
}

impl<R: AsyncRead + Unpin> PipeReader<R> {
    fn new(pipe: Option<R>, exited: watch::Receiver<bool>) -> Self {
        Self {
            pipe,
            exited,
            until: None,
            after: 0,
        }
    }

    /// The number of bytes read into `buffer`; 0 at the end.
    async fn read(&mut self, buffer: &mut [u8]) -> usize {
        let Some(pipe) = &mut self.pipe else { return 0 };
        if self.until.is_none() {
            tokio::select! {
                biased;
                read = pipe.read(buffer) => return read.unwrap_or(0),
                _ = self.exited.wait_for(|gone| *gone) => {}
            }
        }
        let until = *self
            .until
            .get_or_insert_with(|| Instant::now() + PIPES_AFTER_EXIT);
        if self.after >= READY_AFTER_EXIT && Instant::now() >= until {
            return 0;
        }
        // The time may be over because the channel was full; what lies ready is still taken.
        let read = timeout_at(until, pipe.read(buffer))
            .await
            .map_or(0, |read| read.unwrap_or(0));
        self.after += read;
        read
    }
}

/// Sends each line that the pipe brings, and throws the rest away once nobody listens.
pub(super) async fn forward<R: AsyncRead + Unpin>(
    pipe: Option<R>,
    stream: Stream,
    lines: mpsc::Sender<Line>,
    exited: watch::Receiver<bool>,
) {
    let mut reader = PipeReader::new(pipe, exited);
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; READ_SIZE];
    let mut gone = false;
    loop {
        let size = reader.read(&mut buffer).await;
        if size == 0 {
            break;
        }
        if gone {
            continue;
        }
        let mut rest = &buffer[..size];
        while let Some(text) = splitter.next(&mut rest) {
            if lines.send(Line { stream, text }).await.is_err() {
                gone = true;
                break;
            }
        }
    }
    if let Some(text) = splitter.last()
        && !gone
    {
        let _ = lines.send(Line { stream, text }).await;
    }
}

/// What is kept of an output that may be larger than the memory for it.
pub(super) enum Kept {
    First(Vec<u8>, usize),
    Last(Vec<u8>, usize),
}

impl Kept {
    /// The first `limit` bytes.
    pub(super) fn first(limit: usize) -> Self {
        Self::First(Vec::new(), limit)
    }

    /// The last `limit` bytes.
    pub(super) fn last(limit: usize) -> Self {
        Self::Last(Vec::new(), limit)
    }

    fn push(&mut self, piece: &[u8]) {
        match self {
            Self::First(bytes, limit) => {
                let room = limit.saturating_sub(bytes.len());
                bytes.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            Self::Last(bytes, limit) => {
                bytes.extend_from_slice(piece);
                // Twice the limit before it is moved, so that each byte is moved once at most.
                if bytes.len() > 2 * *limit {
                    bytes.drain(..bytes.len() - *limit);
                }
            }
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::First(bytes, _) => bytes,
            Self::Last(mut bytes, limit) => {
                let surplus = bytes.len().saturating_sub(limit);
                bytes.drain(..surplus);
                bytes
            }
        }
    }
}

/// Keeps what the pipe brings, as far as there is room.
pub(super) async fn collect<R: AsyncRead + Unpin>(
    pipe: Option<R>,
    mut kept: Kept,
    exited: watch::Receiver<bool>,
) -> Vec<u8> {
    let mut reader = PipeReader::new(pipe, exited);
    let mut buffer = vec![0; READ_SIZE];
    loop {
        match reader.read(&mut buffer).await {
            0 => return kept.finish(),
            size => kept.push(&buffer[..size]),
        }
    }
}
