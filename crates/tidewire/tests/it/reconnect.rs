//! The reconnecting client, in virtual time over streams in memory; at the end over sockets.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tidewire::{
    proto::{CloseCode, Config, Message},
    ws::{
        AcceptFuture, Backoff, Client, ClientEvent, ConnectError, Decision, Delivery, DownReason,
        Endpoint, HandshakeError, OutboxError, OutboxLimits, Reconnect, Reconnecting, RecvError,
        Refusal, Request, Server, WebSocket,
    },
};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{
    driver::{client, no_pings, server},
    server::{config, echo},
    tls::Authority,
};

const LONG: Duration = Duration::from_secs(30);

/// What the attempts to connect come to: these errors first, then connections whose other ends
/// come out of the receiver.
fn scripted(
    backoff: Backoff,
    capacity: usize,
    errors: impl IntoIterator<Item = ConnectError>,
) -> (
    Reconnect<DuplexStream>,
    mpsc::Receiver<WebSocket<DuplexStream>>,
) {
    let (sender, peers) = mpsc::channel(16);
    let mut errors: VecDeque<_> = errors.into_iter().collect();
    let reconnect = Reconnect::new(backoff, move |_attempt| {
        let result = if let Some(error) = errors.pop_front() {
            Err(DownReason::Connect(error))
        } else {
            let (ours, theirs) = duplex(capacity);
            sender.try_send(server(theirs, no_pings())).unwrap();
            Ok(client(ours))
        };
        std::future::ready(result)
    });
    (reconnect.random(|| u64::MAX), peers)
}

fn status(status: u16) -> ConnectError {
    HandshakeError::Status(status).into()
}

async fn down(client: &mut Reconnecting) -> (DownReason, Option<Duration>) {
    match client.next().await {
        Some(ClientEvent::Down { reason, retry_in }) => (reason, retry_in),
        other => panic!("expected down, got {other:?}"),
    }
}

async fn up(client: &mut Reconnecting) -> u32 {
    match client.next().await {
        Some(ClientEvent::Up { attempt, .. }) => attempt,
        other => panic!("expected up, got {other:?}"),
    }
}

async fn text(peer: &mut WebSocket<DuplexStream>) -> String {
    let message = peer.recv().await.unwrap().expect("a message");
    message.as_text().expect("text").to_owned()
}

#[tokio::test(start_paused = true)]
async fn waits_double_with_injected_jitter_and_the_attempts_keep_to_them() {
    let errors = (0..8).map(|_| ConnectError::TimedOut);
    let (reconnect, _peers) = scripted(Backoff::default(), 1024, errors);
    let mut client = reconnect.start();
    let began = Instant::now();
    for (wait, after) in [
        (0.5, 0.0),
        (1.0, 0.5),
        (2.0, 1.5),
        (4.0, 3.5),
        (8.0, 7.5),
        (16.0, 15.5),
        (30.0, 31.5),
        (30.0, 61.5),
    ] {
        let (_, retry_in) = down(&mut client).await;
        assert_eq!(retry_in, Some(Duration::from_secs_f32(wait)));
        let elapsed = began.elapsed().as_secs_f32();
        assert!((elapsed - after).abs() < 0.1, "{elapsed} for {after}");
    }
    assert_eq!(up(&mut client).await, 9);
}

#[tokio::test(start_paused = true)]
async fn what_would_fail_again_is_not_tried_again_unless_the_policy_says_so() {
    for error in [
        status(400),
        status(401),
        status(403),
        status(404),
        status(302),
        HandshakeError::Subprotocol.into(),
        Client::new("http://x").unwrap_err(),
    ] {
        let told = error.to_string();
        let (reconnect, _peers) = scripted(Backoff::default(), 1024, [error]);
        let mut client = reconnect.start();
        let sender = client.sender();
        let (reason, retry_in) = down(&mut client).await;
        assert!(reason.is_permanent() && retry_in.is_none(), "{told}");
        assert!(client.next().await.is_none(), "that was the last event");
        let refused = sender.send("x").await.unwrap_err();
        assert_eq!(refused, OutboxError::Ended(Message::text("x")));
    }
    for error in [
        status(408),
        status(429),
        status(500),
        status(503),
        status(200),
        HandshakeError::Accept.into(),
        ConnectError::TimedOut,
        ConnectError::Lost(io::ErrorKind::ConnectionReset.into()),
        ConnectError::Io {
            host: "nowhere".into(),
            port: 1,
            source: io::ErrorKind::ConnectionRefused.into(),
        },
    ] {
        let told = error.to_string();
        let (reconnect, _peers) = scripted(Backoff::default(), 1024, [error]);
        let mut client = reconnect.start();
        assert!(down(&mut client).await.1.is_some(), "{told}");
        assert_eq!(up(&mut client).await, 2, "{told}");
    }
    let (reconnect, _peers) = scripted(Backoff::default(), 1024, [status(401)]);
    let mut client = reconnect.retry_if(|_reason| true).start();
    down(&mut client).await;
    assert_eq!(up(&mut client).await, 2);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_the_least_wait_within_bounds() {
    let busy = |seconds| {
        ConnectError::from(HandshakeError::Busy {
            status: 503,
            seconds,
        })
    };
    let (reconnect, _peers) = scripted(Backoff::default(), 1024, [busy(7), busy(99_999)]);
    let mut client = reconnect.random(|| 0).start();
    assert_eq!(down(&mut client).await.1, Some(Duration::from_secs(7)));
    assert_eq!(down(&mut client).await.1, Some(Duration::from_mins(5)));
    assert_eq!(up(&mut client).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_gives_up_after_the_allowed_failures() {
    let errors = (0..9).map(|_| ConnectError::TimedOut);
    let (reconnect, _peers) = scripted(Backoff::default().failures_max(3), 1024, errors);
    let mut client = reconnect.start();
    assert!(down(&mut client).await.1.is_some());
    assert!(down(&mut client).await.1.is_some());
    assert!(down(&mut client).await.1.is_none());
    assert!(client.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn only_a_stable_connection_ends_the_row_of_failures() {
    let (reconnect, mut peers) = scripted(Backoff::default(), 1024, []);
    let mut client = reconnect.start();
    for (lived, wait) in [(59, 0.5), (59, 1.0), (60, 0.5), (1, 1.0)] {
        assert_eq!(up(&mut client).await, 1);
        let peer = peers.recv().await.unwrap();
        tokio::time::advance(Duration::from_secs(lived)).await;
        drop(peer);
        let (reason, retry_in) = down(&mut client).await;
        assert!(
            matches!(reason, DownReason::Lost(RecvError::Lost | RecvError::Io(_))),
            "{reason:?}"
        );
        assert_eq!(retry_in, Some(Duration::from_secs_f32(wait)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_while_down_goes_out_in_order_after_the_greeting() {
    let (reconnect, mut peers) = scripted(Backoff::default(), 1024, [ConnectError::TimedOut]);
    let mut client = reconnect
        .on_connect(|mut socket| async move {
            socket.send("hello").await?;
            let welcome = socket.recv().await?;
            assert_eq!(welcome, Some(Message::text("welcome")));
            Ok(socket)
        })
        .start();
    let sender = client.sender();
    for text in ["1", "2"] {
        client.try_send(text).unwrap();
    }
    down(&mut client).await;
    for round in ["1 2", "3 4"] {
        let mut peer = peers.recv().await.unwrap();
        assert_eq!(text(&mut peer).await, "hello");
        peer.send("welcome").await.unwrap();
        assert_eq!(up(&mut client).await, if round == "1 2" { 2 } else { 1 });
        let got = format!("{} {}", text(&mut peer).await, text(&mut peer).await);
        assert_eq!(got, round);
        peer.send("thanks").await.unwrap();
        assert!(
            matches!(client.next().await, Some(ClientEvent::Message(message)) if message == Message::text("thanks"))
        );
        peer.start_close(CloseCode::GOING_AWAY, "restart");
        let closing = tokio::spawn(async move { peer.recv().await });
        let (reason, _) = down(&mut client).await;
        assert!(
            matches!(&reason, DownReason::Closed(Some(frame)) if frame.code == CloseCode::GOING_AWAY),
            "{reason:?}"
        );
        closing.await.unwrap().unwrap();
        for text in ["3", "4"] {
            sender.send(text).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_fails_or_hangs_is_a_failed_attempt() {
    let (reconnect, mut peers) = scripted(Backoff::default(), 1024, []);
    let mut client = reconnect
        .on_connect(|mut socket| async move {
            match socket.recv().await? {
                Some(message) if message.as_text() == Some("welcome") => Ok(socket),
                _ => Err("not welcome".into()),
            }
        })
        .start();
    let mut first = peers.recv().await.unwrap();
    first.send("go away").await.unwrap();
    let (reason, _) = down(&mut client).await;
    assert!(matches!(reason, DownReason::Greeting(_)), "{reason:?}");
    let began = Instant::now();
    let _silent = peers.recv().await.unwrap();
    let (reason, _) = down(&mut client).await;
    assert!(
        matches!(reason, DownReason::Connect(ConnectError::TimedOut)),
        "{reason:?}"
    );
    assert!(began.elapsed() >= Duration::from_secs(30));
    let mut third = peers.recv().await.unwrap();
    third.send("welcome").await.unwrap();
    assert_eq!(up(&mut client).await, 3);
}

/// Sends numbers while connections break after a few bytes, and tells what arrived.
async fn numbers_over_breaking_connections(delivery: Delivery, count: u32) -> Vec<u32> {
    let capacity = 256; // of the stream: what the "system" takes before the peer reads
    let (reconnect, mut peers) = scripted(Backoff::default(), capacity, []);
    let client = reconnect
        .delivery(delivery)
        .outbox(OutboxLimits::new(8, 1 << 20))
        .start();
    let sender = client.sender();
    let sending = tokio::spawn(async move {
        for number in 0..count {
            // Every third is larger than the stream: it leaves in pieces.
            let len = if number % 3 == 0 { 600 } else { 40 };
            sender.send(format!("{number:<len$}")).await.unwrap();
        }
        sender.delivered().await
    });
    let peer = tokio::spawn(async move {
        let mut got = Vec::new();
        let mut round = 0;
        while let Some(mut peer) = peers.recv().await {
            round += 1;
            // Each connection is read from for a while, the later ones to the end.
            let most = if round < 12 { round % 4 } else { usize::MAX };
            for _ in 0..most {
                let Ok(Some(message)) = peer.recv().await else {
                    return got;
                };
                got.push(message.as_text().unwrap().trim().parse().unwrap());
            }
            tokio::time::sleep(Duration::from_secs(1)).await; // the client fills the stream
        }
        got
    });
    let events = tokio::spawn(async move {
        let mut client = client;
        loop {
            tokio::select! {
                event = client.next() => assert!(event.is_some()),
                () = tokio::time::sleep(Duration::from_mins(10)) => break client,
            }
        }
    });
    assert!(
        timeout(Duration::from_hours(1), sending)
            .await
            .unwrap()
            .unwrap()
    );
    let client = events.await.unwrap();
    let closed = client.close(LONG).await;
    assert!(closed.undelivered.is_empty());
    peer.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn at_most_once_nothing_comes_twice_and_what_had_not_left_is_sent_again() {
    let got = numbers_over_breaking_connections(Delivery::AtMostOnce, 100).await;
    assert!(got.is_sorted_by(|a, b| a < b), "in order, once: {got:?}");
    // A break loses at most what lay in the stream: 256 bytes, 6 small messages, one end.
    assert!(got.len() >= 100 - 11 * 7, "{}", got.len());
    assert!(got.len() < 100, "the breaks did lose something");
    assert_eq!(got.last(), Some(&99));
}

#[tokio::test(start_paused = true)]
async fn at_least_once_nothing_is_lost() {
    let got = numbers_over_breaking_connections(Delivery::AtLeastOnce, 100).await;
    let mut once = got.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once, (0..100).collect::<Vec<_>>(), "{got:?}");
    assert!(got.len() > 100, "something came twice");
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_refuses_or_lets_wait() {
    let (reconnect, mut peers) = scripted(Backoff::default(), 1024, [ConnectError::TimedOut]);
    let client = reconnect.outbox(OutboxLimits::new(2, 10)).start();
    let sender = client.sender();
    sender.try_send("12345").unwrap();
    let refused = sender.try_send("678901").unwrap_err();
    assert_eq!(refused, OutboxError::Full(Message::text("678901")));
    sender.try_send("67890").unwrap();
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("more").await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let mut peer = peers.recv().await.unwrap();
    for expected in ["12345", "67890", "more"] {
        assert_eq!(text(&mut peer).await, expected);
    }
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn unread_events_slow_the_peer_down_while_sending_goes_on() {
    let (reconnect, mut peers) = scripted(Backoff::default(), 4096, []);
    let mut client = reconnect.events(4, 1 << 20).start();
    let mut peer = peers.recv().await.unwrap();
    let mut sent = 0;
    while let Ok(done) = timeout(LONG, peer.send(vec![0; 1 << 20])).await {
        if done.is_err() {
            break; // the write deadline
        }
        sent += 1;
        assert!(sent < 100, "somebody takes it all");
    }
    assert!(sent < 10, "{sent}");
    up(&mut client).await;
    drop(peer);
    while !matches!(client.next().await, Some(ClientEvent::Down { .. })) {}
    let mut peer = peers.recv().await.unwrap();
    for _ in 0..10 {
        peer.send("not read").await.unwrap();
    }
    for number in 0..100 {
        client.send(number.to_string()).await.unwrap();
        assert_eq!(text(&mut peer).await, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn closing_delivers_the_outbox_first_and_gives_back_what_it_could_not() {
    let (reconnect, mut peers) = scripted(Backoff::default(), 64, [ConnectError::TimedOut]);
    let client = reconnect.start();
    for number in 0..50 {
        client.try_send(format!("{number}")).unwrap();
    }
    let peer = tokio::spawn(async move {
        let mut peer = peers.recv().await.unwrap();
        for number in 0..50 {
            assert_eq!(text(&mut peer).await, number.to_string());
        }
        assert_eq!(peer.recv().await.unwrap(), None);
        peer.close_frame().unwrap().code
    });
    let closed = client.close(LONG).await;
    assert_eq!(closed.frame.unwrap().code, CloseCode::NORMAL);
    assert!(closed.undelivered.is_empty());
    assert_eq!(peer.await.unwrap(), CloseCode::NORMAL);

    let errors = (0..1000).map(|_| ConnectError::TimedOut);
    let (reconnect, _peers) = scripted(Backoff::default(), 64, errors);
    let client = reconnect.start();
    client.try_send("never").unwrap();
    let began = Instant::now();
    let closed = client.close(LONG).await;
    assert_eq!(closed.undelivered, [Message::text("never")]);
    assert_eq!(began.elapsed(), LONG);

    let errors = (0..1000).map(|_| ConnectError::TimedOut);
    let (reconnect, _peers) = scripted(Backoff::default(), 64, errors);
    let began = Instant::now();
    reconnect.start().close(LONG).await;
    assert_eq!(began.elapsed(), Duration::ZERO, "nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_ends_everything() {
    let alive = Arc::new(());
    let inside = Arc::clone(&alive);
    let (reconnect, mut peers) = scripted(Backoff::default(), 1024, []);
    let client = reconnect
        .retry_if(move |_reason| Arc::strong_count(&inside) > 0)
        .start();
    let sender = client.sender();
    let mut peer = peers.recv().await.unwrap();
    client.send("x").await.unwrap();
    text(&mut peer).await;
    drop(client);
    assert!(matches!(
        peer.recv().await,
        Err(RecvError::Lost | RecvError::Io(_))
    ));
    assert!(matches!(sender.try_send("y"), Err(OutboxError::Ended(_))));
    assert!(!sender.delivered().await);
    while Arc::strong_count(&alive) > 1 {
        tokio::task::yield_now().await;
    }
    assert!(peers.recv().await.is_none(), "the connector is gone");
}

/// Refuses every token but the second and later ones.
struct Tokens(Arc<Mutex<Vec<String>>>);

impl Endpoint for Tokens {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        let token = request.head.values("authorization").next();
        let token = String::from_utf8_lossy(token.unwrap_or_default()).into_owned();
        let fresh = token != "Bearer 1";
        self.0.lock().unwrap().push(token);
        if fresh {
            Decision::default().into()
        } else {
            let refusal = Refusal::new(503, "not yet");
            refusal.header("Retry-After", "0").into()
        }
    }

    fn serve(
        &self,
        socket: WebSocket,
        _request: Request,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(echo(socket))
    }
}

fn quick() -> Backoff {
    Backoff::new(Duration::from_millis(1), Duration::from_millis(1))
}

#[tokio::test]
async fn headers_are_renewed_for_each_attempt() {
    let seen = Arc::default();
    let server = Server::new(config())
        .route("/", Tokens(Arc::clone(&seen)))
        .start()
        .unwrap();
    let count = AtomicU32::new(0);
    let mut client = Client::new(&format!("ws://{}/", server.local_addr()))
        .unwrap()
        .reconnect_with(quick(), move |client, _attempt| {
            let token = count.fetch_add(1, Ordering::Relaxed);
            async move {
                match token {
                    0 => Err("the token service is away".into()),
                    _ => Ok(client.header("authorization", format!("Bearer {token}"))),
                }
            }
        })
        .start();
    let (reason, retry_in) = down(&mut client).await;
    assert!(matches!(reason, DownReason::Renewal(_)) && retry_in.is_some());
    let (reason, _) = down(&mut client).await;
    assert_eq!(reason.retry_after(), Some(Duration::ZERO), "{reason:?}");
    assert_eq!(up(&mut client).await, 3);
    assert_eq!(*seen.lock().unwrap(), ["Bearer 1", "Bearer 2"]);
}

#[tokio::test]
async fn a_client_outlives_its_server() {
    let mut settings = config();
    let first = Server::new(settings.clone())
        .route("/", echo)
        .start()
        .unwrap();
    settings.address = first.address().clone();
    let mut client = Client::new(&format!("ws://{}/", settings.address))
        .unwrap()
        .config(Config::default())
        .reconnect(quick())
        .start();
    up(&mut client).await;
    assert!(first.drain(LONG).await);
    let (reason, _) = down(&mut client).await;
    assert!(matches!(reason, DownReason::Closed(Some(_))), "{reason:?}");
    client.send("kept").await.unwrap();
    let second = Server::new(settings).route("/", echo).start().unwrap();
    loop {
        match client.next().await.expect("it does not give up") {
            ClientEvent::Message(message) => break assert_eq!(message, Message::text("kept")),
            ClientEvent::Up { .. } | ClientEvent::Down { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let closed = client.close(LONG).await;
    assert_eq!(closed.frame.unwrap().code, CloseCode::NORMAL);
    assert!(second.drain(LONG).await);
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_a_stranger_is_not_tried_again() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let mut settings = config();
    settings.tls = Some(authority.server());
    let server = Server::new(settings).route("/", echo).start().unwrap();
    let port = server.local_addr().port();
    for (host, trusted) in [("127.0.0.1", &authority), ("localhost", &stranger)] {
        let client = Client::new(&format!("wss://{host}:{port}/")).unwrap();
        let mut client = client.tls(trusted.client()).reconnect(quick()).start();
        let (reason, retry_in) = down(&mut client).await;
        assert!(
            matches!(reason, DownReason::Connect(ConnectError::Tls { .. })),
            "{reason:?}"
        );
        assert_eq!(retry_in, None, "{host}");
    }
}
