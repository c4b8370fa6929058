//! Authors' folders that are fetched from a hub.

use super::authors::{authors, copied};
use super::*;

/// A hub that has one model, the folder of an author, and what it was asked for: paths, and whether for a part alone.
struct HubOf {
    url: String,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
    _runtime: tokio::runtime::Runtime,
}

impl HubOf {
    fn start(folder: &Path) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (folder, seen) = (folder.to_owned(), Arc::clone(&asked));
        let answer = move |request: axum::extract::Request| {
            let (status, headers, body) = answered(&folder, &seen, &request);
            let mut response = axum::http::Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            std::future::ready(response.body(axum::body::Body::from(body)).unwrap())
        };
        let app = axum::Router::new().fallback(answer);
        runtime.spawn(async { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            asked,
            _runtime: runtime,
        }
    }

    fn add(&self, models: &Path) -> Result<String, String> {
        self.add_with(models, &[])
    }

    fn add_with(&self, models: &Path, more: &[&str]) -> Result<String, String> {
        self.add_of("maker/model", models, more)
    }

    fn add_of(&self, source: &str, models: &Path, more: &[&str]) -> Result<String, String> {
        let line = ["demo-hub", "models", "add", source, "--hub-url", &self.url];
        let line = line
            .into_iter()
            .chain(["--models-dir", models.to_str().unwrap()])
            .chain(more.iter().copied());
        added(Cli::try_parse_from(line).unwrap())
    }
}

fn answered(
    folder: &Path,
    asked: &Mutex<Vec<(String, bool)>>,
    request: &axum::extract::Request,
) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
    let path = request.uri().path();
    if path == "/api/models/maker/model" {
        let siblings = files_below(folder).into_iter().map(|file| {
            let bytes = fs::read(folder.join(&file)).unwrap();
            let sha256 = server::images::verify::sha256_hex(&bytes);
            serde_json::json!({"rfilename": file, "size": bytes.len(), "lfs": {"sha256": sha256, "size": bytes.len(), "pointerSize": 134}})
        });
        let model = serde_json::json!({
            "_id": "638f", "id": "maker/model", "modelId": "maker/model", "author": "maker", "sha": "451f4fe1", "private": false,
            "gated": false, "disabled": false, "downloads": 1, "likes": 1, "lastModified": "2024-09-07T16:20:30.000Z",
            "createdAt": "2024-08-30T10:00:00.000Z", "pipeline_tag": "text-to-image", "library_name": "diffusers",
            "tags": ["license:mit"], "cardData": {"license": "mit"}, "siblings": siblings.collect::<Vec<_>>()});
        return (200, Vec::new(), model.to_string().into_bytes());
    }
    let file = path.strip_prefix("/maker/model/resolve/451f4fe1/").unwrap();
    let all = fs::read(folder.join(file)).unwrap();
    let range = request
        .headers()
        .get("range")
        .map(|range| range.to_str().unwrap().to_owned());
    asked
        .lock()
        .unwrap()
        .push((file.to_owned(), range.is_some()));
    let Some(range) = range else {
        return (200, Vec::new(), all);
    };
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let range = format!("bytes {first}-{last}/{}", all.len());
    (
        206,
        vec![("content-range", range)],
        all[first..=last].to_vec(),
    )
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(
                files_below(&path)
                    .into_iter()
                    .map(|file| format!("{name}/{file}")),
            );
        } else {
            found.push(name);
        }
    }
    found
}

/// From the hub as from a folder, headers before weights: what cannot be built costs no download.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn the_hub_is_asked_for_weights_once_their_graphs_are_built() {
    for name in ["sdxl-absent", "sd15-fp16-plain"] {
        let author = authors(name).author().unwrap();
        let models = tempfile::tempdir().unwrap();
        let hub = HubOf::start(&author);
        hub.add(models.path()).unwrap();
        let package = Package::from_dir(&models.path().join("maker--model")).unwrap();
        let asked = hub.asked.lock().unwrap().clone();
        for file in package
            .manifest
            .files()
            .filter(|file| file.name.ends_with(".safetensors"))
        {
            let (folder, own) = file.name.split_once('.').unwrap();
            let path = format!("{folder}/{own}");
            let theirs = fs::read(author.join(&path)).unwrap();
            assert_eq!(
                file.sha256,
                server::images::verify::sha256_hex(&theirs),
                "{path}"
            );
            let parts: Vec<bool> = asked
                .iter()
                .filter(|(file, _)| *file == path)
                .map(|(_, part)| *part)
                .collect();
            assert_eq!(
                parts,
                [true, true, false],
                "{path}: its length, its header, and all of it"
            );
        }
        let first = asked
            .iter()
            .position(|(file, part)| file.ends_with(".safetensors") && !part)
            .unwrap();
        assert!(asked[first..].iter().all(|(_, part)| !part), "{name}");
        // Neither the other precision nor anything that no part needs.
        let unused = asked
            .iter()
            .find(|(file, _)| name.contains("fp16") && file.ends_with("model.safetensors"));
        assert_eq!(unused, None);
    }

    let author = authors("sd15-plain").author().unwrap();
    let dir = copied(&author);
    let folder = dir.path().join(author.file_name().unwrap());
    let path = folder.join("vae/config.json");
    let mut config: serde_json::Value = goldens::json(&path);
    config["mid_block_add_attention"] = false.into();
    fs::write(&path, config.to_string()).unwrap();
    let models = tempfile::tempdir().unwrap();
    let hub = HubOf::start(&folder);
    let error = hub.add(models.path()).unwrap_err();
    assert!(
        error.contains("nothing reads decoder.mid_block.attentions.0"),
        "{error}"
    );
    let asked = hub.asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .all(|(file, part)| !file.ends_with(".safetensors") || *part),
        "{asked:?}"
    );
}

/// What a look says of every kind of weights is what the packages are then, and no weight is fetched for it.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn a_look_tells_what_packages_will_take() {
    let author = authors("sdxl-absent").author().unwrap();
    let hub = HubOf::start(&author);
    let models = tempfile::tempdir().unwrap();
    let told = hub
        .add_with(models.path(), &["--look", "--progress=json"])
        .unwrap();
    let events = told.lines().map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<serde_json::Value> = events.collect();
    let look = events.iter().find(|event| event["event"] == "looked");
    let look: protocol::ModelLook = serde_json::from_value(look.unwrap()["look"].clone()).unwrap();
    assert_eq!(look.refusal, None);
    let classes: Vec<_> = look
        .components
        .iter()
        .map(|part| part.class.as_deref())
        .collect();
    let expected = [
        "CLIPTextModel",
        "CLIPTextModelWithProjection",
        "UNet2DConditionModel",
        "AutoencoderKL",
    ];
    assert_eq!(classes, expected.map(Some));
    let asked = hub.asked.lock().unwrap().clone();
    let whole = |(file, part): &&(String, bool)| file.ends_with(".safetensors") && !part;
    assert_eq!(asked.iter().find(whole), None);
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);

    assert_eq!(look.choices.len(), protocol::WeightsKind::ALL.len());
    let mut fetched = 0;
    for choice in &look.choices {
        let models = tempfile::tempdir().unwrap();
        let weights = format!("--weights={}", choice.weights.name());
        hub.add_with(models.path(), &[&weights]).unwrap();
        let package = Package::from_dir(&models.path().join("maker--model")).unwrap();
        let bytes: u64 = package.manifest.files().map(|file| file.bytes).sum();
        assert_eq!(choice.package_bytes, bytes, "{}", choice.weights.name());
        assert_eq!(
            choice.needs,
            package.manifest.needs,
            "{}",
            choice.weights.name()
        );
        if choice.weights == protocol::WeightsKind::Kept {
            let weights = package.manifest.files();
            let weights = weights.filter(|file| file.name.ends_with(".safetensors"));
            fetched = weights.map(|file| file.bytes).sum();
        }
    }
    assert_eq!(look.download_bytes, fetched);
}

/// A checkpoint in one file is named behind its model, its header is read before the rest of it, and what the model holds beside it is
/// left alone. A model that has nothing else says how to name it.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn a_checkpoint_of_the_hub_is_added_by_its_name() {
    let root = PathBuf::from(std::env::var_os("FAMILIES").unwrap());
    let like = root.join("authors/sdxl");
    let hub = HubOf::start(&root.join("checkpoints"));
    let models = tempfile::tempdir().unwrap();
    let error = hub.add(models.path()).unwrap_err();
    assert!(
        error.contains("maker/model:sd15") && error.contains("sdxl.safetensors"),
        "{error}"
    );
    let like = ["--like", like.to_str().unwrap()];
    let named = |file: &str| hub.add_of(&format!("maker/model:{file}"), models.path(), &like);
    let error = named("other.safetensors").unwrap_err();
    assert!(error.contains("has no other.safetensors"), "{error}");
    // Without the options of the folder of another family its networks cannot be built, and nothing of them was fetched.
    assert!(named("sd21.safetensors").is_err());
    assert!(hub.asked.lock().unwrap().iter().all(|(_, part)| *part));
    hub.asked.lock().unwrap().clear();
    named("sdxl.safetensors").unwrap();
    let asked = hub.asked.lock().unwrap().clone();
    let file = "sdxl.safetensors".to_owned();
    assert_eq!(
        asked,
        [
            (file.clone(), true),
            (file.clone(), true),
            (file.clone(), false)
        ]
    );
    let package = Package::from_dir(&models.path().join("maker--model")).unwrap();
    let theirs = fs::read(root.join("checkpoints/sdxl.safetensors")).unwrap();
    let sha256 = server::images::verify::sha256_hex(&theirs);
    let mut files = package.manifest.files();
    assert!(files.any(|entry| entry.name == file && entry.sha256 == sha256));
}

/// The package names the hub's files at the commit that it was made of; its graphs and everything small are here.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn weights_stay_on_the_hub_where_that_is_asked_for() {
    let author = authors("sdxl-absent").author().unwrap();
    let hub = HubOf::start(&author);
    for (option, kept) in [("--from-hub", true), ("--from-hub=only", false)] {
        let models = tempfile::tempdir().unwrap();
        hub.add_of("maker/model", models.path(), &[option]).unwrap();
        let dir = models.path().join("maker--model");
        let manifest =
            diffusion::Manifest::parse(&fs::read(dir.join("manifest.json")).unwrap()).unwrap();
        let addresses: protocol::Addresses =
            serde_json::from_value(goldens::json(&dir.join("addresses.json"))).unwrap();
        let mut named = 0;
        for file in manifest.files() {
            let weights = file.name.ends_with(".safetensors");
            assert_eq!(
                dir.join(&file.name).exists(),
                kept || !weights,
                "{}",
                file.name
            );
            let Some(all) = addresses.files.get(&file.name) else {
                assert!(!weights, "{}", file.name);
                continue;
            };
            let (folder, own) = file.name.split_once('.').unwrap();
            let expected = format!("{}/maker/model/resolve/451f4fe1/{folder}/{own}", hub.url);
            assert_eq!(*all, [expected]);
            let theirs = fs::read(author.join(folder).join(own)).unwrap();
            assert_eq!(file.sha256, server::images::verify::sha256_hex(&theirs));
            named += 1;
        }
        assert!(named >= 4, "{named}");
        // A server offers it either way.
        let catalog = server::catalog::Catalog::open(models.path()).unwrap();
        let entry = catalog.get("maker/model").unwrap();
        assert_eq!(entry.elsewhere.is_whole(), kept);
        assert!(entry.summary.work.is_some());
    }
    let models = tempfile::tempdir().unwrap();
    let smaller = ["--from-hub", "--weights", "int8,vae=int8"];
    let error = hub
        .add_of("maker/model", models.path(), &smaller)
        .unwrap_err();
    assert!(
        error.contains("weights of fewer bits are nowhere else"),
        "{error}"
    );
    let error = add(models.path(), &author, &["--from-hub"]).unwrap_err();
    assert!(error.contains("is on this disk"), "{error}");
}
