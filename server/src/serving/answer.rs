//! An answer on its way to the client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::vitals::Vitals;

/// A request in hand, until dropped.
pub struct InHand {
    number: u64,
    vitals: Arc<Vitals>,
}

impl InHand {
    /// A request has begun.
    pub fn begin(vitals: &Arc<Vitals>, multiplexed: bool) -> Self {
        Self {
            number: vitals.begin(multiplexed),
            vitals: Arc::clone(vitals),
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.vitals.end(self.number);
    }
}

/// The body of an answer; its request is in hand until it is dropped.
pub struct Answer {
    body: Body,
    in_hand: InHand,
}

impl Answer {
    /// The answer to a request in hand.
    pub fn new(body: Body, in_hand: InHand) -> Self {
        Self { body, in_hand }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let InHand { number, vitals } = &this.in_hand;
        vitals.asked(*number);
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            vitals.handed(*number, frame.data_ref().map_or(0, Bytes::len));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
