//! A hub whose data lie on a real file system of eight mebibytes, filled to its end. Mounting one needs Linux and root,
//! or user namespaces; where neither is to be had, the test says on standard error that it was skipped.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use protocol::{GalleryPage, ImageRecord, UploadTicket};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use server::images::verify::sha256_hex;

use crate::crash::Server;
use crate::hub::{Folders, OWNER, picture, upload_request};

const SIZE: &str = "8m";
const GROWN: &str = "48m";
/// Bytes of an upload that is not committed.
const LARGE: usize = 512 << 10;
/// Attempts after the first refusal.
const FURTHER: u32 = 12;
const PATIENCE: Duration = Duration::from_secs(60);

/// How a process gets a view of the mounts of its own, and how another one joins it.
pub struct Namespace {
    make: &'static [&'static str],
    join: &'static [&'static str],
}

pub const NAMESPACES: [Namespace; 2] = [
    Namespace {
        make: &["unshare", "--mount"],
        join: &["nsenter", "--mount"],
    },
    Namespace {
        make: &["unshare", "--user", "--map-root-user", "--mount"],
        join: &["nsenter", "--user", "--preserve-credentials", "--mount"],
    },
];

const MOUNT: &str = r#"mount -t tmpfs -o "size=$1" tmpfs "$2" && shift 2 && exec "$@""#;

impl Namespace {
    pub fn command(&self, folder: &Path, program: &str) -> Command {
        let mut command = Command::new(self.make[0]);
        command.args(&self.make[1..]);
        command.args(["sh", "-c", MOUNT, "sh", SIZE]);
        command.arg(folder).arg(program);
        command
    }

    pub fn works(&self) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let tried = self.command(folder.path(), "true").output();
        tried.is_ok_and(|tried| tried.status.success())
    }

    /// Runs a program where the server sees the file system.
    fn run(&self, server: &Server, arguments: &[&str]) -> String {
        let out = Command::new(self.join[0])
            .args(&self.join[1..])
            .args(["--target", &server.pid().to_string()])
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    /// Free kibibytes.
    fn free(&self, server: &Server, folder: &str) -> u64 {
        let told = self.run(server, &["df", "-k", "--output=avail", folder]);
        told.lines().last().unwrap().trim().parse().unwrap()
    }
}

/// A hub and its owner.
struct Site {
    server: Server,
    http: Client,
}

/// How an attempt to save a picture ended.
enum Saved {
    Yes(Box<ImageRecord>),
    /// At that step.
    Full(&'static str),
}

impl Site {
    async fn refused(answer: Response, step: &'static str) -> Saved {
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{step}: {text}");
        let named = ["\"storage_full\"", "<Code>StorageFull</Code>"];
        assert!(
            named.iter().any(|name| text.contains(name)),
            "{step}: {text}"
        );
        Saved::Full(step)
    }

    /// Sends bytes to the store, and does not commit them.
    async fn upload(&self, bytes: Vec<u8>) -> Result<UploadTicket, Saved> {
        let uploads = format!("{}/api/v1/uploads", self.server.url);
        let announced = self.http.post(&uploads).json(&upload_request(&bytes));
        let announced = announced.send().await.unwrap();
        if announced.status() != StatusCode::CREATED {
            return Err(Self::refused(announced, "announcement").await);
        }
        let ticket: UploadTicket = announced.json().await.unwrap();
        if !ticket.already_stored {
            let put = ticket.headers.iter().fold(
                self.http.put(&ticket.url).body(bytes),
                |put, (name, value)| put.header(name, value),
            );
            let put = put.send().await.unwrap();
            if !put.status().is_success() {
                return Err(Self::refused(put, "bytes").await);
            }
        }
        Ok(ticket)
    }

    async fn save(&self, bytes: Vec<u8>) -> Saved {
        let ticket = match self.upload(bytes).await {
            Ok(ticket) => ticket,
            Err(refused) => return refused,
        };
        let commit = format!("{}/api/v1/uploads/{}/commit", self.server.url, ticket.id);
        let committed = self.http.post(commit).send().await.unwrap();
        if !committed.status().is_success() {
            return Self::refused(committed, "commit").await;
        }
        Saved::Yes(Box::new(committed.json().await.unwrap()))
    }

    async fn get(&self, path: &str) -> Response {
        let url = format!("{}{path}", self.server.url);
        self.http.get(url).send().await.unwrap()
    }

    async fn readiness(&self) -> (StatusCode, Value) {
        let answer = self.get("/readyz").await;
        (answer.status(), answer.json().await.unwrap())
    }

    async fn listed(&self) -> BTreeMap<String, ImageRecord> {
        let (mut all, mut cursor) = (BTreeMap::new(), None::<String>);
        loop {
            let cursor_part = cursor.map_or_else(String::new, |c| format!("&cursor={c}"));
            let path = format!("/api/v1/images?limit=60{cursor_part}");
            let page: GalleryPage = self.get(&path).await.json().await.unwrap();
            all.extend(page.items.into_iter().map(|item| (item.id.clone(), item)));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return all;
            }
        }
    }

    /// Every listed picture has the bytes that its record names.
    async fn all_have_their_bytes(&self) -> BTreeMap<String, ImageRecord> {
        let listed = self.listed().await;
        for record in listed.values() {
            let png = self.get(&record.url).await;
            assert_eq!(png.status(), StatusCode::OK, "{}", record.id);
            assert_eq!(sha256_hex(&png.bytes().await.unwrap()), record.sha256);
        }
        listed
    }

    async fn delete(&self, id: &str) {
        let url = format!("{}/api/v1/images/{id}", self.server.url);
        let deleted = self.http.delete(url).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    }

    /// Saves that picture as soon as there is room.
    async fn saved_in_time(&self, variant: u32) -> (Box<ImageRecord>, Duration) {
        let begun = Instant::now();
        loop {
            match self.save(picture(variant)).await {
                Saved::Yes(record) => return (record, begun.elapsed()),
                Saved::Full(step) => assert!(begun.elapsed() < PATIENCE, "still full: {step}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_loses_nothing_and_takes_more_once_there_is_room() {
    let Some(namespace) = NAMESPACES.iter().find(|namespace| namespace.works()) else {
        // Not by the macro, whose words are kept back where a test passes.
        let told = writeln!(
            std::io::stderr(),
            "SKIPPED small_disk: nothing can be mounted here (Linux, root or user namespaces)"
        );
        return told.unwrap();
    };
    let folders = Folders::new();
    let folder = folders.data.path().to_str().unwrap().to_owned();
    let command = namespace.command(folders.data.path(), env!("CARGO_BIN_EXE_demo-hub"));
    let server = Server::run(command, &folders, false, &[]);
    let headers = [(reqwest::header::COOKIE, OWNER.parse().unwrap())];
    let http = Client::builder().default_headers(headers.into_iter().collect());
    let site = Site {
        server,
        http: http.build().unwrap(),
    };
    let empty = namespace.free(&site.server, &folder);
    assert_eq!(site.readiness().await.1["storing"], true);

    // Full: with uploads that nobody commits, then with pictures.
    let mut large = 0;
    while site.upload(vec![large; LARGE]).await.is_ok() {
        large += 1;
    }
    let (mut saved, mut refusals, mut variant) = (Vec::new(), BTreeMap::new(), 0);
    let mut left = FURTHER;
    while left > 0 {
        variant += 1;
        assert!(variant < 5_000, "the disk is never full");
        match site.save(picture(variant)).await {
            Saved::Yes(record) => saved.push(record),
            Saved::Full(step) => {
                *refusals.entry(step).or_insert(0u32) += 1;
                left -= 1;
            }
        }
    }
    let full = namespace.free(&site.server, &folder);
    let (status, state) = site.readiness().await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(state["status"], "degraded", "{state}");
    assert_eq!(
        (&state["storage"], &state["storing"]),
        (&true.into(), &false.into())
    );
    let listed = site.all_have_their_bytes().await;
    for record in &saved {
        assert_eq!(
            listed.get(&record.id),
            Some(&**record),
            "what was answered is listed"
        );
    }
    println!(
        "{SIZE}: {empty} KiB free, {large} uploads of {LARGE} bytes and {} pictures stored until {full} KiB were free; then refused with 507: {refusals:?}",
        saved.len()
    );

    // Deletions have the reserve, and make room.
    let (gone, kept) = saved.split_at(saved.len() / 2);
    for record in gone {
        site.delete(&record.id).await;
    }
    let (again, took) = site.saved_in_time(100_000).await;
    println!(
        "{} deleted: {} KiB free, the next was saved after {took:?}",
        gone.len(),
        namespace.free(&site.server, &folder)
    );

    // Grown.
    let size = format!("remount,size={GROWN}");
    namespace.run(&site.server, &["mount", "-o", &size, &folder]);
    let mut after = vec![again];
    for n in 0..20 {
        after.push(site.saved_in_time(200_000 + n).await.0);
    }
    let (status, state) = site.readiness().await;
    assert_eq!((status, &state["storing"]), (StatusCode::OK, &true.into()));
    let listed = site.all_have_their_bytes().await;
    for record in kept.iter().chain(&after) {
        assert_eq!(listed.get(&record.id), Some(&**record));
    }
    for record in gone {
        assert!(!listed.contains_key(&record.id), "{}", record.id);
    }
    println!(
        "{GROWN}: {} pictures, every one with its bytes",
        listed.len()
    );
}
