//! A NATS server for one test.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use server::jobs::redelivery::Backoff;
use server::jobs::{NatsOptions, NatsQueue, Patience, Role};
use tempfile::TempDir;

pub struct Nats {
    port: u16,
    store: TempDir,
    process: Child,
}

impl Nats {
    pub fn start() -> Self {
        let port = free_port();
        let store = tempfile::tempdir().unwrap();
        let process = spawn(port, &store);
        Self {
            port,
            store,
            process,
        }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> String {
        self.process.id().to_string()
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts again with the same port and folder.
    pub fn restart(&mut self) {
        self.process = spawn(self.port, &self.store);
    }

    pub async fn queue(&self, capacity: usize, role: Role) -> NatsQueue {
        self.queue_of("test", capacity, Duration::from_secs(60), role)
            .await
    }

    /// The queue of the hub whose names begin with `prefix`.
    pub async fn queue_of(
        &self,
        prefix: &str,
        capacity: usize,
        retention: Duration,
        role: Role,
    ) -> NatsQueue {
        let options = NatsOptions {
            url: self.url(),
            prefix: prefix.into(),
            capacity,
            retention,
            ack_wait: Duration::from_secs(1),
            replicas: 1,
            unreadable: Patience {
                deliveries: 3,
                pauses: Backoff {
                    first: Duration::from_millis(200),
                    longest: Duration::from_millis(400),
                },
            },
        };
        NatsQueue::connect(options, role).await.unwrap()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn spawn(port: u16, store: &TempDir) -> Child {
    // Debian's place, which is not on everybody's PATH.
    let debian = Path::new("/usr/sbin/nats-server");
    let program = if debian.exists() {
        debian
    } else {
        Path::new("nats-server")
    };
    Command::new(program)
        .args(["--jetstream", "--addr", "127.0.0.1", "--port"])
        .arg(port.to_string())
        .arg("--store_dir")
        .arg(store.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server on PATH: `cargo xtask test` installs it")
}
