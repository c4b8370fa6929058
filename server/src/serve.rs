//! Starting and stopping the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use app::ssr::SsrContext;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::Hub;
use crate::catalog::Catalog;
use crate::config::ServeConfig;
use crate::images::Images;
use crate::jobs::worker::{Worker, WorkerOptions};
use crate::jobs::{MemoryQueue, Queue};
use crate::render::LocalRenderer;
use crate::storage::{Store, StoreSettings, credentials, embedded};
use crate::web::{self, PageData};

/// Time between two sweeps of uploads that were never committed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// A running server.
pub struct Running {
    addr: SocketAddr,
    storage_origin: String,
    grace: Duration,
    stop: CancellationToken,
    stop_store: CancellationToken,
    queue: MemoryQueue,
    web: JoinHandle<std::io::Result<()>>,
    worker: JoinHandle<()>,
    store: Option<embedded::Embedded>,
}

/// Starts everything that `config` asks for.
///
/// # Errors
/// A sentence when a folder, a port or an option is not usable.
pub async fn start(config: ServeConfig) -> anyhow::Result<Running> {
    let assets = web::load_assets(&config.site_dir)?;
    let models_dir = config.models_dir.clone();
    let catalog = Arc::new(
        tokio::task::spawn_blocking(move || Catalog::open(&models_dir))
            .await
            .context("reading the models folder")??,
    );
    if catalog.first().is_none() {
        tracing::warn!(folder = %config.models_dir.display(), "no model package found");
    }
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("creating the data folder {}", config.data.display()))?;

    let stop = CancellationToken::new();
    let stop_store = CancellationToken::new();
    let (settings, embedded) = open_store(&config, stop_store.clone()).await?;
    let store = Store::new(&settings)?;
    let storage_origin = store.public_origin().to_owned();
    let images = Images::new(store, Arc::clone(&catalog), config.upload_expiry())?;
    sweep(images.clone(), stop.clone());

    let queue = MemoryQueue::new(
        usize::try_from(config.queue_capacity)?,
        Duration::from_secs(config.job_retention_seconds),
    );
    let (packages, choice) = (Arc::clone(&catalog), config.renderer);
    let worker = Worker::new(
        WorkerOptions {
            id: format!("serve-{}", std::process::id()),
            models: catalog.ids(),
            stall: Duration::from_secs(300),
            grace: Duration::ZERO,
        },
        Arc::new(queue.clone()),
        images.clone(),
        Box::new(move || Box::new(LocalRenderer::new(Arc::clone(&packages), choice))),
    )
    .context("starting the worker")?;
    let worker = tokio::spawn(worker.run(stop.clone()));

    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {} (--listen)", config.listen))?;
    let addr = listener.local_addr()?;
    let public_url = config.public_url.as_deref().map_or_else(
        || format!("http://{addr}"),
        |url| url.trim_end_matches('/').to_owned(),
    );
    let hub = Hub {
        catalog,
        images,
        queue: Arc::new(queue.clone()) as Arc<dyn Queue>,
        stopping: stop.clone(),
    };
    let context = SsrContext {
        data: Arc::new(PageData(hub.clone())),
        assets,
        storage_origin: storage_origin.clone(),
        public_url,
    };
    let router = web::router(hub, context, &config.site_dir);
    let stopping = stop.clone();
    let web = tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(stopping.cancelled_owned())
            .await
    });
    Ok(Running {
        addr,
        storage_origin,
        grace: Duration::from_secs(config.shutdown_grace_seconds),
        stop,
        stop_store,
        queue,
        web,
        worker,
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

    /// Stops: no new requests, waiting jobs fail, the running one is cancelled, open requests get the grace
    /// time.
    ///
    /// # Errors
    /// When a listener ended with an error.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.queue.close();
        self.stop.cancel();
        let deadline = tokio::time::Instant::now() + self.grace;
        let abort = self.web.abort_handle();
        match tokio::time::timeout_at(deadline, self.web).await {
            Ok(ended) => ended??,
            Err(_) => {
                tracing::warn!("open requests were cut off");
                abort.abort();
            }
        }
        // The worker may be storing a finished picture, so the store ends after it.
        let deadline = deadline.max(tokio::time::Instant::now() + Duration::from_secs(1));
        match tokio::time::timeout_at(deadline, self.worker).await {
            Ok(ended) => ended?,
            Err(_) => tracing::warn!("the worker was left behind"),
        }
        self.stop_store.cancel();
        if let Some(store) = self.store {
            let abort = store.task.abort_handle();
            match tokio::time::timeout(Duration::from_secs(2), store.task).await {
                Ok(ended) => ended??,
                Err(_) => abort.abort(),
            }
        }
        Ok(())
    }
}

async fn open_store(
    config: &ServeConfig,
    stop: CancellationToken,
) -> anyhow::Result<(StoreSettings, Option<embedded::Embedded>)> {
    let s3 = &config.s3;
    if let Some(bucket) = &s3.s3_bucket {
        let missing = |name: &str| format!("with --s3-bucket, {name} is needed too");
        let settings = StoreSettings {
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
        };
        return Ok((settings, None));
    }
    anyhow::ensure!(
        s3.s3_endpoint.is_none() && s3.s3_access_key_id.is_none(),
        "an S3 endpoint or key is given but no bucket: --s3-bucket names it"
    );
    let keys = credentials::load_or_create(&config.data)?;
    let store = embedded::start(&config.data.join("s3"), s3.s3_listen, &keys, stop).await?;
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

fn sweep(images: Images, stop: CancellationToken) {
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            match images.sweep().await {
                Ok(forgotten) => {
                    tracing::info!(forgotten, "swept uploads that were never committed")
                }
                Err(error) => tracing::warn!(%error, "sweeping uploads"),
            }
        }
    }));
}
