//! A seekable writer whose beginning can be taken away and sent.

use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The end of what was written, shared between the one who writes and the one who sends.
#[derive(Clone, Default)]
pub struct Pieces(Arc<Mutex<Tail>>);

#[derive(Default)]
struct Tail {
    /// Bytes that were taken already.
    taken: u64,
    bytes: Vec<u8>,
    /// Where the next byte goes, within `bytes`.
    at: usize,
}

impl Pieces {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of bytes written so far.
    pub fn end(&self) -> u64 {
        let tail = self.tail();
        tail.taken + tail.bytes.len() as u64
    }

    /// Takes what lies before `end`; nothing can be written there any more.
    pub fn take(&self, end: u64) -> Vec<u8> {
        let mut tail = self.tail();
        let count = end.saturating_sub(tail.taken).min(tail.bytes.len() as u64);
        let rest = tail.bytes.split_off(count as usize);
        tail.taken += count;
        tail.at = tail.at.saturating_sub(count as usize);
        std::mem::replace(&mut tail.bytes, rest)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut tail = self.tail();
        let at = tail.at;
        let over = bytes.len().min(tail.bytes.len() - at);
        tail.bytes[at..at + over].copy_from_slice(&bytes[..over]);
        tail.bytes.extend_from_slice(&bytes[over..]);
        tail.at += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = self.end();
        let mut tail = self.tail();
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::End(by) => end.checked_add_signed(by),
            SeekFrom::Current(by) => (tail.taken + tail.at as u64).checked_add_signed(by),
        };
        let to = to.filter(|to| (tail.taken..=end).contains(to));
        let to = to.ok_or(io::ErrorKind::InvalidInput)?;
        tail.at = (to - tail.taken) as usize;
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_not_taken_can_be_written_over() {
        let mut pieces = Pieces::default();
        pieces.write_all(b"abcdef").unwrap();
        assert_eq!(pieces.take(2), b"ab");
        assert_eq!(pieces.seek(SeekFrom::Start(4)).unwrap(), 4);
        pieces.write_all(b"EFGH").unwrap();
        assert_eq!((pieces.end(), pieces.take(7)), (8, b"cdEFG".to_vec()));
        assert_eq!(pieces.stream_position().unwrap(), 8);
        for gone in [SeekFrom::Start(6), SeekFrom::End(-2), SeekFrom::Current(1)] {
            assert!(pieces.seek(gone).is_err(), "{gone:?}");
        }
        assert_eq!(pieces.take(100), b"H");
    }
}
