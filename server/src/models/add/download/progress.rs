//! How far a download is.

use std::io::Write;
use std::time::{Duration, Instant};

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(3);
/// Time in which bytes are counted for the speed: what was fast an hour ago says nothing of now.
const RECENT: Duration = Duration::from_secs(30);

/// Says on a report how many bytes are here, how fast they come and how long it takes.
pub(super) struct Progress<'r> {
    report: &'r mut dyn Write,
    total: u64,
    here: u64,
    said: Instant,
    /// When how many bytes had come, the oldest first.
    came: Vec<(Instant, u64)>,
}

impl<'r> Progress<'r> {
    pub fn new(report: &'r mut dyn Write) -> Self {
        let now = Instant::now();
        Self {
            report,
            total: 0,
            here: 0,
            said: now,
            came: vec![(now, 0)],
        }
    }

    /// So many bytes are to come.
    pub fn expect(&mut self, bytes: u64) {
        self.total += bytes;
    }

    /// So many more bytes are here.
    pub fn has(&mut self, bytes: u64) -> std::io::Result<()> {
        self.here += bytes;
        let now = Instant::now();
        if now.duration_since(self.said) < EVERY {
            return Ok(());
        }
        self.said = now;
        self.came.push((now, self.here));
        let line = self.line(now);
        writeln!(self.report, "{line}")
    }

    /// So many bytes have to be fetched anew.
    pub fn lost(&mut self, bytes: u64) {
        self.here = self.here.saturating_sub(bytes);
        self.came = vec![(Instant::now(), self.here)];
    }

    pub fn say(&mut self, line: &str) -> std::io::Result<()> {
        writeln!(self.report, "{line}")
    }

    fn line(&mut self, now: Instant) -> String {
        while self.came.len() > 2 && now.duration_since(self.came[0].0) > RECENT {
            self.came.remove(0);
        }
        let (since, before) = self.came[0];
        let seconds = now.duration_since(since).as_secs_f64();
        let speed = self.here.saturating_sub(before) as f64 / seconds.max(1e-3);
        let mut line = format!("{} of {}", size(self.here), size(self.total));
        if speed >= 1.0 {
            let left = self.total.saturating_sub(self.here) as f64 / speed;
            line.push_str(&format!(", {:.1} MB/s, {} left", speed / 1e6, time(left)));
        }
        line
    }
}

fn size(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.2} GB", bytes as f64 / 1e9)
    }
}

fn time(seconds: f64) -> String {
    let seconds = seconds.min(1e6).ceil() as u64;
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
        let mut report = Vec::new();
        let mut progress = Progress::new(&mut report);
        progress.expect(3_000_000_000);
        progress.here = 1_000_000_000;
        let begun = progress.came[0].0;
        let line = progress.line(begun + Duration::from_secs(10));
        assert_eq!(line, "1.00 GB of 3.00 GB, 100.0 MB/s, 20 s left");
        // Nothing came for a while: the speed is that of the last half minute, and then there is none to tell.
        for second in [20, 40, 60] {
            let now = begun + Duration::from_secs(second);
            progress.came.push((now, 1_000_000_000));
            progress.line(now);
        }
        let line = progress.line(begun + Duration::from_secs(70));
        assert_eq!(line, "1.00 GB of 3.00 GB");
    }

    #[test]
    fn times_have_two_parts_at_most() {
        let times = [0.2, 59.0, 61.0, 7_260.0].map(time);
        assert_eq!(times, ["1 s", "59 s", "2 min", "2 h 1 min"]);
    }
}
