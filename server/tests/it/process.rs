//! The server as a process of its own.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::hub::{Folders, models_dir};

/// `nohup demo-hub serve | head -1` and the like.
#[tokio::test]
async fn a_server_serves_although_nobody_reads_what_it_prints() {
    let folders = Folders::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    let mut server = Command::new(env!("CARGO_BIN_EXE_demo-hub"))
        .args(["serve", "--s3-listen=127.0.0.1:0", "--renderer=cpu"])
        .arg("--catalog-online=false")
        .args(["--listen", &listen, "--data"])
        .arg(folders.data.path())
        .arg("--site-dir")
        .arg(folders.site.path())
        .arg("--models-dir")
        .arg(models_dir())
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(server.stdout.take());

    let deadline = Instant::now() + Duration::from_secs(60);
    let healthy = loop {
        match reqwest::get(format!("http://{listen}/healthz")).await {
            Ok(response) => break response.status().is_success(),
            Err(error) if server.try_wait().unwrap().is_some() || Instant::now() > deadline => {
                panic!("{error}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    // Time for what comes after the listener to be printed.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let alive = server.try_wait().unwrap().is_none();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(healthy && alive);
}
