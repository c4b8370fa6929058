//! How long jobs take, from those that have ended.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{JobStatus, JobView};
use serde::{Deserialize, Serialize};

use super::format::{self, FORMAT};

/// Durations that the median is taken of.
const WINDOW: usize = 32;

/// Durations of the latest completed jobs of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    #[serde(default = "format::first")]
    format: u32,
    milliseconds: VecDeque<u64>,
}

impl Default for Durations {
    fn default() -> Self {
        VecDeque::new().into()
    }
}

/// As the first format has them: the milliseconds alone.
impl From<VecDeque<u64>> for Durations {
    fn from(milliseconds: VecDeque<u64>) -> Self {
        Self {
            format: FORMAT,
            milliseconds,
        }
    }
}

/// What is known about the jobs before one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Median duration of a job of this model in milliseconds, once one has ended.
    pub median_ms: Option<u64>,
    /// Jobs that workers are at.
    pub running: usize,
    /// Workers that take this model.
    pub workers: usize,
}

impl Durations {
    /// Notes a job from claim to end.
    pub fn push(&mut self, milliseconds: u64) {
        while self.milliseconds.len() >= WINDOW {
            self.milliseconds.pop_front();
        }
        self.milliseconds.push_back(milliseconds);
    }

    /// The median; for an even count the upper one.
    pub fn median_ms(&self) -> Option<u64> {
        let mut sorted: Vec<u64> = self.milliseconds.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

impl Load {
    /// Milliseconds until the job has ended: `median × (1 + (ahead + ½ running) / workers)` for a queued job, since a
    /// running one is half done on average, and at least `wait` and a median where it is tried again only after that
    /// time; for a running one its share of steps left.
    pub fn eta_ms(&self, view: &JobView, ahead: usize, wait: Duration) -> Option<u64> {
        let median = self.median_ms? as f64;
        let jobs = match view.status {
            JobStatus::Queued if self.workers > 0 => {
                1.0 + (ahead as f64 + self.running as f64 / 2.0) / self.workers as f64
            }
            JobStatus::Generating => {
                let total = f64::from(view.progress.total_steps.max(1));
                1.0 - f64::from(view.progress.step).min(total) / total
            }
            _ => return None,
        };
        let until_due = if wait.is_zero() {
            0.0
        } else {
            wait.as_secs_f64() * 1e3 + median
        };
        Some((median * jobs).max(until_due).round() as u64)
    }

    /// Seconds until a place in a full queue is likely to be free: the median over the workers.
    pub fn retry_after(&self) -> u32 {
        /// Guess of a job's duration before the first one has ended.
        const FIRST_GUESS_MS: u64 = 5_000;
        let median = self.median_ms.unwrap_or(FIRST_GUESS_MS);
        let seconds = median as f64 / 1e3 / self.workers.max(1) as f64;
        seconds.ceil().clamp(1.0, 600.0) as u32
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use protocol::{GenerationRequest, Progress};

    use super::*;
    use crate::images::Keeping;
    use crate::jobs::record::JobRecord;

    fn view() -> JobView {
        let request = GenerationRequest {
            model: "a/b".into(),
            prompt: "p".into(),
            seed: Some(0),
            num_inference_steps: Some(8),
            guidance_scale: None,
            ..GenerationRequest::default()
        };
        JobRecord::new("j".into(), request, 8, Keeping::default(), None).view
    }

    #[test]
    fn the_median_rolls() {
        let mut durations = Durations::default();
        assert_eq!(durations.median_ms(), None);
        for ms in [900, 100, 200] {
            durations.push(ms);
        }
        assert_eq!(durations.median_ms(), Some(200));
        for _ in 0..WINDOW {
            durations.push(5_000);
        }
        assert_eq!(durations.median_ms(), Some(5_000));
        assert_eq!(durations.milliseconds.len(), WINDOW);
    }

    #[test]
    fn estimates() {
        let load = Load {
            median_ms: Some(1_000),
            running: 2,
            workers: 2,
        };
        let mut job = view();
        let now = Duration::ZERO;
        assert_eq!(load.eta_ms(&job, 0, now), Some(1_500));
        assert_eq!(load.eta_ms(&job, 3, now), Some(3_000));
        let later = Duration::from_secs(20);
        assert_eq!(load.eta_ms(&job, 3, later), Some(21_000));
        job.status = JobStatus::Generating;
        job.progress = Progress {
            step: 6,
            total_steps: 8,
        };
        assert_eq!(load.eta_ms(&job, 0, now), Some(250));
        job.status = JobStatus::Completed;
        assert_eq!(load.eta_ms(&job, 0, now), None);
        let nobody = Load { workers: 0, ..load };
        assert_eq!(nobody.eta_ms(&view(), 0, now), None);
        assert_eq!(Load::default().eta_ms(&view(), 0, now), None);
        assert_eq!(load.retry_after(), 1);
        assert_eq!(Load::default().retry_after(), 5);
    }
}
