//! The stores that the tests of pictures run against: the embedded one, moto's server, and one named by the
//! environment.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{self, Child, Stdio};
use std::time::Duration;

use clap::Parser;
use server::catalog::Catalog;
use server::config::{Cli, Command, Secret};
use server::images::{Images, SweepOptions, Swept};
use server::storage::{Store, StoreSettings, setup};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::hub::{Hub, models_dir};
use crate::slow_store::SlowStore;

/// A bucket, and the hubs over it.
pub struct Bucket {
    pub name: &'static str,
    settings: StoreSettings,
    /// What runs the store, where that is not elsewhere.
    _host: Host,
}

enum Host {
    Embedded { _hub: Box<Hub> },
    Moto(Child),
    Elsewhere,
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Self::Moto(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Bucket {
    pub async fn embedded() -> Self {
        let hub = Hub::start().await;
        let settings = Self::of(&hub);
        Self {
            name: "embedded",
            settings,
            _host: Host::Embedded {
                _hub: Box::new(hub),
            },
        }
    }

    /// How to reach the embedded store of a hub.
    pub fn of(hub: &Hub) -> StoreSettings {
        let keys = server::storage::credentials::load_or_create(hub.data()).unwrap();
        StoreSettings {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            ..settings(hub.storage_origin().to_owned(), "demo-hub")
        }
    }

    /// `cargo xtask` installs it.
    pub async fn moto() -> Self {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let child = process::Command::new(python())
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto's server; `cargo xtask test server` installs it");
        let host = Host::Moto(child);
        let endpoint = format!("http://127.0.0.1:{port}");
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let settings = settings(endpoint, "pictures");
        prepare(&settings).await;
        Self {
            name: "moto",
            settings,
            _host: host,
        }
    }

    /// Named by `DEMO_HUB_TEST_S3_ENDPOINT`, `…_BUCKET`, `…_ACCESS_KEY_ID` and `…_SECRET_ACCESS_KEY`; the bucket is
    /// expected to be empty.
    pub async fn elsewhere() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("DEMO_HUB_TEST_S3_{name}")).ok();
        let settings = StoreSettings {
            access_key_id: variable("ACCESS_KEY_ID")?,
            secret_access_key: Secret::new(variable("SECRET_ACCESS_KEY")?),
            ..settings(variable("ENDPOINT")?, &variable("BUCKET")?)
        };
        prepare(&settings).await;
        Some(Self {
            name: "elsewhere",
            settings,
            _host: Host::Elsewhere,
        })
    }

    /// A replica over this bucket.
    pub async fn hub(&self, options: &[&str]) -> Hub {
        self.hub_at(self.settings.endpoint.as_deref().unwrap(), options)
            .await
    }

    /// A replica that reaches the store at `endpoint`.
    pub async fn hub_at(&self, endpoint: &str, options: &[&str]) -> Hub {
        let mut all = vec!["--uploads-per-hour=100000"];
        all.extend(self.options(endpoint));
        all.extend(options);
        Hub::with(&all).await
    }

    /// The options that name it, as reached at `endpoint`.
    fn options<'a>(&'a self, endpoint: &'a str) -> [&'a str; 8] {
        [
            "--s3-endpoint",
            endpoint,
            "--s3-bucket",
            &self.settings.bucket,
            "--s3-access-key-id",
            &self.settings.access_key_id,
            "--s3-secret-access-key",
            self.settings.secret_access_key.expose(),
        ]
    }

    /// `demo-hub WORDS` on this bucket.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut line = vec!["demo-hub"];
        line.extend(words);
        line.extend(self.options(self.settings.endpoint.as_deref().unwrap()));
        Cli::parse_from(line).command
    }

    pub fn store(&self) -> Store {
        Store::new(&self.settings).unwrap()
    }

    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// Sweeps as if every announcement were old.
    pub async fn sweep(&self) -> Swept {
        sweep(self.store()).await
    }

    pub async fn slow(&self) -> SlowStore {
        SlowStore::before(self.settings.endpoint.as_deref().unwrap()).await
    }

    /// A proxy in front of the store.
    pub async fn behind_a_switch(&self) -> Switch {
        let endpoint = self.settings.endpoint.as_deref().unwrap();
        let to = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        Switch::start(to).await
    }
}

pub fn images(store: Store) -> Images {
    let catalog = Catalog::open(&models_dir()).unwrap();
    Images::new(store, catalog.into(), Duration::from_secs(60))
}

/// Sweeps until nothing is left to do, as if every announcement were old; what the first sweep did. What nothing
/// explains is marked by one and removed by the next.
pub async fn sweep(store: Store) -> Swept {
    let images = images(store);
    let options = SweepOptions::older_than(Duration::ZERO);
    let first = images.sweep(options).await.unwrap();
    for _ in 0..2 {
        images.sweep(options).await.unwrap();
    }
    first
}

/// Every key in the bucket.
pub async fn keys(store: &Store) -> BTreeSet<String> {
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        let (page, more) = store.list("", after, 1000).await.unwrap();
        after = page.last().cloned();
        // What a hub that starts tries out is there for a moment only.
        all.extend(page.into_iter().filter(|key| !key.starts_with("probe/")));
        if !more {
            return all;
        }
    }
}

/// The keys of a listed picture with an owner.
pub fn keys_of(record: &protocol::ImageRecord, owner: &str) -> Vec<String> {
    let (id, sha) = (&record.id, &record.sha256);
    let fan = &sha[..2];
    vec![
        format!("record/{id}.json"),
        format!("listed/{id}"),
        format!("model/demo-hub!glyph/{id}"),
        format!("creator/demo-hub/{id}"),
        format!("own/{owner}/{id}!demo-hub!glyph"),
        format!("ref/{sha}/{id}"),
        format!("img/{fan}/{sha}.png"),
        format!("thumb/{fan}/{sha}.webp"),
    ]
}

fn settings(endpoint: String, bucket: &str) -> StoreSettings {
    StoreSettings {
        endpoint: Some(endpoint),
        public_endpoint: None,
        bucket: bucket.to_owned(),
        region: "us-east-1".to_owned(),
        access_key_id: "id".to_owned(),
        secret_access_key: Secret::new("secret"),
        path_style: true,
    }
}

async fn prepare(settings: &StoreSettings) {
    let store = Store::new(settings).unwrap();
    setup::prepare(&store, "http://127.0.0.1:3000")
        .await
        .unwrap();
}

/// The interpreter that moto and botocore are installed in.
pub fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    cache.join("demo-hub/s3/bin/python")
}

/// Forwards connections to a store while it is on; turning it off cuts them.
pub struct Switch {
    pub endpoint: String,
    on: watch::Sender<bool>,
}

impl Switch {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (on, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.clone();
                if !*state.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|on| !on) => {}
                    }
                });
            }
        });
        Self { endpoint, on }
    }

    pub fn turn(&self, on: bool) {
        self.on.send(on).unwrap();
    }
}
