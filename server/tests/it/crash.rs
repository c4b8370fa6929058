//! `kill -9` in the middle of uploads.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::{GalleryPage, ImageRecord, UploadTicket};
use reqwest::{Client, StatusCode};
use server::images::OwnerId;
use server::storage::{Store, StoreSettings, credentials};
use tokio::sync::{RwLock, mpsc};

use crate::hub::{Folders, OWNER, models_dir, picture, upload_request};
use crate::stores::{keys, keys_of, sweep};

const UPLOADS: u32 = 120;
const KILLS: usize = 8;
const SEED: u64 = 6;
/// Uploads at the same time.
const CLIENTS: u32 = 4;

/// A server as a process, with its store inside.
pub struct Server {
    child: Child,
    /// Kept open, or the process could not print.
    _stdout: BufReader<ChildStdout>,
    pub url: String,
    pub store: String,
}

impl Server {
    pub fn start(folders: &Folders, options: &[&str]) -> Self {
        Self::with(folders, false, options)
    }

    /// One that makes pictures itself, or not.
    pub fn with(folders: &Folders, worker: bool, options: &[&str]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_demo-hub"));
        Self::run(command, folders, worker, options)
    }

    /// One none of whose files grows beyond so many bytes, as on a disk that is full.
    pub fn limited(folders: &Folders, bytes: u32, options: &[&str]) -> Self {
        let mut command = Command::new("bash");
        let blocks = bytes / 1024;
        command
            .arg("-c")
            .arg(format!(
                r#"trap "" XFSZ; ulimit -f {blocks}; exec "$0" "$@""#
            ))
            .arg(env!("CARGO_BIN_EXE_demo-hub"));
        Self::run(command, folders, false, options)
    }

    /// One that `command` starts, which is given the options.
    pub fn run(mut command: Command, folders: &Folders, worker: bool, options: &[&str]) -> Self {
        let mut child = command
            .args(["serve", "--listen=127.0.0.1:0", "--s3-listen=127.0.0.1:0"])
            .arg("--renderer=cpu")
            .arg(format!("--embedded-worker={worker}"))
            .args([
                "--uploads-per-hour=100000",
                "--upload-mebibytes-per-day=4000",
            ])
            .args(options)
            .args((!options.contains(&"--models-dir")).then(|| {
                let models = models_dir().into_os_string().into_string().unwrap();
                format!("--models-dir={models}")
            }))
            .arg("--data")
            .arg(folders.data.path())
            .arg("--site-dir")
            .arg(folders.site())
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = |prefix: &str| {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            line.trim().strip_prefix(prefix).expect(&line).to_owned()
        };
        let url = line("Demo Hub is at ");
        let store = line("Pictures are stored at ");
        Self {
            url,
            store,
            child,
            _stdout: stdout,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One attempt at the whole way; `None` where the server went away, or the attempt before it left something behind.
async fn attempt(http: &Client, url: &str, variant: u32) -> Option<ImageRecord> {
    let bytes = picture(variant);
    let announced = http
        .post(format!("{url}/api/v1/uploads"))
        .json(&upload_request(&bytes))
        .send()
        .await
        .ok()?;
    if announced.status() != StatusCode::CREATED {
        return None;
    }
    let ticket: UploadTicket = announced.json().await.ok()?;
    let mut put = http.put(&ticket.url);
    for (name, value) in &ticket.headers {
        put = put.header(name, value);
    }
    if !ticket.already_stored {
        let put = put.body(bytes).send().await.ok()?;
        if !put.status().is_success() && put.status() != StatusCode::PRECONDITION_FAILED {
            return None;
        }
    }
    let commit = format!("{url}/api/v1/uploads/{}/commit", ticket.id);
    let committed = http.post(commit).send().await.ok()?;
    if !committed.status().is_success() {
        return None;
    }
    committed.json().await.ok()
}

/// Uploads until so many pictures are committed, while the server dies and comes back; the records that were answered.
async fn upload_under_fire(folders: &Folders, http: &Client) -> (Server, Vec<ImageRecord>, usize) {
    let mut server = Server::start(folders, &[]);
    let url = Arc::new(RwLock::new(server.url.clone()));
    let (next, tries) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (done, mut committed) = mpsc::unbounded_channel();
    for _ in 0..CLIENTS {
        let (url, next, tries) = (Arc::clone(&url), Arc::clone(&next), Arc::clone(&tries));
        let (http, done) = (http.clone(), done.clone());
        tokio::spawn(async move {
            loop {
                let variant = next.fetch_add(1, Ordering::SeqCst) as u32;
                if variant >= UPLOADS {
                    return;
                }
                loop {
                    let at = url.read().await.clone();
                    tries.fetch_add(1, Ordering::SeqCst);
                    if let Some(record) = attempt(&http, &at, variant).await {
                        done.send(record).unwrap();
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    drop(done);
    let mut state = SEED;
    let mut records = Vec::new();
    let mut kills = 0;
    while let Some(record) = committed.recv().await {
        records.push(record);
        let due = (kills + 1) * UPLOADS as usize / (KILLS + 1);
        if kills < KILLS && records.len() >= due {
            // Some step of the uploads under way; which one does not decide the test.
            tokio::time::sleep(Duration::from_micros(random(&mut state) % 60_000)).await;
            let mut url = url.write().await;
            server.kill();
            server = Server::start(folders, &[]);
            *url = server.url.clone();
            kills += 1;
        }
    }
    assert_eq!(kills, KILLS);
    (server, records, tries.load(Ordering::SeqCst))
}

async fn listed(http: &Client, url: &str) -> Vec<ImageRecord> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = http.get(format!("{url}/api/v1/images?limit=60{cursor}"));
        let page: GalleryPage = page.send().await.unwrap().json().await.unwrap();
        all.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_server_loses_no_committed_picture() {
    let folders = Folders::new();
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("cookie", OWNER.parse().unwrap());
    let http = Client::builder().default_headers(headers).build().unwrap();
    let (server, committed, attempts) = upload_under_fire(&folders, &http).await;
    assert_eq!(committed.len(), UPLOADS as usize);

    let listed = listed(&http, &server.url).await;
    let ids: BTreeSet<&String> = listed.iter().map(|record| &record.id).collect();
    for record in &committed {
        assert!(
            ids.contains(&record.id),
            "{} was committed and is not listed",
            record.id
        );
    }
    for record in &listed {
        let png = http
            .get(format!("{}{}", server.url, record.url))
            .send()
            .await
            .unwrap();
        assert_eq!(png.status(), StatusCode::OK, "{}", record.url);
        let bytes = png.bytes().await.unwrap();
        assert_eq!(server::images::verify::sha256_hex(&bytes), record.sha256);
        let small = http.get(format!("{}{}", server.url, record.thumbnail_url()));
        assert_eq!(small.send().await.unwrap().status(), StatusCode::OK);
    }
    let pairs = credentials::load_or_create(folders.data.path()).unwrap();
    let store = Store::new(&StoreSettings {
        endpoint: Some(server.store.clone()),
        public_endpoint: None,
        bucket: "demo-hub".into(),
        region: "us-east-1".into(),
        access_key_id: pairs.access_key_id,
        secret_access_key: pairs.secret_access_key,
        path_style: true,
    })
    .unwrap();
    let swept = sweep(store.clone()).await;
    println!(
        "{KILLS} kills, {attempts} attempts at {UPLOADS} uploads: {} committed, {} listed; then {swept:?}",
        committed.len(),
        listed.len()
    );
    let owner = OwnerId::from_cookies(OWNER).unwrap().to_string();
    let expected: BTreeSet<String> = listed
        .iter()
        .flat_map(|record| keys_of(record, &owner))
        .collect();
    assert_eq!(keys(&store).await, expected);
}
