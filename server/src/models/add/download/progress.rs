//! How far a download is.

use std::time::{Duration, Instant};

use protocol::{AdditionStage, Fetched};

use super::super::report::Report;

/// Time in which bytes are counted for the speed: what was fast an hour ago says nothing of now.
const RECENT: Duration = Duration::from_secs(30);

/// Says on a report how many bytes are here, how fast they come and how long it takes.
pub(super) struct Progress<'r> {
    report: &'r mut dyn Report,
    total: u64,
    here: u64,
    said: Instant,
    /// When how many bytes had come, the oldest first.
    came: Vec<(Instant, u64)>,
}

impl<'r> Progress<'r> {
    pub fn new(report: &'r mut dyn Report) -> Self {
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
        if now.duration_since(self.said) < self.report.every() {
            return Ok(());
        }
        self.say_at(now)
    }

    /// What was expected is here.
    pub fn end(&mut self) -> std::io::Result<()> {
        let fetched = self.at(Instant::now());
        self.report.here(&fetched)
    }

    /// What is done from now on.
    pub fn stage(&mut self, stage: AdditionStage) -> std::io::Result<()> {
        self.report.stage(stage)
    }

    fn say_at(&mut self, now: Instant) -> std::io::Result<()> {
        self.said = now;
        self.came.push((now, self.here));
        let fetched = self.at(now);
        self.report.fetched(&fetched)
    }

    /// So many bytes are here from a run before: they say nothing of how fast others come.
    pub fn had(&mut self, bytes: u64) {
        self.here += bytes;
        for (_, before) in &mut self.came {
            *before += bytes;
        }
    }

    /// So many bytes have to be fetched anew.
    pub fn lost(&mut self, bytes: u64) {
        self.here = self.here.saturating_sub(bytes);
        self.came = vec![(Instant::now(), self.here)];
    }

    pub fn say(&mut self, line: &str) -> std::io::Result<()> {
        writeln!(self.report, "{line}")
    }

    fn at(&mut self, now: Instant) -> Fetched {
        while self.came.len() > 2 && now.duration_since(self.came[0].0) > RECENT {
            self.came.remove(0);
        }
        let (since, before) = self.came[0];
        let seconds = now.duration_since(since).as_secs_f64();
        let speed = self.here.saturating_sub(before) as f64 / seconds.max(1e-3);
        let left = self.total.saturating_sub(self.here) as f64 / speed;
        let comes = speed >= 1.0;
        Fetched {
            bytes: self.here,
            total_bytes: self.total,
            bytes_per_second: comes.then_some(speed as u64),
            seconds_left: comes.then_some(left.min(1e6).ceil() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Sentences;
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_last_half_minute() {
        let mut out = Vec::new();
        let mut report = Sentences(&mut out);
        let mut progress = Progress::new(&mut report);
        progress.expect(3_000_000_000);
        progress.here = 1_000_000_000;
        let begun = progress.came[0].0;
        let mut fetched = Fetched {
            bytes: 1_000_000_000,
            total_bytes: 3_000_000_000,
            bytes_per_second: Some(100_000_000),
            seconds_left: Some(20),
        };
        assert_eq!(progress.at(begun + Duration::from_secs(10)), fetched);
        // Nothing came for a while, and then there is none to tell.
        for second in [20, 40, 60] {
            let now = begun + Duration::from_secs(second);
            progress.came.push((now, 1_000_000_000));
            progress.at(now);
        }
        (fetched.bytes_per_second, fetched.seconds_left) = (None, None);
        assert_eq!(progress.at(begun + Duration::from_secs(70)), fetched);
    }

    #[test]
    fn what_an_earlier_run_fetched_is_no_speed() {
        let mut out = Vec::new();
        let mut report = Sentences(&mut out);
        let mut progress = Progress::new(&mut report);
        progress.expect(3_000_000_000);
        progress.had(2_000_000_000);
        progress.here += 100_000_000;
        let fetched = progress.at(progress.came[0].0 + Duration::from_secs(10));
        assert_eq!(fetched.bytes, 2_100_000_000);
        assert_eq!(fetched.bytes_per_second, Some(10_000_000));
        assert_eq!(fetched.seconds_left, Some(90));
    }
}
