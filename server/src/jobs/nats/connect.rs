//! Connecting, and the streams and buckets that the queue lives in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::ConnectOptions;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{self, kv};

use tokio::sync::Notify;

use super::super::redelivery::Backoff;
use super::lines::Lines;
use super::workers::Workers;
use super::{NatsQueue, Shared};

/// Longest wait for an answer of the server.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for the server, and for what the app role sets up, at the start.
const START: Duration = Duration::from_secs(60);
/// Time in which a repeated message of the same job is recognised by its id.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// How long the durations of a model that nobody uses are kept.
const DURATIONS_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long counts of what clients used are kept: longer than the day that they are for.
const COUNTS_AGE: Duration = Duration::from_secs(25 * 3600);

/// Stream and buckets.
struct Found {
    queue: Stream,
    jobs: kv::Store,
    keys: kv::Store,
    durations: kv::Store,
    /// Workers do without; an app of before there were counts does not make it.
    counts: Option<kv::Store>,
}

/// How to use a NATS server.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Addresses, separated by commas, such as `nats://queue:4222`; user and password or a token go before `@`.
    pub url: String,
    /// First part of all names, so that several hubs can share a server.
    pub prefix: String,
    /// Jobs that may wait or be made.
    pub capacity: usize,
    /// How long a job can still be asked for after its end.
    pub retention: Duration,
    /// Silence of a worker after which its job is handed out again.
    pub ack_wait: Duration,
    /// Copies of every message in a NATS cluster.
    pub replicas: usize,
    /// How long orders that a worker cannot read are left to others.
    pub unreadable: Patience,
}

/// How often, and how far apart, something is handed out before it is set aside.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Deliveries.
    pub deliveries: i64,
    /// Pauses between them.
    pub pauses: Backoff,
}

impl Patience {
    /// About 25 minutes: the time of a rolling upgrade.
    pub const UPGRADE: Self = Self {
        deliveries: 12,
        pauses: Backoff {
            first: Duration::from_secs(2),
            longest: Duration::from_secs(300),
        },
    };
}

/// What a process does with the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes jobs in; sets streams and buckets up, with the capacity that it is given.
    App,
    /// Works at jobs; waits until an app has set everything up.
    Worker,
}

impl NatsQueue {
    /// Connects; where the server is not there yet, for a minute.
    ///
    /// # Errors
    /// A sentence when the server cannot be reached or JetStream does not do what is asked.
    pub async fn connect(options: NatsOptions, role: Role) -> anyhow::Result<Self> {
        let client = tokio::time::timeout(START, connection(&options))
            .await
            .context("the NATS server cannot be reached (--nats-url)")?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(TIMEOUT);
        let setup = async {
            loop {
                let set_up = match role {
                    Role::App => create(&context, &options).await,
                    Role::Worker => find(&context, &options).await,
                };
                match set_up {
                    Ok(set_up) => return set_up,
                    Err(error) => tracing::info!("the queue is not ready yet: {error:#}"),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let found = tokio::time::timeout(START, setup)
            .await
            .context("the queue could not be set up in NATS; is JetStream enabled there?")?;
        let shared = Arc::new(Shared {
            client,
            context,
            queue: found.queue,
            jobs: found.jobs,
            keys: found.keys,
            durations: found.durations,
            counts: found.counts,
            consumers: tokio::sync::Mutex::new(HashMap::new()),
            submitting: tokio::sync::Mutex::new(()),
            arrived: Notify::new(),
            lines: Lines::default(),
            workers: Workers::default(),
            options,
        });
        shared.watch_arrivals().await?;
        shared.watch_workers().await?;
        if role == Role::App {
            shared.keep_refreshing();
        }
        Ok(Self(shared))
    }
}

async fn connection(options: &NatsOptions) -> async_nats::Client {
    let addresses: Vec<&str> = options.url.split(',').map(str::trim).collect();
    loop {
        let connect = ConnectOptions::new()
            .name("demo-hub")
            .ping_interval(Duration::from_secs(5))
            .request_timeout(Some(TIMEOUT))
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(50 * (1 << attempts.min(5) as u64))
                    .min(Duration::from_secs(1))
            })
            .event_callback(|event| async move { tracing::info!("NATS: {event}") });
        match connect.connect(&addresses[..]).await {
            Ok(client) => return client,
            Err(error) => tracing::info!(%error, "NATS does not answer yet"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn stream_name(options: &NatsOptions) -> String {
    format!("{}-queue", options.prefix)
}

fn buckets(options: &NatsOptions) -> [(String, Duration); 4] {
    let name = |what: &str| format!("{}-{what}", options.prefix);
    [
        (name("jobs"), options.retention),
        (name("keys"), options.retention),
        (name("durations"), DURATIONS_AGE),
        (name("counts"), COUNTS_AGE),
    ]
}

async fn create(context: &jetstream::Context, options: &NatsOptions) -> anyhow::Result<Found> {
    let name = stream_name(options);
    let config = Config {
        name: name.clone(),
        subjects: vec![format!("{}.queue.>", options.prefix)],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        // One message per job: another one of the same job is refused for as long as the first is there.
        max_messages_per_subject: 1,
        discard_new_per_subject: true,
        max_messages: i64::try_from(options.capacity)?,
        duplicate_window: DUPLICATE_WINDOW,
        storage: StorageType::File,
        num_replicas: options.replicas,
        ..Config::default()
    };
    context.create_or_update_stream(config).await?;
    for (bucket, max_age) in buckets(options) {
        context
            .create_or_update_stream(bucket_config(&bucket, max_age, options.replicas))
            .await?;
    }
    find(context, options).await
}

/// The stream behind a bucket (NATS ADR-8), with one value a key. The client's own way to create a bucket asks for
/// account limits first, whose form of NATS 2.9 it cannot read.
fn bucket_config(bucket: &str, max_age: Duration, num_replicas: usize) -> Config {
    Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        max_age,
        duplicate_window: max_age.min(DUPLICATE_WINDOW),
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        storage: StorageType::File,
        num_replicas,
        ..Config::default()
    }
}

async fn find(context: &jetstream::Context, options: &NatsOptions) -> anyhow::Result<Found> {
    let [jobs, keys, durations, counts] = buckets(options).map(|(name, _)| name);
    Ok(Found {
        queue: context.get_stream(stream_name(options)).await?,
        jobs: context.get_key_value(jobs).await?,
        keys: context.get_key_value(keys).await?,
        durations: context.get_key_value(durations).await?,
        counts: context.get_key_value(counts).await.ok(),
    })
}
