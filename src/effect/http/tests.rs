//! Servers that misbehave, each on a loopback port of its own.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::{Answer, Http, Request};

/// Serves each connection with `serve` and gives the address.
async fn server<F, S>(serve: S) -> String
where
    S: Fn(TcpStream, Vec<u8>) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            let mut buffer = [0; 4096];
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer).await {
                    Ok(size) if size > 0 => head.extend_from_slice(&buffer[..size]),
                    _ => break,
                }
            }
            tokio::spawn(serve(stream, head));
        }
    });
    url
}

fn request(url: &str) -> Request {
    Request {
        url: url.to_owned(),
        method: "GET".into(),
        headers: Vec::new(),
        timeout: Duration::from_secs(30),
        body_limit: 1000,
    }
}

/// One fixed answer.
async fn fixed(answer: &'static str) -> Answer {
    let url = server(move |mut stream, _| async move {
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    Http::new().send(&request(&url)).await
}

#[tokio::test]
async fn an_answer_comes_with_status_headers_body_and_what_was_asked_was_sent() {
    let url = server(|mut stream, head| async move {
        let body = String::from_utf8_lossy(&head).to_lowercase();
        let answer = format!(
            "HTTP/1.1 503 No\r\nX-Release: v2\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let mut request = request(&url);
    request.method = "HEAD2".into();
    request.headers = vec![
        ("Host".into(), "www.example.com".into()),
        ("fly-force-instance-id".into(), "148e".into()),
    ];
    let Answer::Response {
        status,
        headers,
        body,
        ..
    } = Http::new().send(&request).await
    else {
        panic!("no response")
    };
    assert_eq!(status, 503);
    assert!(headers.contains(&("x-release".into(), "v2".into())));
    let body = String::from_utf8(body).unwrap();
    assert!(body.starts_with("head2 /health http/1.1\r\n"), "{body}");
    for line in [
        "host: www.example.com\r\n",
        "fly-force-instance-id: 148e\r\n",
        "user-agent: shipctl/",
    ] {
        assert!(body.contains(line), "{line} in {body}");
    }
    assert!(
        !body.contains("accept-encoding"),
        "a packed body would escape the limit"
    );
}

#[tokio::test]
async fn redirects_are_answers() {
    let answer = fixed("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n").await;
    let Answer::Response { status, headers, .. } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(status, 302);
    assert!(headers.contains(&("location".into(), "/login".into())));
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for url in [
        refused.as_str(),
        "http://no-such-host.invalid/",
        "no url",
        "ftp://127.0.0.1/",
    ] {
        let mut request = request(url);
        // A resolver that stays silent is given up after three fifths of this.
        request.timeout = Duration::from_secs(2);
        let answer = Http::new().send(&request).await;
        assert!(matches!(answer, Answer::NoConnection(_)), "{url}: {answer:?}");
    }
    let Answer::NoConnection(reason) = Http::new().send(&request(&refused)).await else {
        panic!()
    };
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
}

#[tokio::test]
async fn no_tls_where_it_is_expected_is_no_connection_either() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await;
        }
    });
    let answer = Http::new().send(&request(&url)).await;
    assert!(matches!(answer, Answer::NoConnection(_)), "{answer:?}");
}

#[tokio::test]
async fn a_connection_that_is_closed_before_a_full_answer_is_cut() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        "\0\0garbage\r\n\r\n",
    ] {
        let got = fixed(answer).await;
        assert!(matches!(got, Answer::Cut(_)), "{answer:?}: {got:?}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_whether_announced_or_not() {
    let url = server(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 5000]).await.is_ok() {}
    })
    .await;
    assert_eq!(Http::new().send(&request(&url)).await, Answer::TooLarge);
    let just = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    assert!(matches!(fixed(just).await, Answer::Response { body, .. } if body == b"abc"));
}

#[tokio::test]
async fn silence_and_a_trickle_are_slow() {
    let silent = server(|stream, _| async move {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let trickle = server(|mut stream, _| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
            .await;
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for url in [silent, trickle] {
        let mut request = request(&url);
        request.timeout = Duration::from_millis(600);
        assert_eq!(Http::new().send(&request).await, Answer::Slow);
    }
}

#[tokio::test]
async fn each_request_has_its_own_connection() {
    let url = server(|mut stream, _| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        // Kept open, so that a client that keeps connections would use this one again and get nothing.
        sleep(Duration::from_secs(60)).await;
    })
    .await;
    let http = Http::new();
    for _ in 0..3 {
        assert!(matches!(
            http.send(&request(&url)).await,
            Answer::Response { status: 200, .. }
        ));
    }
}
