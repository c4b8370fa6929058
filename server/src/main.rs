//! The binary `demo-hub`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use server::config::{
    Cli, Command, ImagesCommand, JobsConfig, ModelsCommand, ModelsConfig, ProgressForm,
    ReportsCommand, ServeConfig, StorageCommand, WorkerConfig,
};
use server::telemetry::{self, LogFormat, Telemetry};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Serve(config) => serve(*config),
        Command::Worker(config) => work(*config),
        Command::Jobs(config) => logged().and_then(|_log| jobs(config)),
        Command::Storage(command) => logged().and_then(|_log| storage(command)),
        Command::Generate(config) => logged()
            .and_then(|_log| server::generate::run(config, &mut std::io::stdout()).map(|_| ())),
        Command::Upscale(config) => {
            logged().and_then(|_log| server::upscale::run(&config, &mut std::io::stdout()))
        }
        Command::Models(config) => logged().and_then(|_log| models(config)),
        Command::Images(config) => logged().and_then(|_log| images(config.command)),
        Command::Reports(config) => logged().and_then(|_log| reports(config.command)),
        Command::Keys(command) => server::limits::command::run(command, &mut std::io::stdout()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The log of a command that ends by itself.
fn logged() -> anyhow::Result<Telemetry> {
    telemetry::start(LogFormat::Text, None)
}

fn models(config: ModelsConfig) -> anyhow::Result<()> {
    if let ModelsCommand::Add(add) = &config.command
        && add.progress == ProgressForm::Json
    {
        // Whoever watches holds the other end, however it ends.
        std::thread::spawn(|| {
            let mut input = std::io::stdin().lock();
            let _read = std::io::copy(&mut input, &mut std::io::sink());
            std::process::exit(1);
        });
    }
    server::models::run(config, &mut std::io::stdout())
}

#[tokio::main]
async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    let _telemetry = config.telemetry.start("demo-hub")?;
    let running = server::start(config).await?;
    announce(&running);
    stop_signal().await?;
    tracing::info!("stopping");
    running.stop().await
}

/// Says where the server is. Whoever started it may have closed the other end, which is no reason to stop.
fn announce(running: &server::Running) {
    let lines = format!(
        "Demo Hub is at http://{}\nPictures are stored at {}\n",
        running.addr(),
        running.storage_origin()
    );
    let mut out = std::io::stdout();
    if let Err(error) = out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        tracing::warn!(%error, "the addresses could not be printed");
    }
}

#[tokio::main]
async fn jobs(config: JobsConfig) -> anyhow::Result<()> {
    server::jobs::command::run(config, &mut std::io::stdout()).await
}

#[tokio::main]
async fn storage(command: StorageCommand) -> anyhow::Result<()> {
    server::storage::command::run(command, &mut std::io::stdout()).await
}

#[tokio::main]
async fn images(command: ImagesCommand) -> anyhow::Result<()> {
    server::images::command::images(command, &mut std::io::stdout()).await
}

#[tokio::main]
async fn reports(command: ReportsCommand) -> anyhow::Result<()> {
    server::images::command::reports(command, &mut std::io::stdout()).await
}

#[tokio::main]
async fn work(config: WorkerConfig) -> anyhow::Result<()> {
    let _telemetry = config.telemetry.start("demo-hub-worker")?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        if let Err(error) = stop_signal().await {
            tracing::error!("{error:#}");
        }
        tracing::info!("stopping");
        stopping.cancel();
    });
    server::work::run(config, stop).await
}

#[cfg(unix)]
async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => Ok(interrupt?),
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn stop_signal() -> anyhow::Result<()> {
    Ok(tokio::signal::ctrl_c().await?)
}
