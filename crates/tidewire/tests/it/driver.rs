//! The driver over streams made by the test, in virtual time.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use tidewire::{
    proto::{CloseCode, Config, Connection, MaskKeys, Message, Prepared},
    ws::{Incoming, RecvError, SendError, WebSocket},
};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufWriter, DuplexStream,
        ReadBuf, duplex,
    },
    time::Instant,
};

pub(crate) struct Keys;

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        [1, 2, 3, 4]
    }
}

pub(crate) fn server<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    config: Config,
) -> WebSocket<S> {
    WebSocket::new(
        stream,
        Connection::server(Arc::new(config), Instant::now().into_std()),
        Vec::new(),
    )
}

pub(crate) fn client<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> WebSocket<S> {
    let core = Connection::client(Arc::default(), Box::new(Keys), Instant::now().into_std());
    WebSocket::new(stream, core, Vec::new())
}

pub(crate) fn pair(capacity: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (a, b) = duplex(capacity);
    (server(a, Config::default()), client(b))
}

/// Masked client frames for these texts.
pub(crate) fn client_bytes(texts: &[&str]) -> Vec<u8> {
    let mut core = Connection::client(Arc::default(), Box::new(Keys), Instant::now().into_std());
    for text in texts {
        core.send(&(*text).into()).unwrap();
    }
    let mut parts = [io::IoSlice::new(&[])];
    core.poll_transmit(&mut parts);
    parts[0].to_vec()
}

/// Gives one scripted chunk per read, then nothing; remembers every write.
#[derive(Clone, Default)]
pub(crate) struct Script {
    reads: Arc<Mutex<VecDeque<Vec<u8>>>>,
    writes: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Script {
    pub(crate) fn push(&self, bytes: Vec<u8>) {
        self.reads.lock().unwrap().push_back(bytes);
    }

    /// Chunks that were not read.
    pub(crate) fn unread(&self) -> usize {
        self.reads.lock().unwrap().len()
    }

    pub(crate) fn writes(&self) -> Vec<Vec<u8>> {
        self.writes.lock().unwrap().clone()
    }
}

impl AsyncRead for Script {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.reads.lock().unwrap().pop_front() {
            Some(chunk) => {
                buf.put_slice(&chunk);
                Poll::Ready(Ok(()))
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.lock().unwrap().push(buf.to_vec());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut socket: WebSocket<S>,
) -> Result<(), RecvError> {
    while let Some(message) = socket.recv().await? {
        if socket.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_messages_is_answered_with_one_write() {
    let script = Script::default();
    let texts: Vec<String> = (0..50).map(|i| format!("message {i}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    script.reads.lock().unwrap().push_back(client_bytes(&texts));
    script
        .reads
        .lock()
        .unwrap()
        .push_back(client_bytes(&["alone"]));
    tokio::time::timeout(
        Duration::from_secs(1),
        server(script.clone(), no_pings()).serve(|socket| Box::pin(echo(socket))),
    )
    .await
    .unwrap_err();
    let writes = script.writes.lock().unwrap();
    let expected: Vec<u8> = texts
        .iter()
        .flat_map(|text| Prepared::text(text).frame().to_vec())
        .collect();
    assert_eq!(
        *writes,
        [expected, Prepared::text("alone").frame().to_vec()]
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_sent_while_no_frame_waits_is_written_at_once() {
    let script = Script::default();
    let mut socket = server(script.clone(), Config::default());
    socket.send("now").await.unwrap();
    assert_eq!(script.writes.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_holds_back_is_written_without_another_send() {
    let (a, b) = duplex(16);
    // Like TLS, it takes more than it can write.
    let mut server = server(BufWriter::new(a), no_pings());
    let mut client = client(b);
    let text = "x".repeat(1000);
    server.send(text.as_str()).await.unwrap();
    let received = async {
        tokio::select! {
            message = client.recv() => message,
            ended = server.recv() => ended,
        }
    };
    let received = tokio::time::timeout(Duration::from_secs(1), received).await;
    let message = received.unwrap().unwrap().unwrap();
    assert_eq!(message.as_text(), Some(text.as_str()));
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_what_the_stream_holds_back() {
    let (a, b) = duplex(16);
    let mut server = server(BufWriter::new(a), no_pings());
    server.send("x".repeat(1000)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), server.flush())
        .await
        .unwrap_err();
    let mut client = client(b);
    let (flushed, message) = tokio::join!(server.flush(), client.recv());
    flushed.unwrap();
    assert_eq!(
        message.unwrap().unwrap().as_text().map(str::len),
        Some(1000)
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_recv_at_any_byte_loses_nothing() {
    let bytes = client_bytes(&["first", "second, a little longer", "third"]);
    for cut in 1..bytes.len() {
        let script = Script::default();
        let mut socket = server(script.clone(), Config::default());
        let mut texts = Vec::new();
        for chunk in [&bytes[..cut], &bytes[cut..]] {
            script.reads.lock().unwrap().push_back(chunk.to_vec());
            // The timeout drops a recv that has taken the bytes but not a whole frame.
            while let Ok(message) =
                tokio::time::timeout(Duration::from_millis(1), socket.recv()).await
            {
                texts.push(message.unwrap().unwrap().as_text().unwrap().to_owned());
            }
        }
        assert_eq!(
            texts,
            ["first", "second, a little longer", "third"],
            "cut at {cut}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_the_handshake_are_the_first_messages() {
    let (a, _b) = duplex(1024);
    let core = Connection::server(Arc::default(), Instant::now().into_std());
    let mut socket = WebSocket::new(a, core, client_bytes(&["early", "bird"]));
    assert_eq!(socket.recv().await.unwrap(), Some(Message::text("early")));
    assert_eq!(socket.recv().await.unwrap(), Some(Message::text("bird")));
}

#[tokio::test(start_paused = true)]
async fn both_ends_see_a_proper_close() {
    let (mut server, mut client) = pair(1024);
    let closing = tokio::spawn(async move { client.close(CloseCode::NORMAL, "bye").await });
    assert!(
        matches!(server.recv_any().await, Ok(Some(Incoming::Closing(Some(frame)))) if frame.reason == "bye")
    );
    assert_eq!(server.recv().await.unwrap(), None);
    assert_eq!(server.close_frame().unwrap().code, CloseCode::NORMAL);
    let answer = closing.await.unwrap().unwrap().expect("the code is echoed");
    assert_eq!(answer.code, CloseCode::NORMAL);
}

/// There are servers that answer a close frame by ending the stream.
#[tokio::test(start_paused = true)]
async fn an_end_of_the_stream_answers_our_close_frame_once_that_was_sent() {
    let (a, mut peer) = duplex(1024);
    let mut socket = server(a, Config::default());
    let closing = tokio::spawn(async move {
        let closed = socket.close(CloseCode::NORMAL, "").await;
        (closed, socket.recv().await)
    });
    let mut frame = [0; 4];
    peer.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, [0x88, 2, 0x03, 0xe8]);
    drop(peer);
    let (closed, later) = closing.await.unwrap();
    assert_eq!(closed.unwrap(), None, "without a close frame of its own");
    assert_eq!(later.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_end_of_the_stream_before_our_close_frame_has_gone_is_a_loss() {
    let (a, mut peer) = duplex(2);
    let mut socket = server(a, Config::default());
    peer.shutdown().await.unwrap();
    let closed = socket.close(CloseCode::NORMAL, "").await;
    assert!(matches!(closed, Err(RecvError::Lost)), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_a_close_is_given_up_after_five_seconds() {
    let (mut server, _silent) = pair(1024);
    let start = Instant::now();
    assert!(matches!(
        server.close(CloseCode::NORMAL, "").await,
        Err(RecvError::TimedOut)
    ));
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_given_up_but_a_living_one_is_kept() {
    let (mut server, mut client) = pair(1024);
    let alive = tokio::spawn(async move { client.recv().await });
    let start = Instant::now();
    let kept = tokio::time::timeout(Duration::from_mins(5), server.recv()).await;
    assert!(kept.is_err(), "a peer whose library answers pings is kept");
    alive.abort();
    assert!(alive.await.unwrap_err().is_cancelled());
    drop(server);

    let (mut server, _silent) = pair(1024);
    assert!(matches!(server.recv().await, Err(RecvError::TimedOut)));
    assert_eq!(
        start.elapsed().as_secs(),
        300 + 35,
        "25 s to the ping, 10 s for the pong"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_stops_the_sender_and_is_given_up() {
    let (mut server, _never_reads) = pair(1024);
    let message = Message::binary(vec![0; 64 << 10]);
    let mut sent = 0;
    let error = loop {
        match server.send(message.clone()).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SendError::TimedOut), "{error}");
    assert!(sent <= 17, "1 MiB of queue, not {sent} messages of 64 KiB");
    assert!(matches!(server.recv().await, Err(RecvError::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn a_send_goes_on_as_soon_as_there_is_room_for_it() {
    let mut config = no_pings();
    config.send_queue_bytes_max = 10_000;
    let (a, mut b) = duplex(4096);
    let mut socket = server(a, config);
    socket.try_send(&Message::binary(vec![0; 9000])).unwrap();
    // The stream takes 4 KiB in this very call, which makes room, and nothing more.
    let sent = tokio::time::timeout(Duration::from_secs(1), socket.send(vec![0; 3000]));
    sent.await
        .expect("nobody reads, and it need not wait")
        .unwrap();
    assert!(socket.queued() > 7000, "{} wait", socket.queued());
    let mut first = [0];
    tokio::io::AsyncReadExt::read_exact(&mut b, &mut first)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_is_an_error_not_a_close() {
    let (mut server, client) = pair(1024);
    drop(client);
    assert!(matches!(server.recv().await, Err(RecvError::Lost)));
    assert!(
        matches!(server.recv().await, Err(RecvError::Lost)),
        "and stays one"
    );
    assert!(matches!(server.send("x").await, Err(SendError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_protocol_is_told_why() {
    let (a, b) = duplex(1024);
    let server = tokio::spawn(echo(server(a, Config::default())));
    // The client end talks unmasked, as only a server may.
    let mut bad = WebSocket::new(
        b,
        Connection::server(Arc::default(), Instant::now().into_std()),
        Vec::new(),
    );
    bad.send("unmasked").await.unwrap();
    assert!(
        matches!(bad.recv().await, Err(RecvError::Protocol(_))),
        "the answer is unmasked too"
    );
    drop(bad);
    let error = server.await.unwrap().unwrap_err();
    assert_eq!(
        error.protocol().unwrap().to_string(),
        "message from client not masked"
    );
}

pub(crate) fn no_pings() -> Config {
    let mut config = Config::default();
    config.ping_interval = None;
    config
}

#[tokio::test(start_paused = true)]
async fn both_ends_may_close_at_once() {
    let (mut server, mut client) = pair(1024);
    let (a, b) = tokio::join!(
        server.close(CloseCode::GOING_AWAY, "you"),
        client.close(CloseCode::NORMAL, "me")
    );
    assert_eq!(a.unwrap().unwrap().reason, "me");
    assert_eq!(b.unwrap().unwrap().reason, "you");
}

#[tokio::test(start_paused = true)]
async fn a_large_message_in_many_pieces_arrives_whole() {
    let (mut server, mut client) = pair(16 << 10);
    let message = Message::binary(b"0123456".repeat(1_000_000));
    let sending = message.clone();
    let sent = tokio::spawn(async move {
        client.send(sending).await.unwrap();
        client.flush().await.unwrap();
        client
    });
    assert_eq!(server.recv().await.unwrap(), Some(message));
    sent.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_held_back_by_a_ping_that_waits_behind_the_question() {
    let script = Script::default();
    let mut core = Connection::client(Arc::default(), Box::new(Keys), Instant::now().into_std());
    core.send(&"question".into()).unwrap();
    core.ping(b"?").unwrap();
    let mut parts = [io::IoSlice::new(&[])];
    core.poll_transmit(&mut parts);
    script.reads.lock().unwrap().push_back(parts[0].to_vec());
    let mut socket = server(script.clone(), Config::default());
    assert_eq!(
        socket.recv().await.unwrap(),
        Some(Message::text("question"))
    );
    socket.send("answer").await.unwrap();
    assert_eq!(
        *script.writes.lock().unwrap(),
        [Prepared::text("answer").frame().to_vec()]
    );
}
