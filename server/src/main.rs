//! The binary `demo-hub`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use server::config::{Cli, Command, ServeConfig, StorageCommand, WorkerConfig};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Log targets that would print signed URLs or request bodies below these levels.
const QUIET: [&str; 7] = [
    "s3s=warn",
    "s3s_fs=warn",
    "aws_sdk_s3=info",
    "aws_smithy_runtime=info",
    "aws_runtime=info",
    "aws_sigv4=info",
    "aws_smithy_http_client=info",
];

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = init_logging().and_then(|()| match cli.command {
        Command::Serve(config) => serve(*config),
        Command::Worker(config) => work(*config),
        Command::Storage(command) => storage(command),
        Command::Generate(config) => {
            server::generate::run(config, &mut std::io::stdout()).map(|_| ())
        }
        Command::Models(config) => server::models::run(config, &mut std::io::stdout()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn init_logging() -> anyhow::Result<()> {
    let mut filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()?;
    for directive in QUIET {
        filter = filter.add_directive(directive.parse()?);
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}

#[tokio::main]
async fn serve(config: ServeConfig) -> anyhow::Result<()> {
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
async fn storage(command: StorageCommand) -> anyhow::Result<()> {
    server::storage::command::run(command, &mut std::io::stdout()).await
}

#[tokio::main]
async fn work(config: WorkerConfig) -> anyhow::Result<()> {
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
