//! A TCP connection that tells its [`Vitals`] what happens, and that is closed so that the client gets the last answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::vitals::Vitals;

/// Longest wait for the end of what a client still writes.
const LINGER: Duration = Duration::from_secs(30);
/// Longest wait for a piece of it.
const LINGER_GAP: Duration = Duration::from_secs(5);
/// Most of it that is read and dropped, in bytes.
const LINGER_BYTES: usize = 256 << 20;

/// See the module.
pub struct Socket {
    stream: TcpStream,
    vitals: Arc<Vitals>,
    closing: Closing,
}

enum Closing {
    No,
    /// Nothing more is sent; what comes is dropped. A socket that is closed over unread bytes resets the connection,
    /// and takes the answer from a client that has not read it yet.
    Lingering {
        until: Instant,
        gap: Pin<Box<Sleep>>,
        left: usize,
    },
    Done,
}

impl Socket {
    /// Wraps an accepted connection.
    pub fn new(stream: TcpStream, vitals: Arc<Vitals>) -> Self {
        Self {
            stream,
            vitals,
            closing: Closing::No,
        }
    }

    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(_)) => self.vitals.sent(),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.vitals.blocked(),
        }
        written
    }

    /// Ready when the client has stopped writing, has left, or has had its time.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Closing::Lingering { until, gap, left } = &mut self.closing else {
            return Poll::Ready(());
        };
        let mut scratch = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    *left = left.saturating_sub(buffer.filled().len());
                    let next = (Instant::now() + LINGER_GAP).min(*until);
                    gap.as_mut().reset(next);
                    if *left == 0 || Instant::now() >= *until {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return gap.as_mut().poll(cx),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.vitals.received();
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.noted(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.closing, Closing::No) {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.closing = if this.vitals.may_be_writing() {
                Closing::Lingering {
                    until: Instant::now() + LINGER,
                    gap: Box::pin(sleep(LINGER_GAP)),
                    left: LINGER_BYTES,
                }
            } else {
                Closing::Done
            };
        }
        ready!(this.poll_linger(cx));
        this.closing = Closing::Done;
        Poll::Ready(Ok(()))
    }
}
