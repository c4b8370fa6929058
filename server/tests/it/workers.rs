//! What a worker process keeps to itself: its own uploads, its memory, its signs of life.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::JobStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::Cluster;
use crate::hub::request;

/// Passes connections on to a store and keeps what its clients sent.
struct Tap {
    origin: String,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    async fn on(store: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (store, keep) = (
            store.trim_start_matches("http://").to_owned(),
            Arc::clone(&sent),
        );
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&store).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&keep)));
            }
        });
        Self { origin, sent }
    }

    /// Request lines of this method; on a connection in use they follow a body without a line break.
    fn requests(&self, method: &str) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        String::from_utf8_lossy(&sent)
            .lines()
            .filter(|line| line.ends_with(" HTTP/1.1"))
            .filter_map(|line| Some(line[line.find(&format!("{method} /"))?..].to_owned()))
            .collect()
    }
}

async fn pass(client: TcpStream, server: TcpStream, sent: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            sent.lock().unwrap().extend_from_slice(&buffer[..read]);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(up, down);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_uploads_its_picture_itself_by_a_presigned_put() {
    let cluster = Cluster::start(&[]).await;
    let store = cluster.store.storage_origin();
    let (apps, workers) = (Tap::on(store).await, Tap::on(store).await);
    let app = cluster.app_over(&apps.origin);
    let _worker = cluster.worker_over(&workers.origin, &[]);
    let job = cluster.submit(&app, &request("red apple", 1)).await;
    let view = cluster
        .wait(&app, &job.id, |view| view.status.is_final())
        .await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    let puts = workers.requests("PUT");
    let pictures: Vec<_> = puts.iter().filter(|line| line.contains("/img/")).collect();
    let [picture] = pictures[..] else {
        panic!("{puts:?}")
    };
    for signed in ["X-Amz-Signature=", "X-Amz-Expires=", "X-Amz-SignedHeaders="] {
        assert!(picture.contains(signed), "{picture}");
    }
    // The app reads and lists, but no byte of the picture passes through it.
    let through_app = apps.requests("PUT");
    assert!(
        !through_app.iter().any(|line| line.contains("/img/")),
        "{through_app:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_too_small_for_every_model_says_so_and_ends() {
    let cluster = Cluster::start(&[]).await;
    let ended = cluster
        .command("worker", cluster.store.storage_origin())
        .arg("--memory-budget-mib=1")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(
        said.contains("no model fits this worker's memory"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_counted_by_their_signs_of_life() {
    let cluster = Cluster::start(&[]).await;
    let app = cluster.app();
    let counted = async |wanted: bool| {
        let seen = async {
            loop {
                let answer = cluster.get(&app, "/readyz").await;
                let ready: serde_json::Value = answer.json().await.unwrap();
                if ready["worker"] == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), seen).await
    };
    counted(false).await.unwrap();
    let mut killed = cluster.worker(&[]);
    counted(true).await.unwrap();
    killed.kill();
    counted(false).await.expect("a silent worker is forgotten");
    let leaving = cluster.worker(&[]);
    counted(true).await.unwrap();
    leaving.terminate();
    counted(false).await.expect("a worker that leaves says so");
}
