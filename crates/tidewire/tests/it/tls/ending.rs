//! Connections that end without a close frame, with and without `close_notify`.

use tidewire::{
    tls::ServerTls,
    ws::{Client, RecvError, RunningServer, Server, WebSocket},
};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Authority, HANG_GUARD, Served, echoes,
    handshake::{raw, upgrade},
};
use crate::server::config;

/// A server that tells how receiving ended.
fn observed(tls: ServerTls) -> (RunningServer, mpsc::Receiver<Result<(), RecvError>>) {
    let mut config = config();
    config.tls = Some(tls);
    let (sender, ends) = mpsc::channel(1);
    let serve = move |mut socket: WebSocket| {
        let sender = sender.clone();
        async move {
            let end = socket.recv().await.map(|_message| ());
            sender.send(end).await.ok();
        }
    };
    (Server::new(config).route("/", serve).start().unwrap(), ends)
}

#[tokio::test]
async fn a_peer_that_leaves_without_a_close_frame_is_lost_with_and_without_close_notify() {
    let authority = Authority::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for notify in [false, true] {
            let (server, mut ends) = observed(authority.server());
            let served = Served {
                server,
                peers: mpsc::channel(1).1,
            };
            let mut stream = raw(&served, &authority, version).await.unwrap();
            upgrade(&mut stream).await;
            if notify {
                stream.shutdown().await.unwrap();
            } else {
                drop(stream);
            }
            let end = timeout(HANG_GUARD, ends.recv()).await.unwrap().unwrap();
            assert!(
                matches!(end, Err(RecvError::Lost)),
                "notify: {notify}: {end:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_cut_off_from_its_server_is_told_that_the_connection_is_lost() {
    let authority = Authority::new();
    let served = Served::start(authority.server());
    let relay = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("wss://localhost:{}/", relay.local_addr().unwrap().port());
    let server = served.server.local_addr();
    let (cut, wait) = oneshot::channel::<()>();
    let relaying = tokio::spawn(async move {
        let (mut client, _address) = relay.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        tokio::select! {
            _ended = copy_bidirectional(&mut client, &mut server) => {}
            _cut = wait => {}
        }
    });
    let client = Client::new(&url).unwrap().tls(authority.client());
    let mut socket = client.connect().await.unwrap();
    echoes(&mut socket).await;
    cut.send(()).unwrap();
    relaying.await.unwrap();
    let end = timeout(HANG_GUARD, socket.recv()).await.unwrap();
    assert!(matches!(end, Err(RecvError::Lost)), "{end:?}");
}
