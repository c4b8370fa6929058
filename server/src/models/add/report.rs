//! How a run is told of: sentences for a person, or events for a program that watches.

use std::io::{self, Write};
use std::time::Duration;

use protocol::{AdditionStage, Fetched, ModelLook, Trouble};
use serde::{Deserialize, Serialize};

/// Whoever is told how a run goes. What is written to it are sentences, one a line.
pub(crate) trait Report: Write {
    /// What is done from now on.
    fn stage(&mut self, stage: AdditionStage) -> io::Result<()>;
    /// How much is here, now and then.
    fn fetched(&mut self, fetched: &Fetched) -> io::Result<()>;
    /// All that was wanted so far is here.
    fn here(&mut self, fetched: &Fetched) -> io::Result<()>;
    /// What was found out about a model.
    fn looked(&mut self, look: &ModelLook) -> io::Result<()>;
    /// Time between two calls of [`Self::fetched`].
    fn every(&self) -> Duration;
}

/// For a person.
pub(crate) struct Sentences<'w>(pub &'w mut dyn Write);

impl Write for Sentences<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Report for Sentences<'_> {
    fn stage(&mut self, _: AdditionStage) -> io::Result<()> {
        Ok(())
    }

    fn fetched(&mut self, fetched: &Fetched) -> io::Result<()> {
        writeln!(self, "{}", line(fetched))
    }

    /// Its files were named one by one.
    fn here(&mut self, _: &Fetched) -> io::Result<()> {
        Ok(())
    }

    fn looked(&mut self, look: &ModelLook) -> io::Result<()> {
        writeln!(self, "{} at {}", look.id, look.revision)?;
        for component in &look.components {
            let class = component.class.as_deref().unwrap_or("a graph");
            let bytes = size(component.bytes);
            writeln!(self, "{}: {class}, {bytes}", component.name)?;
        }
        writeln!(
            self,
            "{} to download, {} are free",
            size(look.download_bytes),
            size(look.free_bytes)
        )?;
        for choice in &look.choices {
            writeln!(
                self,
                "weights {}: a package of {}, {} of GPU memory, no buffer of more than {}",
                choice.weights.name(),
                size(choice.package_bytes),
                size(choice.needs.memory_bytes),
                size(choice.needs.max_buffer_size)
            )?;
        }
        for note in &look.notes {
            writeln!(self, "{note}")?;
        }
        if look.is_here {
            writeln!(self, "a package with this id is here already")?;
        }
        match &look.refusal {
            Some(refusal) => writeln!(self, "it cannot be added: {refusal}"),
            None => writeln!(self, "nothing is known against it"),
        }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(3)
    }
}

/// What a program is told, as one line of JSON each.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    Stage {
        stage: AdditionStage,
    },
    Fetched(Fetched),
    Note {
        line: String,
    },
    Looked {
        look: Box<ModelLook>,
    },
    /// The run ended without what it was to do.
    Failed {
        reason: String,
        /// What is wrong with the hub, where it is the hub.
        #[serde(default)]
        trouble: Option<Trouble>,
    },
}

/// For a program.
pub(crate) struct Events<'w> {
    out: &'w mut dyn Write,
    /// A sentence whose end was not written yet.
    line: Vec<u8>,
}

impl<'w> Events<'w> {
    pub fn new(out: &'w mut dyn Write) -> Self {
        Self {
            out,
            line: Vec::new(),
        }
    }

    pub fn say(&mut self, event: &Event) -> io::Result<()> {
        let mut json = serde_json::to_vec(event)?;
        json.push(b'\n');
        self.out.write_all(&json)?;
        self.out.flush()
    }
}

impl Write for Events<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let line = std::mem::replace(&mut self.line, rest);
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            self.say(&Event::Note { line })?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Report for Events<'_> {
    fn stage(&mut self, stage: AdditionStage) -> io::Result<()> {
        self.say(&Event::Stage { stage })
    }

    fn fetched(&mut self, fetched: &Fetched) -> io::Result<()> {
        self.say(&Event::Fetched(fetched.clone()))
    }

    fn here(&mut self, fetched: &Fetched) -> io::Result<()> {
        self.fetched(fetched)
    }

    fn looked(&mut self, look: &ModelLook) -> io::Result<()> {
        let look = Box::new(look.clone());
        self.say(&Event::Looked { look })
    }

    fn every(&self) -> Duration {
        Duration::from_millis(500)
    }
}

/// Bytes, speed and time in words.
fn line(fetched: &Fetched) -> String {
    let mut line = format!("{} of {}", size(fetched.bytes), size(fetched.total_bytes));
    if let (Some(speed), Some(left)) = (fetched.bytes_per_second, fetched.seconds_left) {
        line.push_str(&format!(
            ", {:.1} MB/s, {} left",
            speed as f64 / 1e6,
            time(left)
        ));
    }
    line
}

fn size(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.2} GB", bytes as f64 / 1e9)
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_speed_and_time_are_said() {
        let mut fetched = Fetched {
            bytes: 1_000_000_000,
            total_bytes: 3_000_000_000,
            bytes_per_second: Some(100_000_000),
            seconds_left: Some(20),
        };
        assert_eq!(line(&fetched), "1.00 GB of 3.00 GB, 100.0 MB/s, 20 s left");
        (fetched.bytes_per_second, fetched.seconds_left) = (None, None);
        assert_eq!(line(&fetched), "1.00 GB of 3.00 GB");
    }

    #[test]
    fn times_have_two_parts_at_most() {
        let times = [1, 59, 61, 7_260].map(time);
        assert_eq!(times, ["1 s", "59 s", "2 min", "2 h 1 min"]);
    }

    #[test]
    fn every_event_is_a_line_and_so_is_every_sentence() {
        let mut out = Vec::new();
        let mut events = Events::new(&mut out);
        events.stage(AdditionStage::Looking).unwrap();
        write!(events, "one").unwrap();
        write!(events, " \"line\"\ntwo\nthr").unwrap();
        writeln!(events, "ee").unwrap();
        let lines = String::from_utf8(out).unwrap();
        let events: Vec<Event> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let note = |line: &str| Event::Note {
            line: line.to_owned(),
        };
        let stage = Event::Stage {
            stage: AdditionStage::Looking,
        };
        let expected = [stage, note("one \"line\""), note("two"), note("three")];
        assert_eq!(events, expected);
    }
}
