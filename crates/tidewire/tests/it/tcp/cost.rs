//! Allocations of the hot path, the memory of an idle session, and peers that flood.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use tidewire::tcp::{Config, Connection, Handler, Server, Session};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, duplex},
    net::TcpStream,
};

use super::{config, until};

/// Echoes in pieces, as protocols do that look at messages.
struct Pieces(usize);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Handler<S> for Pieces {
    fn received(&mut self, session: &mut Session<'_, S>, bytes: &[u8]) {
        for piece in bytes.chunks(self.0) {
            session.send(piece).unwrap();
        }
    }
}

/// Gives `len` bytes at each read, and takes whatever is written.
struct Endless {
    len: usize,
}

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.len.min(buf.remaining());
        buf.initialize_unfilled_to(len);
        buf.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn after_warm_up_nothing_is_allocated_per_message() {
    for (len, piece) in [(32, 32), (32_000, 32), (32_000, 32_000), (100, 7)] {
        let connection = Connection::new(Endless { len }, Config::default());
        let mut running = pin!(connection.run(Pieces(piece)));
        let mut cx = Context::from_waker(Waker::noop());
        let mut turn = |turns: u32| {
            for _ in 0..turns {
                assert!(running.as_mut().poll(&mut cx).is_pending());
            }
        };
        turn(10);
        let measured = measure(|| turn(100));
        assert_eq!(measured.count_total, 0, "{len} in pieces of {piece}");
    }
}

#[test]
fn an_idle_session_holds_no_more_than_a_kibibyte() {
    const SESSIONS: usize = 200;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (server, mut clients) = runtime.block_on(async {
        let server = Server::handlers(config(), |_session| Pieces(32))
            .start()
            .unwrap();
        // What is there once: pools, tables, the first blocks of the runtime.
        let mut clients = Vec::with_capacity(2 * SESSIONS);
        for _ in 0..SESSIONS {
            clients.push(std::net::TcpStream::connect(server.local_addr()).unwrap());
        }
        until(|| server.stats().sessions == SESSIONS).await;
        (server, clients)
    });
    let measured = measure(|| {
        runtime.block_on(async {
            for _ in 0..SESSIONS {
                clients.push(std::net::TcpStream::connect(server.local_addr()).unwrap());
            }
            until(|| server.stats().sessions == 2 * SESSIONS).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        });
    });
    let each = measured.bytes_current / i64::try_from(SESSIONS).unwrap();
    // Of these, tokio's task and its registration of the socket take about 400.
    assert!(each <= 1024 + 400, "{each} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_floods_without_reading_is_read_no_further() {
    let (near, mut far) = duplex(1024);
    let connection = Connection::new(near, Config::default());
    let sender = connection.sender();
    let running = tokio::spawn(connection.run(Pieces(32)));
    // Until nothing more is taken; then its time runs out.
    let mut sent = 0;
    while let Ok(count) = far.write(&[0; 1000]).await {
        sent += count;
        assert!(sent < 1 << 20, "it is bounded");
        assert!(sender.queued() < 200 << 10);
    }
    assert!(running.await.unwrap().is_err());
}

#[tokio::test]
async fn a_client_that_vanishes_in_between_leaves_nothing_behind() {
    let server = Server::handlers(config(), |_session| Pieces(32))
        .start()
        .unwrap();
    for _ in 0..20 {
        let mut client = TcpStream::connect(server.local_addr()).await.unwrap();
        client.write_all(&vec![7; 50_000]).await.unwrap();
        // Unread answers make this a reset.
        drop(client);
    }
    until(|| server.stats().opened == 20).await;
    until(|| server.stats().sessions == 0 && server.stats().connections == 0).await;
    assert_eq!(server.traffic().bytes_queued, 0);
}
