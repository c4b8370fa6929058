//! `cargo xtask bench jobs`: what the job queue costs and how many requests the app answers, on this machine.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::report::Load;
use crate::process::{shell_line, step};
use crate::serve::NOT_SERVER;
use crate::tools;
use crate::workspace::Workspace;

/// What the test program puts before each figure.
const MARK: &str = "measured ";

/// How the queue is measured.
#[derive(Args)]
pub struct JobsArgs {
    /// Seconds of load for each scenario and number of replicas.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// The server as the release profile compiles it.
    #[arg(long)]
    release: bool,
    /// Where the numbers go as JSON; `target/bench/jobs.json` without it.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A figure as the server's test program prints it.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "figure", rename_all = "snake_case")]
enum Figure {
    /// From submission until the end is stored, without rendering.
    Overhead {
        queue: String,
        jobs: u32,
        median_ms: f64,
        p99_ms: f64,
    },
    /// From the request to cancel until the worker has stopped.
    Cancel {
        jobs: u32,
        median_ms: f64,
        longest_ms: f64,
        /// What one step of the cancelled jobs took.
        step_ms: f64,
        beyond_step_median_ms: f64,
        beyond_step_longest_ms: f64,
    },
    /// `wrk` against app replicas.
    Load {
        scenario: String,
        replicas: u32,
        connections: u32,
        requests: u64,
        requests_per_second: f64,
        median_ms: f64,
        p99_ms: f64,
        /// Answers of 400 and above.
        refused: u64,
        /// Connections that failed and requests without an answer.
        broken: u64,
    },
}

#[derive(Serialize)]
struct Report {
    cores: usize,
    profile: &'static str,
    /// Before and after.
    load: [Load; 2],
    figures: Vec<Figure>,
}

/// Builds the server, runs the measurements, prints a table and writes JSON.
pub fn jobs(workspace: &Workspace, args: &JobsArgs) -> Result<()> {
    tools::ensure(&tools::for_jobs_bench(workspace))?;
    let test = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        // The selection of the tests: another one would compile large dependencies once more.
        command
            .args(["test", "--workspace"])
            .args(NOT_SERVER)
            .args(["--lib", "--bins", "--tests"]);
        if args.release {
            command.arg("--release");
        }
        command.args(arguments).current_dir(&workspace.root);
        command
    };
    step("bench: compile", || {
        crate::process::run(&mut test(&["--no-run"]))
    })?;
    let before = Load::now();
    let figures = step("bench: jobs", || {
        measure(
            test(&["measure::", "--", "--ignored", "--nocapture"])
                .args(["--test-threads", "1"])
                .env("BENCH_SECONDS", args.seconds.to_string()),
        )
    })?;
    let report = Report {
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        profile: if args.release { "release" } else { "dev" },
        load: [before, Load::now()],
        figures,
    };
    println!("\n{report}");
    let path = match &args.json {
        Some(path) => path.clone(),
        None => {
            let folder = workspace.target.join("bench");
            fs::create_dir_all(&folder)?;
            folder.join("jobs.json")
        }
    };
    fs::write(&path, serde_json::to_string_pretty(&report)?)
        .with_context(|| format!("writing {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}

/// Runs the measurements and shows what they print meanwhile.
fn measure(command: &mut Command) -> Result<Vec<Figure>> {
    let line = shell_line(command);
    println!("  $ {line}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{line}`"))?;
    let output = child.stdout.take().context("its output")?;
    let mut figures = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("    {line}");
        figures.extend(figure(&line)?);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    if figures.is_empty() {
        bail!("`{line}` measured nothing");
    }
    Ok(figures)
}

/// The figure in a line of output; a test's name may stand before it.
fn figure(line: &str) -> Result<Option<Figure>> {
    let Some((_, json)) = line.split_once(MARK) else {
        return Ok(None);
    };
    let figure = serde_json::from_str(json).with_context(|| format!("reading {json}"))?;
    Ok(Some(figure))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = &self.load;
        writeln!(
            f,
            "{} cores, {} profile, load average {before} before and {after} after\n",
            self.cores, self.profile
        )?;
        writeln!(f, "| what | goal | median | worst |\n|---|---|---|---|")?;
        for figure in &self.figures {
            match figure {
                Figure::Overhead {
                    queue,
                    jobs,
                    median_ms,
                    p99_ms,
                } => {
                    let goal = if queue == "NATS" { 25 } else { 10 };
                    writeln!(
                        f,
                        "| queue overhead per job, {queue} ({jobs} jobs) | < {goal} ms | {median_ms:.2} ms | p99 {p99_ms:.2} ms |"
                    )?;
                }
                Figure::Cancel {
                    jobs,
                    median_ms,
                    longest_ms,
                    step_ms,
                    beyond_step_median_ms,
                    beyond_step_longest_ms,
                } => writeln!(
                    f,
                    "| cancel until the worker has stopped ({jobs} jobs; one step {step_ms:.0} ms) | | {median_ms:.0} ms | longest {longest_ms:.0} ms |\n\
                     | of that, beyond one step | < 100 ms | {beyond_step_median_ms:.0} ms | longest {beyond_step_longest_ms:.0} ms |"
                )?,
                Figure::Load { .. } => {}
            }
        }
        writeln!(
            f,
            "\n| requests | app replicas | connections | requests/s | median | p99 | refused | broken |\n|---|---|---|---|---|---|---|---|"
        )?;
        for figure in &self.figures {
            if let Figure::Load {
                scenario,
                replicas,
                connections,
                requests_per_second,
                median_ms,
                p99_ms,
                refused,
                broken,
                ..
            } = figure
            {
                writeln!(
                    f,
                    "| {scenario} | {replicas} | {connections} | {requests_per_second:.0} | {median_ms:.1} ms | {p99_ms:.1} ms | {refused} | {broken} |"
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn figures_are_found_among_other_lines() {
        assert_eq!(figure("test measure::cancelling ... ok").unwrap(), None);
        let line = r#"test measure::queue_overhead ... measured {"figure":"overhead","queue":"NATS","jobs":300,"median_ms":5.8,"p99_ms":9}"#;
        let found = figure(line).unwrap().unwrap();
        let Figure::Overhead { queue, p99_ms, .. } = &found else {
            unreachable!("{found:?}")
        };
        assert_eq!((queue.as_str(), *p99_ms), ("NATS", 9.0));
        assert!(figure("measured {").is_err());
        let report = Report {
            cores: 2,
            profile: "dev",
            load: [Load::now(), Load::now()],
            figures: vec![found],
        };
        let text = report.to_string();
        assert!(
            text.contains("NATS (300 jobs) | < 25 ms | 5.80 ms | p99 9.00 ms"),
            "{text}"
        );
    }
}
