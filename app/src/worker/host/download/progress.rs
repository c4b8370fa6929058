//! The numbers of a download, as the page is told them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::worker::host::js::now_ms;
use crate::worker::message::{RunEvent, Transfer};
use crate::worker::weights::speed::Speed;

/// Progress is told at most this often, in milliseconds.
const REPORT_MS: f64 = 100.0;

/// The numbers of a download under way.
pub(super) struct Progress<'d> {
    report: &'d dyn Fn(RunEvent),
    total: u64,
    /// Bytes that are here, by file.
    here: RefCell<HashMap<String, u64>>,
    /// Bytes that this worker received.
    received: Cell<u64>,
    speed: RefCell<Speed>,
    told_ms: Cell<f64>,
}

impl<'d> Progress<'d> {
    /// Of files of `total` bytes together.
    pub(super) fn new(report: &'d dyn Fn(RunEvent), total: u64) -> Self {
        Self {
            report,
            total,
            here: RefCell::default(),
            received: Cell::new(0),
            speed: RefCell::default(),
            told_ms: Cell::new(f64::NEG_INFINITY),
        }
    }

    /// Bytes that are not here yet.
    pub(super) fn missing(&self) -> u64 {
        self.total.saturating_sub(self.here())
    }

    fn here(&self) -> u64 {
        self.here.borrow().values().sum()
    }

    /// `bytes` of a file are here.
    pub(super) fn set(&self, sha256: &str, bytes: u64) {
        self.here.borrow_mut().insert(sha256.to_owned(), bytes);
    }

    /// `bytes` more came from the network.
    pub(super) fn received(&self, bytes: u64) {
        self.received.set(self.received.get() + bytes);
        self.speed
            .borrow_mut()
            .record(now_ms(), self.received.get());
    }

    /// Tells the page, unless it was told just now.
    pub(super) fn tell(&self, transfer: Transfer, at_once: bool) {
        let now = now_ms();
        if !at_once && now - self.told_ms.get() < REPORT_MS {
            return;
        }
        self.told_ms.set(now);
        if transfer != Transfer::Running {
            self.speed.borrow_mut().pause();
        }
        (self.report)(RunEvent::Download {
            loaded: self.here(),
            total: self.total,
            bytes_per_second: self.speed.borrow().bytes_per_second(),
            transfer,
        });
    }
}
