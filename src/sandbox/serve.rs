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
    let (app, path) = if let Some(rest) = path.strip_prefix("/__app/") {
        let (app, path) = rest.split_once('/').unwrap_or((rest, ""));
        (app.to_owned(), format!("/{path}"))
    } else {
        let name = host.split(':').next().unwrap_or_default();
        let name = name.strip_suffix(".fly.dev").unwrap_or(name);
        (name.to_owned(), path.to_owned())
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
                let pause = match &self.transfer {
                    Transfer::Drip(_, seconds) => Some(Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))),
                    // What was written must be on its way before the connection breaks.
                    Transfer::Cut(_) => Some(LOOK),
                    _ => None,
                };
                self.pause = pause.map(|time| Box::pin(tokio::time::sleep(time)));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if matches!(self.transfer, Transfer::Cut(_)) => Poll::Ready(Some(Err(Closed))),
            None => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::super::order;
    use super::{Served, WorldFile, serve};

    struct Stage {
        _folder: tempfile::TempDir,
        world: PathBuf,
        served: Served,
    }

    impl Stage {
        fn new(seed: Value) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let world = folder.path().join("world.json");
            order(&world, json!({"do": "settings", "speed": 50}));
            let mut seed = seed;
            seed["do"] = json!("seed");
            seed["app"] = json!("shop");
            assert_eq!(order(&world, seed), Value::Null);
            let served = serve(WorldFile::new(&world)).unwrap();
            Self {
                _folder: folder,
                world,
                served,
            }
        }

        fn rule(&self, mut rule: Value) {
            rule["do"] = json!("rule");
            rule["app"] = json!("shop");
            assert_eq!(order(&self.world, rule), Value::Null);
        }

        fn machine(&self, index: usize) -> Value {
            order(&self.world, json!({"do": "state"}))["apps"]["shop"]["machines"][index].clone()
        }

        /// Everything that comes back within a time; nothing where no connection can be made.
        async fn get(&self, headers: &str, time: Duration) -> Option<String> {
            let rest = self.served.base_url.strip_prefix("http://").unwrap();
            let (address, base) = rest.split_once('/').unwrap();
            let path = base.replace("{app}", "shop");
            let mut stream = TcpStream::connect(address).await.ok()?;
            let request =
                format!("GET /{path}/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            let mut piece = vec![0; 65536];
            let reading = async {
                while let Ok(length @ 1..) = stream.read(&mut piece).await {
                    answer.extend_from_slice(&piece[..length]);
                }
            };
            let _ = tokio::time::timeout(time, reading).await;
            Some(String::from_utf8_lossy(&answer).into_owned())
        }
    }

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(300);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_forced_machine_answers_with_its_version() {
        let stage = Stage::new(json!({"per_region": 2}));
        for index in 0..2 {
            let id = stage.machine(index)["id"].as_str().unwrap().to_owned();
            let answer = stage
                .get(&format!("fly-force-instance-id: {id}\r\n"), LONG)
                .await
                .unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            assert!(answer.contains(&format!("\"machine\":\"{id}\"")), "{answer}");
            assert!(answer.contains("\"version\":\"v1\""), "{answer}");
        }
        assert_eq!(stage.machine(0)["answered"], 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn bodies_come_as_they_are_ordered() {
        let stage = Stage::new(json!({}));
        stage.rule(json!({"cut": "before"}));
        assert_eq!(stage.get("", LONG).await.unwrap(), "");
        stage.rule(json!({"cut": "within"}));
        let cut = stage.get("", LONG).await.unwrap();
        let length: usize = cut
            .split("content-length: ")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(cut.split("\r\n\r\n").nth(1).unwrap().len() + 1, length);
        stage.rule(json!({"drip_seconds": 60}));
        let drip = stage.get("", SHORT).await.unwrap();
        assert!(
            drip.split("\r\n\r\n").nth(1).is_some_and(|body| body.len() <= 1),
            "{drip}"
        );
        stage.rule(json!({"size": 3_000_000}));
        assert!(stage.get("", LONG).await.unwrap().len() > 3_000_000);
        stage.rule(json!({"hang": true}));
        assert_eq!(stage.get("", SHORT).await.unwrap(), "");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_request_wakes_a_sleeping_machine_and_waits_for_it() {
        let stage = Stage::new(json!({"autostop": true}));
        order(&stage.world, json!({"do": "settings", "idle_seconds": 1000}));
        order(
            &stage.world,
            json!({"do": "machine", "app": "shop", "action": "stop"}),
        );
        stage.rule(json!({"wake_seconds": 10}));
        assert_eq!(stage.machine(0)["state"], "stopped");
        let answer = stage.get("", LONG).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert_eq!(stage.machine(0)["state"], "started");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn without_a_route_no_connection_is_made_until_there_is_one_again() {
        let stage = Stage::new(json!({}));
        assert!(stage.get("", LONG).await.is_some());
        for (up, expected) in [(false, false), (true, true)] {
            order(&stage.world, json!({"do": "route", "up": up}));
            let mut connected = !expected;
            for _ in 0..200 {
                connected = stage.get("", LONG).await.is_some_and(|answer| !answer.is_empty());
                if connected == expected {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(connected, expected);
        }
    }
}
