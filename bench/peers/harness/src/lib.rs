//! What every native peer of the benchmark does.
//!
//! `PEER MODEL --save DIR [--input NAME=FILE.npy]…` loads the model, runs it once, writes `DIR/OUTPUT.npy` and prints one line
//! of JSON. Each line `run` on standard input is answered by a line with the milliseconds of one more run.

mod npy;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

pub use npy::{Array, Data};

/// Any failure, as a sentence.
pub type Failure = Box<dyn std::error::Error>;

/// An engine with a model in it.
pub trait Peer: Sized {
    /// Loads a model; `inputs` are those of every run.
    ///
    /// # Errors
    /// What the engine says, for instance which operator it lacks.
    fn open(model: &[u8], inputs: Vec<(String, Array)>) -> Result<Self, Failure>;

    /// Runs once; the outputs by name, in main memory.
    ///
    /// # Errors
    /// What the engine says.
    fn run(&mut self) -> Result<Vec<(String, Array)>, Failure>;
}

struct Arguments {
    model: PathBuf,
    save: PathBuf,
    inputs: Vec<(String, PathBuf)>,
}

fn arguments() -> Result<Arguments, Failure> {
    let (mut model, mut save, mut inputs) = (None, None, Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--save" => save = words.next().map(PathBuf::from),
            "--input" => {
                let pair = words.next().unwrap_or_default();
                let (name, file) = pair.split_once('=').ok_or("--input NAME=FILE.npy")?;
                inputs.push((name.to_owned(), PathBuf::from(file)));
            }
            _ => model = Some(PathBuf::from(word)),
        }
    }
    Ok(Arguments {
        model: model.ok_or("no model given")?,
        save: save.ok_or("no --save given")?,
        inputs,
    })
}

/// The `main` of a peer; a failure is a line `{"error": …}` and exit status 1.
pub fn main<P: Peer>() {
    // Engines that panic on what they cannot do say why in the panic.
    let done = std::panic::catch_unwind(|| serve::<P>().map_err(|error| error.to_string()));
    let error = match done {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "panic".to_owned()),
    };
    println!("{{\"error\":\"{}\"}}", escape(&error));
    std::process::exit(1);
}

fn serve<P: Peer>() -> Result<(), Failure> {
    let arguments = arguments()?;
    let model = std::fs::read(&arguments.model)?;
    let inputs = arguments
        .inputs
        .iter()
        .map(|(name, file)| Ok((name.clone(), npy::read(&std::fs::read(file)?)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let start = Instant::now();
    let mut peer = P::open(&model, inputs)?;
    let open = start.elapsed();
    let outputs = peer.run()?;
    let first = start.elapsed();
    std::fs::create_dir_all(&arguments.save)?;
    for (name, array) in &outputs {
        let file = arguments
            .save
            .join(format!("{}.npy", name.replace('/', "_")));
        std::fs::write(file, npy::write(array))?;
    }
    let mut out = std::io::stdout();
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    writeln!(
        out,
        "{{\"open_ms\":{},\"first_ms\":{}}}",
        ms(open),
        ms(first)
    )?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        if line?.trim() == "run" {
            let start = Instant::now();
            peer.run()?;
            writeln!(out, "{{\"ms\":{}}}", ms(start.elapsed()))?;
            out.flush()?;
        }
    }
    Ok(())
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' => '\'',
            '\\' => '/',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}
