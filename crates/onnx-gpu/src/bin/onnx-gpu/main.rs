//! The command line `onnx-gpu`: look into an ONNX file, run it on a GPU, compare with expected outputs, time it.

mod bench;
mod compare;
mod files;
mod info;
mod lines;
mod memory;
mod tune;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use onnx_gpu::weights::{Folder, skeleton};
use onnx_gpu::{AdapterChoice, Gpu, Options, Pass, Passes, Result, Session};

/// Runs ONNX models on wgpu.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the adapters of this machine.
    Adapters,
    /// Shows inputs, outputs, operator set, operators and those that are not supported. Needs no GPU.
    Info {
        /// ONNX file.
        model: PathBuf,
        /// Also show nodes and dispatches before and after the optimiser.
        #[arg(long)]
        fused: bool,
        /// Also list the dispatches that move most, with what they compute; for a GPU, not for a software adapter.
        #[arg(long)]
        dispatches: bool,
        /// Shape of an input whose dimensions are open, for --dispatches; 1 where none is given.
        #[arg(long = "shape", value_name = "NAME=1x4x64x64")]
        shapes: Vec<String>,
        /// A pass to leave out; may be repeated.
        #[arg(long, value_name = "PASS")]
        without: Vec<Pass>,
    },
    /// Runs the model once and writes or summarises its outputs.
    Run {
        #[command(flatten)]
        source: Source,
        /// Folder for one NAME.npy per output.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Runs the model once and compares outputs; exits with 1 if one is beyond tolerance.
    ///
    /// An element passes if |a - b| <= atol + rtol * |expected|. Unless --rtol or --atol is given, rtol is 0 and atol is 2e-3 of
    /// the expected output's range (its largest minus its smallest number; the magnitude where all are equal), and at least 1e-5
    /// of its largest magnitude; integers have to be equal. A NaN passes only where NaN is expected, an infinity only where the
    /// same one is, whatever the tolerance. Type and shape have to be those expected.
    Compare {
        #[command(flatten)]
        source: Source,
        /// Expected output.
        #[arg(long = "expect", value_name = "NAME=FILE.npy", required = true)]
        expect: Vec<String>,
        /// Tolerance relative to each expected element.
        #[arg(long, value_parser = tolerance)]
        rtol: Option<f64>,
        /// Absolute tolerance.
        #[arg(long, value_parser = tolerance)]
        atol: Option<f64>,
    },
    /// Times the model. Inputs that are not given are random, of the declared shape (integers are 0).
    Bench {
        #[command(flatten)]
        source: Source,
        /// Timed runs after the first.
        #[arg(long, default_value_t = 10)]
        runs: usize,
        /// Also time each kernel family.
        #[arg(long)]
        profile: bool,
    },
    /// Measures which tiles products and convolutions are fastest with on an adapter, and keeps that for `--tuned`.
    Tune {
        /// default, high, software, an index or a part of a name from `onnx-gpu adapters`.
        #[arg(long, default_value = "default")]
        adapter: AdapterChoice,
    },
    /// Runs once, writes the outputs, then runs for each line `run` on standard input; every answer is a line of JSON. For
    /// programs that time several engines in turns.
    Lines {
        #[command(flatten)]
        source: Source,
        /// Folder for one NAME.npy per output of the first run.
        #[arg(long)]
        save: PathBuf,
    },
}

/// A model, its inputs and where it runs.
#[derive(Args)]
struct Source {
    /// ONNX file.
    model: PathBuf,
    /// Input tensor.
    #[arg(long = "input", value_name = "NAME=FILE.npy")]
    inputs: Vec<String>,
    /// default, high, software, an index or a part of a name from `onnx-gpu adapters`.
    #[arg(long, default_value = "default")]
    adapter: AdapterChoice,
    /// A pass of the optimiser to leave out; may be repeated.
    #[arg(long, value_name = "PASS")]
    without: Vec<Pass>,
    /// A value to compute, an output or one inside of the graph, and nothing else; may be repeated. Without it, every output.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Use the tiles that `onnx-gpu tune` found for the adapter; it runs first where it has not.
    #[arg(long)]
    tuned: bool,
}

/// A tolerance on the command line.
fn tolerance(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("a tolerance is a number from 0 on".to_owned()),
    }
}

fn passes(without: &[Pass]) -> Passes {
    without
        .iter()
        .fold(Passes::ALL, |set, &pass| set.without(pass))
}

impl Source {
    fn open(&self) -> Result<Session> {
        let mut options = Options::default()
            .with_adapter(self.adapter.clone())
            .with_passes(passes(&self.without));
        if self.tuned {
            options = options.with_gpu(tune::tuned(&self.adapter)?);
        }
        if !self.only.is_empty() {
            options = options.with_outputs(&self.only);
        }
        let session = Session::open_blocking(&self.model, options)?;
        let info = session.gpu().info();
        eprintln!("adapter: {} ({})", info.name, info.backend);
        Ok(session)
    }
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether the command found what it was asked to find.
fn dispatch(command: Command) -> Result<bool> {
    match command {
        Command::Adapters => {
            for (index, a) in Gpu::adapters().iter().enumerate() {
                println!(
                    "{index}: {} ({}, {}{}), buffers up to {} MiB",
                    a.name,
                    a.backend,
                    a.device_type,
                    if a.software { ", software" } else { "" },
                    a.max_buffer_size.min(a.max_storage_buffer_binding_size) >> 20
                );
            }
        }
        Command::Info {
            model,
            fused,
            dispatches,
            shapes,
            without,
        } => {
            let (folder, name) = Folder::of(&model)?;
            let graph = pollster::block_on(skeleton(&folder, &name))?;
            info::print(&graph)?;
            if fused {
                info::print_fused(&graph, &folder, passes(&without))?;
            }
            if dispatches {
                info::print_dispatches(&graph, &folder, &files::shapes(&shapes)?)?;
            }
        }
        Command::Run { source, output } => {
            let inputs = files::inputs(&source.inputs)?;
            let session = source.open()?;
            for (name, tensor) in session.run_blocking(&files::borrowed(&inputs))? {
                files::describe(&name, &tensor);
                if let Some(folder) = &output {
                    files::save(folder, &name, &tensor)?;
                }
            }
            memory::print();
        }
        Command::Compare {
            source,
            expect,
            rtol,
            atol,
        } => {
            let inputs = files::inputs(&source.inputs)?;
            let expected = files::inputs(&expect)?;
            let session = source.open()?;
            let outputs = session.run_blocking(&files::borrowed(&inputs))?;
            return compare::print(&outputs, &expected, rtol, atol);
        }
        Command::Bench {
            source,
            runs,
            profile,
        } => {
            let given = files::inputs(&source.inputs)?;
            bench::print(&source, given, runs, profile)?;
        }
        Command::Tune { adapter } => tune::print(&adapter)?,
        Command::Lines { source, save } => return Ok(lines::serve(&source, &save)),
    }
    Ok(true)
}
