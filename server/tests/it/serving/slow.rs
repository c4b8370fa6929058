//! Clients that take their time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{address, connect_from, exchange, read_all};
use crate::hub::{Hub, picture, request};

/// Sockets that take little of an answer before they block.
async fn narrow(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(to).await.unwrap()
}

/// Within a second, and two more for a machine that is busy with other tests.
async fn healthy(to: SocketAddr) {
    let begun = Instant::now();
    let answer = exchange(
        to,
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    println!("healthy after {:?}", begun.elapsed());
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

/// 1,050 connections that never finish their heads, from one address and from many, with room for all and without.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_heads_keep_nobody_out() {
    for most in ["4096", "500"] {
        let hub = Hub::with(&["--max-connections", most]).await;
        let to = address(&hub);
        for several in [false, true] {
            let connecting = (0..1050_u16).map(|n| async move {
                let last = if several { (n % 200) as u8 + 2 } else { 1 };
                let mut stream = connect_from(last, to).await;
                // Where another made it leave again, that is right too.
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: local").await;
                stream
            });
            let begun = Instant::now();
            let held = join_all(connecting).await;
            healthy(to).await;
            println!(
                "{} connections, {most} held at most: {:?}",
                held.len(),
                begun.elapsed()
            );
        }
        hub.stop().await;
    }
}

/// A head that drips, a body that stops or drips, and a connection that is kept for nothing: each ends in its time.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_is_not_waited_for() {
    let hub = Hub::with(&[
        "--header-timeout-seconds=2",
        "--body-timeout-seconds=2",
        "--idle-timeout-seconds=4",
    ])
    .await;
    let to = address(&hub);
    let head = async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let begun = Instant::now();
        while stream.write_all(b"x").await.is_ok() && begun.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        begun.elapsed()
    };
    let body = async |pieces: usize| {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let head = "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                    content-length: 1000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..pieces {
            stream.write_all(b" ").await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let begun = Instant::now();
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("request_timeout"), "{answer}");
        begun.elapsed()
    };
    let idle = async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        let begun = Instant::now();
        assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 200 "));
        begun.elapsed()
    };
    let (head, stopped, dripping, idle) = tokio::join!(head, body(0), body(15), idle);
    println!("head {head:?}, body {stopped:?} and {dripping:?} more, idle {idle:?}");
    for (took, limit) in [(head, 2), (stopped, 2), (idle, 4)] {
        assert!(took > Duration::from_secs(limit - 1), "{took:?}");
        assert!(took < Duration::from_secs(limit + 10), "{took:?}");
    }
}

/// An event stream on which nothing happens outlives every time-out; so does a picture that takes long.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_the_server_is_left_alone() {
    let all = [
        "--header-timeout-seconds=1",
        "--body-timeout-seconds=1",
        "--idle-timeout-seconds=1",
        "--write-timeout-seconds=1",
    ];
    let hub = Hub::with(&all).await;
    // The queue is kept busy, so that the last job waits.
    let mut last = String::new();
    for n in 0..2 {
        let mut order = request("red apple", n);
        order.num_inference_steps = Some(50);
        last = hub.submit(&order).await.id;
    }
    let begun = Instant::now();
    let answer = hub.get(&format!("/api/v1/jobs/{last}/events")).await;
    let text = answer.text().await.unwrap();
    println!("followed for {:?}", begun.elapsed());
    assert!(text.contains("completed"), "{text}");
}

/// A client that reads nothing of a large answer is left, and its job of writing it ends.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_left() {
    let hub = Hub::with(&["--write-timeout-seconds=2"]).await;
    let mut stream = narrow(address(&hub)).await;
    let get = "GET /models/glyph/denoiser.onnx HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(get.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(8)).await;
    // What the socket held comes, and then the end: far less than the file.
    let mut total = 0;
    let mut bytes = vec![0; 1 << 20];
    loop {
        match stream.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(count) => total += count,
        }
    }
    let whole = std::fs::metadata(crate::hub::models_dir().join("glyph/denoiser.onnx"));
    assert!(total < whole.unwrap().len() as usize, "{total}");
}

/// SIGTERM's grace is for those who take their answers.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_does_not_wait_for_who_does_not_read() {
    let hub = Hub::with(&["--shutdown-grace-seconds=60"]).await;
    let to = address(&hub);
    let mut unread = narrow(to).await;
    let get = "GET /models/glyph/denoiser.onnx HTTP/1.1\r\nhost: localhost\r\n\r\n";
    unread.write_all(get.as_bytes()).await.unwrap();
    let mut unfinished = TcpStream::connect(to).await.unwrap();
    unfinished.write_all(b"GET / HT").await.unwrap();
    let mut kept = TcpStream::connect(to).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    kept.read_exact(&mut [0; 12]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    hub.stop().await;
    println!("stopped after {:?}", begun.elapsed());
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

/// The store's port has the same patience.
#[tokio::test(flavor = "multi_thread")]
async fn the_stores_port_is_guarded_too() {
    let hub = Hub::with(&["--header-timeout-seconds=2", "--body-timeout-seconds=2"]).await;
    let store: SocketAddr = hub
        .storage_origin()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let held = join_all((0..1050).map(|_| async move {
        let mut stream = connect_from(1, store).await;
        let _ = stream.write_all(b"PUT /").await;
        stream
    }))
    .await;
    let begun = Instant::now();
    hub.save(picture(1)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    for mut stream in held {
        let _ = read_all_or_reset(&mut stream).await;
    }
}

async fn read_all_or_reset(stream: &mut TcpStream) -> std::io::Result<usize> {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .expect("the store closes")
}
