//! Floods of control frames, in virtual time: what keeps to the rate passes, what does not is closed with 1008.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use tidewire::{
    proto::{CloseCode, Config, Connection, Message, MessageRef, ProtocolError},
    ws::{ControlRate, Handler, Incoming, RecvError, Session, WebSocket},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    time::{sleep, timeout},
};

use crate::driver::{Script, client, client_bytes, no_pings, server};

/// A masked ping without payload.
const PING: [u8; 6] = [0x89, 0x80, 1, 2, 3, 4];
/// A masked pong that nobody asked for.
const PONG: [u8; 6] = [0x8a, 0x80, 1, 2, 3, 4];
/// What a flood is answered with.
const CLOSE: &[u8] = b"\x88\x28\x03\xf0more than 10 control frames per second";

fn rate(burst: u32) -> Config {
    let mut config = no_pings();
    config.control_rate = Some(ControlRate {
        per_second: 10,
        burst,
    });
    config
}

/// What a server wrote to a client that sends these bytes at once, once nothing more happens.
async fn answers(config: Config, bytes: Vec<u8>) -> (Vec<u8>, Result<(), RecvError>) {
    let (a, mut b) = duplex(1 << 20);
    b.write_all(&bytes).await.unwrap();
    let mut socket = server(a, config);
    let end = match timeout(Duration::from_mins(1), socket.recv()).await {
        Ok(end) => end.map(|_| ()),
        Err(_quiet) => Ok(()),
    };
    drop(socket);
    let mut out = Vec::new();
    b.read_to_end(&mut out).await.unwrap();
    (out, end)
}

fn is_flood(end: &RecvError) -> bool {
    let expected = ProtocolError::TooManyControls { per_second: 10 };
    end.protocol() == Some(expected)
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_pings_passes_and_one_more_is_closed_with_1008() {
    let pong = [0x8a, 0].repeat(20);
    let (out, end) = answers(rate(20), PING.repeat(20)).await;
    assert_eq!(out, pong);
    end.unwrap();
    let (out, end) = answers(rate(20), PING.repeat(21)).await;
    assert_eq!(out, [&pong[..], &[0x8a, 0], CLOSE].concat());
    assert!(is_flood(&end.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn unasked_pongs_count_as_pings_do() {
    let (out, end) = answers(rate(20), [PING, PONG].concat().repeat(11)).await;
    assert!(out.ends_with(CLOSE), "{out:?}");
    assert!(is_flood(&end.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pings_at_the_rate_is_served_for_ever() {
    let (a, mut b) = duplex(1 << 20);
    let serving = tokio::spawn(async move { server(a, rate(20)).recv().await });
    for _ in 0..10_000 {
        b.write_all(&PING).await.unwrap();
        let mut pong = [0; 2];
        b.read_exact(&mut pong).await.unwrap();
        assert_eq!(pong, [0x8a, 0]);
        sleep(Duration::from_millis(100)).await;
    }
    b.write_all(&client_bytes(&["alive"])).await.unwrap();
    let message = serving.await.unwrap().unwrap();
    assert_eq!(message, Some(Message::text("alive")));
}

#[tokio::test(start_paused = true)]
async fn pings_that_a_standstill_has_held_back_are_no_flood() {
    let mut config = Config::default();
    config.ping_interval = None;
    let (a, mut b) = duplex(1 << 20);
    let mut socket = server(a, config);
    // One ping per second, while nobody reads for nine minutes.
    for _ in 0..540 {
        b.write_all(&PING).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    b.write_all(&client_bytes(&["alive"])).await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some(Message::text("alive")));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_pings_at_once_get_a_burst_of_answers_and_others_none_the_less() {
    let (other, other_peer) = duplex(1024);
    let other = tokio::spawn(server(other, rate(20)).run(Echo));
    // Without keep-alive and time limit no timer is set before the flood is over: the clock, which only moves to
    // the next timer, stands still, however long the machine takes.
    let (a, mut b) = duplex(1 << 20);
    let mut config = Config::default();
    config.ping_interval = None;
    b.write_all(&PING.repeat(100_000)).await.unwrap();
    let mut socket = server(a, config);
    let end = socket.recv().await.unwrap_err();
    drop(socket);
    let mut out = Vec::new();
    b.read_to_end(&mut out).await.unwrap();
    assert_eq!(out, [&[0x8a, 0].repeat(601)[..], CLOSE].concat());
    assert!(is_flood(&end));
    let mut peer = client(other_peer);
    peer.ping(b"").await.unwrap();
    peer.send("untouched").await.unwrap();
    assert_eq!(peer.recv().await.unwrap(), Some(Message::text("untouched")));
    peer.close(CloseCode::NORMAL, "").await.unwrap();
    other.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_who_does_not_read_is_owed_the_latest_pong_only() {
    let mut config = no_pings();
    config.control_rate = None;
    config.control_queue_bytes_max = 0;
    let (a, mut b) = duplex(1 << 20);
    // The answer to this fills the stream, so that pongs have to wait.
    let mut socket = server(a, config);
    let mut bytes = Vec::new();
    for number in 0..100_000_u32 {
        bytes.extend([0x89, 0x84, 0, 0, 0, 0]);
        bytes.extend(number.to_be_bytes());
    }
    let message = Message::binary(vec![0; 1 << 20]);
    socket.try_send(&message).unwrap();
    b.write_all(&bytes).await.unwrap();
    timeout(Duration::from_secs(1), socket.recv())
        .await
        .unwrap_err();
    let mut out = vec![0; message.payload().len() + 10 + 6];
    let (read, _) = tokio::join!(b.read_exact(&mut out), async {
        timeout(Duration::from_secs(1), socket.recv()).await
    });
    read.unwrap();
    assert_eq!(out[out.len() - 6..], [0x8a, 4, 0, 1, 0x86, 0x9f]);
}

/// A client that pings behind each message, to learn that it has arrived.
#[tokio::test(start_paused = true)]
async fn each_message_pays_for_a_ping() {
    let both = [client_bytes(&["x"]), PING.to_vec()].concat();
    let (a, mut b) = duplex(1 << 20);
    b.write_all(&both.repeat(5000)).await.unwrap();
    b.write_all(&PING.repeat(2)).await.unwrap();
    let mut socket = server(a, rate(1));
    for _ in 0..5000 {
        assert_eq!(socket.recv().await.unwrap(), Some(Message::text("x")));
    }
    let end = socket.recv().await.unwrap_err();
    assert!(is_flood(&end), "{end}");
}

#[tokio::test(start_paused = true)]
async fn answers_to_our_pings_are_free() {
    let (a, b) = duplex(1 << 20);
    let mut server = server(a, rate(1));
    let answering = tokio::spawn(async move {
        let mut client = client(b);
        client.recv().await
    });
    for number in 0..1000_u32 {
        let payload = number.to_be_bytes();
        server.ping(&payload).await.unwrap();
        let pong = server.recv_any().await.unwrap();
        assert!(matches!(pong, Some(Incoming::Pong(body)) if *body == payload));
    }
    server.close(CloseCode::NORMAL, "").await.unwrap();
    answering.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_takes_as_many_pings_as_its_server_sends() {
    let (a, mut b) = duplex(1 << 20);
    b.write_all(&[0x89, 0].repeat(5000)).await.unwrap();
    b.write_all(b"\x82\x01!").await.unwrap();
    let mut config = rate(1);
    config.ping_interval = None;
    let core = Connection::client(
        Arc::new(config),
        Box::new(crate::driver::Keys),
        tokio::time::Instant::now().into_std(),
    );
    let mut socket = WebSocket::new(a, core, Vec::new());
    let message = socket.recv().await.unwrap();
    assert_eq!(message, Some(Message::binary(&b"!"[..])));
}

/// Sends every message back.
struct Echo;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Handler<S> for Echo {
    fn message(&mut self, session: &mut Session<'_, S>, message: MessageRef<'_>) {
        session.send(message.kind(), message.payload()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_ends_every_way_of_receiving() {
    let bytes = [client_bytes(&["hello"]), PING.repeat(30)].concat();
    let stream = || {
        let (a, mut b) = duplex(1 << 20);
        let bytes = bytes.clone();
        let reading = tokio::spawn(async move {
            b.write_all(&bytes).await.unwrap();
            b.shutdown().await.unwrap();
            let mut out = Vec::new();
            b.read_to_end(&mut out).await.unwrap();
            assert!(out.ends_with(CLOSE), "{out:?}");
        });
        (server(a, rate(20)), reading)
    };
    let (mut socket, reading) = stream();
    let end = loop {
        match socket.recv_chunk().await {
            Ok(chunk) => assert!(chunk.is_some()),
            Err(error) => break error,
        }
    };
    assert!(is_flood(&end), "{end}");
    reading.await.unwrap();

    let (mut socket, reading) = stream();
    let end = loop {
        match socket.recv_any().await {
            Ok(incoming) => assert!(incoming.is_some()),
            Err(error) => break error,
        }
    };
    assert!(is_flood(&end), "{end}");
    reading.await.unwrap();

    let (socket, reading) = stream();
    let end = socket.run(Echo).await.unwrap_err();
    assert!(is_flood(&end), "{end}");
    reading.await.unwrap();
}

/// There the sending half is out while the pings are looked at.
#[tokio::test(start_paused = true)]
async fn a_flood_behind_a_message_that_is_answered_in_the_same_turn_is_closed() {
    let script = Script::default();
    script.push([client_bytes(&["hello"]), PING.repeat(30)].concat());
    let serving = server(script.clone(), rate(20)).serve(|mut socket| {
        Box::pin(async move {
            loop {
                match socket.recv().await {
                    Ok(Some(message)) => socket.send(message).await.unwrap(),
                    Ok(None) => panic!("closed properly"),
                    Err(error) => return error,
                }
            }
        })
    });
    let end = timeout(Duration::from_mins(1), serving).await.unwrap();
    assert!(is_flood(&end), "{end}");
    assert!(script.writes().concat().ends_with(CLOSE));
}

#[tokio::test(start_paused = true)]
async fn empty_fragments_without_end_are_closed_in_chunks_too() {
    let mut config = no_pings();
    config.fragments_max = 100;
    let (a, mut b) = duplex(1 << 20);
    let mut socket = server(a, config);
    let begin = [0x02, 0x81, 1, 2, 3, 4, 0];
    let empty = [0x00, 0x80, 1, 2, 3, 4];
    b.write_all(&[&begin[..], &empty.repeat(1000)].concat())
        .await
        .unwrap();
    let chunk = socket.recv_chunk().await.unwrap().unwrap();
    assert_eq!((chunk.data.len(), chunk.last), (1, false));
    let end = socket.recv_chunk().await.unwrap_err();
    let expected = ProtocolError::TooManyFragments { max: 100 };
    assert_eq!(end.protocol(), Some(expected));
}

/// How many reads of empty fragments are taken in one poll of who receives.
fn reads_in_a_poll<F: Future>(receive: impl FnOnce(WebSocket<Script>) -> F) -> usize {
    let script = Script::default();
    script.push(vec![0x02, 0x80, 1, 2, 3, 4]);
    for _ in 1..20 {
        script.push(vec![0x00, 0x80, 1, 2, 3, 4]);
    }
    let receiving = pin!(receive(server(script.clone(), no_pings())));
    let polled = receiving.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "there is no message");
    20 - script.unread()
}

#[tokio::test(start_paused = true)]
async fn fragments_without_data_let_other_tasks_in_after_each_read_in_every_way_of_receiving() {
    let whole = reads_in_a_poll(|mut socket| async move { socket.recv().await.map(|_| ()) });
    let chunks = reads_in_a_poll(|mut socket| async move { socket.recv_chunk().await.map(|_| ()) });
    let handler = reads_in_a_poll(|socket| socket.run(Echo));
    assert_eq!((whole, chunks, handler), (1, 1, 1));
}
