//! A request's body: it has to keep coming, and what nobody reads of it is kept for [`super::exchange`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// Slowest pace of a whole body, in bytes a second; a pause within [`RequestBody::pause`] is allowed on top.
const PACE: u64 = 1024;

/// The client stopped sending its request's body, or sends it too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body of the request did not come in time")]
pub struct BodyTimedOut;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is left of a body.
pub enum Leftover<B> {
    /// Its reader has it.
    Taken,
    /// Nothing: it was read to its end.
    Nothing,
    /// It was dropped before its end.
    Rest(B),
    /// It was waited for in vain.
    Late,
}

/// The place where a body's rest goes.
pub struct Rest<B>(Arc<Mutex<Leftover<B>>>);

impl<B> Rest<B> {
    fn slot(&self) -> MutexGuard<'_, Leftover<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left by now.
    pub fn take(&self) -> Leftover<B> {
        std::mem::replace(&mut *self.slot(), Leftover::Taken)
    }
}

/// See the module.
pub struct RequestBody<B> {
    /// Absent after its end.
    inner: Option<B>,
    rest: Rest<B>,
    pause: Duration,
    received: u64,
    /// Time that its reader has waited for the client, without the wait that goes on.
    waited: Duration,
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B: Body<Data = Bytes> + Unpin> RequestBody<B> {
    /// `pause`: longest time without a byte while the body is being read.
    pub fn new(inner: B, pause: Duration) -> (Self, Rest<B>) {
        let ended = inner.is_end_stream();
        let slot = Arc::new(Mutex::new(if ended {
            Leftover::Nothing
        } else {
            Leftover::Taken
        }));
        let body = Self {
            inner: (!ended).then_some(inner),
            rest: Rest(Arc::clone(&slot)),
            pause,
            received: 0,
            waited: Duration::ZERO,
            waiting: None,
            timer: None,
        };
        (body, Rest(slot))
    }

    fn end(&mut self) {
        self.inner = None;
        *self.rest.slot() = Leftover::Nothing;
    }

    /// Ready when the next bytes are overdue.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let earned = Duration::from_secs(self.received / PACE);
        let left = (self.pause + earned).saturating_sub(self.waited);
        let due = since + left.min(self.pause);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                this.waited += this.waiting.take().map_or(Duration::ZERO, |t| t.elapsed());
                if this.inner.as_ref().is_some_and(Body::is_end_stream) {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.end();
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => match this.poll_overdue(cx) {
                Poll::Ready(()) => {
                    this.inner = None;
                    *this.rest.slot() = Leftover::Late;
                    Poll::Ready(Some(Err(BodyTimedOut.into())))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            *self.rest.slot() = Leftover::Rest(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;
    use tokio_stream::StreamExt;
    use tokio_stream::wrappers::ReceiverStream;

    type Source = mpsc::Sender<Result<Frame<Bytes>, BoxError>>;

    fn body() -> (
        Source,
        RequestBody<impl Body<Data = Bytes, Error = BoxError> + Unpin>,
    ) {
        let (sender, receiver) = mpsc::channel(1);
        let inner = http_body_util::StreamBody::new(ReceiverStream::new(receiver).fuse());
        (sender, RequestBody::new(inner, Duration::from_secs(20)).0)
    }

    async fn send(source: &Source, bytes: usize) {
        let frame = Frame::data(Bytes::from(vec![0; bytes]));
        source.send(Ok(frame)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_pause_but_not_stop() {
        let (source, mut body) = body();
        send(&source, 100 << 10).await;
        assert!(body.frame().await.unwrap().is_ok());
        let begun = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&BodyTimedOut));
        assert_eq!(begun.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_ends() {
        let (source, mut body) = body();
        let begun = Instant::now();
        let dripping = async {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                send(&source, 1).await;
            }
        };
        let reading = async {
            loop {
                if let Err(error) = body.frame().await.unwrap() {
                    break error;
                }
            }
        };
        let error = tokio::select! { error = reading => error, () = dripping => unreachable!() };
        assert_eq!(error.downcast_ref(), Some(&BodyTimedOut));
        assert_eq!(begun.elapsed().as_secs(), 20);
    }
}
