//! The bytes in the store, listed once.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::Problem;
use tokio::time::Instant;

use crate::images::references::now;
use crate::images::sweep::Pages;
use crate::images::{Images, keys};

pub const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR_MS: u64 = 3_600_000;
const HOURS_OF_DAY: u64 = 24;

/// Bytes of pictures, thumbnails and inputs.
pub struct Sum {
    /// When the first list was asked for; what was stored before is in it.
    pub begun: Instant,
    /// Time that the lists took.
    pub took: Duration,
    bytes: u64,
    /// Of the last day, by the hour (since the Unix epoch) in which they were written.
    hours: BTreeMap<u64, u64>,
}

impl Sum {
    /// Lists pictures, thumbnails, what pictures begin with, and bytes on probation.
    pub async fn of(images: &Images) -> Result<Self, Problem> {
        let mut sum = Self::nothing();
        let now = now();
        for prefix in [
            keys::INCOMING,
            keys::INPUT_FILES,
            keys::PICTURES,
            keys::THUMBNAILS,
        ] {
            let mut pages = Pages::new(images, prefix);
            while let Some(objects) = pages.next().await? {
                for object in objects {
                    sum.add(object.modified_at, object.bytes, now);
                }
            }
        }
        sum.took = sum.begun.elapsed();
        Ok(sum)
    }

    #[cfg(test)]
    pub fn of_objects(objects: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut sum = Self::nothing();
        for (modified_at, bytes) in objects {
            sum.add(modified_at, bytes, now());
        }
        sum
    }

    fn nothing() -> Self {
        Self {
            begun: Instant::now(),
            took: Duration::ZERO,
            bytes: 0,
            hours: BTreeMap::new(),
        }
    }

    fn add(&mut self, modified_at: u64, bytes: u64, now: u64) {
        self.bytes += bytes;
        let hour = modified_at / HOUR_MS;
        if is_of_day(hour, now) {
            *self.hours.entry(hour).or_default() += bytes;
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes written in the day before `now`, in milliseconds since the Unix epoch; to the hour.
    pub fn of_day(&self, now: u64) -> u64 {
        let hours = self.hours.iter();
        hours
            .filter(|(hour, _)| is_of_day(**hour, now))
            .map(|(_, bytes)| bytes)
            .sum()
    }

    /// Time after which `bytes` of them are of the last day no more; none where there are not as many.
    pub fn time_to(&self, bytes: u64, now: u64) -> Option<Duration> {
        let mut gone = 0;
        let hours = self.hours.iter();
        for (hour, of_hour) in hours.filter(|(hour, _)| is_of_day(**hour, now)) {
            gone += of_hour;
            if gone >= bytes {
                let end = end_of(*hour);
                return Some(Duration::from_millis(end.saturating_sub(now)));
            }
        }
        None
    }
}

/// When what was written in that hour is a day old, in milliseconds since the Unix epoch.
fn end_of(hour: u64) -> u64 {
    (hour + 1 + HOURS_OF_DAY) * HOUR_MS
}

fn is_of_day(hour: u64, now: u64) -> bool {
    end_of(hour) > now
}
