//! Pictures that begin with another one, over HTTP: what may be named, by whom, how long it stays, and what is made of it.

mod openai;
mod package;

use std::collections::HashSet;
use std::time::Duration;

use diffusion::{Cancel, CpuEngine, Package, Picture, Pipeline, RunOptions, Start, TOLERANCE};
use protocol::{
    GenerationRequest, ImageRecord, JobCreated, JobStatus, JobView, LimitName, MaskBy,
    ModelSummary, Problem, ProblemCode, StartOf, UploadTicket,
};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use server::images::verify::sha256_hex;
use tempfile::TempDir;

use crate::hub::{Folders, Hub, STRANGER, assert_problem, json as read, picture, pixels};
use crate::nats::Nats;
use crate::stores::{Bucket, images, keys};
use package::{MODEL, models};

const SIDE: u32 = 128;

fn png(colour: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, SIDE, SIDE);
    encoder.set_color(colour);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    out
}

/// Pixels of a picture to begin with.
fn start_pixels() -> Vec<u8> {
    let at = |i: u32| [(i % SIDE) * 2, (i / SIDE) * 2, 60].map(|n| n as u8);
    (0..SIDE * SIDE).flat_map(at).collect()
}

fn start_file() -> Vec<u8> {
    png(png::ColorType::Rgb, &start_pixels())
}

/// White on the right half.
fn mask_pixels() -> Vec<u8> {
    let at = |i: u32| if i % SIDE < SIDE / 2 { 0 } else { 255 };
    (0..SIDE * SIDE).map(at).collect()
}

fn mask_file() -> Vec<u8> {
    png(png::ColorType::Grayscale, &mask_pixels())
}

/// The start, transparent on the right half.
fn clear_on_the_right() -> Vec<u8> {
    let start = start_pixels();
    let pairs = start.chunks_exact(3).zip(mask_pixels());
    let pixels = pairs.flat_map(|(rgb, mask)| [rgb[0], rgb[1], rgb[2], 255 - mask]);
    png(png::ColorType::Rgba, &pixels.collect::<Vec<_>>())
}

/// A models folder and the options of a hub that serves from it.
struct Models(TempDir);

impl Models {
    fn new() -> Self {
        Self(models())
    }

    fn with<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["--models-dir", self.0.path().to_str().unwrap()];
        all.extend(options);
        all
    }

    fn package(&self) -> Package {
        Package::from_dir(&self.0.path().join("begins")).unwrap()
    }
}

fn announced(file: &[u8]) -> Value {
    json!({ "sha256": sha256_hex(file), "bytes": file.len(), "content_type": "image/png" })
}

/// Sends a file; its id.
async fn send(hub: &Hub, file: Vec<u8>) -> String {
    let answer = hub.post("/api/v1/inputs", &announced(&file)).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let ticket: UploadTicket = read(answer).await;
    assert_eq!(hub.put(&ticket, file).await.status(), StatusCode::OK);
    ticket.id
}

fn job(start: Value) -> Value {
    json!({
        "model": MODEL, "prompt": "red apple", "seed": 3, "num_inference_steps": 4, "start": start,
    })
}

async fn ask(hub: &Hub, start: Value) -> Response {
    hub.post("/api/v1/jobs", &job(start)).await
}

async fn submitted(hub: &Hub, start: Value) -> String {
    let answer = ask(hub, start).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    read::<JobCreated>(answer).await.id
}

async fn ended(hub: &Hub, id: &str) -> JobView {
    hub.wait(id, |view| view.status.is_final()).await
}

/// The record and the pixels of a completed job's picture.
async fn made(hub: &Hub, id: &str) -> (ImageRecord, Vec<u8>) {
    let view = ended(hub, id).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    let record: ImageRecord = read(hub.get(&format!("/api/v1/images/{id}")).await).await;
    let address = hub.get(&record.url).await.headers()["location"].clone();
    let file = hub.http.get(address.to_str().unwrap()).send().await;
    let pixels = pixels(&file.unwrap().bytes().await.unwrap());
    (record, pixels)
}

/// What the pipeline makes of a start by itself.
fn expected(package: Package, start: Start) -> Vec<u8> {
    let pipeline = futures::executor::block_on(Pipeline::load(package, &CpuEngine::new())).unwrap();
    let request = GenerationRequest {
        model: MODEL.into(),
        prompt: "red apple".into(),
        seed: Some(3),
        num_inference_steps: Some(4),
        ..GenerationRequest::default()
    };
    let options = RunOptions {
        start: Some(start),
        ..RunOptions::default()
    };
    let (mut on_step, cancel) = (|_| (), Cancel::default());
    let request = pipeline.resolve(&request).unwrap();
    let run = pipeline.run(&request, options, &mut on_step, &cancel);
    futures::executor::block_on(run).unwrap().rgb
}

fn assert_near(one: &[u8], other: &[u8]) {
    assert_eq!(one.len(), other.len());
    let worst = one.iter().zip(other).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst.unwrap() <= TOLERANCE, "{worst:?}");
}

/// Those of the left half, which the mask leaves.
fn left(pixels: &[u8]) -> Vec<u8> {
    let rows = pixels.chunks_exact(3 * SIDE as usize);
    rows.flat_map(|row| &row[..row.len() / 2])
        .copied()
        .collect()
}

async fn a_picture_begins_with_one(bucket: Bucket) {
    let models = Models::new();
    let hub = bucket.hub(&models.with(&[])).await;
    let listed: Vec<ModelSummary> = read(hub.get("/api/v1/models").await).await;
    let able = listed.iter().filter(|model| model.begins_with_pictures);
    assert_eq!(able.map(|model| &*model.id).collect::<Vec<_>>(), [MODEL]);

    let (image, mask) = (
        send(&hub, start_file()).await,
        send(&hub, mask_file()).await,
    );
    let whole = json!({ "image": { "input": image }, "strength": 0.5 });
    let id = submitted(&hub, whole).await;
    let (record, whole) = made(&hub, &id).await;
    assert_eq!(hub.job(&id).await.progress.total_steps, 2);
    let of = StartOf {
        sha256: sha256_hex(&start_file()),
        strength: 0.5,
        mask_sha256: None,
        mask_by: MaskBy::Light,
    };
    assert_eq!(record.recipe.start, Some(of.clone()));
    let start = Start {
        picture: Picture {
            width: SIDE,
            height: SIDE,
            rgb: start_pixels(),
        },
        strength: 0.5,
        mask: None,
        keep_outside: true,
    };
    let package = models.package();
    let alone = tokio::task::spawn_blocking(move || expected(package, start)).await;
    assert_near(&whole, &alone.unwrap());

    let masked = json!({ "image": { "input": image }, "strength": 0.5, "mask": { "input": mask } });
    let (record, masked) = made(&hub, &submitted(&hub, masked).await).await;
    assert_eq!(left(&masked), left(&start_pixels()));
    assert_ne!(masked, start_pixels());
    let with_mask = StartOf {
        mask_sha256: Some(sha256_hex(&mask_file())),
        ..of
    };
    assert_eq!(record.recipe.start, Some(with_mask));

    // Its own transparency says the same.
    let clear = send(&hub, clear_on_the_right()).await;
    let own = json!({
        "image": { "input": clear }, "strength": 0.5, "mask": { "input": clear }, "mask_by": "transparency",
    });
    let (record, own) = made(&hub, &submitted(&hub, own).await).await;
    assert_near(&own, &masked);
    let of = record.recipe.start.unwrap();
    assert_eq!(of.mask_by, MaskBy::Transparency);
    assert_eq!(of.mask_sha256, Some(of.sha256));

    // A picture of the hub, which is its owner's alone.
    let again = json!({ "image": { "image": id }, "strength": 0 });
    let (record, _) = made(&hub, &submitted(&hub, again).await).await;
    let first: ImageRecord = read(hub.get(&format!("/api/v1/images/{id}")).await).await;
    assert_eq!(record.recipe.start.unwrap().sha256, first.sha256);

    // What was sent is served to nobody, and goes when its time is over and no job needs it.
    let sha256 = sha256_hex(&start_file());
    let served = hub.get(&format!("/images/{sha256}.png")).await;
    assert_problem(served, ProblemCode::NotFound).await;
    let inputs = async || {
        let all = keys(&bucket.store()).await;
        let files = all.iter().filter_map(|key| key.strip_prefix("input/file/"));
        files.map(str::to_owned).collect::<HashSet<_>>()
    };
    let needed = HashSet::from([image.clone()]);
    assert!(inputs().await.contains(&mask));
    let sweeper = images(bucket.store());
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(sweeper.sweep_inputs(&needed, day).await.unwrap(), 0);
    sweeper.sweep_inputs(&needed, Duration::ZERO).await.unwrap();
    assert_eq!(inputs().await, needed);
    let none = HashSet::new();
    assert_eq!(
        sweeper.sweep_inputs(&none, Duration::ZERO).await.unwrap(),
        1
    );
    let left = keys(&bucket.store()).await;
    assert!(
        !left.iter().any(|key| key.starts_with("input/")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_begins_with_one_of_the_embedded_store() {
    a_picture_begins_with_one(Bucket::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_begins_with_one_of_moto() {
    a_picture_begins_with_one(Bucket::moto().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_begun_with_is_named() {
    let models = Models::new();
    let hub = Hub::with(&models.with(&["--embedded-worker=false"])).await;
    let image = send(&hub, start_file()).await;
    let of = |id: &str| json!({ "image": { "input": id } });
    let refused = async |body: Value, code: ProblemCode, field: &str| {
        let problem = assert_problem(hub.post("/api/v1/jobs", &body).await, code).await;
        assert_eq!(problem.field.as_deref(), Some(field), "{problem:?}");
        problem
    };
    use ProblemCode::{
        MalformedRequest, NotFound, OutOfRange, UnreadablePicture, UploadMismatch, UploadMissing,
    };
    let mut without = job(of(&image));
    without["model"] = json!("demo-hub/glyph");
    let problem = refused(without, OutOfRange, "start").await;
    assert!(problem.detail.contains("demo-hub/glyph"), "{problem:?}");
    for strength in [json!(-0.1), json!(1.5), json!(1e300)] {
        let mut start = of(&image);
        start["strength"] = strength;
        refused(job(start), OutOfRange, "start.strength").await;
    }
    let lone = json!({ "image": { "input": image }, "mask_by": "light" });
    refused(job(lone), OutOfRange, "start.mask_by").await;
    let mut more = of(&image);
    more["bytes"] = json!("AAAA");
    refused(job(more), MalformedRequest, "start.bytes").await;

    for id in ["", "x", "../../etc/passwd", "0000000000000000000"] {
        refused(job(of(id)), NotFound, "start.image").await;
        let image = json!({ "image": { "image": id } });
        refused(job(image), NotFound, "start.image").await;
    }
    let masked = |id: &str| json!({ "image": { "input": image }, "mask": { "input": id } });
    refused(job(masked("x")), NotFound, "start.mask").await;

    let unsent: UploadTicket =
        read(hub.post("/api/v1/inputs", &announced(&mask_file())).await).await;
    refused(job(of(&unsent.id)), UploadMissing, "start.image").await;
    let text = send(&hub, b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()).await;
    refused(job(of(&text)), UnreadablePicture, "start.image").await;
    refused(job(masked(&text)), UnreadablePicture, "start.mask").await;
    let cut = start_file();
    let cut = send(&hub, cut[..cut.len() / 2].to_vec()).await;
    refused(job(of(&cut)), UnreadablePicture, "start.image").await;
    // What a store let in that does not check.
    let swapped = send(&hub, mask_file()).await;
    let key = format!("input/file/{swapped}");
    let store = hub.store();
    store.put(&key, start_file(), "image/png").await.unwrap();
    refused(job(of(&swapped)), UploadMismatch, "start.image").await;

    for (change, code) in [
        (
            json!({ "content_type": "image/gif" }),
            ProblemCode::UnsupportedType,
        ),
        (json!({ "sha256": "x" }), MalformedRequest),
        (json!({ "bytes": 0 }), MalformedRequest),
        (json!({ "bytes": (16 << 20) + 1 }), MalformedRequest),
        (json!({ "name": "x" }), MalformedRequest),
    ] {
        let mut body = announced(&start_file());
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        assert_problem(hub.post("/api/v1/inputs", &body).await, code).await;
    }
    assert_eq!(ask(&hub, of(&image)).await.status(), StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_others_cannot_be_begun_with() {
    let models = Models::new();
    let hub = Hub::with(&models.with(&["--embedded-worker=false"])).await;
    let input = send(&hub, start_file()).await;
    let saved = hub.save(picture(1)).await;
    hub.patch(&saved.id, json!({ "visibility": "private" }))
        .await;
    let (input, image) = (json!({ "input": input }), json!({ "image": saved.id }));
    for cookie in [Some(STRANGER), None] {
        let other = hub.with_cookie(cookie);
        for named in [&input, &image] {
            let answer = other
                .post("/api/v1/jobs", &job(json!({ "image": named })))
                .await;
            assert_problem(answer, ProblemCode::NotFound).await;
            let masked = json!({ "image": image, "mask": named });
            let answer = other.post("/api/v1/jobs", &job(masked)).await;
            assert_problem(answer, ProblemCode::NotFound).await;
        }
        let path = format!("/api/v1/inputs/{}", input["input"].as_str().unwrap());
        let answer = other.send(reqwest::Method::DELETE, &path).await;
        assert_problem(answer, ProblemCode::NotFound).await;
    }
    for named in [&input, &image] {
        submitted(&hub, json!({ "image": named })).await;
    }
    // Whoever has the link may begin with it.
    hub.patch(&saved.id, json!({ "visibility": "unlisted" }))
        .await;
    let other = hub.with_cookie(Some(STRANGER));
    let answer = other
        .post("/api/v1/jobs", &job(json!({ "image": image })))
        .await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(hub.delete(&saved.id).await.status(), StatusCode::NO_CONTENT);
    let answer = ask(&hub, json!({ "image": image })).await;
    assert_problem(answer, ProblemCode::NotFound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_keeps_what_it_begins_with_over_a_restart_and_without_the_picture() {
    let models = Models::new();
    let idle = models.with(&["--embedded-worker=false"]);
    let hub = Hub::over(Folders::new(), &idle).await;
    let input = send(&hub, start_file()).await;
    let (kept, lost) = (send(&hub, mask_file()).await, send(&hub, mask_file()).await);
    let saved = hub.save(picture(1)).await;
    let mask = json!({ "image": { "input": input }, "mask": { "input": kept } });
    let by_input = submitted(&hub, mask).await;
    let by_image = submitted(&hub, json!({ "image": { "image": saved.id } })).await;
    let failing = submitted(&hub, json!({ "image": { "input": lost } })).await;
    assert_eq!(hub.delete(&saved.id).await.status(), StatusCode::NO_CONTENT);
    let path = format!("/api/v1/inputs/{lost}");
    let gone = hub.send(reqwest::Method::DELETE, &path).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);

    let folders = hub.stop().await;
    let hub = Hub::over(folders, &models.with(&[])).await;
    made(&hub, &by_input).await;
    let (record, _) = made(&hub, &by_image).await;
    assert_eq!(record.recipe.start.unwrap().sha256, saved.sha256);
    let view = ended(&hub, &failing).await;
    assert_eq!(view.status, JobStatus::Failed);
    let error: Problem = view.error.unwrap();
    assert_eq!(error.code, ProblemCode::UploadMissing);
    assert_eq!(view.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_finds_what_a_job_of_nats_begins_with() {
    let (models, nats, bucket) = (Models::new(), Nats::start(), Bucket::embedded().await);
    let url = nats.url();
    let of = |worker| models.with(&["--nats-url", &url, worker]).to_vec();
    let app = bucket.hub(&of("--embedded-worker=false")).await;
    let input = send(&app, start_file()).await;
    let id = submitted(
        &app,
        json!({ "image": { "input": input }, "strength": 0.5 }),
    )
    .await;
    let worker = bucket.hub(&of("--embedded-worker=true")).await;
    let (record, _) = made(&app, &id).await;
    assert_eq!(
        record.recipe.start.unwrap().sha256,
        sha256_hex(&start_file())
    );
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_the_same_with_the_same_start_alone() {
    let models = Models::new();
    let hub = Hub::with(&models.with(&["--embedded-worker=false"])).await;
    let input = send(&hub, start_file()).await;
    let start = |strength: f32| json!({ "image": { "input": input }, "strength": strength });
    let send = async |body: &Value| {
        let url = format!("{}/api/v1/jobs", hub.url);
        let request = hub.http.post(url).header("idempotency-key", "k");
        request.json(body).send().await.unwrap()
    };
    let first: JobCreated = read(send(&job(start(0.5))).await).await;
    let path = format!("/api/v1/inputs/{input}");
    hub.send(reqwest::Method::DELETE, &path).await;
    // Known, whatever has become of the picture.
    let again: JobCreated = read(send(&job(start(0.5))).await).await;
    assert_eq!(again.id, first.id);
    let mut plain = job(json!(null));
    for body in [job(start(0.25)), plain.clone()] {
        assert_problem(send(&body).await, ProblemCode::IdempotencyKeyReused).await;
    }
    plain["seed"] = json!(4);
    let url = format!("{}/api/v1/jobs", hub.url);
    let other = hub
        .http
        .post(url)
        .header("idempotency-key", "l")
        .json(&plain);
    assert_eq!(other.send().await.unwrap().status(), StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_begun_with_counts_as_uploads_and_as_stored() {
    let models = Models::new();
    let hub = Hub::with(&models.with(&["--uploads-per-hour=2", "--stored-mebibytes=1"])).await;
    let mut large = announced(&start_file());
    large["bytes"] = json!(2 << 20);
    let answer = hub.post("/api/v1/inputs", &large).await;
    let problem = assert_problem(answer, ProblemCode::StorageFull).await;
    assert_eq!(problem.limit, Some(LimitName::BytesInAll));
    send(&hub, start_file()).await;
    let answer = hub.post("/api/v1/inputs", &announced(&mask_file())).await;
    let problem = assert_problem(answer, ProblemCode::RateLimited).await;
    assert_eq!(problem.limit, Some(LimitName::UploadsPerHour));
}
