//! Starting and stopping the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use app::ssr::SsrContext;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{Exports, Hub};
use crate::catalog::Cards;
use crate::config::{S3Config, ServeConfig};
use crate::grace::Grace;
use crate::images::{INPUT_LIFETIME, Images, PENDING_LIFETIME, SweepError, SweepOptions};
use crate::jobs::worker::{Worker, WorkerOptions};
use crate::jobs::{EmbeddedQueue, NatsQueue, Queue, Role, embedded as queue_file};
use crate::limits::{ApiKeys, Ledger, Limits, MemoryLedger};
use crate::operator::Operator;
use crate::render::hosted;
use crate::render::lanes;
use crate::serving;
use crate::storage::{Store, StoreSettings, credentials, embedded};
use crate::telemetry::{self, exposition};
use crate::web::{self, Hosts, PageData};

/// Time between two sweeps of uploads that were never committed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// Time to the first, which also takes over what a hub of before left.
const FIRST_SWEEP: Duration = Duration::from_secs(60);

/// Time in which a worker whose job is not finished hands it back, and who waits for it is told.
const HANDING_BACK: Duration = Duration::from_secs(2);

/// A running server.
pub struct Running {
    addr: SocketAddr,
    storage_origin: String,
    grace: Duration,
    stop: CancellationToken,
    stop_store: CancellationToken,
    own_queue: Option<EmbeddedQueue>,
    web: JoinHandle<()>,
    workers: TaskTracker,
    store: Option<embedded::Embedded>,
}

/// Starts everything that `config` asks for.
///
/// # Errors
/// A sentence when a folder, a port or an option is not usable.
pub async fn start(config: ServeConfig) -> anyhow::Result<Running> {
    serving::raise_file_limit();
    let limits = config.serving.limits();
    let endpoints = hosted::config::read_option(config.endpoints.as_deref())?;
    let assets = web::load_assets(&config.site_dir)?;
    let stop = CancellationToken::new();
    let catalog = config.models.open(&endpoints, &stop).await?;
    let endpoints = hosted::open(endpoints)?;
    if catalog.now().summaries().is_empty() {
        tracing::warn!(folder = %config.models.models_dir.display(), "no model package found");
    }
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("creating the data folder {}", config.data.display()))?;

    let cards = Cards::new(&catalog, &config.catalog, &config.data)?;

    let stop_store = CancellationToken::new();
    let (settings, embedded) = open_store(&config, stop_store.clone()).await?;
    let mut store = Store::new(&settings)?;
    if let Some(embedded) = &embedded {
        store = store.with_disk(embedded.room.clone());
    }
    let storage_origin = store.public_origin().to_owned();
    let images = Images::new(store, catalog.clone(), config.upload_expiry())
        .with_limits(config.upload_limits())
        .with_storage_limits(config.storage_limits())
        .with_expiries(config.expiry.expiries());
    let (queue, own_queue, ledger) = open_queue(&config).await?;
    housekeeping(images.clone(), Arc::clone(&queue), stop.clone());
    let budgets = budgets(&config, &endpoints, ledger)?;
    let workers = TaskTracker::new();
    if config.embedded_worker.unwrap_or(own_queue.is_some()) {
        let id = format!("serve-{}", hex::encode(crate::random::bytes::<4>()?));
        for lane in lanes::of(&catalog, &config.renderer.into(), &endpoints) {
            let worker = Worker::new(
                WorkerOptions {
                    id: format!("{id}{}", lane.suffix),
                    models: lane.models,
                    stall: config.queue.stall(),
                    grace: config.grace(),
                    save_patience: config.queue.save_patience(),
                    step_back: WorkerOptions::STEP_BACK,
                },
                Arc::clone(&queue),
                images.clone(),
                lane.factory,
            )
            .context("starting a worker")?;
            workers.spawn(worker.run(stop.clone()));
        }
    }
    workers.close();

    let listener = serving::listen(config.listen)
        .with_context(|| format!("cannot listen on {} (--listen)", config.listen))?;
    let addr = listener.local_addr()?;
    let public_url = config.public_url.as_deref();
    let hosts = Hosts::new(public_url, addr.ip(), &config.serving.hosts)?;
    if hosts.is_open() {
        tracing::warn!(
            "--public-url is not set: requests are taken by whatever name the hub is asked"
        );
    }
    let public_url = public_url.map_or_else(
        || format!("http://{addr}"),
        |url| url.trim_end_matches('/').to_owned(),
    );
    telemetry::metrics::recorder();
    if let Some(listen) = config.telemetry.metrics_listen {
        let address =
            exposition::serve(listen, Arc::clone(&queue), catalog.clone(), stop.clone()).await?;
        tracing::info!("metrics are at http://{address}/metrics");
    }
    let operator = config.admin_token.as_ref().map(|token| {
        let (dir, hub) = (&config.models.models_dir, &config.catalog.hub);
        Operator::start(token, dir, hub, &public_url, stop.clone())
    });
    let operator = operator.transpose()?.map(Arc::new);
    let hub = Hub {
        catalog,
        cards,
        images,
        queue,
        limits: Arc::new(budgets),
        operator,
        public_url: public_url.clone(),
        weights: config.weights.clone(),
        api_origins: config.serving.api_origins.clone(),
        client_addresses: config.serving.client_addresses(),
        exports: Exports::default(),
        stopping: Arc::new(Grace::new(stop.clone(), config.grace())),
    };
    let context = SsrContext {
        data: Arc::new(PageData(hub.clone())),
        assets,
        storage_origin: storage_origin.clone(),
        public_url,
    };
    let router = web::router(hub, context, &config.site_dir, hosts);
    let stopping = stop.clone();
    let web = tokio::spawn(serving::serve(listener, router, limits, stopping));
    Ok(Running {
        addr,
        storage_origin,
        grace: config.grace(),
        stop,
        stop_store,
        own_queue,
        web,
        workers,
        store: embedded,
    })
}

impl Running {
    /// Where the pages and the API are.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Origin of the picture store as browsers reach it.
    pub fn storage_origin(&self) -> &str {
        &self.storage_origin
    }

    /// Stops, in this order:
    ///
    /// 1. No connection is accepted, event streams end, and workers take no more jobs.
    /// 2. The jobs in hand get the grace time to finish, storing included; then they go back into the queue, where the
    ///    attempt does not count. Open requests get the same time beside them, and then a moment in which those that
    ///    wait for such a job are answered; clients that do not read get a moment of it.
    /// 3. The queue is closed. What waits in it stays for the next start.
    /// 4. The store ends, since until then a picture may have been on its way there.
    ///
    /// # Errors
    /// When a listener ended with an error.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        if let Some(queue) = &self.own_queue {
            queue.stop();
        }
        let deadline = tokio::time::Instant::now() + self.grace;
        let abort = self.web.abort_handle();
        // A client that does not take its answer is not waited for: the server leaves it after a moment.
        let web = tokio::time::timeout_at(deadline + HANDING_BACK, self.web);
        let workers = tokio::time::timeout_at(deadline + HANDING_BACK, self.workers.wait());
        let (web, workers) = tokio::join!(web, workers);
        if workers.is_err() {
            tracing::warn!("a worker was left behind");
        }
        let web = web.unwrap_or_else(|_| {
            tracing::warn!("open requests were cut off");
            abort.abort();
            Ok(())
        });
        if let Some(queue) = &self.own_queue {
            queue.close().await;
        }
        self.stop_store.cancel();
        if let Some(store) = self.store {
            let abort = store.task.abort_handle();
            match tokio::time::timeout(Duration::from_secs(2), store.task).await {
                Ok(ended) => ended?,
                Err(_) => abort.abort(),
            }
        }
        Ok(web?)
    }
}

/// What clients may have made here.
fn budgets(
    config: &ServeConfig,
    endpoints: &[Arc<hosted::Endpoint>],
    ledger: Arc<dyn Ledger>,
) -> anyhow::Result<Limits> {
    let keys = match &config.limits.api_keys {
        Some(path) => ApiKeys::read(path).context("--api-keys")?,
        None => ApiKeys::default(),
    };
    let limits = Limits::new(config.limits.pictures(), keys, ledger);
    Ok(endpoints.iter().fold(limits, |limits, endpoint| {
        let config = endpoint.config();
        let models = config.models.iter().map(|model| model.id.clone());
        limits.with_endpoint(&config.name, models, config.pictures_per_day)
    }))
}

/// The queue, once more if it is this process's own, and what counts beside it.
async fn open_queue(
    config: &ServeConfig,
) -> anyhow::Result<(Arc<dyn Queue>, Option<EmbeddedQueue>, Arc<dyn Ledger>)> {
    if let Some(options) = config.queue.nats() {
        let queue = Arc::new(NatsQueue::connect(options, Role::App).await?);
        let counting: Arc<dyn Ledger> = queue.clone();
        return Ok((queue, None, counting));
    }
    let capacity = usize::try_from(config.queue.queue_capacity)?;
    let file = config.data.join(queue_file::FILE);
    let queue = EmbeddedQueue::open(&file, capacity, config.queue.retention()).await?;
    let ledger = Arc::new(MemoryLedger::default());
    Ok((Arc::new(queue.clone()), Some(queue), ledger))
}

async fn open_store(
    config: &ServeConfig,
    stop: CancellationToken,
) -> anyhow::Result<(StoreSettings, Option<embedded::Embedded>)> {
    let s3 = &config.s3;
    if let Some(settings) = other_store(s3)? {
        return Ok((settings, None));
    }
    let keys = credentials::load_or_create(&config.data)?;
    let limits = config.serving.limits();
    let store = embedded::start(&config.data, s3.s3_listen, &keys, limits, stop).await?;
    let settings = StoreSettings {
        endpoint: Some(format!("http://{}", reachable(store.addr))),
        public_endpoint: s3.s3_public_endpoint.clone(),
        bucket: embedded::BUCKET.to_owned(),
        region: s3.s3_region.clone(),
        access_key_id: keys.access_key_id,
        secret_access_key: keys.secret_access_key,
        path_style: true,
    };
    Ok((settings, Some(store)))
}

/// Settings of a store that this process does not run itself, if one is named.
///
/// # Errors
/// A sentence when options are missing or contradict each other.
pub fn other_store(s3: &S3Config) -> anyhow::Result<Option<StoreSettings>> {
    let Some(bucket) = &s3.s3_bucket else {
        anyhow::ensure!(
            s3.s3_endpoint.is_none() && s3.s3_access_key_id.is_none(),
            "an S3 endpoint or key is given but no bucket: --s3-bucket names it"
        );
        return Ok(None);
    };
    let missing = |name: &str| format!("with --s3-bucket, {name} is needed too");
    Ok(Some(StoreSettings {
        endpoint: s3.s3_endpoint.clone(),
        public_endpoint: s3.s3_public_endpoint.clone(),
        bucket: bucket.clone(),
        region: s3.s3_region.clone(),
        access_key_id: s3
            .s3_access_key_id
            .clone()
            .with_context(|| missing("--s3-access-key-id"))?,
        secret_access_key: s3
            .s3_secret_access_key
            .clone()
            .with_context(|| missing("DEMO_HUB_S3_SECRET_ACCESS_KEY"))?,
        path_style: s3.s3_path_style,
    }))
}

/// An address that can be connected to, where the listener takes every interface.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}

/// Finds out what the store enforces, then sweeps it now and then.
fn housekeeping(images: Images, queue: Arc<dyn Queue>, stop: CancellationToken) {
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        if let Err(error) = images.store().support().await {
            tracing::warn!(%error, "what the picture store enforces is not known yet");
        }
        count(&images).await;
        let options = SweepOptions {
            full: false,
            ..SweepOptions::older_than(PENDING_LIFETIME)
        };
        let mut wait = FIRST_SWEEP;
        loop {
            tokio::time::sleep(wait).await;
            wait = SWEEP_INTERVAL;
            images.forget_idle_clients();
            match images.sweep(options).await {
                Ok(swept) => tracing::info!(?swept, "the picture store is in order"),
                Err(error @ SweepError::Implausible { .. }) => {
                    tracing::error!(%error, "the picture store was not swept");
                }
                Err(SweepError::Store(problem)) => {
                    tracing::warn!(%problem, "sweeping the picture store");
                }
            }
            sweep_inputs(&images, &*queue).await;
            count(&images).await;
        }
    }));
}

/// Only who knows the queue knows what jobs still need.
async fn sweep_inputs(images: &Images, queue: &dyn Queue) {
    let swept = async {
        let needed = queue.inputs().await?;
        images.sweep_inputs(&needed, INPUT_LIFETIME).await
    };
    match swept.await {
        Ok(inputs) => tracing::info!(inputs, "pictures to begin with were removed"),
        Err(problem) => tracing::warn!(%problem, "sweeping pictures to begin with"),
    }
}

async fn count(images: &Images) {
    if let Err(problem) = images.count_stored().await {
        tracing::warn!(%problem, "what is stored was not counted");
    }
}
