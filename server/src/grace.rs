//! The time that what is in hand has left once the process is asked to stop.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A time that begins when the token is cancelled.
pub struct Grace {
    stop: CancellationToken,
    time: Duration,
    until: OnceLock<Instant>,
}

impl Grace {
    /// `time` from the moment that `stop` is cancelled.
    pub fn new(stop: CancellationToken, time: Duration) -> Self {
        Self {
            stop,
            time,
            until: OnceLock::new(),
        }
    }

    /// Whether the process was asked to stop.
    pub fn has_begun(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when the process is asked to stop.
    pub async fn begun(&self) {
        self.stop.cancelled().await;
        self.until.get_or_init(|| Instant::now() + self.time);
    }

    /// As [`Self::begun`], of whoever outlives the borrow.
    pub async fn begun_owned(self: Arc<Self>) {
        self.begun().await;
    }

    /// Resolves when the time is up.
    pub async fn over(&self) {
        self.begun().await;
        let until = self.until.get_or_init(|| Instant::now() + self.time);
        tokio::time::sleep_until(*until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_begins_with_the_wish_to_stop_and_runs_once() {
        let stop = CancellationToken::new();
        let grace = Grace::new(stop.clone(), Duration::from_secs(10));
        let soon = Duration::from_secs(3600);
        assert!(tokio::time::timeout(soon, grace.over()).await.is_err());
        assert!(!grace.has_begun());
        stop.cancel();
        let begun = Instant::now();
        // Looking at it again does not begin it again.
        let some = Duration::from_secs(6);
        assert!(tokio::time::timeout(some, grace.over()).await.is_err());
        grace.over().await;
        assert_eq!(begun.elapsed().as_secs(), 10);
    }
}
