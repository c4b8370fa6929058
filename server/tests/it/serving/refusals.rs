//! Refusals of requests whose body is still being written: the client sees the answer, never a broken connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{address, exchange, read_all};
use crate::hub::Hub;

const MEBIBYTE: usize = 1 << 20;

/// A request for `path` whose body is announced and not sent yet.
fn head(method: &str, path: &str, length: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{length}\r\n{more}\r\n"
    )
}

/// Writes a body of ten megabytes in pieces, and reads only then.
async fn answered(to: std::net::SocketAddr, head: &str, pause: Duration, chunked: bool) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b' '; MEBIBYTE / 4];
    for _ in 0..40 {
        if chunked {
            stream.write_all(b"40000\r\n").await.unwrap();
        }
        stream.write_all(&piece).await.unwrap();
        if chunked {
            stream.write_all(b"\r\n").await.unwrap();
        }
        tokio::time::sleep(pause).await;
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    }
    read_all(&mut stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_still_writing_sees_why_it_is_refused() {
    let hub = Hub::start().await;
    let to = address(&hub);
    let length = format!("content-length: {}", 10 * MEBIBYTE);
    let chunked = "transfer-encoding: chunked";
    let cases = [
        ("POST", "/api/v1/jobs", "413", "body_too_large"),
        ("POST", "/v1/images/generations", "413", "body_too_large"),
        ("POST", "/api/v1/uploads", "413", "body_too_large"),
        ("POST", "/api/v1/nothing", "404", "not_found"),
        ("PUT", "/api/v1/jobs", "405", "method_not_allowed"),
        ("POST", "/", "405", ""),
        ("POST", "/models/glyph/manifest.json", "405", ""),
        ("POST", "/robots.txt", "405", ""),
    ];
    for (method, path, status, code) in cases {
        for (length, is_chunked) in [(length.as_str(), false), (chunked, true)] {
            let request = head(method, path, length, "");
            let pauses = [0, 0, 0, 0, 1, 5];
            let all =
                pauses.map(|ms| answered(to, &request, Duration::from_millis(ms), is_chunked));
            for answer in futures::future::join_all(all).await {
                let expected = format!("HTTP/1.1 {status} ");
                assert!(
                    answer.starts_with(&expected),
                    "{method} {path}: {answer:.300}"
                );
                assert!(answer.contains(code), "{method} {path}: {answer:.300}");
            }
        }
    }
}

/// The fault that was met: the answer came in one of many tries only.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_times_in_a_row() {
    let hub = Hub::start().await;
    let request = head(
        "POST",
        "/api/v1/jobs",
        &format!("content-length: {}", 10 * MEBIBYTE),
        "",
    );
    for round in 0..50 {
        let pause = Duration::from_micros(round * 20);
        let answer = answered(address(&hub), &request, pause, false).await;
        assert!(
            answer.starts_with("HTTP/1.1 413 "),
            "{round}: {answer:.300}"
        );
        assert!(answer.contains("connection: close"), "{answer:.300}");
    }
}

/// RFC 9110, 10.1.1: a server that will not read the body answers at once instead of 100.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_first_is_told_before_it_sends() {
    let hub = Hub::start().await;
    for (path, status) in [("/api/v1/jobs", "413"), ("/api/v1/nothing", "404")] {
        let length = format!("content-length: {}", 10 * MEBIBYTE);
        let request = head("POST", path, &length, "expect: 100-continue\r\n");
        let mut stream = TcpStream::connect(address(&hub)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    // And one that will read it says so.
    let body = r#"{"model": "no/such", "prompt": "x"}"#;
    let length = format!("content-length: {}", body.len());
    let request = head("POST", "/api/v1/jobs", &length, "expect: 100-continue\r\n");
    let mut stream = TcpStream::connect(address(&hub)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = [0; 25];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut bytes = [0; 13];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"HTTP/1.1 404 ");
}

/// A small body that nobody reads costs no connection, even where it comes late.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_on_the_connection_is_answered() {
    let hub = Hub::start().await;
    let mut stream = TcpStream::connect(address(&hub)).await.unwrap();
    for _ in 0..3 {
        let request = head("POST", "/api/v1/nothing", "content-length: 4", "");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 404");
        let mut rest = String::new();
        while !rest.ends_with('}') {
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "the connection was closed: {rest}");
            rest.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        assert!(!rest.contains("connection: close"), "{rest}");
        stream.write_all(b"null").await.unwrap();
    }
}

/// What is no request is told so, however much of it there is.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_and_endless_heads_are_answered() {
    let hub = Hub::start().await;
    let endless = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}",
        "x".repeat(4 * MEBIBYTE)
    );
    for (request, status) in [(endless.as_str(), "431"), ("nonsense\r\n\r\n", "400")] {
        let mut stream = TcpStream::connect(address(&hub)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer:.100}"
        );
    }
}

/// RFC 9112, 3.2: 400 to a request of HTTP/1.1 without a host, with two, or with one that cannot be one. Both ports.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_the_host_once() {
    let hub = Hub::start().await;
    let store = hub.storage_origin().strip_prefix("http://").unwrap();
    let of_hub = (address(&hub), "/healthz", "200");
    let of_store = (store.parse().unwrap(), "/demo-hub/x", "403");
    for (to, path, served) in [of_hub, of_store] {
        for (version, hosts, status) in [
            ("1.1", "host: localhost\r\n", served),
            ("1.1", "Host: [::1]:3000\r\n", served),
            ("1.1", "", "400"),
            ("1.1", "host: localhost\r\nhost: localhost\r\n", "400"),
            ("1.1", "host: localhost\r\nHost: elsewhere\r\n", "400"),
            ("1.1", "host: a b\r\n", "400"),
            ("1.1", "host: someone@localhost\r\n", "400"),
            ("1.1", "host: localhost, elsewhere\r\n", "400"),
            ("1.0", "", served),
        ] {
            let request = format!("GET {path} HTTP/{version}\r\n{hosts}connection: close\r\n\r\n");
            let answer = exchange(to, &request).await;
            let begins = answer.split(' ').nth(1);
            assert_eq!(begins, Some(status), "{request:?}: {answer:.200}");
        }
        // What follows on the same connection is read as it should be.
        let two = format!(
            "POST {path} HTTP/1.1\r\ncontent-length: 5\r\n\r\nHELLOGET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        let answers = exchange(to, &two).await;
        let statuses: Vec<_> = answers.matches("HTTP/1.1 ").collect();
        assert!(answers.starts_with("HTTP/1.1 400 "), "{answers:.200}");
        assert!(statuses.len() <= 2, "{answers:.400}");
        if statuses.len() == 2 {
            assert!(
                answers.contains(&format!("HTTP/1.1 {served} ")),
                "{answers:.400}"
            );
        }
    }
}
