//! Hellos that somebody between the peers has changed.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::SupportedProtocolVersion;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

use super::{Authority, Served, handshake::raw_config};

/// A type of extension that a server may use for a name that it cannot use.
const MARKER: [u8; 2] = [0xff, 0x4e];

/// Passes one connection on to `to`, its first message changed by `change` and cut into records of `record_len`.
async fn between(listener: TcpListener, to: SocketAddr, change: fn(&mut [u8]), record_len: usize) {
    let (mut client, _from) = listener.accept().await.unwrap();
    let mut header = [0; 5];
    client.read_exact(&mut header).await.unwrap();
    let len = u16::from_be_bytes([header[3], header[4]]);
    let mut message = vec![0; usize::from(len)];
    client.read_exact(&mut message).await.unwrap();
    change(&mut message);
    let mut records = Vec::new();
    for part in message.chunks(record_len) {
        records.extend_from_slice(&header[..3]);
        records.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
        records.extend_from_slice(part);
    }
    let mut server = TcpStream::connect(to).await.unwrap();
    server.write_all(&records).await.unwrap();
    // Either end may break it off.
    copy_bidirectional(&mut client, &mut server).await.ok();
}

/// Does the handshake through [`between`], and reads the answer to something that is no request.
async fn handshake(
    served: &Served,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    change: fn(&mut [u8]),
    record_len: usize,
) -> io::Result<usize> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap());
    let to = served.server.local_addr();
    let passing = tokio::spawn(between(listener, to, change, record_len));
    let connector = TlsConnector::from(Arc::new(raw_config(authority, version)));
    let name = "localhost".try_into().unwrap();
    let mut stream = connector.connect(name, tcp.await.unwrap()).await?;
    stream.write_all(b"no request\r\n\r\n").await?;
    let answered = stream.read(&mut [0; 100]).await;
    drop(stream);
    passing.await.unwrap();
    answered
}

/// Hides the extension with the name `localhost`, as a server does that cannot use it.
fn hide_name(message: &mut [u8]) {
    const EXTENSION: &[u8] = b"\0\0\0\x0e\0\x0c\0\0\x09localhost";
    let mut places = message.windows(EXTENSION.len());
    let at = places.position(|part| part == EXTENSION).unwrap();
    message[at..at + MARKER.len()].copy_from_slice(&MARKER);
}

#[tokio::test]
async fn nobody_between_the_peers_can_hide_the_name_however_it_is_cut_into_records() {
    let authority = Authority::new();
    let served = Served::start(authority.server());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for record_len in [1000, 20, 7, 2] {
            let untouched = |_message: &mut [u8]| {};
            let answered = handshake(&served, &authority, version, untouched, record_len).await;
            assert!(answered.unwrap() > 0, "records of {record_len}");
            let hidden = handshake(&served, &authority, version, hide_name, record_len).await;
            hidden.expect_err("the server was not told the name");
        }
    }
}
