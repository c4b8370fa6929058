//! Files of a model of the hub, fetched with resume and checked.

mod fetcher;
mod folder;
mod progress;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use architectures::Header;
use protocol::{AdditionStage, Gated, Trouble, TroubleKind};
use serde_json::Value;
use url::Url;

use self::fetcher::{Fetcher, LONGEST_PAUSE, PAUSES, SILENCE};
use self::progress::Progress;
use super::checkpoint::{self, LaidOut};
use super::graph;
use super::layout::{Found, Layout, Part};
use super::network::Network;
use super::pipeline::{Family, Pipeline};
use super::report::Report;
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
    /// Address of the model's files on the hub, at its commit.
    files: Url,
    pub model: HubModel,
    /// The commit that its files are of.
    pub revision: String,
}

impl Download {
    /// The hub's address of a file of the download; nothing for another file.
    ///
    /// # Errors
    /// When paths cannot be told apart.
    pub fn address(&self, file: &Path) -> anyhow::Result<Option<String>> {
        let (file, folder) = (
            std::path::absolute(file)?,
            std::path::absolute(&self.folder)?,
        );
        let Ok(within) = file.strip_prefix(&folder) else {
            return Ok(None);
        };
        let mut url = self.files.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(within.iter().map(|part| part.to_string_lossy()));
        }
        Ok(Some(url.into()))
    }
}

/// Why the hub does not describe a model.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{said}")]
pub(in crate::models) struct Undescribed {
    pub trouble: Trouble,
    said: String,
}

/// Fetches the folder of a model.
pub(super) fn fetch(
    config: &AddConfig,
    id: &str,
    said: &Said,
    report: &mut dyn Report,
) -> anyhow::Result<Download> {
    runtime()?.block_on(async {
        report.stage(AdditionStage::Looking)?;
        let model = (id, config.revision.as_deref());
        let described = Described::ask(config, model, Waiting::AsLongAsTheHubAsks, report).await?;
        described.suits_browsers(config)?;
        described.is_pipeline(said)?;
        let folder = folder::of(config);
        folder::prepare(&folder, &described.revision, &described.listed)?;
        let mut fetching = described.fetching(config, folder, report)?;
        fetching.all(described.layout.small()).await?;
        let wanted = fetching.wanted(&described.layout, said)?;
        let headers = fetching.try_networks(&wanted).await?;
        fetching.report(AdditionStage::Downloading)?;
        fetching.has_room(&wanted.graphs)?;
        fetching.all(wanted.graphs.clone()).await?;
        let mut external = Vec::new();
        for path in &wanted.graphs {
            let beside = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for location in graph::external(&fetching.folder.join(path))? {
                let path = [beside, &location].join("/");
                external.push(path.trim_start_matches('/').to_owned());
            }
        }
        external.extend(headers.into_keys());
        fetching.has_room(&external)?;
        fetching.all(external).await?;
        let folder = fetching.folder;
        Ok(described.downloaded(folder))
    })
}

/// Fetches a checkpoint in one file, its header before the rest: what cannot be built costs no download.
pub(super) fn fetch_checkpoint(
    config: &AddConfig,
    [id, file]: [&str; 2],
    said: &Said,
    like: Option<&Path>,
    report: &mut dyn Report,
) -> anyhow::Result<(LaidOut, Download)> {
    runtime()?.block_on(async {
        report.stage(AdditionStage::Looking)?;
        let model = (id, config.revision.as_deref());
        let described = Described::ask(config, model, Waiting::AsLongAsTheHubAsks, report).await?;
        described.suits_browsers(config)?;
        let known = described.listed.iter().any(|listed| listed.path == file);
        ensure!(
            known,
            "{id} has no {file}; of such files it has {}",
            described.checkpoints().join(", ")
        );
        let folder = folder::of(config);
        folder::prepare(&folder, &described.revision, &described.listed)?;
        let mut fetching = described.fetching(config, folder, report)?;
        let (header, _) = fetching.header(file).await?;
        let path = fetching.folder.join(file);
        let path =
            std::path::absolute(&path).with_context(|| format!("finding {}", path.display()))?;
        let laid_out = checkpoint::lay_out(&path, &header, said, like)?;
        let (root, layout) = (laid_out.dir.path(), &laid_out.layout);
        let configuration = Configuration::read(root, layout, said)?;
        let pipeline = configuration.pipeline;
        let headers = BTreeMap::from([(path.to_string_lossy().into_owned(), header)]);
        for part in pipeline.parts().filter(|part| configuration.reads(*part)) {
            if let Some(Found::Network(network)) = layout.part(part)? {
                network.build(root, part, pipeline.family, &headers)?;
            }
        }
        fetching.report(AdditionStage::Downloading)?;
        let file = vec![file.to_owned()];
        fetching.has_room(&file)?;
        fetching.all(file).await?;
        let folder = fetching.folder;
        Ok((laid_out, described.downloaded(folder)))
    })
}

/// Fetches configurations, tokenizers and scheduler of a model, none of its weights.
pub(super) fn configurations(
    config: &AddConfig,
    id: &str,
    report: &mut dyn Report,
) -> anyhow::Result<tempfile::TempDir> {
    runtime()?.block_on(async {
        let waiting = Waiting::AsLongAsTheHubAsks;
        let described = Described::ask(config, (id, None), waiting, report).await?;
        let dir = tempfile::tempdir().context("making a folder for configurations")?;
        let mut fetching = described.fetching(config, dir.path().to_owned(), report)?;
        fetching.all(described.layout.small()).await?;
        Ok(dir)
    })
}

/// Runs what asks the hub.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()
}

/// Whether a hub that wants to be left alone is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    AsLongAsTheHubAsks,
    No,
}

/// A model that the hub described.
pub(super) struct Described {
    hub: Upstream,
    id: String,
    pub model: HubModel,
    /// The commit.
    pub revision: String,
    /// Whether the hub said that it is one.
    pinned: bool,
    /// Its files whose paths are plain.
    listed: Vec<HubFile>,
    pub layout: Layout,
}

impl Described {
    /// Asks the hub for a model at a revision, and says its licence.
    pub async fn ask(
        config: &AddConfig,
        (id, revision): (&str, Option<&str>),
        waiting: Waiting,
        report: &mut dyn Report,
    ) -> anyhow::Result<Self> {
        let (owner, name) = id
            .split_once('/')
            .filter(|(owner, name)| is_name(owner) && is_name(name))
            .with_context(|| format!("{id:?} is neither a folder nor the id of a model"))?;
        let hub = Upstream::new(UpstreamOptions {
            base: config.hub.hub_url.clone(),
            token: config.hub.hub_token.clone(),
            timeout: SILENCE,
            max_bytes: MAX_DESCRIPTION,
            concurrency: 1,
            interval: Duration::ZERO,
        })?;
        let json = described(&hub, [owner, name], (revision, waiting), report).await?;
        let model = HubModel::read(&json).with_context(|| format!("{id} is not described"))?;
        say_license(&model, report)?;
        let listed = hub::files(&json);
        let listed: Vec<HubFile> = listed.into_iter().filter(|f| is_plain(&f.path)).collect();
        let layout = Layout::new(listed.iter().map(|file| file.path.clone()));
        let asked = revision.unwrap_or(MAIN);
        let commit = json.get("sha").and_then(Value::as_str);
        Ok(Self {
            pinned: commit.is_some(),
            revision: commit.unwrap_or(asked).to_owned(),
            id: id.to_owned(),
            hub,
            model,
            listed,
            layout,
        })
    }

    /// Refuses what is nothing that a package can be made of.
    pub fn is_pipeline(&self, said: &Said) -> anyhow::Result<()> {
        if self.layout.index().is_some() || said.pipeline.is_some() {
            return Ok(());
        }
        let checkpoints = self.checkpoints();
        match checkpoints.first() {
            None => bail!(
                "the model has no model_index.json; it is no pipeline of diffusers (--pipeline names the class of an export without one)"
            ),
            Some(first) => bail!(
                "the model has no model_index.json; a checkpoint in one file is added by its name, such as {}:{first} (there are {})",
                self.id,
                checkpoints.join(", ")
            ),
        }
    }

    /// Refuses a model that browsers cannot fetch, where they are to: the hub's token stays here.
    fn suits_browsers(&self, config: &AddConfig) -> anyhow::Result<()> {
        if config.from_hub.is_none() {
            return Ok(());
        }
        let id = &self.id;
        ensure!(
            matches!(self.model.gated, None | Some(Gated::Open)),
            "--from-hub: {id} is gated, and browsers have no token for it; without --from-hub its files are kept here"
        );
        ensure!(
            self.pinned,
            "--from-hub: the hub does not say which commit of {id} this is, so its files may change"
        );
        Ok(())
    }

    /// Paths of checkpoints in one file, which are no network of a folder of diffusers.
    fn checkpoints(&self) -> Vec<&str> {
        let paths = self.listed.iter().map(|file| file.path.as_str());
        paths
            .filter(|path| path.ends_with(".safetensors") && !path.contains('/'))
            .collect()
    }

    /// What was fetched of it to a folder.
    fn downloaded(self, folder: PathBuf) -> Download {
        let parts: Vec<&str> = self
            .id
            .split('/')
            .chain(["resolve", &self.revision])
            .collect();
        Download {
            folder,
            files: self.hub.address(&parts),
            model: self.model,
            revision: self.revision,
        }
    }

    /// The model's page on the hub.
    pub fn page(&self) -> Url {
        let parts: Vec<&str> = self.id.split('/').collect();
        self.hub.address(&parts)
    }

    /// Bytes of files, as far as the hub tells them.
    pub fn bytes(&self, paths: &[String]) -> u64 {
        let listed = self.listed.iter().filter(|file| paths.contains(&file.path));
        listed.filter_map(|file| file.bytes).sum()
    }

    /// Ready to fetch its files to a folder.
    pub fn fetching<'f>(
        &'f self,
        config: &AddConfig,
        folder: PathBuf,
        report: &'f mut dyn Report,
    ) -> anyhow::Result<Fetching<'f>> {
        Ok(Fetching {
            hub: &self.hub,
            fetcher: Fetcher::new(config.hub.hub_token.clone(), self.page())?,
            folder,
            id: &self.id,
            revision: &self.revision,
            listed: &self.listed,
            progress: Progress::new(report),
            smaller: !config.weights.is_empty(),
        })
    }
}

/// The large files of a model that are wanted.
pub(super) struct Wanted {
    pub pipeline: Pipeline,
    /// Paths of graphs.
    pub graphs: Vec<String>,
    /// Networks, by the parts of which they are.
    pub networks: Vec<(Part, Network)>,
}

/// What the hub says of the model, at the revision that is asked for; it is waited for where it wants to be left alone.
async fn described(
    hub: &Upstream,
    [owner, name]: [&str; 2],
    (revision, waiting): (Option<&str>, Waiting),
    report: &mut dyn Report,
) -> anyhow::Result<Value> {
    let mut pauses = 0;
    loop {
        let answer = hub::model_json(hub, owner, name, revision).await;
        let failure = match answer {
            Ok(json) => return Ok(json),
            Err(failure) => failure,
        };
        let pause = failure.retry_after.filter(|pause| {
            failure.trouble.kind == TroubleKind::RateLimited && *pause <= LONGEST_PAUSE
        });
        pauses += 1;
        let waits = waiting == Waiting::AsLongAsTheHubAsks && pauses <= PAUSES;
        match pause.filter(|_| waits) {
            Some(pause) => {
                writeln!(
                    report,
                    "the hub asks to be left alone for {} s",
                    pause.as_secs()
                )?;
                tokio::time::sleep(pause).await;
            }
            None => {
                let at = revision.map(|at| format!(" at {at}"));
                let (at, detail) = (at.unwrap_or_default(), &failure.trouble.detail);
                let said = format!("{owner}/{name}{at}: {detail}");
                let trouble = failure.trouble;
                return Err(Undescribed { trouble, said }.into());
            }
        }
    }
}

/// Says the licence and what it asks for, before anything large is fetched.
fn say_license(model: &HubModel, report: &mut dyn Report) -> anyhow::Result<()> {
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

/// The beginning of a file of weights.
pub(super) struct Beginning {
    /// Up to the end of its header.
    pub bytes: Vec<u8>,
    /// Bytes of the whole file.
    pub length: u64,
}

impl Beginning {
    /// Writes a file as long as the whole one is that begins as it does, and takes no room for the rest where the file system
    /// can do that.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let failed = || format!("writing {}", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(failed)?;
        }
        let mut file = fs::File::create(path).with_context(failed)?;
        file.write_all(&self.bytes).with_context(failed)?;
        file.set_len(self.length).with_context(failed)
    }
}

/// Removes what was downloaded.
pub(super) fn forget(config: &AddConfig) {
    let folder = folder::of(config);
    if let Err(error) = fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the download could not be removed");
    }
}

/// Bytes that have to be free for a download and its package: what is fetched becomes the package's file, and smaller weights lie
/// beside those that they are made of.
pub(super) fn room_for(download: u64, smaller: bool) -> u64 {
    download.saturating_mul(if smaller { 2 } else { 1 })
}

/// Whether a path of the hub's stays in the folder of the download.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
    })
}

/// A download under way.
pub(super) struct Fetching<'f> {
    hub: &'f Upstream,
    fetcher: Fetcher,
    folder: PathBuf,
    id: &'f str,
    revision: &'f str,
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
        let mut needed: u64 = 0;
        for path in paths {
            let here = fs::metadata(self.folder.join(path)).map_or(0, |meta| meta.len());
            let bytes = self.file(path)?.bytes.unwrap_or_default();
            needed += bytes.saturating_sub(here);
        }
        let needed = room_for(needed, self.smaller);
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

    /// What is to be fetched beside the small files, which are here.
    pub fn wanted(&self, layout: &Layout, said: &Said) -> anyhow::Result<Wanted> {
        let configuration = Configuration::read(&self.folder, layout, said)?;
        let (mut graphs, mut networks) = (Vec::new(), Vec::new());
        let pipeline = configuration.pipeline;
        for part in pipeline.parts().filter(|part| configuration.reads(*part)) {
            match layout.part(part)? {
                Some(Found::Graph(path)) => graphs.push(path),
                Some(Found::Network(network)) => networks.push((part, network)),
                None => {}
            }
        }
        Ok(Wanted {
            pipeline,
            graphs,
            networks,
        })
    }

    /// Builds the graphs of networks over the headers of their weights, which are fetched alone: what cannot be built is refused
    /// before gigabytes are. Gives the beginnings of the files of weights, up to the end of their headers, by their paths.
    pub async fn try_networks(
        &mut self,
        wanted: &Wanted,
    ) -> anyhow::Result<BTreeMap<String, Beginning>> {
        for (_, network) in &wanted.networks {
            network.is_known(&self.folder)?;
        }
        let mut begun: BTreeMap<String, Beginning> = BTreeMap::new();
        let mut headers: BTreeMap<String, Header> = BTreeMap::new();
        for (part, network) in &wanted.networks {
            for path in network.files(&self.folder)? {
                if begun.contains_key(&path) {
                    continue;
                }
                let (header, bytes) = self.header(&path).await?;
                let length = header.file_bytes();
                begun.insert(path.clone(), Beginning { bytes, length });
                headers.insert(path, header);
            }
            let family: Family = wanted.pipeline.family;
            network.build(&self.folder, *part, family, &headers)?;
        }
        Ok(begun)
    }

    /// The header of weights, and as it stands in the file.
    async fn header(&mut self, path: &str) -> anyhow::Result<(Header, Vec<u8>)> {
        let file = self.file(path)?.clone();
        let url = self.url(path);
        let fetched = self.fetcher.header(url, &file, &mut self.progress).await;
        fetched.with_context(|| format!("fetching the header of {path}"))
    }

    /// Says what is done from now on.
    pub fn report(&mut self, stage: AdditionStage) -> std::io::Result<()> {
        self.progress.stage(stage)
    }

    fn url(&self, path: &str) -> Url {
        let model = self.id.split('/').chain(["resolve", self.revision]);
        let parts: Vec<&str> = model.chain(path.split('/')).collect();
        self.hub.address(&parts)
    }

    /// Fetches files.
    pub async fn all(&mut self, paths: Vec<String>) -> anyhow::Result<()> {
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
        self.progress.end()?;
        Ok(())
    }
}
