//! A face in front of the app: each answer of the double's proxy as it is, or as a scenario wants it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::double::Double;
use crate::support::http;

/// Longer than anybody waits for an answer.
const LIMIT: Duration = Duration::from_secs(20);

/// What is asked of one machine.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The tag that the machine runs; empty where the request names no machine that there is.
    pub(crate) tag: String,
    /// Its place among the app's machines.
    pub(crate) place: usize,
    /// How often this machine was asked for on this tag before.
    pub(crate) before: usize,
    pub(crate) head: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Face {
    /// As the app answers.
    Own,
    /// As the app answers, so much later.
    Late(u64),
    /// Status, further headers, body.
    Says(u16, String, String),
    /// As the app answers, with this body where that is good.
    Body(String),
    /// As the app answers, with a header more.
    With(String),
    /// The connection ends without an answer.
    Cut,
}

impl Face {
    pub(crate) fn says(status: u16, body: &str) -> Self {
        Self::Says(status, String::new(), body.to_owned())
    }

    pub(crate) fn leads_to(status: u16, place: &str) -> Self {
        Self::Says(status, format!("Location: {place}\r\n"), String::new())
    }

    /// Healthy, and this as its version, as JSON has it.
    pub(crate) fn version(json: &str) -> Self {
        Self::says(200, &format!("{{\"status\":\"healthy\",\"version\":{json}}}"))
    }
}

/// Stands in front of the app until it is dropped; then nobody answers there any more.
pub(crate) struct Mask {
    pub(crate) url: String,
    address: SocketAddr,
    gone: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Mask {
    /// At this address; port 0 for any that is free.
    pub(crate) fn of(
        double: &Double,
        app: &str,
        at: SocketAddr,
        face: impl Fn(&Asked) -> Face + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let proxy = double.proxy_url.clone();
        let (control, app) = (double.control_url().to_owned(), app.to_owned());
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let face = Arc::new(face);
        let ended = Arc::clone(&gone);
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (proxy, control, app) = (proxy.clone(), control.clone(), app.clone());
                let (counts, face) = (Arc::clone(&counts), Arc::clone(&face));
                thread::spawn(move || answer(stream, &proxy, &control, &app, &counts, face.as_ref()));
            }
        });
        Self {
            url: format!("http://{address}/__app/{{app}}"),
            address,
            gone,
            listening: Some(listening),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

type Counts = Mutex<BTreeMap<(String, String), usize>>;

fn answer(
    mut stream: TcpStream,
    proxy: &str,
    control: &str,
    app: &str,
    counts: &Counts,
    face: &(impl Fn(&Asked) -> Face + ?Sized),
) {
    let mut head = Vec::new();
    let mut byte = [0_u8; 1];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
    };
    let id = header("fly-force-instance-id");
    let (tag, place) = id
        .as_deref()
        .and_then(|id| tag_of(control, app, id))
        .unwrap_or_default();
    let before = {
        let mut counts = counts.lock().unwrap();
        let count = counts
            .entry((id.clone().unwrap_or_default(), tag.clone()))
            .or_insert(0);
        *count += 1;
        *count - 1
    };
    let asked = Asked {
        tag,
        place,
        before,
        head: head.clone(),
    };
    let face = face(&asked);
    if let Face::Late(milliseconds) = face {
        thread::sleep(Duration::from_millis(milliseconds));
    }
    let (status, headers, body) = match face {
        Face::Cut => {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        Face::Says(status, headers, body) => (status, headers, body.into_bytes()),
        Face::Own | Face::Late(_) | Face::With(_) | Face::Body(_) => {
            let forced: Vec<(&str, &str)> = id
                .as_deref()
                .map(|id| ("fly-force-instance-id", id))
                .into_iter()
                .collect();
            let Ok((status, body)) = http::send(&method, &format!("{proxy}{path}"), &forced, b"", LIMIT)
            else {
                return;
            };
            let more = if let Face::With(header) = &face {
                format!("{header}\r\n")
            } else {
                String::new()
            };
            let body = match face {
                Face::Body(own) if status == 200 => own.into_bytes(),
                _ => body,
            };
            (status, more, body)
        }
    };
    // What has no content must not name a length.
    let length = if status == 204 {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!("HTTP/1.1 {status} So\r\nConnection: close\r\n{headers}{length}\r\n");
    let _ = stream.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(&body);
    }
}

/// The tag that a machine runs now, and its place among its app's.
fn tag_of(control: &str, app: &str, id: &str) -> Option<(String, usize)> {
    let (_, state) = http::send("GET", &format!("{control}/state"), &[], b"", LIMIT).ok()?;
    let state: serde_json::Value = serde_json::from_slice(&state).ok()?;
    let machines = state["apps"][app]["machines"].as_array()?;
    let place = machines.iter().position(|machine| machine["id"] == id)?;
    Some((
        machines[place].pointer("/image_ref/tag")?.as_str()?.to_owned(),
        place,
    ))
}
