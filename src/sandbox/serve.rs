//! The apps of a world over HTTP on a loopback port of one's own: `/__app/<app>/<path>`, or `Host: <app>.fly.dev`.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::answer::{self, Outcome, Request, Transfer};
use super::file::WorldFile;

/// How often the server looks whether there is a route to it.
const LOOK: Duration = Duration::from_millis(100);
/// How often a request asks whether the machine that it woke runs.
const WAKING: Duration = Duration::from_millis(25);
/// Longer than any client waits.
const PATIENCE: Duration = Duration::from_secs(120);
/// The size of a piece of a large body.
const PIECE: usize = 64 * 1024;

/// A running server; it ends when this is dropped.
pub(crate) struct Served {
    /// The base URL of an app, with `{app}` in place of its name.
    pub(crate) base_url: String,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts serving; must be called within a tokio runtime.
pub(super) fn serve(world: WorldFile) -> io::Result<Served> {
    let listener = StdListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(keep_serving(world, listener, address));
    Ok(Served {
        base_url: format!("http://{address}/__app/{{app}}"),
        task,
    })
}

/// Whether an order has taken the route away; looked up off the runtime's threads, for it waits for a file lock.
async fn has_route(world: &WorldFile) -> bool {
    let world = world.clone();
    let looked = tokio::task::spawn_blocking(move || world.look(|world, _| world.route));
    looked.await.ok().and_then(Result::ok).unwrap_or(true)
}

/// Listens while there is a route, and leaves the port closed while there is none.
async fn keep_serving(world: WorldFile, first: StdListener, address: SocketAddr) {
    let mut listener = Some(first);
    loop {
        if !has_route(&world).await {
            listener = None;
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let found = match listener.take() {
            Some(found) => Ok(found),
            None => StdListener::bind(address),
        };
        let bound = found.and_then(|found| {
            found.set_nonblocking(true)?;
            TcpListener::from_std(found)
        });
        match bound {
            Ok(bound) => accept_while_routed(&world, &bound).await,
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn accept_while_routed(world: &WorldFile, listener: &TcpListener) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let world = world.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| respond(world.clone(), request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    // A client that goes away is no concern of the app's.
                    let _ = connection.await;
                });
            }
            _ = look.tick() => {
                if !has_route(world).await {
                    return;
                }
            }
        }
    }
}

/// What the request asks for.
fn read(request: &hyper::Request<Incoming>) -> Request {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = header("host").unwrap_or_default();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let (app, path) = match path.strip_prefix("/__app/") {
        Some(rest) => {
            let (app, path) = rest.split_once('/').unwrap_or((rest, ""));
            (app.to_owned(), format!("/{path}"))
        }
        None => {
            let name = host.split(':').next().unwrap_or_default();
            (
                name.strip_suffix(".fly.dev").unwrap_or(name).to_owned(),
                path.to_owned(),
            )
        }
    };
    Request {
        app,
        path,
        host: host.to_owned(),
        machine: header("fly-force-instance-id").map(str::to_owned),
        region: header("fly-prefer-region").map(str::to_owned),
    }
}

/// Closes the connection without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed by the app")
    }
}

impl std::error::Error for Closed {}

async fn respond(
    world: WorldFile,
    incoming: hyper::Request<Incoming>,
) -> Result<hyper::Response<AppBody>, Closed> {
    let request = std::sync::Arc::new(read(&incoming));
    let started = tokio::time::Instant::now();
    loop {
        let outcome = {
            let (world, request) = (world.clone(), request.clone());
            tokio::task::spawn_blocking(move || {
                world.change(|world, now| answer::answer(world, &request, now))
            })
            .await
        };
        let Ok(Ok(outcome)) = outcome else {
            return Err(Closed);
        };
        match outcome {
            Outcome::Answer(answer) => {
                if answer.delay > 0.0 {
                    tokio::time::sleep(Duration::from_secs_f64(answer.delay)).await;
                }
                return build(answer);
            }
            Outcome::Close => return Err(Closed),
            Outcome::Hang => {
                tokio::time::sleep(PATIENCE * 5).await;
                return Err(Closed);
            }
            Outcome::Woken(id) => {
                while started.elapsed() < PATIENCE && !awake(&world, &request.app, &id).await {
                    tokio::time::sleep(WAKING).await;
                }
                if started.elapsed() >= PATIENCE {
                    return Err(Closed);
                }
            }
        }
    }
}

async fn awake(world: &WorldFile, app: &str, id: &str) -> bool {
    let (world, app, id) = (world.clone(), app.to_owned(), id.to_owned());
    let looked =
        tokio::task::spawn_blocking(move || world.look(|world, now| answer::is_awake(world, &app, &id, now)));
    looked.await.ok().and_then(Result::ok).unwrap_or(true)
}

fn build(answer: answer::Answer) -> Result<hyper::Response<AppBody>, Closed> {
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        let header = (
            HeaderName::try_from(name.as_str()),
            HeaderValue::try_from(value.as_str()),
        );
        if let (Ok(name), Ok(value)) = header {
            response = response.header(name, value);
        }
    }
    let length = match &answer.transfer {
        Transfer::Whole(bytes) | Transfer::Drip(bytes, _) => Some(bytes.len() as u64),
        Transfer::Cut(bytes) => Some(bytes.len() as u64 + 1),
        Transfer::Sized(size) => Some(*size),
        Transfer::Endless => None,
    };
    if let Some(length) = length {
        response = response.header(CONTENT_LENGTH, length);
    }
    response.body(AppBody::new(answer.transfer)).map_err(|_| Closed)
}

/// A body that comes as the order says.
struct AppBody {
    transfer: Transfer,
    sent: u64,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl AppBody {
    fn new(transfer: Transfer) -> Self {
        Self {
            transfer,
            sent: 0,
            pause: None,
        }
    }

    fn piece(&mut self) -> Option<Bytes> {
        let sent = usize::try_from(self.sent).unwrap_or(usize::MAX);
        let piece = match &self.transfer {
            Transfer::Whole(bytes) | Transfer::Cut(bytes) => Bytes::copy_from_slice(bytes.get(sent..)?),
            Transfer::Drip(bytes, _) => Bytes::copy_from_slice(bytes.get(sent..=sent)?),
            Transfer::Sized(size) => {
                let left = usize::try_from(size.saturating_sub(self.sent)).unwrap_or(PIECE);
                Bytes::from(vec![b'x'; left.min(PIECE)])
            }
            Transfer::Endless => Bytes::from(vec![b'x'; PIECE]),
        };
        self.sent += piece.len() as u64;
        (!piece.is_empty()).then_some(piece)
    }
}

impl Body for AppBody {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        match self.piece() {
            Some(piece) => {
                if let Transfer::Drip(_, seconds) = &self.transfer {
                    let time = Duration::from_secs_f64(seconds.clamp(0.0, 3600.0));
                    self.pause = Some(Box::pin(tokio::time::sleep(time)));
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if matches!(self.transfer, Transfer::Cut(_)) => Poll::Ready(Some(Err(Closed))),
            None => Poll::Ready(None),
        }
    }
}
