//! A way to a store that can be closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::hub::{Folders, Hub};

/// Passes connections on; while it is closed, every request is answered with status 503.
pub struct Gate {
    pub origin: String,
    open: watch::Sender<bool>,
    refused: Arc<AtomicUsize>,
}

const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

impl Gate {
    /// An open gate in front of `store`.
    pub async fn before(store: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let open = watch::Sender::new(true);
        let refused = Arc::new(AtomicUsize::new(0));
        let store = store.trim_start_matches("http://").to_owned();
        let (state, count) = (open.subscribe(), Arc::clone(&refused));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(
                    client,
                    store.clone(),
                    state.clone(),
                    Arc::clone(&count),
                ));
            }
        });
        Self {
            origin,
            open,
            refused,
        }
    }

    pub fn close(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Requests that met a closed gate.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

async fn pass(
    mut client: TcpStream,
    store: String,
    mut open: watch::Receiver<bool>,
    refused: Arc<AtomicUsize>,
) {
    let mut head = vec![0; 64 << 10];
    let Ok(read @ 1..) = client.read(&mut head).await else {
        return;
    };
    if !*open.borrow() {
        refused.fetch_add(1, Ordering::SeqCst);
        let _ = client.write_all(BUSY).await;
        let _ = client.shutdown().await;
        // Whatever the client still sends, until it has read the answer.
        while matches!(client.read(&mut head).await, Ok(1..)) {}
        return;
    }
    let mut server = TcpStream::connect(store).await.unwrap();
    if server.write_all(&head[..read]).await.is_err() {
        return;
    }
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        // Connections in use are cut when it closes.
        _ = open.wait_for(|open| !open) => {}
    }
}

/// A hub over the store of another one, with a gate in between.
pub struct Gated {
    /// Runs the store.
    _store: Hub,
    pub gate: Gate,
    keys: (String, String),
}

impl Gated {
    pub async fn start() -> Self {
        let store = Hub::with(&["--embedded-worker=false"]).await;
        let gate = Gate::before(store.storage_origin()).await;
        let keys = server::storage::credentials::load_or_create(store.data()).unwrap();
        Self {
            _store: store,
            gate,
            keys: (
                keys.access_key_id,
                keys.secret_access_key.expose().to_owned(),
            ),
        }
    }

    pub async fn hub(&self, folders: Folders, options: &[&str]) -> Hub {
        let mut all = vec![
            "--s3-endpoint",
            &self.gate.origin,
            "--s3-bucket=demo-hub",
            "--s3-access-key-id",
            &self.keys.0,
            "--s3-secret-access-key",
            &self.keys.1,
        ];
        all.extend(options);
        Hub::over(folders, &all).await
    }
}
