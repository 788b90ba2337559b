//! Relays bytes between two streams; of WebSockets, it knows where frames end.
//!
//! In: two streams, for example a client's and an upstream's, both behind their handshakes. Out:
//! how much went each way, and how it ended. Invariants: what one side does not take is not read from the
//! other; a direction holds at most one pooled buffer, and none while nothing is under way; an
//! idle relay has no timer; a frame of the relay's own stands between frames of the sender or nowhere.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tidewire_proto::{CloseFrame, FrameOutline};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::{entropy, net::buffer::ReadBuffer};

/// Deadlines of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayLimits {
    /// A side that takes none of the bytes waiting for it for this long is given up; so is, once one side has
    /// ended, another that neither ends nor sends. Default 10 s.
    pub write_timeout: Duration,
    /// A relay over which nothing passes for this long is ended. Default `None`: never.
    pub idle_timeout: Option<Duration>,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            write_timeout: Duration::from_secs(10),
            idle_timeout: None,
        }
    }
}

/// Why a relay ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayEnd {
    /// Both sides have ended properly.
    Ended,
    /// A side took nothing in time, or did not end after the other had.
    Stalled,
    /// Nothing passed for [`RelayLimits::idle_timeout`].
    Idle,
    /// The first side failed.
    FirstFailed(io::Error),
    /// The second side failed.
    SecondFailed(io::Error),
}

/// Bytes relayed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// From the first to the second.
    pub forth: u64,
    /// From the second to the first.
    pub back: u64,
}

/// Two streams, each of which gets what the other gives.
pub struct Relay<A, B> {
    first: A,
    second: B,
    forth: Flow,
    back: Flow,
    limits: RelayLimits,
    /// Both ends were told to close: what they still send is thrown away.
    closing: bool,
    /// Runs while somebody is waited for that might never come.
    watch: Option<Watch>,
}

struct Watch {
    sleep: Pin<Box<Sleep>>,
    what: Watched,
    /// Bytes relayed when it was set.
    progress: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Progress,
    Idleness,
}

impl<A, B> fmt::Debug for Relay<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("forth", &self.forth.bytes)
            .field("back", &self.back.bytes)
            .finish_non_exhaustive()
    }
}

impl<A, B> Relay<A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    /// Nothing is moved before it [runs](Self::run).
    pub fn new(first: A, second: B, limits: RelayLimits) -> Self {
        Self {
            first,
            second,
            forth: Flow::default(),
            back: Flow::default(),
            limits,
            closing: false,
            watch: None,
        }
    }

    /// As [`new`](Self::new), for a client and a server that speak WebSocket through the relay: it can be
    /// [closed](Self::start_close) properly then.
    pub fn of_websocket(client: A, server: B, limits: RelayLimits) -> Self {
        let mut relay = Self::new(client, server, limits);
        relay.forth.outline = Some(FrameOutline::default());
        relay.back.outline = Some(FrameOutline::default());
        relay
    }

    /// Closes a relay [of WebSockets](Self::of_websocket): each side gets the close frame meant for it behind the frame that
    /// is under way, unless the other side has sent one already, and then the end of the stream. What
    /// they still send is thrown away. [`run`](Self::run) goes on until both have ended, or the
    /// deadline. Of other streams only the end is told.
    pub fn start_close(&mut self, client: &CloseFrame, server: &CloseFrame) {
        if self.closing {
            return;
        }
        self.closing = true;
        self.forth.last = Some(server.to_bytes(Some(entropy::random())).to_vec());
        self.back.last = Some(client.to_bytes(None).to_vec());
    }

    /// Relays until both sides have ended, or one failed. The end of one side is passed on to the
    /// other.
    ///
    /// # Cancel safety
    /// Cancel safe: a later call goes on.
    pub async fn run(&mut self) -> RelayEnd {
        poll_fn(|cx| self.poll_run(cx)).await
    }

    /// What it has moved.
    pub fn relayed(&self) -> Relayed {
        Relayed {
            forth: self.forth.bytes,
            back: self.back.bytes,
        }
    }

    /// The streams, and whether bytes were under way, which are lost.
    pub fn into_parts(self) -> (A, B, bool) {
        let cut = self.forth.buffer.is_some() || self.back.buffer.is_some();
        (self.first, self.second, cut)
    }

    /// When the server of a relay [of WebSockets](Self::of_websocket) has gone without a close frame (it was killed,
    /// its machine is gone), the client gets this one in its place, and is not left with code 1006. Where the server
    /// went in the middle of a frame nothing can be put in: then the client's stream ends as the server's did.
    /// Nothing is said either to a client that has closed itself. Default: the end is passed on as it is.
    #[must_use]
    pub fn when_server_lost(mut self, frame: &CloseFrame) -> Self {
        self.back.farewell = Farewell::Ready(frame.to_bytes(None).to_vec());
        self
    }

    /// Returns whether the server has gone without a close frame while the client had not closed: nobody but the server
    /// has ended this.
    pub fn is_server_lost(&self) -> bool {
        self.back.lost.is_some()
    }

    /// As [`run`](Self::run).
    pub fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let forth = match self.forth.poll(&mut self.first, &mut self.second, cx) {
            Ok(state) => state,
            Err(Failed::Source(error)) => return Poll::Ready(RelayEnd::FirstFailed(error)),
            // A server that takes no more may have said why: that is read first.
            Err(Failed::Target(_)) if self.back.outline.is_some() && !self.back.source_ended => {
                self.forth.give_up()
            }
            Err(Failed::Target(error)) => return Poll::Ready(RelayEnd::SecondFailed(error)),
        };
        if self.forth.has_closed() || self.forth.source_ended || self.closing {
            self.back.forgo_farewell();
        }
        let back = match self.back.poll(&mut self.second, &mut self.first, cx) {
            Ok(state) => state,
            Err(Failed::Source(error)) => return Poll::Ready(RelayEnd::SecondFailed(error)),
            Err(Failed::Target(error)) => return Poll::Ready(RelayEnd::FirstFailed(error)),
        };
        let forth = if self.back.farewell == Farewell::Said {
            // Nothing can go to the server any more. What the client still sends is thrown away.
            self.closing = true;
            self.forth.give_up()
        } else {
            forth
        };
        if forth == FlowState::Ended && back == FlowState::Ended {
            // What is not read would reset the connection, and take our close frame with it.
            let closing = self.closing;
            let read = |ended: bool| closing && !ended;
            if read(self.forth.source_ended) {
                self.forth.discard(&mut self.first, cx);
            }
            if read(self.back.source_ended) {
                self.back.discard(&mut self.second, cx);
            }
            if !closing || (self.forth.source_ended && self.back.source_ended) {
                return Poll::Ready(match self.back.lost {
                    Some(how) => RelayEnd::SecondFailed(how.into()),
                    None => RelayEnd::Ended,
                });
            }
        }
        let waits = forth != FlowState::Quiet || back != FlowState::Quiet;
        if waits || self.limits.idle_timeout.is_some() || self.watch.is_some() {
            return self.poll_watch(waits, cx);
        }
        Poll::Pending
    }

    /// Looks at the deadlines, seldom.
    #[cold]
    fn poll_watch(&mut self, waits: bool, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let (what, within) = match (waits, self.limits.idle_timeout) {
            (true, _) => (Watched::Progress, self.limits.write_timeout),
            (false, Some(within)) => (Watched::Idleness, within),
            (false, None) => {
                self.watch = None;
                return Poll::Pending;
            }
        };
        let progress = self.forth.bytes + self.back.bytes;
        loop {
            match &mut self.watch {
                Some(watch) if watch.what == what => {
                    if watch.sleep.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    if watch.progress == progress {
                        return Poll::Ready(match what {
                            Watched::Progress => RelayEnd::Stalled,
                            Watched::Idleness => RelayEnd::Idle,
                        });
                    }
                }
                Some(_) | None => {}
            }
            self.watch = Some(Watch {
                sleep: Box::pin(sleep(within)),
                what,
                progress,
            });
        }
    }
}

/// One direction.
#[derive(Default)]
struct Flow {
    /// Read and not yet written.
    buffer: Option<ReadBuffer>,
    bytes: u64,
    /// The next read takes a large buffer.
    busy: bool,
    unflushed: bool,
    end: FlowEnd,
    source_ended: bool,
    outline: Option<FrameOutline>,
    /// A close frame to be written when no frame is under way.
    last: Option<Vec<u8>>,
    farewell: Farewell,
    /// How the source has gone without a close frame.
    lost: Option<io::ErrorKind>,
}

/// A close frame to be written when the source has gone without one.
#[derive(Default, PartialEq, Eq)]
enum Farewell {
    #[default]
    None,
    Ready(Vec<u8>),
    /// It is the last to be written.
    Said,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum FlowEnd {
    #[default]
    No,
    /// The source has ended; the target is not told yet.
    Read,
    Told,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FlowState {
    /// Nothing is under way.
    Quiet,
    /// The target takes no more for now.
    Stuck,
    Ended,
}

enum Failed {
    Source(io::Error),
    Target(io::Error),
}

impl Flow {
    /// Moves what can be moved now.
    fn poll(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        target: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Result<FlowState, Failed> {
        loop {
            if self.buffer.is_some() && !self.write(target, cx)? {
                return Ok(FlowState::Stuck);
            }
            match self.end {
                FlowEnd::Told => return Ok(FlowState::Ended),
                FlowEnd::Read => match Pin::new(&mut *target).poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => self.end = FlowEnd::Told,
                    // It has gone itself meanwhile: there is nobody to tell.
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                        self.end = FlowEnd::Told;
                    }
                    Poll::Ready(Err(error)) => return Err(Failed::Target(error)),
                    Poll::Pending => return Ok(FlowState::Stuck),
                },
                FlowEnd::No if self.last.is_some() && self.may_end() => {
                    self.end = FlowEnd::Read;
                    let closed = self.outline.is_none_or(|outline| outline.has_closed());
                    let last = self.last.take().filter(|_frame| !closed);
                    self.buffer = last.map(ReadBuffer::holding);
                }
                FlowEnd::No => {
                    if !self.read(source, cx)? {
                        return self.flush(target, cx);
                    }
                }
            }
        }
    }

    /// Nothing more goes to the target.
    fn give_up(&mut self) -> FlowState {
        self.buffer = None;
        self.end = FlowEnd::Told;
        FlowState::Ended
    }

    /// The target has ended by itself, or is told otherwise.
    fn forgo_farewell(&mut self) {
        if self.farewell != Farewell::Said {
            self.farewell = Farewell::None;
        }
    }

    fn has_closed(&self) -> bool {
        self.outline.is_some_and(|outline| outline.has_closed())
    }

    /// The source has gone: without a close frame of its own, the one meant for this is written if no frame is under way.
    fn lose(&mut self, how: io::ErrorKind) {
        let is_unsaid = !self.has_closed() && self.last.is_none();
        if let Farewell::Ready(frame) = std::mem::take(&mut self.farewell)
            && is_unsaid
        {
            self.lost = Some(how);
            if self.may_end() {
                self.farewell = Farewell::Said;
                self.end = FlowEnd::Read;
                self.source_ended = true;
                self.buffer = Some(ReadBuffer::holding(frame));
            }
        }
    }

    /// Whether no frame is under way.
    fn may_end(&self) -> bool {
        self.outline
            .is_none_or(|outline| outline.is_between_frames())
    }

    /// Reads to nowhere, to the end of the source.
    fn discard(&mut self, source: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) {
        let mut sink = [0; 1024];
        loop {
            let mut space = ReadBuf::new(&mut sink);
            match Pin::new(&mut *source).poll_read(cx, &mut space) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !space.filled().is_empty() => {}
                Poll::Ready(Ok(()) | Err(_)) => {
                    self.source_ended = true;
                    return;
                }
            }
        }
    }

    /// Whether something was read, or the end.
    fn read(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Result<bool, Failed> {
        let mut buffer = ReadBuffer::take(self.busy);
        let mut space = ReadBuf::new(buffer.space());
        match Pin::new(source).poll_read(cx, &mut space) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => {
                self.lose(error.kind());
                return if self.farewell == Farewell::Said {
                    Ok(true)
                } else {
                    Err(Failed::Source(error))
                };
            }
            Poll::Ready(Ok(())) => {}
        }
        let count = space.filled().len();
        if count == 0 {
            self.end = FlowEnd::Read;
            self.source_ended = true;
            self.lose(io::ErrorKind::UnexpectedEof);
            return Ok(true);
        }
        buffer.filled(count);
        match &mut self.outline {
            // Nothing goes behind the frame under way but the close frame.
            Some(outline) if self.last.is_some() => {
                let len = outline.advance_in_frame(buffer.unread());
                buffer.truncate(len);
            }
            Some(outline) => outline.advance(buffer.unread()),
            None => {}
        }
        self.busy = buffer.is_full() || (self.busy && count > 4096);
        self.buffer = Some(buffer);
        Ok(true)
    }

    /// Whether everything read was written.
    fn write(
        &mut self,
        target: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Result<bool, Failed> {
        while let Some(buffer) = &mut self.buffer {
            if buffer.unread().is_empty() {
                self.buffer = None;
                break;
            }
            match Pin::new(&mut *target).poll_write(cx, buffer.unread()) {
                Poll::Ready(Ok(0)) => {
                    return Err(Failed::Target(io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(count)) => {
                    buffer.handled(count);
                    self.bytes += count as u64;
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Err(Failed::Target(error)),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }

    fn flush(
        &mut self,
        target: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Result<FlowState, Failed> {
        if !self.unflushed {
            return Ok(FlowState::Quiet);
        }
        match Pin::new(target).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                Ok(FlowState::Quiet)
            }
            Poll::Ready(Err(error)) => Err(Failed::Target(error)),
            Poll::Pending => Ok(FlowState::Stuck),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// The two outer ends, and the relay between the inner ones.
    fn between(
        limits: RelayLimits,
    ) -> (
        DuplexStream,
        DuplexStream,
        Relay<DuplexStream, DuplexStream>,
    ) {
        let (client, first) = duplex(64);
        let (upstream, second) = duplex(64);
        (client, upstream, Relay::new(first, second, limits))
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_go_both_ways_and_ends_are_passed_on() {
        let (mut client, mut upstream, mut relay) = between(RelayLimits::default());
        let sent: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let outer = async {
            let (mut from, mut into) = tokio::io::split(&mut client);
            let mut echoed = Vec::new();
            tokio::join!(
                async {
                    into.write_all(&sent).await.unwrap();
                    into.shutdown().await.unwrap();
                },
                async {
                    from.read_to_end(&mut echoed).await.unwrap();
                }
            );
            echoed
        };
        let echo = async {
            let (mut from, mut into) = tokio::io::split(&mut upstream);
            tokio::io::copy(&mut from, &mut into).await.unwrap();
            into.shutdown().await.unwrap();
        };
        let (end, echoed, ()) = tokio::join!(relay.run(), outer, echo);
        assert!(matches!(end, RelayEnd::Ended), "{end:?}");
        assert_eq!(echoed, sent);
        let expected = Relayed {
            forth: 200_000,
            back: 200_000,
        };
        assert_eq!(relay.relayed(), expected);
        assert!(!relay.into_parts().2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_is_put_behind_the_frame_under_way_and_the_rest_is_thrown_away() {
        let (mut client, first) = duplex(64);
        let (mut upstream, second) = duplex(64);
        let mut relay = Relay::of_websocket(first, second, RelayLimits::default());
        let outer = async {
            upstream.write_all(&[0x82, 4, 1, 2]).await.unwrap();
            let mut head = [0; 4];
            client.read_exact(&mut head).await.unwrap();
            head
        };
        let head = tokio::select! {
            end = relay.run() => panic!("{end:?}"),
            head = outer => head,
        };
        assert_eq!(head, [0x82, 4, 1, 2]);
        let code = tidewire_proto::CloseCode::SERVICE_RESTART;
        let frame = CloseFrame::new(code, "x");
        relay.start_close(&frame, &frame);
        let outer = async {
            upstream.write_all(&[3, 4, 0x81, 1, b'!']).await.unwrap();
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
            let mut asked = Vec::new();
            upstream.read_to_end(&mut asked).await.unwrap();
            client.write_all(b"ignored").await.unwrap();
            drop(client);
            drop(upstream);
            (rest, asked)
        };
        let (end, (rest, asked)) = tokio::join!(relay.run(), outer);
        assert!(matches!(end, RelayEnd::Ended), "{end:?}");
        assert_eq!(rest, [3, 4, 0x88, 3, 0x03, 0xf4, b'x']);
        assert_eq!(asked.len(), 9, "a masked close frame");
        assert_eq!(asked[..2], [0x88, 0x83]);
    }

    /// The bytes that the client reads of a relay whose server has sent this and is gone, and how the relay ended.
    async fn lost_behind(sent: &[u8], client_says: &[u8]) -> (Vec<u8>, RelayEnd, bool) {
        let (mut client, first) = duplex(1 << 16);
        let (mut upstream, second) = duplex(1 << 16);
        let code = tidewire_proto::CloseCode(1014);
        let mut relay = Relay::of_websocket(first, second, RelayLimits::default())
            .when_server_lost(&CloseFrame::new(code, ""));
        client.write_all(client_says).await.unwrap();
        let outer = async {
            let mut taken = vec![0; client_says.len()];
            upstream.read_exact(&mut taken).await.unwrap();
            upstream.write_all(sent).await.unwrap();
            drop(upstream);
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            drop(client);
            read
        };
        let (end, read) = tokio::join!(relay.run(), outer);
        (read, end, relay.is_server_lost())
    }

    /// Whole frames of a server, one of each kind of length and a message in fragments, and where each begins.
    fn frames() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut begins = Vec::new();
        for (first, len) in [(0x81_u8, 3_usize), (0x01, 0), (0x89, 2), (0x80, 130)] {
            begins.push(bytes.len());
            bytes.push(first);
            match u8::try_from(len) {
                Ok(short) if short < 126 => bytes.push(short),
                _ => {
                    bytes.push(126);
                    bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
                }
            }
            bytes.extend(vec![b'x'; len]);
        }
        begins.push(bytes.len());
        (bytes, begins)
    }

    const TOLD: [u8; 4] = [0x88, 2, 0x03, 0xf6];

    #[tokio::test(start_paused = true)]
    async fn the_loss_of_a_server_is_told_between_frames_and_passed_on_inside_one() {
        let (bytes, begins) = frames();
        for cut in 0..=bytes.len() {
            let (read, end, is_lost) = lost_behind(&bytes[..cut], b"").await;
            assert!(is_lost, "{cut}");
            if begins.contains(&cut) {
                assert_eq!(read, [&bytes[..cut], &TOLD].concat(), "{cut}");
                assert!(matches!(end, RelayEnd::SecondFailed(_)), "{cut}: {end:?}");
            } else {
                assert_eq!(read, bytes[..cut], "{cut}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_put_behind_a_close_of_either_side() {
        let (read, end, is_lost) = lost_behind(&TOLD, b"").await;
        assert_eq!(read, TOLD);
        assert!(matches!(end, RelayEnd::Ended) && !is_lost, "{end:?}");
        // A masked close frame of the client, which the server does not answer.
        let (read, end, is_lost) = lost_behind(b"", &[0x88, 0x80, 1, 2, 3, 4]).await;
        assert_eq!(read, b"");
        assert!(matches!(end, RelayEnd::Ended) && !is_lost, "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_words_of_a_server_that_takes_no_more_reach_the_client() {
        let (mut client, first) = duplex(1 << 16);
        let (mut upstream, second) = duplex(1 << 16);
        upstream.write_all(&TOLD).await.unwrap();
        drop(upstream);
        client.write_all(b"what is not taken").await.unwrap();
        let mut relay = Relay::of_websocket(first, second, RelayLimits::default());
        let outer = async {
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            drop(client);
            read
        };
        let (end, read) = tokio::join!(relay.run(), outer);
        assert_eq!(read, TOLD);
        assert!(matches!(end, RelayEnd::Ended), "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_takes_nothing_is_given_up_and_the_other_is_not_read_meanwhile() {
        let (mut client, _upstream, mut relay) = between(RelayLimits::default());
        let flood = async {
            let mut sent = 0;
            while client.write_all(&[0; 64]).await.is_ok() {
                sent += 64;
                if sent > 100_000 {
                    break;
                }
            }
            sent
        };
        let (end, sent) = tokio::select! {
            end = relay.run() => (end, 0),
            sent = flood => panic!("{sent} bytes were taken from the client"),
        };
        assert!(matches!(end, RelayEnd::Stalled), "{end:?} {sent}");
        assert!(relay.into_parts().2, "bytes were under way");
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_never_ends_after_the_other_is_given_up() {
        let (client, _upstream, mut relay) = between(RelayLimits::default());
        drop(client);
        assert!(matches!(relay.run().await, RelayEnd::Stalled));
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_ends_a_relay_only_if_asked_for() {
        let idle_timeout = Some(Duration::from_mins(1));
        let limits = RelayLimits {
            idle_timeout,
            ..RelayLimits::default()
        };
        let (mut client, mut upstream, mut relay) = between(limits);
        let begin = tokio::time::Instant::now();
        let talk = async {
            for _ in 0..5 {
                sleep(Duration::from_secs(50)).await;
                client.write_all(b"x").await.unwrap();
                upstream.read_u8().await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let end = tokio::select! {
            end = relay.run() => end,
            () = talk => unreachable!(),
        };
        assert!(matches!(end, RelayEnd::Idle), "{end:?}");
        assert!(begin.elapsed() >= Duration::from_secs(310));
        assert!(begin.elapsed() <= Duration::from_secs(371));

        let (_client, _upstream, mut relay) = between(RelayLimits::default());
        let year = tokio::time::timeout(Duration::from_hours(8760), relay.run());
        assert!(year.await.is_err());
    }
}
