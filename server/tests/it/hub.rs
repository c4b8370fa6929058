//! A server for one test.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use clap::Parser;
use futures::StreamExt;
use protocol::{
    GenerationRequest, ImageRecord, JobCreated, JobView, Problem, ProblemCode, PromptSyntax,
    Recipe, ResolvedRequest, UploadRequest, UploadTicket,
};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use server::config::{Cli, Command, ServeConfig};
use server::images::moderation::Seen;
use server::images::verify::sha256_hex;
use server::storage::{Store, StoreSettings};
use tempfile::TempDir;

pub const GLYPH: &str = "demo-hub/glyph";
/// Cookie of the client that the tests are, and of another one.
pub const OWNER: &str = "demo-hub-owner=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
pub const STRANGER: &str = "demo-hub-owner=EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE";

pub struct Hub {
    pub url: String,
    pub http: reqwest::Client,
    running: server::Running,
    folders: Folders,
}

/// What survives a restart.
pub struct Folders {
    pub data: TempDir,
    pub site: TempDir,
}

impl Folders {
    pub fn new() -> Self {
        let site = tempfile::tempdir().unwrap();
        let assets = r#"{"client_js":"/client-0123456789abcdef.js","client_wasm":"/client-0123456789abcdef_bg.wasm","worker_js":"/render-worker.js","worker_wasm":"/render-worker_bg.wasm","cpu_worker_js":"/cpu-worker.js","cpu_worker_wasm":"/cpu-worker_bg.wasm","css":"/style-0123456789abcdef.css"}"#;
        std::fs::write(site.path().join("assets.json"), assets).unwrap();
        std::fs::write(site.path().join("client-0123456789abcdef.js"), "plain").unwrap();
        std::fs::write(site.path().join("client-0123456789abcdef.js.br"), "brotli").unwrap();
        std::fs::write(site.path().join("robots.txt"), "User-agent: *").unwrap();
        Self {
            data: tempfile::tempdir().unwrap(),
            site,
        }
    }

    pub fn site(&self) -> &Path {
        self.site.path()
    }

    pub fn config(&self, extra: &[&str]) -> ServeConfig {
        let models = models_dir();
        let mut args = vec![
            "demo-hub",
            "serve",
            "--listen=127.0.0.1:0",
            "--s3-listen=127.0.0.1:0",
            "--renderer=cpu",
            "--data",
            self.data.path().to_str().unwrap(),
            "--site-dir",
            self.site.path().to_str().unwrap(),
        ];
        if !extra.contains(&"--models-dir") {
            args.extend(["--models-dir", models.to_str().unwrap()]);
        }
        if !extra.contains(&"--hub-url") {
            args.push("--catalog-online=false");
        }
        args.extend(extra);
        match Cli::parse_from(args).command {
            Command::Serve(config) => *config,
            _ => unreachable!(),
        }
    }
}

pub fn models_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

impl Hub {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(extra: &[&str]) -> Self {
        Self::over(Folders::new(), extra).await
    }

    pub async fn over(folders: Folders, extra: &[&str]) -> Self {
        let running = server::start(folders.config(extra)).await.unwrap();
        Self {
            url: format!("http://{}", running.addr()),
            http: client(Some(OWNER)),
            running,
            folders,
        }
    }

    pub async fn stop(self) -> Folders {
        self.running.stop().await.unwrap();
        self.folders
    }

    pub fn storage_origin(&self) -> &str {
        self.running.storage_origin()
    }

    pub fn data(&self) -> &Path {
        self.folders.data.path()
    }

    pub fn site(&self) -> &Path {
        self.folders.site.path()
    }

    /// Speaks to the same server as somebody else.
    pub fn with_cookie(&self, cookie: Option<&str>) -> Other<'_> {
        Other {
            hub: self,
            http: client(cookie),
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path).await
    }

    pub async fn send(&self, method: Method, path: &str) -> Response {
        let url = format!("{}{path}", self.url);
        self.http.request(method, url).send().await.unwrap()
    }

    pub async fn post<T: serde::Serialize>(&self, path: &str, body: &T) -> Response {
        let url = format!("{}{path}", self.url);
        self.http.post(url).json(body).send().await.unwrap()
    }

    /// A recipe that the server accepts.
    pub async fn announce(&self, request: &UploadRequest) -> UploadTicket {
        let response = self.post("/api/v1/uploads", request).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        json(response).await
    }

    /// Sends bytes to a presigned URL exactly as a browser does.
    pub async fn put(&self, ticket: &UploadTicket, bytes: Vec<u8>) -> Response {
        let mut request = self.http.put(&ticket.url);
        for (name, value) in &ticket.headers {
            request = request.header(name, value);
        }
        request.body(bytes).send().await.unwrap()
    }

    pub async fn commit(&self, id: &str) -> Response {
        self.send(Method::POST, &format!("/api/v1/uploads/{id}/commit"))
            .await
    }

    /// The whole way of one picture.
    pub async fn save(&self, bytes: Vec<u8>) -> ImageRecord {
        let ticket = self.announce(&upload_request(&bytes)).await;
        assert_eq!(self.put(&ticket, bytes).await.status(), StatusCode::OK);
        json(self.commit(&ticket.id).await).await
    }

    pub async fn listed(&self) -> Vec<ImageRecord> {
        let page: protocol::GalleryPage = json(self.get("/api/v1/images?limit=60").await).await;
        page.items
    }

    /// The client's own pictures, whoever sees them.
    pub async fn own(&self) -> Vec<ImageRecord> {
        let page = self.get("/api/v1/images?mine=true&limit=60").await;
        json::<protocol::GalleryPage>(page).await.items
    }

    /// The store that the server runs itself.
    pub fn store(&self) -> Store {
        let keys = server::storage::credentials::load_or_create(self.data()).unwrap();
        Store::new(&StoreSettings {
            endpoint: Some(self.storage_origin().to_owned()),
            public_endpoint: None,
            bucket: "demo-hub".into(),
            region: "us-east-1".into(),
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            path_style: true,
        })
        .unwrap()
    }

    /// Every record in that store, whoever sees it, newest first.
    pub async fn records(&self) -> Vec<Seen> {
        let images = crate::stores::images(self.store());
        images
            .all_records()
            .map(|seen| seen.unwrap())
            .collect()
            .await
    }

    pub async fn patch(&self, id: &str, change: serde_json::Value) -> Response {
        let url = format!("{}/api/v1/images/{id}", self.url);
        self.http.patch(url).json(&change).send().await.unwrap()
    }

    pub async fn delete(&self, id: &str) -> Response {
        self.send(Method::DELETE, &format!("/api/v1/images/{id}"))
            .await
    }

    pub async fn submit(&self, request: &GenerationRequest) -> JobCreated {
        let response = self.post("/api/v1/jobs", request).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        json(response).await
    }

    pub async fn job(&self, id: &str) -> JobView {
        json(self.get(&format!("/api/v1/jobs/{id}")).await).await
    }

    /// Waits until `done` holds of the job.
    pub async fn wait(&self, id: &str, done: impl Fn(&JobView) -> bool) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let view = self.job(id).await;
            if done(&view) {
                return view;
            }
            assert!(Instant::now() < deadline, "{view:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub fn request(prompt: &str, seed: u64) -> GenerationRequest {
    GenerationRequest {
        model: GLYPH.into(),
        prompt: prompt.into(),
        seed: Some(seed),
        num_inference_steps: None,
        guidance_scale: None,
        ..GenerationRequest::default()
    }
}

/// As the catalogue resolves [`request`].
pub fn resolved(prompt: &str, seed: u64) -> ResolvedRequest {
    ResolvedRequest {
        model: GLYPH.into(),
        prompt: prompt.into(),
        text: prompt.into(),
        loras: Vec::new(),
        negative_prompt: None,
        seed,
        num_inference_steps: 8,
        guidance_scale: 3.0,
        width: 128,
        height: 128,
        variation: None,
        prompt_syntax: PromptSyntax::Plain,
        clip_skip: 1,
        upscale: None,
        sampler: None,
    }
}

pub async fn json<T: DeserializeOwned>(response: Response) -> T {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The response is this problem, in the right form.
pub async fn assert_problem(response: Response, code: ProblemCode) -> Problem {
    let status = response.status().as_u16();
    let mime = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let text = response.text().await.unwrap();
    assert_eq!(mime, "application/problem+json", "{status}: {text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.code, code, "{text}");
    assert_eq!(status, code.status());
    assert_eq!(problem.status, status);
    assert!(!problem.detail.is_empty());
    problem
}

/// A client that follows no redirects.
fn client(cookie: Option<&str>) -> reqwest::Client {
    let mut headers = HeaderMap::new();
    if let Some(cookie) = cookie {
        headers.insert("cookie", cookie.parse().unwrap());
    }
    reqwest::Client::builder()
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

/// A client with another cookie than the tests', or none.
pub struct Other<'a> {
    hub: &'a Hub,
    http: reqwest::Client,
}

impl Other<'_> {
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.hub.url))
    }

    pub async fn send(&self, method: Method, path: &str) -> Response {
        let url = format!("{}{path}", self.hub.url);
        self.http.request(method, url).send().await.unwrap()
    }

    pub async fn post<T: serde::Serialize>(&self, path: &str, body: &T) -> Response {
        let url = format!("{}{path}", self.hub.url);
        self.http.post(url).json(body).send().await.unwrap()
    }
}

/// A recipe that the server accepts.
pub fn recipe() -> Recipe {
    static DIGEST: LazyLock<String> = LazyLock::new(|| {
        let catalog = server::catalog::Catalog::open(&models_dir()).unwrap();
        catalog.summary(GLYPH).unwrap().weights_digest.clone()
    });
    Recipe {
        request: GenerationRequest {
            num_inference_steps: Some(8),
            guidance_scale: Some(3.3),
            ..request("red apple", 1)
        },
        weights_digest: DIGEST.clone(),
        scheduler: "flow-match-euler".into(),
        backend: "onnx-gpu (WebGPU)".into(),
        adapter: String::new(),
        place: protocol::RunsOn::Browser,
        start: None,
        upscaler: None,
        loras: Vec::new(),
        duration_ms: 10,
    }
}

pub fn upload_request(bytes: &[u8]) -> UploadRequest {
    UploadRequest {
        sha256: sha256_hex(bytes),
        bytes: bytes.len() as u64,
        content_type: "image/png".into(),
        recipe: recipe(),
        unlisted: false,
        visibility: None,
    }
}

/// A PNG with [`recipe`] inside, whose pixels depend on `variant`.
pub fn png_of(width: u32, height: u32, variant: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let json = serde_json::to_string(&recipe()).unwrap();
    encoder.add_itxt_chunk("demo-hub".into(), json).unwrap();
    let mut pixels: Vec<u8> = (0..width * height * 3)
        .map(|i| (i.wrapping_mul(variant + 1) >> (variant % 3)) as u8)
        .collect();
    pixels[..4].copy_from_slice(&variant.to_be_bytes());
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    out
}

pub fn picture(variant: u32) -> Vec<u8> {
    let [width, height] = size();
    png_of(width, height, variant)
}

/// Width and height of the built-in model's pictures.
pub fn size() -> [u32; 2] {
    static SIZE: LazyLock<[u32; 2]> = LazyLock::new(|| {
        let manifest = std::fs::read(models_dir().join("glyph/manifest.json")).unwrap();
        let image = diffusion::Manifest::parse(&manifest).unwrap().sizes.default;
        [image.width, image.height]
    });
    *SIZE
}

/// RGB bytes of a PNG.
pub fn pixels(png: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png))
        .read_info()
        .unwrap();
    let mut out = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut out).unwrap();
    out
}
