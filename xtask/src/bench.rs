//! `cargo xtask bench engine`: the runtime against its peers, on the same graphs, on this machine, in turns.
//! `cargo xtask bench jobs`: see [`jobs`].

mod engine;
mod jobs;
mod model;
mod npy;
mod peer;
mod report;
mod size;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::process::step;
use crate::tools;
use crate::workspace::Workspace;
use engine::{Builds, Engine};
use model::Model;
use peer::Peer;
use report::{Load, Outcome, Report, Row};

pub use jobs::jobs;

/// What is measured.
#[derive(Subcommand)]
pub enum Bench {
    /// The ONNX runtime against ONNX Runtime Web, wonnx, rten and ONNX Runtime.
    Engine(EngineArgs),
    /// The job queue: overhead per job, cancel, and requests per second of app replicas over NATS.
    Jobs(jobs::JobsArgs),
}

/// How the runtime is measured.
#[derive(Args)]
pub struct EngineArgs {
    /// Warm runs of every engine on every model.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only models whose name contains this; may be given several times.
    #[arg(long = "only", value_name = "MODEL")]
    only: Vec<String>,
    /// Only these engines.
    #[arg(long, value_enum, value_delimiter = ',')]
    engines: Vec<Engine>,
    /// The larger Stable Diffusion fixture instead of the small one: minutes a run on a software adapter.
    #[arg(long)]
    full: bool,
    /// Adapter of the native engines on a GPU, as `onnx-gpu --adapter` takes it.
    #[arg(long, default_value = if cfg!(target_os = "linux") { "software" } else { "default" })]
    adapter: String,
    /// Longest wait for one answer of an engine, in seconds.
    #[arg(long, default_value_t = 1800)]
    patience: u64,
    /// Where the numbers go as JSON; `target/bench/engine.json` without it.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Builds the engines, runs them in turns, prints a table and writes JSON.
pub fn engine(workspace: &Workspace, args: &EngineArgs) -> Result<()> {
    let engines: Vec<Engine> = match args.engines.as_slice() {
        [] => Engine::ALL.to_vec(),
        chosen => Engine::ALL
            .into_iter()
            .filter(|engine| chosen.contains(engine))
            .collect(),
    };
    tools::ensure(&tools::for_bench(workspace))?;
    let models = model::prepare(workspace, args.full, &args.only)?;
    if models.is_empty() {
        bail!("no model is called {:?}", args.only);
    }
    let builds = Builds::make(workspace, &engines)?;
    let folder = workspace.target.join("bench");
    let mut report = Report::new(args.runs, builds.sizes(workspace)?);
    for model in &models {
        // In a browser and natively apart, so that a run is compared with its neighbour.
        for browser in [true, false] {
            let group: Vec<Engine> = engines
                .iter()
                .copied()
                .filter(|engine| engine.in_browser() == browser)
                .collect();
            if !group.is_empty() {
                let place = if browser { "Chromium" } else { "native" };
                step(&format!("bench: {}, {place}", model.name), || {
                    report
                        .rows
                        .extend(turns(workspace, args, model, &group, &builds)?);
                    Ok(())
                })?;
            }
        }
        report.load.push(Load::now());
        // Partial results survive an interruption.
        write(&report, args, &folder)?;
    }
    println!("\n{report}");
    println!("written to {}", write(&report, args, &folder)?.display());
    Ok(())
}

fn write(report: &Report, args: &EngineArgs, folder: &std::path::Path) -> Result<PathBuf> {
    let path = args
        .json
        .clone()
        .unwrap_or_else(|| folder.join("engine.json"));
    fs::create_dir_all(folder)?;
    fs::write(&path, serde_json::to_string_pretty(report)?)
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// First runs one after the other, then warm runs in turns.
fn turns(
    workspace: &Workspace,
    args: &EngineArgs,
    model: &Model,
    group: &[Engine],
    builds: &Builds,
) -> Result<Vec<Row>> {
    let patience = Duration::from_secs(args.patience);
    let mut rows = Vec::new();
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut adapter = None;
    for &engine in group {
        let save = workspace
            .target
            .join("bench/outputs")
            .join(&model.name)
            .join(engine.name());
        let started = match builds.problem(engine) {
            Some(problem) => Err(anyhow::anyhow!("{problem}")),
            None => engine
                .command(
                    workspace,
                    builds,
                    model,
                    &save,
                    &args.adapter,
                    adapter.as_deref(),
                )
                .and_then(|mut command| Peer::start(&mut command, patience)),
        };
        let (outcome, peer) = match started {
            Err(error) => (Outcome::Failed(format!("{error:#}")), None),
            Ok((peer, first)) => {
                let share = npy::error_share(&model.expected(), &save);
                adapter = adapter.or_else(|| first.adapter.clone());
                let share = share.with_context(|| format!("outputs of {}", engine.name()))?;
                (Outcome::ran(first, share), Some(peer))
            }
        };
        println!("    {:<18} {outcome}", engine.name());
        rows.push(Row::new(model, engine, outcome));
        peers.push(peer);
    }
    for _ in 0..args.runs {
        for (row, slot) in rows.iter_mut().zip(&mut peers) {
            let Some(peer) = slot else { continue };
            match peer.again(patience) {
                Ok(run) => row.outcome.add(run),
                Err(error) => {
                    row.outcome = Outcome::Failed(format!("{error:#}"));
                    *slot = None;
                }
            }
        }
    }
    for (row, peer) in rows.iter_mut().zip(peers) {
        if let Some(peer) = peer {
            row.outcome.finish(peer.end()?);
        }
    }
    Ok(rows)
}
