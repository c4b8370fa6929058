//! The table and the JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use serde::Serialize;

use super::engine::Engine;
use super::model::Model;
use super::peer::{Again, First};
use super::size::Sizes;

/// Share of the expected range beyond which an output counts as wrong.
const TOLERANCE: f64 = 2e-3;

/// What was measured.
#[derive(Serialize)]
pub struct Report {
    /// Warm runs of each engine on each model.
    runs: usize,
    cores: usize,
    /// How busy the machine was, at the start and after each model.
    pub load: Vec<Load>,
    sizes: Vec<Sizes>,
    /// One engine on one model.
    pub rows: Vec<Row>,
}

/// Average number of processes that wanted to run in the last minute, where the system tells.
#[derive(Serialize)]
pub struct Load(Option<f64>);

impl Load {
    /// That of now.
    pub fn now() -> Load {
        Load(
            fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| text.split(' ').next()?.parse().ok()),
        )
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(load) => write!(f, "{load:.1}"),
            None => f.write_str("unknown"),
        }
    }
}

/// One engine on one model.
#[derive(Serialize)]
pub struct Row {
    model: String,
    engine: Engine,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an engine with a model.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran.
    Ran(Box<Ran>),
    /// It did not; what it said.
    Failed(String),
}

/// Numbers of an engine that ran.
#[derive(Default, Serialize)]
pub struct Ran {
    version: Option<String>,
    browser: Option<String>,
    adapter: Option<String>,
    open_ms: f64,
    /// Loading, compiling and running once.
    first_ms: f64,
    /// Warm runs in their order.
    runs_ms: Vec<f64>,
    /// Largest difference from ONNX Runtime's CPU provider as a share of the output's range.
    error_share: f64,
    dispatches: Option<u64>,
    pipelines: Option<u64>,
    submits: Option<u64>,
    readbacks: Option<u64>,
    gpu_peak_bytes: Option<u64>,
    wasm_heap_bytes: Option<u64>,
    process_peak_bytes: Option<u64>,
}

impl Row {
    /// Of an engine that has had its first run, or failed.
    pub fn new(model: &Model, engine: Engine, outcome: Outcome) -> Row {
        Row {
            model: model.name.clone(),
            engine,
            outcome,
        }
    }
}

impl Outcome {
    /// After the first run.
    pub fn ran(first: First, error_share: f64) -> Outcome {
        Outcome::Ran(Box::new(Ran {
            version: first.version,
            browser: first.browser,
            adapter: first.adapter,
            open_ms: first.open_ms,
            first_ms: first.first_ms,
            error_share,
            dispatches: first.dispatches,
            pipelines: first.pipelines,
            gpu_peak_bytes: first.gpu_peak_bytes,
            ..Ran::default()
        }))
    }

    /// Adds a warm run.
    pub fn add(&mut self, run: Again) {
        if let Outcome::Ran(ran) = self {
            ran.runs_ms.push(run.ms);
            ran.dispatches = run.dispatches.or(ran.dispatches);
            ran.submits = run.submits.or(ran.submits);
            ran.readbacks = run.readbacks.or(ran.readbacks);
            ran.gpu_peak_bytes = run.gpu_peak_bytes.or(ran.gpu_peak_bytes);
            ran.wasm_heap_bytes = run.wasm_heap_bytes.or(ran.wasm_heap_bytes);
        }
    }

    /// Notes the memory of the process.
    pub fn finish(&mut self, memory: Option<u64>) {
        if let Outcome::Ran(ran) = self {
            ran.process_peak_bytes = memory;
        }
    }

    /// The numbers, if it ran and its outputs are right.
    fn right(&self) -> Option<&Ran> {
        match self {
            Outcome::Ran(ran) if ran.error_share <= TOLERANCE => Some(ran),
            _ => None,
        }
    }
}

impl Ran {
    /// The middle one of the warm runs; of the first run where there are none.
    fn median_ms(&self) -> f64 {
        let mut runs = self.runs_ms.clone();
        runs.sort_by(f64::total_cmp);
        runs.get(runs.len() / 2).copied().unwrap_or(self.first_ms)
    }
}

impl Report {
    /// Without any row.
    pub fn new(runs: usize, sizes: Vec<Sizes>) -> Report {
        Report {
            runs,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            load: vec![Load::now()],
            sizes,
            rows: Vec::new(),
        }
    }

    fn find(&self, model: &str, engine: Engine) -> Option<&Ran> {
        self.rows
            .iter()
            .find(|row| row.model == model && row.engine == engine)
            .and_then(|row| row.outcome.right())
    }

    /// Times of an engine over those of ours in the same place, warm and first, over the models that both get right.
    fn ratios(&self, engine: Engine) -> Vec<(f64, f64)> {
        self.rows
            .iter()
            .filter(|row| row.engine == engine)
            .filter_map(|row| {
                let (theirs, ours) = (row.outcome.right()?, self.find(&row.model, engine.ours())?);
                Some((
                    theirs.median_ms() / ours.median_ms(),
                    theirs.first_ms / ours.first_ms,
                ))
            })
            .collect()
    }
}

/// The number whose logarithm is the mean of the logarithms.
fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

fn or_dash<T: fmt::Display>(value: Option<T>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn megabytes(bytes: Option<u64>) -> String {
    or_dash(bytes.map(|bytes| format!("{:.1}", bytes as f64 / 1e6)))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Failed(why) => write!(f, "fails: {why}"),
            Outcome::Ran(ran) => write!(
                f,
                "first run {:.1} ms, {:.1e} of the range off",
                ran.first_ms, ran.error_share
            ),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22}{:<18}{:>11}{:>9}{:>11}{:>9}{:>7}{:>6}{:>6}{:>9}{:>9}{:>10}",
            "model",
            "engine",
            "median ms",
            "x ours",
            "first ms",
            "x ours",
            "disp",
            "pipe",
            "read",
            "GPU MB",
            "RSS MB",
            "error"
        )?;
        let mut last = "";
        for row in &self.rows {
            let model = if row.model == last { "" } else { &row.model };
            last = &row.model;
            write!(f, "{model:<22}{:<18}", row.engine.name())?;
            let ran = match &row.outcome {
                Outcome::Failed(why) => {
                    writeln!(f, "  fails: {why}")?;
                    continue;
                }
                Outcome::Ran(ran) => ran,
            };
            let ours = self.find(&row.model, row.engine.ours());
            let times = |theirs: f64, ours: Option<f64>| {
                or_dash(ours.map(|ours| format!("{:.2}", theirs / ours)))
            };
            writeln!(
                f,
                "{:>11.1}{:>9}{:>11.1}{:>9}{:>7}{:>6}{:>6}{:>9}{:>9}{:>10}",
                ran.median_ms(),
                times(ran.median_ms(), ours.map(Ran::median_ms)),
                ran.first_ms,
                times(ran.first_ms, ours.map(|ours| ours.first_ms)),
                or_dash(ran.dispatches),
                or_dash(ran.pipelines),
                or_dash(ran.readbacks),
                megabytes(ran.gpu_peak_bytes),
                megabytes(ran.process_peak_bytes),
                if ran.error_share > TOLERANCE {
                    "WRONG".to_owned()
                } else {
                    format!("{:.1e}", ran.error_share)
                }
            )?;
        }
        writeln!(f)?;
        let engines: BTreeMap<Engine, ()> = self.rows.iter().map(|row| (row.engine, ())).collect();
        for engine in engines
            .into_keys()
            .filter(|engine| *engine != engine.ours())
        {
            let ratios = self.ratios(engine);
            let total = self.rows.iter().filter(|row| row.engine == engine).count();
            let mean = |pick: fn(&(f64, f64)) -> f64| {
                or_dash(geometric_mean(ratios.iter().map(pick)).map(|mean| format!("{mean:.2}")))
            };
            let least = ratios
                .iter()
                .map(|ratio| ratio.0)
                .fold(f64::INFINITY, f64::min);
            writeln!(
                f,
                "{} takes {} times as long as {} (geometric mean over {} of {total} models, least {least:.2}); the first run {}",
                engine.name(),
                mean(|ratio| ratio.0),
                engine.ours().name(),
                ratios.len(),
                mean(|ratio| ratio.1)
            )?;
        }
        for size in &self.sizes {
            writeln!(
                f,
                "{}: wasm {:.1} kB, brotli {:.1} kB; script, brotli {:.1} kB",
                size.engine,
                size.wasm_bytes as f64 / 1e3,
                size.wasm_brotli_bytes as f64 / 1e3,
                size.script_brotli_bytes as f64 / 1e3
            )?;
        }
        let load: Vec<String> = self
            .load
            .iter()
            .map(|load| or_dash(load.0.map(|load| format!("{load:.1}"))))
            .collect();
        writeln!(
            f,
            "{} warm runs of each, in turns; {} cores, load {}",
            self.runs,
            self.cores,
            load.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_geometric_and_the_median_is_in_the_middle() {
        assert_eq!(geometric_mean([2.0, 8.0].into_iter()), Some(4.0));
        assert_eq!(geometric_mean([].into_iter()), None);
        let ran = Ran {
            runs_ms: vec![9.0, 1.0, 2.0],
            first_ms: 50.0,
            ..Ran::default()
        };
        assert_eq!(ran.median_ms(), 2.0);
    }

    #[test]
    fn wrong_outputs_do_not_count() {
        let outcome = |error_share| Outcome::ran(First::default(), error_share);
        assert!(outcome(1e-3).right().is_some());
        assert!(outcome(1e-2).right().is_none());
        assert!(outcome(f64::INFINITY).right().is_none());
    }
}
