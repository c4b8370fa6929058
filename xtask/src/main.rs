//! Set-up, build, test and bench of Demo Hub as `cargo xtask …`.

mod bench;
mod beside;
mod client;
mod compress;
mod dist;
mod doctor;
mod engine_page;
mod fixtures;
mod fuzz;
mod process;
mod serve;
mod stamp;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Build, serve and test Demo Hub. Whatever is missing is installed first, without a question.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show which tools are there, what is missing, and what would be done about it.
    Doctor,
    /// Build the client into dist/ and the server.
    Build {
        /// Optimise the client for size, compress it, and build the server with optimisation.
        #[arg(long)]
        release: bool,
    },
    /// Lint what browsers run, and build it optimised into dist/.
    Client,
    /// Build everything and serve it.
    Serve(serve::ServeArgs),
    /// Run the checks and tests that CI runs, or one part of them.
    Test {
        /// The part to run; all of them without it.
        part: Option<test::Part>,
        /// Only the Playwright tests whose title matches (part e2e).
        #[arg(long)]
        grep: Option<String>,
    },
    /// Measure on this machine: the runtime against its peers, or the job queue.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Feed damaged files to what reads files, for a bounded time.
    Fuzz(fuzz::FuzzArgs),
    /// Make the test graphs and the tiny pipelines with PyTorch; prints their folders.
    Fixtures,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let workspace = Workspace::locate()?;
    match Cli::parse().command {
        Command::Doctor => doctor::doctor(&workspace),
        Command::Build { release } => serve::build(&workspace, release),
        Command::Client => test::client(&workspace),
        Command::Serve(args) => serve::serve(&workspace, &args),
        Command::Test { part, grep } => test::test(&workspace, part, grep.as_deref()),
        Command::Bench(bench::Bench::Engine(args)) => bench::engine(&workspace, &args),
        Command::Bench(bench::Bench::Jobs(args)) => bench::jobs(&workspace, &args),
        Command::Fuzz(args) => fuzz::fuzz(&workspace, &args),
        Command::Fixtures => {
            let folders = [
                fixtures::ensure(&workspace)?,
                fixtures::families(&workspace)?,
            ];
            for folder in folders {
                println!("{}", folder.display());
            }
            Ok(())
        }
    }
}
