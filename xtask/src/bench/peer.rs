//! A running engine: a process that answers each line with a line of JSON.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What an engine says after its first run.
#[derive(Debug, Default, Deserialize)]
pub struct First {
    /// Loading and compiling, in milliseconds.
    #[serde(default)]
    pub open_ms: f64,
    /// Loading, compiling and the first run.
    #[serde(default)]
    pub first_ms: f64,
    /// Where it runs, as it calls that.
    pub adapter: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Version of the browser it runs in.
    pub browser: Option<String>,
    /// Pipelines made for the first run.
    pub pipelines: Option<u64>,
    /// Dispatches of a run, where it knows them now.
    pub dispatches: Option<u64>,
    /// Bytes of buffers, where it knows them now.
    pub gpu_peak_bytes: Option<u64>,
    error: Option<String>,
}

/// What an engine says after a warm run.
#[derive(Debug, Default, Deserialize)]
pub struct Again {
    /// Milliseconds, read-back included.
    #[serde(default)]
    pub ms: f64,
    /// Dispatches of this run.
    pub dispatches: Option<u64>,
    /// Buffers read back in this run.
    pub readbacks: Option<u64>,
    /// Submits of this run.
    pub submits: Option<u64>,
    /// Most bytes of buffers that lived at a time.
    pub gpu_peak_bytes: Option<u64>,
    /// Bytes of the module's memory.
    pub wasm_heap_bytes: Option<u64>,
    error: Option<String>,
}

/// A started engine. Dropping it ends it.
pub struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<std::io::Result<String>>,
}

impl Peer {
    /// Starts it and waits for its first run.
    pub fn start(command: &mut Command, patience: Duration) -> Result<(Peer, First)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {:?}", command.get_program()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("no standard output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut peer = Peer {
            child,
            input,
            lines,
        };
        let first: First = peer.answer(patience)?;
        match first.error {
            Some(error) => bail!("{error}"),
            None => Ok((peer, first)),
        }
    }

    /// One warm run.
    pub fn again(&mut self, patience: Duration) -> Result<Again> {
        let input = self.input.as_mut().context("its input is closed")?;
        writeln!(input, "run").and_then(|()| input.flush())?;
        let again: Again = self.answer(patience)?;
        match again.error {
            Some(error) => bail!("{error}"),
            None => Ok(again),
        }
    }

    fn answer<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T> {
        let line = match self.lines.recv_timeout(patience) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Timeout) => bail!("no answer for {} s", patience.as_secs()),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                bail!("ended without an answer: {status}");
            }
        };
        serde_json::from_str(&line).map_err(|error| anyhow!("{error} in the answer `{line}`"))
    }

    /// Lets it end; the most memory the process has used, in bytes, where the system tells.
    pub fn end(mut self) -> Result<Option<u64>> {
        let memory = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .ok()
            .and_then(|status| high_water(&status));
        self.input = None;
        self.child.wait()?;
        Ok(memory)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `VmHWM` of `/proc/PID/status` in bytes.
fn high_water(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_engine_answers_line_by_line() {
        let script = "echo '{\"first_ms\":3.5}'; while read line; do echo '{\"ms\":2}'; done";
        let (mut peer, first) = Peer::start(&mut shell(script), PATIENCE).unwrap();
        assert_eq!(first.first_ms, 3.5);
        assert_eq!(peer.again(PATIENCE).unwrap().ms, 2.0);
        peer.end().unwrap();
    }

    #[test]
    fn what_goes_wrong_is_an_error_with_its_words() {
        let fails = |script: &str| {
            let error = Peer::start(&mut shell(script), Duration::from_millis(300)).err();
            error.unwrap().to_string()
        };
        assert!(fails("echo '{\"error\":\"no Einsum\"}'").contains("no Einsum"));
        assert!(fails("echo nonsense").contains("nonsense"));
        assert!(fails("exit 3").contains("ended without an answer"));
        assert!(fails("exec sleep 20").contains("no answer"));
    }

    #[test]
    fn memory_is_read_from_the_status() {
        let status = "Name:\tx\nVmHWM:\t    1500 kB\nVmRSS:\t 3 kB\n";
        assert_eq!(high_water(status), Some(1_536_000));
        assert_eq!(high_water("Name:\tx\n"), None);
    }
}
