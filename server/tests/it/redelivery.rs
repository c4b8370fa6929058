//! Jobs that are given back: when they are tried again, and by whom.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diffusion::{Cancel, ErrorKind};
use protocol::{GenerationRequest, JobStatus, ProblemCode, ResolvedRequest};
use serde_json::json;
use server::catalog::{Catalog, Live};
use server::images::Images;
use server::jobs::redelivery::Backoff;
use server::jobs::worker::{RendererFactory, Worker, WorkerOptions};
use server::jobs::{EmbeddedQueue, NatsQueue, Queue, Role};
use server::render::{LocalOptions, RenderError, Rendered, Renderer, Report};
use server::storage::{Store, StoreSettings, credentials};
use server::{config::RendererChoice, work};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hub::{GLYPH, Hub, models_dir, resolved};
use crate::nats::Nats;
use crate::queue::{embedded, submission};
use crate::renderers::stand_in::{Act, StandIn};
use crate::renderers::{fox, request as hosted_request, toml};

fn busy(retry_after: &str) -> Act {
    let error = json!({"error": {"message": "slow down"}});
    Act::json(429, &error).header("retry-after", retry_after)
}

fn good() -> Act {
    let image = json!({"data": [{"b64_json": STANDARD.encode(fox().0)}]});
    Act::json(200, &image)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_is_left_alone_for_as_long_as_it_asks() {
    let times = 4;
    let acts = std::iter::repeat_n(busy("1"), times).chain([good()]);
    let stand_in = StandIn::start(acts).await;
    let list = toml("openai-images", &stand_in.url, "attempts = 1", "");
    let hub = Hub::with(&["--endpoints", &list]).await;
    let started = Instant::now();
    let job = hub.submit(&hosted_request()).await;
    let waits = hub
        .wait(&job.id, |view| {
            view.postponed.is_some() || view.status.is_final()
        })
        .await;
    assert_eq!(waits.status, JobStatus::Queued, "{waits:?}");
    let postponed = waits.postponed.unwrap();
    assert_eq!(postponed.reason.code, ProblemCode::EndpointUnavailable);
    assert_eq!(postponed.reason.retry_after, Some(1));
    // Refusals are no attempts, however many there are.
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    assert_eq!((view.attempt, view.postponed), (1, None));
    assert_eq!(stand_in.seen().len(), times + 1);
    let least = Duration::from_secs(times as u64);
    assert!(started.elapsed() >= least, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_jobs_do_not_wait_for_a_postponed_one_and_it_can_be_cancelled() {
    let stand_in = StandIn::start([busy("60"), good()]).await;
    let list = toml("openai-images", &stand_in.url, "attempts = 1", "");
    let hub = Hub::with(&["--endpoints", &list]).await;
    let first = hub.submit(&hosted_request()).await;
    hub.wait(&first.id, |view| view.postponed.is_some()).await;
    let next = hub.submit(&hosted_request()).await;
    let view = hub.wait(&next.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    let view = hub.job(&first.id).await;
    assert_eq!(view.status, JobStatus::Queued);
    assert!(view.eta_ms.is_some_and(|eta| eta > 30_000), "{view:?}");
    let path = format!("/api/v1/jobs/{}", first.id);
    let answer = hub.send(reqwest::Method::DELETE, &path).await;
    assert_eq!(answer.status(), 200);
}

/// How a renderer fails that has lost what it runs on.
#[derive(Clone, Copy)]
enum Ill {
    DeviceLost,
    OutOfMemory,
    Panic,
}

struct IllRenderer {
    ill: Ill,
    tried: Arc<AtomicUsize>,
}

impl Renderer for IllRenderer {
    fn render(
        &mut self,
        _: &GenerationRequest,
        _: &mut dyn FnMut(Report<'_>),
        _: &Cancel,
    ) -> Result<Rendered, RenderError> {
        self.tried.fetch_add(1, Ordering::SeqCst);
        let kind = match self.ill {
            Ill::DeviceLost => ErrorKind::DeviceLost,
            Ill::OutOfMemory => ErrorKind::OutOfMemory,
            Ill::Panic => panic!("the renderer crashes"),
        };
        Err(diffusion::Error::new(kind, "injected").into())
    }
}

/// A place for workers on one queue, with a real store.
struct Bench {
    hub: Hub,
    catalog: Live,
    stop: CancellationToken,
    workers: TaskTracker,
}

impl Bench {
    async fn start() -> Self {
        Self {
            hub: Hub::with(&["--embedded-worker=false"]).await,
            catalog: Catalog::open(&models_dir()).unwrap().into(),
            stop: CancellationToken::new(),
            workers: TaskTracker::new(),
        }
    }

    fn images(&self) -> Images {
        let keys = credentials::load_or_create(Path::new(self.hub.data())).unwrap();
        let settings = StoreSettings {
            endpoint: Some(self.hub.storage_origin().to_owned()),
            public_endpoint: None,
            bucket: "demo-hub".into(),
            region: "us-east-1".into(),
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            path_style: true,
        };
        let store = Store::new(&settings).unwrap();
        Images::new(store, self.catalog.clone(), Duration::from_secs(300))
    }

    fn work(&self, id: &str, queue: Arc<dyn Queue>, factory: RendererFactory) {
        let options = WorkerOptions {
            id: id.to_owned(),
            models: vec![GLYPH.to_owned()].into(),
            stall: Duration::from_secs(60),
            grace: Duration::from_secs(5),
            save_patience: Duration::from_secs(60),
            step_back: Backoff {
                first: Duration::from_secs(3),
                longest: Duration::from_secs(60),
            },
        };
        let worker = Worker::new(options, queue, self.images(), factory).unwrap();
        self.workers.spawn(worker.run(self.stop.clone()));
    }

    fn ill(&self, queue: Arc<dyn Queue>, ill: Ill) -> Arc<AtomicUsize> {
        let tried = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tried);
        let factory = Box::new(move || -> Box<dyn Renderer> {
            Box::new(IllRenderer {
                ill,
                tried: Arc::clone(&count),
            })
        });
        self.work("ill", queue, factory);
        tried
    }

    fn well(&self, queue: Arc<dyn Queue>) {
        let options = LocalOptions::from(RendererChoice::Cpu);
        let factory = work::renderer_factory(self.catalog.clone(), options);
        self.work("well", queue, factory);
    }

    async fn end(self) {
        self.stop.cancel();
        self.workers.close();
        self.workers.wait().await;
    }
}

async fn finished(queue: &dyn Queue, id: &str) -> protocol::JobView {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let view = queue.get(id).await.unwrap();
        if view.status.is_final() {
            return view;
        }
        assert!(Instant::now() < deadline, "{view:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Eight jobs, a worker that fails each at once and one that makes them.
async fn an_ill_worker_steps_back(app: Arc<dyn Queue>, worker: Arc<dyn Queue>, ill: Ill) {
    let bench = Bench::start().await;
    let tried = bench.ill(Arc::clone(&worker), ill);
    bench.well(Arc::clone(&worker));
    // Both have told of themselves.
    let deadline = Instant::now() + Duration::from_secs(30);
    while app.status().await.workers < 2 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut jobs = Vec::new();
    for seed in 0..8 {
        let mut submission = submission("red apple", None);
        submission.request = ResolvedRequest {
            num_inference_steps: 1,
            ..resolved("red apple", seed)
        };
        jobs.push(app.submit(submission).await.unwrap().id);
    }
    for id in &jobs {
        let view = finished(&*app, id).await;
        assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    }
    let tried = tried.load(Ordering::SeqCst);
    println!("8 jobs were made beside a worker that failed at {tried}");
    // Two in a row, and one after each pause of 3 s and more.
    assert!((1..=6).contains(&tried), "{tried}");
    bench.end().await;
}

async fn in_process(ill: Ill) {
    let folder = tempfile::tempdir().unwrap();
    let queue: Arc<dyn Queue> = Arc::new(embedded(&folder, 16).await);
    an_ill_worker_steps_back(Arc::clone(&queue), queue, ill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_device_does_not_eat_the_queue() {
    in_process(Ill::DeviceLost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_memory_does_not_eat_the_queue() {
    in_process(Ill::OutOfMemory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_does_not_eat_the_queue() {
    in_process(Ill::Panic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_device_does_not_eat_the_queue_of_nats() {
    let nats = Nats::start();
    let app: Arc<NatsQueue> = Arc::new(nats.queue(16, Role::App).await);
    let worker = Arc::new(nats.queue(16, Role::Worker).await);
    an_ill_worker_steps_back(app, worker, Ill::DeviceLost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_another_worker_a_job_fails_with_the_reason_in_the_end() {
    let bench = Bench::start().await;
    let folder = tempfile::tempdir().unwrap();
    let queue: Arc<EmbeddedQueue> = Arc::new(embedded(&folder, 16).await);
    let tried = bench.ill(Arc::clone(&queue) as Arc<dyn Queue>, Ill::DeviceLost);
    let id = queue.submit(submission("a", None)).await.unwrap().id;
    let view = finished(&*queue, &id).await;
    assert_eq!(view.status, JobStatus::Failed);
    assert!(view.error.unwrap().detail.contains("GPU went away"));
    assert_eq!(tried.load(Ordering::SeqCst), 3);
    bench.end().await;
}
