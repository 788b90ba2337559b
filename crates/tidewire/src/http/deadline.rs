//! A stream whose peer has to read, and whose bytes are counted: [`Paced`].
//!
//! In: hyper's writes. Out: the same writes, or an error once the peer has taken too little for
//! too long. Without it an answer is held for as long as a client likes that never reads.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::stats::Counters;

/// Bytes a peer has to take in each period in which it keeps the writer waiting, so that one
/// byte now and then does not count as reading. Slower lines than 16 KiB in a period carry no
/// web page either.
const TAKEN_MIN: usize = 16 << 10;

/// A stream with a deadline on what is written.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    timeout: Duration,
    /// Runs while the peer keeps the writer waiting.
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    /// Bytes taken since the timer was set.
    taken: usize,
    counters: Arc<Counters>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, timeout: Duration, counters: Arc<Counters>) -> Self {
        Self {
            stream,
            counters,
            timeout,
            timer: Box::pin(sleep(timeout)),
            waiting: false,
            taken: 0,
        }
    }

    /// Passes a result on, and looks at the time while there is none.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = polled {
            let count = result.as_ref().map_or(0, taken);
            if count > 0 {
                self.taken += count;
                self.counters.sent(count);
            }
            if self.taken >= TAKEN_MIN {
                self.waiting = false;
            }
            return Poll::Ready(result);
        }
        if !self.waiting {
            self.waiting = true;
            self.restart();
        }
        ready!(self.timer.as_mut().poll(context));
        if self.taken >= TAKEN_MIN {
            self.restart();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read its answer",
        )))
    }

    fn restart(&mut self) {
        self.taken = 0;
        self.timer.as_mut().reset(Instant::now() + self.timeout);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 {
            self.counters.received(count);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled, |count| *count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if let Poll::Ready(Ok(())) = polled {
            self.waiting = false;
        }
        self.watch(context, polled, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, polled, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_reads_is_given_up_in_time() {
        let (near, _far) = duplex(100);
        let mut paced = Paced::new(near, WITHIN, Arc::default());
        let started = Instant::now();
        let error = paced.write_all(&[0; 101]).await.expect_err("given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), WITHIN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_a_byte_now_and_then_is_given_up_too() {
        let (near, mut far) = duplex(100);
        let mut paced = Paced::new(near, WITHIN, Arc::default());
        tokio::spawn(async move {
            while far.read_u8().await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let started = Instant::now();
        paced.write_all(&[0; 10_000]).await.expect_err("given up");
        assert!(started.elapsed() <= 2 * WITHIN, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_reads_gets_everything() {
        let (near, mut far) = duplex(4096);
        let mut paced = Paced::new(near, WITHIN, Arc::default());
        let reader = tokio::spawn(async move {
            let mut bytes = vec![0; 4096];
            let mut count = 0;
            while count < 400 * 1024 {
                count += far.read(&mut bytes).await.expect("no error");
                sleep(Duration::from_secs(5)).await;
            }
            count
        });
        for _ in 0..100 {
            paced.write_all(&[0; 4096]).await.expect("it reads");
        }
        assert_eq!(reader.await.expect("no panic"), 400 * 1024);
    }
}
