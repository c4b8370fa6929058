//! Writing more to the device than should be in flight at a time.

use super::{Buffer, Caught, Gpu};
use crate::Result;

/// Bytes in flight before the queue is awaited.
const WINDOW: usize = 32 << 20;

/// Writes to buffers, with a pause for the queue every 32 MiB.
pub(crate) struct Uploader {
    gpu: Gpu,
    in_flight: usize,
    caught: Vec<Caught>,
}

impl Uploader {
    pub fn new(gpu: &Gpu) -> Self {
        Self {
            gpu: gpu.clone(),
            in_flight: 0,
            caught: Vec::new(),
        }
    }

    /// Writes `data` at `offset`, a multiple of 4; a ragged end is filled up with zeros.
    pub async fn write(&mut self, buffer: &Buffer, offset: u64, data: &[u8]) -> Result<()> {
        for (part, at) in data.chunks(WINDOW).zip((0u64..).step_by(WINDOW)) {
            let ((), error) = self
                .gpu
                .scoped(|| self.gpu.write_at(buffer, offset + at, part));
            self.caught.push(error);
            self.in_flight += part.len();
            if self.in_flight >= WINDOW {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Waits until everything is on the device.
    ///
    /// # Errors
    /// What the device reported about any write.
    pub async fn flush(&mut self) -> Result<()> {
        for error in self.caught.drain(..) {
            error.await?;
        }
        self.in_flight = 0;
        self.gpu.0.queue.submit([]);
        self.gpu.idle().await
    }
}
