//! What a connection is waiting for, and since when.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::Limits;

/// What a client that blocks gets once the server stops, and a request that is only half there.
const WHILE_STOPPING: Duration = Duration::from_secs(2);
/// Slowest pace at which a piece of an HTTP/2 answer may be taken, in bytes a second.
const PACE: u64 = 8 << 10;

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// The head of a request was not finished in time.
    Head,
    /// Nothing was asked for long.
    Idle,
    /// The client does not take what was sent.
    Unread,
}

/// The state of one connection, told by its socket and its exchanges.
pub struct Vitals {
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    /// Requests that have begun and whose answers have not been handed over.
    in_hand: usize,
    begun: u64,
    /// Several requests at a time, with traffic that belongs to none.
    multiplexed: bool,
    /// Since nothing is in hand.
    waiting: Instant,
    /// When the head that is being read began.
    head: Option<Instant>,
    /// Since the socket takes no more.
    blocked: Option<Instant>,
    /// Since when, and until when at most, a piece of an answer is on its way and no other was asked for, by number of
    /// the request. Of connections with one request at a time `blocked` says the same better.
    handed: BTreeMap<u64, (Instant, Instant)>,
    /// A request's body was left unread.
    unread: bool,
    stopping: Option<Instant>,
}

impl Vitals {
    /// Of a connection that was just made.
    pub fn new(limits: Limits) -> Self {
        let now = Instant::now();
        let state = State {
            in_hand: 0,
            begun: 0,
            multiplexed: false,
            waiting: now,
            head: Some(now),
            blocked: None,
            handed: BTreeMap::new(),
            unread: false,
            stopping: None,
        };
        Self {
            limits,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came.
    pub fn received(&self) {
        let mut state = self.state();
        if state.in_hand == 0 && !state.multiplexed && state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    /// The socket took bytes.
    pub fn sent(&self) {
        self.state().blocked = None;
    }

    /// The socket took none.
    pub fn blocked(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// A head is complete: the request's number.
    pub fn begin(&self, multiplexed: bool) -> u64 {
        let mut state = self.state();
        state.in_hand += 1;
        state.begun += 1;
        state.multiplexed = multiplexed;
        state.head = None;
        state.begun
    }

    /// A piece of the answer to request `number`, so many bytes, was handed over.
    pub fn handed(&self, number: u64, bytes: usize) {
        let mut state = self.state();
        if state.multiplexed {
            let now = Instant::now();
            let pace = Duration::from_secs(bytes as u64 / PACE);
            state
                .handed
                .insert(number, (now, now + self.limits.write + pace));
        }
    }

    /// The next piece of the answer is asked for.
    pub fn asked(&self, number: u64) {
        self.state().handed.remove(&number);
    }

    /// The answer was handed over, or is not wanted any more.
    pub fn end(&self, number: u64) {
        let mut state = self.state();
        state.handed.remove(&number);
        state.in_hand = state.in_hand.saturating_sub(1);
        if state.in_hand == 0 {
            state.waiting = Instant::now();
        }
    }

    /// The client may still be writing what nobody will read.
    pub fn left_unread(&self) {
        self.state().unread = true;
    }

    /// Whether the client may still be writing: a body that was refused, or a head that is no request.
    pub fn may_be_writing(&self) -> bool {
        let state = self.state();
        state.unread || (state.in_hand == 0 && state.head.is_some())
    }

    /// The server stops.
    pub fn stop(&self) {
        self.state().stopping.get_or_insert_with(Instant::now);
    }

    /// Whether nothing is in hand, and if so whether anything ever was.
    pub fn waiting(&self) -> Option<Waiting> {
        let state = self.state();
        (state.in_hand == 0).then_some(if state.begun == 0 {
            Waiting::Unproven
        } else {
            Waiting::Between
        })
    }

    /// Whether the connection is to end at `now`.
    pub fn overdue(&self, now: Instant) -> Option<Overdue> {
        let state = self.state();
        let over = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        let mut stuck = state
            .blocked
            .map(|since| (since, since + self.limits.write))
            .into_iter()
            .chain(state.handed.values().copied());
        if stuck.any(|(since, until)| {
            now >= until || (state.stopping.is_some() && over(since, WHILE_STOPPING))
        }) {
            return Some(Overdue::Unread);
        }
        if state.in_hand > 0 {
            return None;
        }
        if state
            .stopping
            .is_some_and(|since| over(since, WHILE_STOPPING))
        {
            return Some(Overdue::Idle);
        }
        match state.head {
            Some(since) if over(since, self.limits.head) => Some(Overdue::Head),
            None if over(state.waiting, self.limits.idle) => Some(Overdue::Idle),
            _ => None,
        }
    }
}

/// A connection without a request in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// It never made a request.
    Unproven,
    /// It made one before.
    Between,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(100),
            write: Duration::from_secs(50),
            ..Limits::default()
        }
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_however_slowly_it_comes() {
        let vitals = Vitals::new(limits());
        for _ in 0..9 {
            pass(1).await;
            vitals.received();
        }
        assert_eq!(vitals.overdue(Instant::now()), None);
        pass(1).await;
        assert_eq!(vitals.overdue(Instant::now()), Some(Overdue::Head));
        // The next one's time begins with its first byte.
        let number = vitals.begin(false);
        pass(1000).await;
        vitals.end(number);
        pass(99).await;
        assert_eq!(vitals.overdue(Instant::now()), None);
        vitals.received();
        pass(9).await;
        assert_eq!(vitals.overdue(Instant::now()), None);
        pass(1).await;
        assert_eq!(vitals.overdue(Instant::now()), Some(Overdue::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_for_later_ends_and_what_is_in_hand_does_not() {
        let vitals = Vitals::new(limits());
        let (one, two) = (vitals.begin(true), vitals.begin(true));
        vitals.end(one);
        pass(10_000).await;
        assert_eq!(vitals.overdue(Instant::now()), None);
        vitals.end(two);
        // Frames that belong to no request are no head.
        vitals.received();
        pass(99).await;
        assert_eq!(vitals.overdue(Instant::now()), None);
        pass(1).await;
        assert_eq!(vitals.overdue(Instant::now()), Some(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_overdue_and_a_quiet_stream_is_not() {
        let vitals = Vitals::new(limits());
        let number = vitals.begin(true);
        // An event stream: a piece goes out, the next is asked for and does not come for long.
        vitals.handed(number, 100);
        vitals.asked(number);
        pass(10_000).await;
        assert_eq!(vitals.overdue(Instant::now()), None);
        // 80 KiB may take ten seconds more.
        vitals.handed(number, 80 << 10);
        pass(59).await;
        assert_eq!(vitals.overdue(Instant::now()), None);
        pass(1).await;
        assert_eq!(vitals.overdue(Instant::now()), Some(Overdue::Unread));
        vitals.asked(number);
        vitals.blocked();
        pass(49).await;
        vitals.blocked();
        pass(1).await;
        assert_eq!(vitals.overdue(Instant::now()), Some(Overdue::Unread));
        vitals.sent();
        assert_eq!(vitals.overdue(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_waits_for_answers_and_not_for_clients() {
        let vitals = Vitals::new(limits());
        let number = vitals.begin(false);
        vitals.stop();
        pass(60).await;
        assert_eq!(vitals.overdue(Instant::now()), None);
        vitals.blocked();
        pass(2).await;
        assert_eq!(vitals.overdue(Instant::now()), Some(Overdue::Unread));
        vitals.sent();
        vitals.end(number);
        assert_eq!(vitals.overdue(Instant::now()), Some(Overdue::Idle));
    }
}
