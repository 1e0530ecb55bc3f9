//! The smallest app that shipctl can tell everything about: `/` greets, `/health` answers as docs/health.md asks.
//!
//! `PORT` is where it listens (8080), `FLY_IMAGE_REF` is set by Fly and names the release.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// More of a request's head than this is not read, in bytes.
const LARGEST_HEAD: u64 = 16 * 1024;

fn main() -> std::io::Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    // Both families: checks and the proxy come over IPv4, other apps of the organisation over IPv6.
    let listener = TcpListener::bind(format!("[::]:{port}"))
        .or_else(|_| TcpListener::bind(format!("0.0.0.0:{port}")))?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    for stream in listener.incoming() {
        // A connection that breaks is the other side's affair.
        thread::spawn(move || stream.and_then(answer));
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?.take(LARGEST_HEAD)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}

    let path = first.split(' ').nth(1).unwrap_or("/");
    let (status, kind, body) = match path.split('?').next() {
        Some("/") => ("200 OK", "text/plain", "hello\n".to_owned()),
        Some("/health") => ("200 OK", "application/json", health()),
        _ => ("404 Not Found", "text/plain", "not here\n".to_owned()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if !first.starts_with("HEAD ") {
        stream.write_all(body.as_bytes())?;
    }
    stream.flush()
}

/// An app with a database would ask it here, and answer 503 with `unhealthy` if it is gone.
fn health() -> String {
    let version = env::var("FLY_IMAGE_REF").unwrap_or_else(|_| "dev".to_owned());
    let version: String = version
        .chars()
        .filter(|c| !c.is_control() && !"\"\\".contains(*c))
        .collect();
    format!("{{\"status\":\"healthy\",\"version\":\"{version}\",\"checks\":{{}}}}\n")
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    /// What the app answers to a request on `path`.
    fn ask(method: &str, path: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = std::thread::spawn(move || super::answer(listener.accept().unwrap().0));
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: hello\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        served.join().unwrap().unwrap();
        said
    }

    #[test]
    fn it_answers_as_the_document_says() {
        let said = ask("GET", "/health");
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"),
            "{head}"
        );
        let health: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(health["status"], "healthy");
        assert!(
            health["version"].is_string() && health["checks"].is_object(),
            "{health}"
        );
        assert!(ask("HEAD", "/health?x=1").ends_with("\r\n\r\n"));
        assert!(ask("GET", "/").ends_with("hello\n"));
        assert!(ask("GET", "/x").starts_with("HTTP/1.1 404"));
    }
}
