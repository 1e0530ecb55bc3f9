//! HTTP requests to apps: one answer each, without redirects, bounded in time and size.
//!
//! Every request makes a connection of its own. A connection that was kept and is closed by the other side in the
//! moment of its reuse would look like a bad answer.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};
use tokio::time::{Instant, timeout};

/// A request as a value.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) url: String,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, String)>,
    /// From the first packet to the last byte of the answer.
    pub(crate) timeout: Duration,
    /// Bytes of the body.
    pub(crate) body_limit: usize,
}

/// What came of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        latency: Duration,
    },
    /// DNS, route, refused, TLS, or nobody took the connection in three fifths of the time.
    NoConnection(String),
    /// The connection was made, then closed or broken before a full answer.
    Cut(String),
    /// The connection was made, and there was no full answer in time.
    Slow,
    /// The body is larger than asked for.
    TooLarge,
}

/// What tells one client from another.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Kind {
    /// Loading the system's certificates takes milliseconds, which a loopback address need not pay.
    tls: bool,
    /// Loopback is never behind a proxy.
    loopback: bool,
    connect: Duration,
}

/// Sends requests. Cheap to clone; nothing is loaded before the first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Http {
    clients: Arc<Mutex<HashMap<Kind, Client>>>,
}

impl Http {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sends one request and reads its whole answer. What cannot be sent at all counts as no connection.
    pub(crate) async fn send(&self, request: &Request) -> Answer {
        let begun = Instant::now();
        match timeout(request.timeout, self.exchange(request, begun)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Slow,
        }
    }

    async fn exchange(&self, request: &Request, begun: Instant) -> Answer {
        let prepared = match prepare(request) {
            Ok(prepared) => prepared,
            Err(reason) => return Answer::NoConnection(reason),
        };
        let (method, url, headers) = prepared;
        let client = match self.client(&url, request.timeout) {
            Ok(client) => client,
            Err(error) => {
                return Answer::NoConnection(format!(
                    "{}; set `SSL_CERT_FILE` if this system has no certificates",
                    describe(error)
                ));
            }
        };
        let mut response = match client.request(method, url).headers(headers).send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                return Answer::NoConnection(describe(error));
            }
            Err(error) => return Answer::Cut(describe(error)),
        };
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if body.len() + piece.len() > request.body_limit => return Answer::TooLarge,
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) => return Answer::Cut(describe(error)),
            }
        }
        Answer::Response {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| {
                    (
                        name.as_str().to_owned(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect(),
            body,
            latency: begun.elapsed(),
        }
    }

    fn client(&self, url: &Url, limit: Duration) -> reqwest::Result<Client> {
        let kind = Kind {
            tls: url.scheme() != "http",
            loopback: is_loopback(url),
            connect: limit * 3 / 5,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        let client = build(&kind)?;
        clients.insert(kind, client.clone());
        Ok(client)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that makes HTTP clients"
)]
fn build(kind: &Kind) -> reqwest::Result<Client> {
    // Installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("shipctl/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(kind.connect)
        .pool_max_idle_per_host(0)
        .http1_only();
    if kind.loopback {
        builder = builder.no_proxy();
    }
    if !kind.tls {
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    })
}

fn prepare(request: &Request) -> Result<(Method, Url, HeaderMap), String> {
    let url = Url::parse(&request.url).map_err(|error| format!("not a URL: {error}"))?;
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| format!("`{}` is no HTTP method", request.method))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header"))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of header `{name}` cannot be sent"))?;
        headers.append(name, value);
    }
    Ok((method, url, headers))
}

/// The causes of an error from the last one up, without the URL, which may hold a password.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push(error.to_string());
        cause = error.source();
    }
    // The first ones say "client error (Connect)" and the like; the reason is at the end.
    text.pop().unwrap_or_else(|| error.to_string())
}

#[cfg(test)]
mod tests;
