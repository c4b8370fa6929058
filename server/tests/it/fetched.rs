//! `demo-hub models add owner/name` from a hub that behaves as the real one does: descriptions with digests, weights on another
//! host behind signed redirects, ranges, models for those who agreed to terms, limits of requests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::header;
use serde_json::{Value, json};
use server::images::verify::sha256_hex;
use tempfile::TempDir;

use crate::catalog::{model, nothing};
use crate::models::{export, models, stable_diffusion};
use crate::renderers::stand_in::{Act, Seen, StandIn};
use crate::small_disk::NAMESPACES;

pub const TOKEN: &str = "hf_of_somebody";
pub const FIRST: &str = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14";
const SECOND: &str = "9a14451f4fe16113bff5a5d2269ed5ad43b0592e";
pub const LARGE: &str = "unet/model.onnx";

/// A model's files at a commit.
#[derive(Clone)]
pub struct State {
    commit: &'static str,
    pub files: BTreeMap<String, Vec<u8>>,
    pub gated: bool,
    /// How the host of weights gives [`LARGE`].
    pub large: Large,
    /// Requests that are answered with a pause, of the description and of files.
    pub pauses: usize,
    /// Whether the hub tells how large files are.
    pub sizes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Large {
    Whole,
    CutOff,
    Stalled,
    Wrong,
}

/// A hub with one model, `maker/model`.
pub struct Hub {
    pub hub: StandIn,
    weights: StandIn,
    pub state: Arc<Mutex<State>>,
    _export: TempDir,
}

/// A model that is run as well as it is packed, its scheduler's configuration being `config`.
fn files(config: &Value) -> (TempDir, BTreeMap<String, Vec<u8>>) {
    let export = export("StableDiffusionPipeline", config, &[]);
    let mut files = BTreeMap::new();
    for folder in fs::read_dir(export.path()).unwrap() {
        let folder = folder.unwrap().path();
        let paths = match folder.is_dir() {
            true => fs::read_dir(&folder)
                .unwrap()
                .map(|file| file.unwrap().path())
                .collect(),
            false => vec![folder],
        };
        for path in paths {
            let name = path.strip_prefix(export.path()).unwrap();
            let bytes = fs::read(&path).unwrap();
            files.insert(name.to_str().unwrap().to_owned(), bytes);
        }
    }
    (export, files)
}

fn is_large(path: &str) -> bool {
    path.ends_with(".onnx")
}

impl Hub {
    pub async fn start() -> Self {
        let (export, files) = files(&stable_diffusion("DDIMScheduler", json!({})));
        let state = Arc::new(Mutex::new(State {
            commit: FIRST,
            files,
            gated: false,
            large: Large::Whole,
            pauses: 0,
            sizes: true,
        }));
        let known = Arc::clone(&state);
        let weights =
            StandIn::answering(move |seen: &Seen| weights(&known.lock().unwrap(), seen)).await;
        let (known, host) = (
            Arc::clone(&state),
            weights.url.replace("127.0.0.1", "localhost"),
        );
        let hub =
            StandIn::answering(move |seen: &Seen| hub(&mut known.lock().unwrap(), &host, seen))
                .await;
        Self {
            hub,
            weights,
            state,
            _export: export,
        }
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    async fn add(&self, dir: &Path, more: &[&str]) -> Result<String, String> {
        let line = ["add", "maker/model", "--hub-url", &self.hub.url];
        models(dir, &[&line[..], more].concat()).await
    }

    /// What it asked for of [`LARGE`]: the ranges.
    pub fn ranges(&self) -> Vec<Option<String>> {
        let digest = sha256_hex(&self.state.lock().unwrap().files[LARGE]);
        let seen = self.weights.seen();
        let of_large = seen.iter().filter(|seen| seen.path.ends_with(&digest));
        of_large
            .map(|seen| {
                let range = seen.headers.get(header::RANGE)?;
                Some(range.to_str().unwrap().to_owned())
            })
            .collect()
    }

    /// The same as a process of its own.
    fn process(&self, dir: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_demo-hub"))
            .args(["models", "add", "maker/model", "--hub-url", &self.hub.url])
            .arg("--models-dir")
            .arg(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

fn hub(state: &mut State, weights: &str, seen: &Seen) -> Act {
    if state.pauses > 0 {
        state.pauses -= 1;
        let act = Act::json(429, &json!({"error": "We had to rate limit you"}));
        return match state.pauses % 2 {
            0 => act.header("retry-after", "1"),
            _ => act.header("ratelimit", "\"resolvers\";r=0;t=1"),
        };
    }
    let token = seen.headers.get(header::AUTHORIZATION);
    let known = token.is_some_and(|token| token == &*format!("Bearer {TOKEN}"));
    let described = [
        "/api/models/maker/model",
        "/api/models/maker/model/revision/v1",
    ];
    if described.contains(&&*seen.path) {
        return Act::json(200, &description(state));
    }
    let prefix = format!("/maker/model/resolve/{}/", state.commit);
    let Some(path) = seen.path.strip_prefix(&prefix) else {
        return nothing();
    };
    let Some(bytes) = state.files.get(path) else {
        return nothing().header("x-error-code", "EntryNotFound");
    };
    if state.gated && !known {
        return Act::say(
            403,
            "text/plain",
            "Access to model maker/model is restricted.",
        )
        .header("x-error-code", "GatedRepo");
    }
    if !is_large(path) {
        return Act::say(200, "text/plain", bytes.clone());
    }
    let address = format!(
        "{weights}/repos/ab/{}?X-Amz-Signature=secret",
        sha256_hex(bytes)
    );
    Act::say(302, "text/plain", "Found").header("location", &address)
}

fn description(state: &State) -> Value {
    let siblings = state.files.iter().map(|(path, bytes)| {
        let mut file = json!({"rfilename": path, "blobId": "12ab"});
        if state.sizes {
            file["size"] = bytes.len().into();
        }
        if is_large(path) {
            file["lfs"] = json!({"sha256": sha256_hex(bytes), "pointerSize": 134});
        }
        file
    });
    let siblings: Vec<Value> = siblings.collect();
    let gated: Value = if state.gated {
        "auto".into()
    } else {
        false.into()
    };
    let more = json!({"siblings": siblings, "sha": state.commit, "gated": gated});
    model("maker/model", more)
}

/// The host of weights: an address with a signature takes no token beside it.
fn weights(state: &State, seen: &Seen) -> Act {
    if seen.headers.contains_key(header::AUTHORIZATION) {
        return Act::say(400, "application/xml", "<Code>InvalidArgument</Code>");
    }
    let digest = seen.path.rsplit('/').next().unwrap();
    let found = state
        .files
        .iter()
        .find(|(_, bytes)| sha256_hex(bytes) == digest);
    let Some((path, bytes)) = found.filter(|_| seen.query == "X-Amz-Signature=secret") else {
        return Act::say(403, "application/xml", "<Code>AccessDenied</Code>");
    };
    let mut bytes = bytes.clone();
    if path == LARGE && state.large == Large::Wrong {
        bytes.reverse();
    }
    let range = seen.headers.get(header::RANGE);
    let act = match range.map(|range| range.to_str().unwrap().strip_prefix("bytes=").unwrap()) {
        None => Act::say(200, "binary/octet-stream", bytes),
        Some(range) => {
            let (first, last) = range.split_once('-').unwrap();
            let first: usize = first.parse().unwrap();
            let last = last.parse().unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
            if first >= bytes.len() {
                return Act::say(416, "application/xml", "<Code>InvalidRange</Code>");
            }
            let said = format!("bytes {first}-{last}/{}", bytes.len());
            Act::say(206, "binary/octet-stream", &bytes[first..=last])
                .header("content-range", &said)
        }
    };
    match (path == LARGE, state.large) {
        (true, Large::CutOff) => act.cut_off(),
        (true, Large::Stalled) => act.stalling(),
        _ => act,
    }
}

/// Nothing in the models folder but what a download keeps for the next run.
pub fn is_without_packages(dir: &Path) -> bool {
    let mut entries = fs::read_dir(dir).unwrap();
    entries.all(|entry| entry.unwrap().file_name() == ".downloads")
}

fn package(dir: &Path, file: &str) -> Vec<u8> {
    fs::read(dir.join("maker--model").join(file)).unwrap()
}

#[tokio::test]
async fn a_model_comes_by_its_redirects_and_its_commit_is_recorded() {
    let hub = Hub::start().await;
    let dir = tempfile::tempdir().unwrap();
    let more = ["--hub-token", TOKEN, "--revision", "v1"];
    let said = hub.add(dir.path(), &more).await.unwrap();
    assert!(said.contains("licence: CreativeML Open RAIL-M"), "{said}");
    assert!(
        said.contains("Not for the uses in its attachment A"),
        "{said}"
    );
    assert!(!said.contains(TOKEN) && !said.contains("secret"), "{said}");
    let card: Value = serde_json::from_slice(&package(dir.path(), "card.json")).unwrap();
    assert_eq!(card["hub"]["revision"], FIRST);
    assert_eq!(card["hub_id"], "maker/model");
    let seen = hub.hub.seen();
    assert!(seen[0].path.ends_with("/revision/v1"), "{}", seen[0].path);
    assert!(
        seen.iter()
            .all(|seen| seen.headers.contains_key(header::AUTHORIZATION))
    );
    let to_weights = hub.weights.seen();
    assert_eq!(to_weights.len(), 3);
    assert!(
        to_weights
            .iter()
            .all(|seen| !seen.headers.contains_key(header::AUTHORIZATION))
    );
    // What was fetched is the package's now, and lies on the disk once.
    assert!(!dir.path().join(".downloads/maker--model").exists());
    models(dir.path(), &["verify"]).await.unwrap();
}

#[tokio::test]
async fn a_gated_model_says_where_to_agree() {
    let hub = Hub::start().await;
    hub.set(|state| state.gated = true);
    let dir = tempfile::tempdir().unwrap();
    let error = hub.add(dir.path(), &[]).await.unwrap_err();
    let page = format!("{}/maker/model", hub.hub.url);
    assert!(
        error.contains(&page) && error.contains("--hub-token"),
        "{error}"
    );
    let error = hub
        .add(dir.path(), &["--hub-token", "hf_other"])
        .await
        .unwrap_err();
    assert!(
        error.contains("not agreed") && !error.contains("hf_other"),
        "{error}"
    );
    assert!(is_without_packages(dir.path()));
    hub.add(dir.path(), &["--hub-token", TOKEN]).await.unwrap();
}

#[tokio::test]
async fn a_hub_that_asks_for_a_pause_gets_it() {
    let hub = Hub::start().await;
    hub.set(|state| state.pauses = 3);
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let said = hub.add(dir.path(), &[]).await.unwrap();
    assert_eq!(
        said.matches("asks to be left alone for 1 s").count(),
        3,
        "{said}"
    );
    assert!(begun.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn files_that_are_not_the_hubs_are_refused_and_fetched_again() {
    let hub = Hub::start().await;
    hub.set(|state| state.large = Large::Wrong);
    let dir = tempfile::tempdir().unwrap();
    let error = hub.add(dir.path(), &[]).await.unwrap_err();
    assert!(
        error.contains(LARGE) && error.contains("is not the hub's file"),
        "{error}"
    );
    assert!(is_without_packages(dir.path()));
    hub.set(|state| state.large = Large::Whole);
    hub.add(dir.path(), &[]).await.unwrap();
    assert_eq!(hub.ranges(), [None, None]);
}

/// A configuration of the same length and weights of which half is here: nothing of the old commit gets into the package.
#[tokio::test]
async fn a_model_that_was_changed_between_two_runs_is_that_of_the_second() {
    let hub = Hub::start().await;
    hub.set(|state| state.large = Large::CutOff);
    let dir = tempfile::tempdir().unwrap();
    let error = hub.add(dir.path(), &[]).await.unwrap_err();
    assert!(error.contains(LARGE), "{error}");
    assert!(is_without_packages(dir.path()));
    let half = dir
        .path()
        .join(format!(".downloads/maker--model/{LARGE}.part"));
    assert!(fs::metadata(&half).unwrap().len() > 0);

    let before = stable_diffusion("DDIMScheduler", json!({"beta_end": 0.012}));
    let after = stable_diffusion("DDIMScheduler", json!({"beta_end": 0.013}));
    assert_eq!(before.to_string().len(), after.to_string().len());
    hub.set(|state| {
        state.commit = SECOND;
        state.large = Large::Whole;
        let config = state
            .files
            .get_mut("scheduler/scheduler_config.json")
            .unwrap();
        *config = after.to_string().into_bytes();
        // An attribute that nothing reads: another file, and the same network.
        let weights = state.files.get_mut(LARGE).unwrap();
        weights.extend([0x12, 0x04, b'n', b'e', b'x', b't']);
        weights.rotate_right(6);
    });
    let said = hub.add(dir.path(), &[]).await.unwrap();
    assert!(said.contains("fetching it anew"), "{said}");
    let card: Value = serde_json::from_slice(&package(dir.path(), "card.json")).unwrap();
    assert_eq!(card["hub"]["revision"], SECOND);
    let manifest = diffusion::Manifest::parse(&package(dir.path(), "manifest.json")).unwrap();
    let (_, training) = manifest.scheduler.diffusion().unwrap();
    assert_eq!(training.beta_end, 0.013);
}

/// However a run ends, the next one goes on, and none is let in beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_half_way_is_gone_on_with() {
    for signal in ["-KILL", "-INT"] {
        let hub = Hub::start().await;
        hub.set(|state| state.large = Large::Stalled);
        let dir = tempfile::tempdir().unwrap();
        let mut run = hub.process(dir.path());
        let half = dir
            .path()
            .join(format!(".downloads/maker--model/{LARGE}.part"));
        let whole = hub.state.lock().unwrap().files[LARGE].len() as u64;
        let deadline = Instant::now() + Duration::from_secs(60);
        while fs::metadata(&half).map_or(0, |meta| meta.len()) < whole / 2 {
            assert!(run.try_wait().unwrap().is_none(), "it ended by itself");
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let error = hub.add(dir.path(), &[]).await.unwrap_err();
        assert!(
            error.contains("another run is adding maker/model"),
            "{error}"
        );
        let killed = Command::new("kill")
            .args([signal, &run.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        run.wait().unwrap();
        assert!(is_without_packages(dir.path()));
        // What a run leaves that was killed while it wrote the package.
        let left = dir.path().join(".adding-maker--model-a1B2c3");
        fs::create_dir(&left).unwrap();
        hub.set(|state| state.large = Large::Whole);
        hub.add(dir.path(), &[]).await.unwrap();
        // A run that waits for long takes up what stalls; no byte is asked for twice.
        let ranges = hub.ranges();
        assert_eq!(ranges[0], None, "{signal}");
        let from = |range: &Option<String>| -> u64 {
            let range = range
                .as_deref()
                .and_then(|range| range.strip_prefix("bytes="));
            range.unwrap().trim_end_matches('-').parse().unwrap()
        };
        let starts: Vec<u64> = ranges[1..].iter().map(from).collect();
        assert_eq!(starts[0], whole / 2, "{signal}");
        assert!(
            starts.is_sorted_by(|one, next| one < next),
            "{signal}: {starts:?}"
        );
        assert!(!left.exists());
        models(dir.path(), &["verify"]).await.unwrap();
    }
}

/// On a file system of eight mebibytes, where that can be mounted: a model that is known to be too large is not begun with; one
/// whose size the hub does not tell fills the disk, and is gone on with once there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_said_to_be() {
    let Some(namespace) = NAMESPACES.iter().find(|namespace| namespace.works()) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    let hub = Hub::start().await;
    hub.set(|state| {
        let bytes = (0..12 << 20).map(|at: u32| at.to_le_bytes()[1] ^ 0x5a);
        state.files.insert(LARGE.to_owned(), bytes.collect());
    });
    let dir = tempfile::tempdir().unwrap();
    let run = async || {
        let mut command = namespace.command(dir.path(), env!("CARGO_BIN_EXE_demo-hub"));
        command.args(["models", "add", "maker/model", "--hub-url", &hub.hub.url]);
        command.arg("--models-dir").arg(dir.path());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
        let output = output.unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run().await;
    assert!(said.contains("has 0.0 GB free"), "{said}");
    assert_eq!(hub.ranges().len(), 0);
    hub.set(|state| state.sizes = false);
    let said = run().await;
    assert!(
        said.contains("the disk is full") && said.contains("a second run goes on"),
        "{said}"
    );
    assert_eq!(hub.ranges(), [None]);
}

/// Facts without weights: nothing large is asked for, and nothing stays.
#[tokio::test]
async fn a_model_is_looked_at_without_its_weights() {
    let hub = Hub::start().await;
    let dir = tempfile::tempdir().unwrap();
    let said = hub.add(dir.path(), &["--look"]).await.unwrap();
    for expected in [
        &format!("maker/model at {FIRST}"),
        "unet: a graph",
        "to download",
        "nothing is known against it",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    assert_eq!(hub.weights.seen().len(), 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    hub.set(|state| state.gated = true);
    let said = hub.add(dir.path(), &["--look"]).await.unwrap();
    let page = format!("{}/maker/model", hub.hub.url);
    assert!(
        said.contains("it cannot be added") && said.contains(&page),
        "{said}"
    );
    hub.set(|state| {
        state.gated = false;
        let index = json!({"_class_name": "KandinskyPipeline"}).to_string();
        let file = state.files.get_mut("model_index.json").unwrap();
        *file = index.into_bytes();
    });
    let said = hub.add(dir.path(), &["--look"]).await.unwrap();
    assert!(said.contains("KandinskyPipeline"), "{said}");
    let error = hub.add(dir.path(), &[]).await.unwrap_err();
    let refusal = said.split("it cannot be added: ").nth(1).unwrap();
    // The same words, but for the folder.
    assert_eq!(error.trim(), refusal.trim());
    // A hub that wants to be left alone is not waited for.
    hub.set(|state| state.pauses = 1);
    let begun = Instant::now();
    let error = hub.add(dir.path(), &["--look"]).await.unwrap_err();
    assert!(error.contains("left alone"), "{error}");
    assert!(begun.elapsed() < Duration::from_millis(900));
}
