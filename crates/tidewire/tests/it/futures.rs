//! Sockets as `Stream` and `Sink`.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _, future};
use tidewire::{
    proto::{CloseCode, Config, Connection},
    ws::{Message, MessageStream, MessageStreamError, SendError, WebSocket},
};
use tokio::{io::duplex, time::Instant};

use crate::driver::{client, pair};

#[tokio::test(start_paused = true)]
async fn a_stream_forwarded_to_its_own_sink_is_an_echo() {
    let (server, mut client) = pair(256);
    let (sink, messages) = MessageStream::new(server).split();
    let echo = messages.forward(sink);
    let talk = async {
        for number in 0..100 {
            let text = Message::text(number.to_string());
            client.send(text.clone()).await.unwrap();
            assert_eq!(client.recv().await.unwrap(), Some(text));
        }
        client.close(CloseCode::NORMAL, "").await.unwrap();
    };
    let (echoed, ()) = future::join(echo, talk).await;
    echoed.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_send_queue_makes_the_sink_wait_and_nothing_is_lost() {
    const COUNT: usize = 64;
    let (near, far) = duplex(64);
    let mut config = Config::default();
    config.send_queue_bytes_max = 256;
    let core = Connection::server(Arc::new(config), Instant::now().into_std());
    let mut sink = MessageStream::new(WebSocket::new(near, core, Vec::new()));
    let mut messages = MessageStream::new(client(far));
    let send = async {
        for number in 0..COUNT {
            let payload = vec![u8::try_from(number).unwrap(); 100];
            sink.feed(Message::binary(payload)).await.unwrap();
        }
        sink.flush().await.unwrap();
    };
    let receive = async {
        for number in 0..COUNT {
            let message = messages.next().await.unwrap().unwrap();
            assert_eq!(
                message.payload()[..],
                vec![u8::try_from(number).unwrap(); 100]
            );
        }
    };
    future::join(send, receive).await;
}

#[tokio::test(start_paused = true)]
async fn closing_the_sink_ends_both_streams() {
    let (server, client) = pair(256);
    let (mut server, mut client) = (MessageStream::new(server), MessageStream::from(client));
    client.send(Message::text("last")).await.unwrap();
    client.close().await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), Message::text("last"));
    let (at_server, at_client) = future::join(server.next(), client.next()).await;
    assert!(at_server.is_none() && at_client.is_none());
    assert!(client.next().await.is_none(), "it stays ended");
    let refused = client.send(Message::text("late")).await.unwrap_err();
    assert!(
        matches!(refused, MessageStreamError::Send(SendError::Closed)),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_one_error_and_the_end() {
    let (server, client) = pair(256);
    drop(client);
    let mut server = MessageStream::new(server);
    assert!(matches!(
        server.next().await,
        Some(Err(MessageStreamError::Recv(_)))
    ));
    assert!(server.next().await.is_none());
}
