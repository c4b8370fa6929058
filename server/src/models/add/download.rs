//! Files of a model of the hub, fetched with resume and checked.

mod fetcher;
mod folder;
mod progress;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use architectures::Header;
use protocol::TroubleKind;
use serde_json::Value;
use url::Url;

use self::fetcher::{Fetcher, LONGEST_PAUSE, PAUSES, SILENCE};
use self::progress::Progress;
use super::graph;
use super::layout::{Found, Layout, Part};
use super::network::Network;
use super::pipeline::Family;
use super::source::{Configuration, Said};
use crate::catalog::hub::{self, HubFile, HubModel, is_name};
use crate::catalog::licenses;
use crate::catalog::upstream::{Upstream, UpstreamOptions};
use crate::config::AddConfig;

/// Largest description of a model, in bytes.
const MAX_DESCRIPTION: usize = 32 << 20;
/// What is looked at where no revision is named.
const MAIN: &str = "main";

/// A model on this disk.
pub(super) struct Download {
    pub folder: PathBuf,
    pub model: HubModel,
    /// The commit that its files are of.
    pub revision: String,
}

/// Fetches the model that `config` names.
pub(super) fn fetch(
    config: &AddConfig,
    said: &Said,
    report: &mut dyn Write,
) -> anyhow::Result<Download> {
    let id = &config.source;
    let (owner, name) = id
        .split_once('/')
        .filter(|(owner, name)| is_name(owner) && is_name(name))
        .with_context(|| format!("{id:?} is neither a folder nor the id of a model"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let hub = Upstream::new(UpstreamOptions {
            base: config.hub.hub_url.clone(),
            token: config.hub.hub_token.clone(),
            timeout: SILENCE,
            max_bytes: MAX_DESCRIPTION,
            concurrency: 1,
            interval: Duration::ZERO,
        })?;
        let json = described(&hub, [owner, name], config, report).await?;
        let model = HubModel::read(&json).with_context(|| format!("{id} is not described"))?;
        say_license(&model, report)?;
        let listed = hub::files(&json);
        let listed: Vec<HubFile> = listed.into_iter().filter(|f| is_plain(&f.path)).collect();
        let layout = Layout::new(listed.iter().map(|file| file.path.clone()));
        ensure!(
            layout.index().is_some() || said.pipeline.is_some(),
            "the model has no model_index.json; it is no pipeline of diffusers (--pipeline names the class of an export without one)"
        );
        let asked = config.revision.as_deref().unwrap_or(MAIN);
        let revision = json.get("sha").and_then(Value::as_str).unwrap_or(asked);
        let folder = folder::of(config);
        folder::prepare(&folder, revision, &listed)?;
        let page = hub.address(&[owner, name]);
        let mut fetching = Fetching {
            hub: &hub,
            fetcher: Fetcher::new(config.hub.hub_token.clone(), page)?,
            folder,
            place: [owner, name, "resolve", revision],
            listed: &listed,
            progress: Progress::new(report),
            smaller: !config.weights.is_empty(),
        };
        fetching.all(layout.small()).await?;
        let configuration = Configuration::read(&fetching.folder, &layout, said)?;
        let (mut graphs, mut networks) = (Vec::new(), Vec::new());
        let pipeline = configuration.pipeline;
        for part in pipeline.parts().filter(|part| configuration.reads(*part)) {
            match layout.part(part)? {
                Some(Found::Graph(path)) => graphs.push(path),
                Some(Found::Network(network)) => networks.push((part, network)),
                None => {}
            }
        }
        let family = pipeline.family;
        let weights = fetching.try_networks(&networks, family).await?;
        fetching.has_room(&graphs)?;
        fetching.all(graphs.clone()).await?;
        let mut external = Vec::new();
        for path in &graphs {
            let beside = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for location in graph::external(&fetching.folder.join(path))? {
                let path = [beside, &location].join("/");
                external.push(path.trim_start_matches('/').to_owned());
            }
        }
        external.extend(weights);
        fetching.has_room(&external)?;
        fetching.all(external).await?;
        let folder = fetching.folder;
        let revision = revision.to_owned();
        Ok(Download {
            folder,
            model,
            revision,
        })
    })
}

/// What the hub says of the model, at the revision that is asked for; it is waited for where it wants to be left alone.
async fn described(
    hub: &Upstream,
    [owner, name]: [&str; 2],
    config: &AddConfig,
    report: &mut dyn Write,
) -> anyhow::Result<Value> {
    let mut pauses = 0;
    loop {
        let answer = hub::model_json(hub, owner, name, config.revision.as_deref()).await;
        let failure = match answer {
            Ok(json) => return Ok(json),
            Err(failure) => failure,
        };
        let pause = failure.retry_after.filter(|pause| {
            failure.trouble.kind == TroubleKind::RateLimited && *pause <= LONGEST_PAUSE
        });
        pauses += 1;
        match pause.filter(|_| pauses <= PAUSES) {
            Some(pause) => {
                writeln!(
                    report,
                    "the hub asks to be left alone for {} s",
                    pause.as_secs()
                )?;
                tokio::time::sleep(pause).await;
            }
            None => {
                let at = config.revision.as_ref().map(|at| format!(" at {at}"));
                anyhow::bail!(
                    "{owner}/{name}{}: {}",
                    at.unwrap_or_default(),
                    failure.trouble.detail
                );
            }
        }
    }
}

/// Says the licence and what it asks for, before anything large is fetched.
fn say_license(model: &HubModel, report: &mut dyn Write) -> anyhow::Result<()> {
    let Some(stated) = &model.license else {
        return Ok(());
    };
    let license = licenses::describe(&stated.id);
    let own = stated.name.as_deref().filter(|_| stated.id == "other");
    let name = own.unwrap_or(&license.name);
    writeln!(report, "licence: {name}")?;
    for limit in license.limits.iter().flatten() {
        writeln!(report, "  {limit}")?;
    }
    if let Some(link) = &stated.link {
        writeln!(report, "  {link}")?;
    }
    Ok(())
}

/// Removes what was downloaded.
pub(super) fn forget(config: &AddConfig) {
    let folder = folder::of(config);
    if let Err(error) = fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the download could not be removed");
    }
}

/// Whether a path of the hub's stays in the folder of the download.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
    })
}

/// A download under way.
struct Fetching<'f> {
    hub: &'f Upstream,
    fetcher: Fetcher,
    folder: PathBuf,
    /// Path of the model's files on the hub.
    place: [&'f str; 4],
    listed: &'f [HubFile],
    progress: Progress<'f>,
    /// Whether weights are written anew, beside those that were fetched.
    smaller: bool,
}

impl Fetching<'_> {
    fn file(&self, path: &str) -> anyhow::Result<&HubFile> {
        let file = self.listed.iter().find(|file| file.path == path);
        file.with_context(|| format!("the model has no {path}, which one of its graphs needs"))
    }

    /// Refuses what the disk has no room for, as far as the hub tells the sizes.
    fn has_room(&self, paths: &[String]) -> anyhow::Result<()> {
        let mut needed = 0;
        for path in paths {
            let here = fs::metadata(self.folder.join(path)).map_or(0, |meta| meta.len());
            let bytes = self.file(path)?.bytes.unwrap_or_default();
            needed += bytes.saturating_sub(here);
        }
        // What is fetched becomes the package's file; smaller weights lie beside those that they are made of.
        if self.smaller {
            needed *= 2;
        }
        let free = fs4::available_space(&self.folder)?;
        ensure!(
            free >= needed,
            "{} has {:.1} GB free; download and package take {:.1} GB",
            self.folder.display(),
            free as f64 / 1e9,
            needed as f64 / 1e9
        );
        Ok(())
    }

    /// Builds the graphs of networks over the headers of their weights, which are fetched alone: what cannot be built is refused
    /// before gigabytes are. Gives the paths of the weights.
    async fn try_networks(
        &mut self,
        networks: &[(Part, Network)],
        family: Family,
    ) -> anyhow::Result<Vec<String>> {
        for (_, network) in networks {
            network.is_known(&self.folder)?;
        }
        let mut headers: BTreeMap<String, Header> = BTreeMap::new();
        for (part, network) in networks {
            for path in network.files(&self.folder)? {
                if !headers.contains_key(&path) {
                    let file = self.file(&path)?.clone();
                    let url = self.url(&path);
                    let header = self.fetcher.header(url, &file, &mut self.progress).await;
                    headers.insert(
                        path.clone(),
                        header.with_context(|| format!("fetching the header of {path}"))?,
                    );
                }
            }
            network.build(&self.folder, *part, family, &headers)?;
        }
        Ok(headers.into_keys().collect())
    }

    fn url(&self, path: &str) -> Url {
        let parts: Vec<&str> = self.place.into_iter().chain(path.split('/')).collect();
        self.hub.address(&parts)
    }

    async fn all(&mut self, paths: Vec<String>) -> anyhow::Result<()> {
        for path in &paths {
            let bytes = self.file(path)?.bytes;
            self.progress.expect(bytes.unwrap_or_default());
        }
        for path in paths {
            let file = self.file(&path)?.clone();
            let url = self.url(&path);
            let to = self.folder.join(&path);
            self.fetcher
                .file(url, &to, &file, &mut self.progress)
                .await?;
            let size = file
                .bytes
                .map(|bytes| format!(", {:.1} MB", bytes as f64 / 1e6));
            let size = size.unwrap_or_default();
            self.progress.say(&format!("{path} is here{size}"))?;
        }
        Ok(())
    }
}
