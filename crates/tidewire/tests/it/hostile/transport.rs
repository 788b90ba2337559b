//! Streams that buffer, and messages of unusual size.

use tidewire::{
    proto::Connection,
    ws::{Message, WebSocket},
};
use tokio::{
    io::{BufStream, duplex},
    time::Instant,
};

use crate::driver::{client, no_pings};

#[tokio::test(start_paused = true)]
async fn a_message_of_100_mb_arrives() {
    let (a, b) = duplex(256 << 10);
    let mut roomy = no_pings();
    roomy.message_bytes_max = 128 << 20;
    roomy.frame_bytes_max = 128 << 20;
    let (mut receiver, mut sender) = (crate::driver::server(a, roomy), client(b));
    let sending = tokio::spawn(async move {
        sender.send(vec![9; 100 << 20]).await.unwrap();
        sender.flush().await.unwrap();
        sender
    });
    let message = receiver.recv().await.unwrap().unwrap();
    assert_eq!(message.payload().len(), 100 << 20);
    drop(sending.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_buffers_is_flushed() {
    let (a, b) = duplex(1024);
    let core = Connection::server(no_pings().into(), Instant::now().into_std());
    let mut server = WebSocket::new(BufStream::new(a), core, Vec::new());
    let mut client = client(b);
    client.send("question").await.unwrap();
    let question = server.recv().await.unwrap().unwrap();
    server.send(question).await.unwrap();
    assert_eq!(
        client.recv().await.unwrap(),
        Some(Message::text("question"))
    );
}
