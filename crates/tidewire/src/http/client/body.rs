//! [`ResponseBody`]: a response's body, read piece by piece or as a whole.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep},
};

use super::RequestError;

/// The body of a response. Dropped before its end, it ends the connection (HTTP/1.1) or the stream (HTTP/2).
#[derive(Debug)]
pub struct ResponseBody {
    incoming: Incoming,
    bytes_max: usize,
    left: usize,
    within: Duration,
    /// Set while a piece is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl ResponseBody {
    pub(super) fn new(
        incoming: Incoming,
        bytes_max: usize,
        within: Duration,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            incoming,
            bytes_max,
            left: bytes_max,
            within,
            timer: None,
            _place: place,
        }
    }

    /// Reads it to its end. One that announces more than is allowed is refused at once.
    ///
    /// # Errors
    /// [`RequestError`].
    ///
    /// # Cancel safety
    /// Not cancel safe: what was read is lost.
    pub async fn read(mut self) -> Result<Bytes, RequestError> {
        if self.incoming.size_hint().lower() > self.bytes_max as u64 {
            return Err(RequestError::TooLarge {
                bytes_max: self.bytes_max,
            });
        }
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue; // trailer fields
            };
            // Of one piece, as most are, nothing is copied.
            if first.is_empty() && whole.is_empty() {
                first = data;
                continue;
            }
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
        Ok(if whole.is_empty() {
            first
        } else {
            whole.freeze()
        })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = RequestError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.incoming).poll_frame(context);
        let Poll::Ready(frame) = polled else {
            let within = this.within;
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(within)));
            ready!(timer.as_mut().poll(context));
            // Polled again, it waits again.
            timer.as_mut().reset(Instant::now() + within);
            return Poll::Ready(Some(Err(RequestError::TimedOut { within })));
        };
        this.timer = None;
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(RequestError::from)?;
        let len = frame.data_ref().map_or(0, Bytes::len);
        let bytes_max = this.bytes_max;
        match this.left.checked_sub(len) {
            Some(left) => this.left = left,
            None => return Poll::Ready(Some(Err(RequestError::TooLarge { bytes_max }))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
