//! Bodies of requests: [`RequestBody`], and [`read_body`] within limits.
//!
//! In: what hyper has read of a body. Out: its bytes, or which limit it has broken. Invariants: no more is held than the
//! limit allows; a client that keeps its reader waiting has to send at a least rate; what nobody wants of a body is
//! known to the connection, which otherwise would take it for the next request, or end without a word.

use std::{
    error::Error,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    memory::{Holder, Reservation},
    sync::Mutex,
};

/// The body of a request that came over a connection.
#[derive(Debug)]
pub struct RequestBody {
    /// `None` once there is nothing more to be read.
    incoming: Option<Incoming>,
    unread: Unread,
}

/// Where a body goes that was not read to its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<Mutex<Option<Incoming>>>);

impl RequestBody {
    pub(super) fn new(incoming: Incoming, unread: Unread) -> Self {
        let incoming = Some(incoming).filter(|incoming| !incoming.is_end_stream());
        Self { incoming, unread }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *incoming).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || incoming.is_end_stream() {
            self.incoming = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        incoming.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            *self.unread.0.lock() = Some(incoming);
        }
    }
}

impl Unread {
    /// After the answer is known: what the answer's reader did not want of the body. Reads it if that is soon done;
    /// returns whether the connection can go on.
    ///
    /// `is_awaited`: the client sends the body only when it is told to.
    pub(super) async fn is_cleared(&self, is_awaited: bool) -> bool {
        let unread = self.0.lock().take();
        let Some(incoming) = unread else {
            return true;
        };
        if is_awaited || incoming.size_hint().lower() > CLEARED_BYTES_MAX {
            return false;
        }
        let mut left = CLEARED_BYTES_MAX;
        let mut incoming = pin!(incoming);
        let clear = async {
            while let Some(frame) = incoming.frame().await {
                let data = frame.ok()?.into_data().unwrap_or_default();
                left = left.checked_sub(data.len() as u64)?;
            }
            Some(())
        };
        matches!(timeout(CLEARED_TIMEOUT, clear).await, Ok(Some(())))
    }
}

/// Above this it costs less to end the connection than to read on.
const CLEARED_BYTES_MAX: u64 = 64 << 10;

/// A body that came with its head is read at once. There are clients that announce one and never send it.
const CLEARED_TIMEOUT: Duration = Duration::from_millis(250);

/// Bounds of a body that is read as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyLimits {
    /// Most bytes of the body. Default 10 MiB.
    pub bytes_max: usize,
    /// In each period of this length in which the client keeps the reader waiting,
    /// [`bytes_per_second_min`](Self::bytes_per_second_min) must arrive on average, or the body must be over. Default
    /// 30 s.
    pub timeout: Duration,
    /// The least rate of a client. Default 1024: a slow line passes, a client that sends a byte now and then does not.
    pub bytes_per_second_min: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            bytes_max: 10 << 20,
            timeout: Duration::from_secs(30),
            bytes_per_second_min: 1 << 10,
        }
    }
}

impl BodyLimits {
    /// Sets [`bytes_max`](Self::bytes_max).
    #[must_use]
    pub fn bytes_max(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Sets [`timeout`](Self::timeout) and [`bytes_per_second_min`](Self::bytes_per_second_min).
    #[must_use]
    pub fn least_rate(mut self, timeout: Duration, bytes_per_second_min: usize) -> Self {
        self.timeout = timeout;
        self.bytes_per_second_min = bytes_per_second_min;
        self
    }

    /// Bytes that must arrive in a period.
    fn period_bytes_min(&self) -> usize {
        let seconds = usize::try_from(self.timeout.as_secs()).unwrap_or(usize::MAX);
        self.bytes_per_second_min.saturating_mul(seconds.max(1))
    }
}

/// A body was not read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is larger than allowed, or announces to be: 413.
    #[error("expected a body of at most {bytes_max} bytes")]
    TooLarge {
        /// [`BodyLimits::bytes_max`].
        bytes_max: usize,
    },
    /// It arrives more slowly than allowed: 408.
    #[error("the body arrives too slowly: expected {bytes_per_second_min} bytes per second")]
    TooSlow {
        /// [`BodyLimits::bytes_per_second_min`].
        bytes_per_second_min: usize,
    },
    /// The memory for what clients make the process hold is used up, and this one had to make room: 503. Only from
    /// [`read_body_counted`].
    #[error("the memory for connections is used up")]
    Exhausted,
    /// It is malformed or was cut off: 400, if anybody is there to hear it.
    #[error("the body is malformed or not complete")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

/// Reads a whole body. A body that announces more than is allowed is refused before any of it is read, and before a
/// client that asks first (`Expect: 100-continue`) is told to send it.
///
/// # Errors
/// [`BodyError`]. The client gets its answer all the same, also while it goes on sending.
///
/// # Cancel safety
/// Not cancel safe: what was read is lost.
pub async fn read_body<B>(body: B, limits: BodyLimits) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    read(body, limits, None).await
}

/// As [`read_body`], for many clients at once: what is held of the body is counted in `held`, a reservation in a
/// [`MemoryBudget`](crate::memory::MemoryBudget), as long as the reservation lives. When the budget is used up, the
/// bodies that hold most for longest are given up.
///
/// # Errors
/// [`BodyError`]; [`BodyError::Exhausted`] for a body that had to make room.
///
/// # Cancel safety
/// Not cancel safe: what was read is lost.
pub async fn read_body_counted<B>(
    body: B,
    limits: BodyLimits,
    held: &mut Reservation,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let evicted = Arc::new(Evicted::default());
    let holder = Arc::downgrade(&evicted);
    held.account().add_holder(holder);
    tokio::select! {
        biased;
        () = evicted.0.notified() => Err(BodyError::Exhausted),
        body = read(body, limits, Some(held)) => body,
    }
}

/// A body that makes room.
#[derive(Default)]
struct Evicted(Notify);

impl Holder for Evicted {
    fn evicted(&self) {
        self.0.notify_one();
    }
}

async fn read<B>(
    body: B,
    limits: BodyLimits,
    mut held: Option<&mut Reservation>,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let bytes_max = limits.bytes_max;
    let mut body = pin!(body);
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge { bytes_max });
    }
    let mut whole = BytesMut::new();
    let mut arrived = 0;
    let mut period_end = None;
    loop {
        let frame = pin!(body.frame());
        let now = Instant::now();
        let deadline = *period_end.get_or_insert(now + limits.timeout);
        let Ok(frame) = timeout_at(deadline, frame).await else {
            if arrived < limits.period_bytes_min() {
                let bytes_per_second_min = limits.bytes_per_second_min;
                return Err(BodyError::TooSlow {
                    bytes_per_second_min,
                });
            }
            (arrived, period_end) = (0, None);
            continue;
        };
        let Some(frame) = frame else {
            return Ok(whole.freeze());
        };
        let frame = frame.map_err(|error| BodyError::Broken(error.into()))?;
        let Ok(data) = frame.into_data() else {
            continue; // trailer fields
        };
        if data.len() > bytes_max - whole.len() {
            return Err(BodyError::TooLarge { bytes_max });
        }
        arrived += data.len();
        if let Some(held) = &mut held {
            held.resize(whole.len() + data.len())
                .map_err(|_exhausted| BodyError::Exhausted)?;
        }
        whole.extend_from_slice(&data);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::sync::mpsc;

    use super::*;

    /// Gives what is sent to it.
    struct Sent(mpsc::Receiver<Bytes>);

    impl Body for Sent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let polled = self.0.poll_recv(context);
            polled.map(|data| data.map(|data| Ok(Frame::data(data))))
        }
    }

    /// A client that sends `count` pieces of `len` bytes, one every `every`.
    async fn read(count: usize, len: usize, every: Duration) -> Result<usize, BodyError> {
        let (send, receive) = mpsc::channel(1);
        tokio::spawn(async move {
            for _ in 0..count {
                tokio::time::sleep(every).await;
                if send.send(Bytes::from(vec![b'x'; len])).await.is_err() {
                    return; // refused
                }
            }
        });
        let limits = BodyLimits::default().bytes_max(1 << 20);
        let body = read_body(Sent(receive), limits).await?;
        Ok(body.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_that_makes_progress_is_read_to_its_end() {
        let started = Instant::now();
        let len = read(1 << 10, 1 << 10, Duration::from_millis(900)).await;
        assert_eq!(len.unwrap(), 1 << 20);
        assert!(started.elapsed() > Duration::from_mins(15), "that is slow");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_or_stands_still_is_given_up_in_time() {
        for (count, len, every) in [(1000, 1, 1), (1, 1, 31), (10, 20 << 10, 29), (3, 5, 3600)] {
            let started = Instant::now();
            let error = read(count, len, Duration::from_secs(every)).await;
            let error = error.expect_err("it is below the least rate");
            assert!(matches!(error, BodyError::TooSlow { .. }), "{error}");
            assert!(
                started.elapsed() <= Duration::from_mins(1),
                "{count} {every}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_body_has_the_whole_period() {
        let len = read(29, 1, Duration::from_secs(1)).await;
        assert_eq!(len.unwrap(), 29);
    }

    #[tokio::test]
    async fn bodies_share_a_budget_and_the_one_that_holds_most_makes_room() {
        let budget = crate::memory::MemoryBudget::new(100_000).share_max(80_000);
        let begin = |len: usize| {
            let (send, receive) = mpsc::channel(2);
            send.try_send(Bytes::from(vec![b'x'; len])).unwrap();
            let mut held = budget.account().reserve();
            let body = async move {
                let body = read_body_counted(Sent(receive), BodyLimits::default(), &mut held);
                let len = body.await?.len();
                assert_eq!(held.bytes(), len, "counted as long as it is used");
                Ok::<_, BodyError>(len)
            };
            (send, tokio::spawn(body))
        };
        let (large, read_large) = begin(70_000);
        while budget.stats().bytes_used < 70_000 {
            tokio::task::yield_now().await;
        }
        // The large one sends nothing more, and hears of it all the same.
        let (small, read_small) = begin(40_000);
        let error = read_large.await.unwrap().expect_err("it made room");
        assert!(matches!(error, BodyError::Exhausted), "{error}");
        drop(small);
        assert_eq!(read_small.await.unwrap().unwrap(), 40_000);
        assert_eq!(budget.stats().bytes_used, 0);
        // More than a share is refused, whatever else there is.
        let (_huge, read_huge) = begin(80_001);
        assert!(matches!(
            read_huge.await.unwrap(),
            Err(BodyError::Exhausted)
        ));
        drop(large);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_unknown_length_ends_at_the_limit() {
        assert_eq!(read(4, 256 << 10, Duration::ZERO).await.unwrap(), 1 << 20);
        let error = read(5, 256 << 10, Duration::ZERO).await;
        let error = error.expect_err("one byte more than allowed is too much");
        assert!(matches!(error, BodyError::TooLarge { .. }), "{error}");
    }
}
