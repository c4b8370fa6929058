//! App replicas and workers as processes of their own, over one NATS and one picture store.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use protocol::{GenerationRequest, JobCreated, JobView};
use reqwest::Response;
use server::images::moderation::Seen;

use crate::hub::{Hub, OWNER, json, models_dir};
use crate::nats::Nats;

/// Longest wait for anything, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(150);

pub struct Cluster {
    pub nats: Nats,
    /// Runs the picture store.
    pub store: Hub,
    pub http: reqwest::Client,
    keys: (String, String),
    options: Vec<String>,
}

/// A process that is killed when it is dropped.
pub struct Process {
    child: Child,
    pub url: String,
}

impl Process {
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(mut self) {
        signal("TERM", &self.pid());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), pid])
        .status();
    assert!(sent.unwrap().success());
}

impl Cluster {
    /// `options` are given to every process.
    pub async fn start(options: &[&str]) -> Self {
        let store = Hub::start().await;
        let keys = server::storage::credentials::load_or_create(store.data()).unwrap();
        Self {
            nats: Nats::start(),
            store,
            http: reqwest::Client::builder()
                .default_headers(
                    [(reqwest::header::COOKIE, OWNER.parse().unwrap())]
                        .into_iter()
                        .collect(),
                )
                .timeout(PATIENCE)
                .build()
                .unwrap(),
            keys: (
                keys.access_key_id,
                keys.secret_access_key.expose().to_owned(),
            ),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        }
    }

    /// A process of that role over the picture store at `store`.
    pub fn command(&self, role: &str, store: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo-hub"));
        command
            .arg(role)
            .args(["--nats-url", &self.nats.url()])
            .args(["--models-dir", models_dir().to_str().unwrap()])
            .args(["--s3-endpoint", store])
            .args(["--s3-bucket=demo-hub", "--renderer=cpu"])
            .args(["--s3-access-key-id", &self.keys.0])
            .args(&self.options)
            // One client does all here.
            .env("DEMO_HUB_PICTURES_IN_FLIGHT", "10000")
            .env("DEMO_HUB_PICTURES_PER_HOUR", "1000000")
            .env("DEMO_HUB_S3_SECRET_ACCESS_KEY", &self.keys.1)
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or("error".into()),
            );
        command
    }

    pub fn worker(&self, options: &[&str]) -> Process {
        self.worker_over(self.store.storage_origin(), options)
    }

    pub fn worker_over(&self, store: &str, options: &[&str]) -> Process {
        let mut command = self.command("worker", store);
        let child = command.args(options).spawn().unwrap();
        Process {
            child,
            url: String::new(),
        }
    }

    pub fn app(&self) -> Process {
        self.app_over(self.store.storage_origin())
    }

    pub fn app_over(&self, store: &str) -> Process {
        let mut child = self
            .command("serve", store)
            .args(["--listen=127.0.0.1:0", "--data"])
            .arg(self.store.data())
            .arg("--site-dir")
            .arg(self.store.site())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().strip_prefix("Demo Hub is at ").expect(&line);
        Process {
            url: url.to_owned(),
            child,
        }
    }

    pub async fn post(
        &self,
        app: &Process,
        request: &GenerationRequest,
        key: Option<&str>,
    ) -> Response {
        let mut post = self
            .http
            .post(format!("{}/api/v1/jobs", app.url))
            .json(request);
        if let Some(key) = key {
            post = post.header("idempotency-key", key);
        }
        post.send().await.unwrap()
    }

    pub async fn submit(&self, app: &Process, request: &GenerationRequest) -> JobCreated {
        json(self.post(app, request, None).await).await
    }

    pub async fn job(&self, app: &Process, id: &str) -> JobView {
        json(self.get(app, &format!("/api/v1/jobs/{id}")).await).await
    }

    pub async fn get(&self, app: &Process, path: &str) -> Response {
        self.http
            .get(format!("{}{path}", app.url))
            .send()
            .await
            .unwrap()
    }

    /// Waits until `done` holds of the job; answers other than a state are asked again.
    pub async fn wait(&self, app: &Process, id: &str, done: impl Fn(&JobView) -> bool) -> JobView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let response = self.get(app, &format!("/api/v1/jobs/{id}")).await;
            if response.status().is_success() {
                let view: JobView = response.json().await.unwrap();
                if done(&view) {
                    return view;
                }
                assert!(Instant::now() < deadline, "{view:?}");
            }
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every picture, whoever sees it.
    pub async fn pictures(&self) -> Vec<Seen> {
        self.store.records().await
    }
}
