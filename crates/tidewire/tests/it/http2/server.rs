//! Our server against a bare HTTP/2 client: frames made by hand.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream, client::SendRequest, ext::Protocol};
use http::{Method, Request, Response};
use tidewire::ws::RunningServer;
use tokio::net::TcpStream;

use super::{start, until, within};

async fn raw(server: &RunningServer) -> SendRequest<Bytes> {
    let tcp = TcpStream::connect(server.local_addr()).await.unwrap();
    let (requests, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    let requests = requests.ready().await.unwrap();
    until(|| requests.is_extended_connect_protocol_enabled()).await;
    requests
}

fn request(method: Method, path: &str, protocol: Option<&'static str>) -> Request<()> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .header("sec-websocket-version", "13");
    let request = match protocol {
        Some(protocol) => request.extension(Protocol::from_static(protocol)),
        None => request,
    };
    request.body(()).unwrap()
}

fn websocket(path: &str) -> Request<()> {
    request(Method::CONNECT, path, Some("websocket"))
}

async fn ask(
    requests: &mut SendRequest<Bytes>,
    request: Request<()>,
) -> Result<(Response<RecvStream>, SendStream<Bytes>), h2::Error> {
    let (response, stream) = requests.send_request(request, false)?;
    Ok((within(response).await?, stream))
}

async fn read_all(body: &mut RecvStream) -> Result<Bytes, h2::Error> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = within(body.data()).await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// "Hello", masked as in RFC 6455 section 5.7, and a close frame without a code.
const HELLO: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
const CLOSE: &[u8] = b"\x88\x80\x00\x00\x00\x00";

#[tokio::test]
async fn frames_are_data_and_the_end_of_the_stream_follows_the_closing_handshake() {
    let server = start();
    let mut requests = raw(&server).await;
    let (response, mut stream) = ask(&mut requests, websocket("/echo")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    for byte in HELLO {
        stream
            .send_data(Bytes::copy_from_slice(&[*byte]), false)
            .unwrap();
    }
    stream.send_data(Bytes::from_static(CLOSE), true).unwrap();
    let received = read_all(&mut response.into_body()).await.unwrap();
    assert_eq!(&received[..], b"\x81\x05Hello\x88\x00");
}

#[tokio::test]
async fn a_socket_that_is_dropped_resets_its_stream_with_cancel() {
    let server = start();
    let mut requests = raw(&server).await;
    let (response, _stream) = ask(&mut requests, websocket("/abort")).await.unwrap();
    let error = read_all(&mut response.into_body()).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn what_is_no_websocket_here_is_refused() {
    let server = start();
    let mut requests = raw(&server).await;
    let mut version = websocket("/echo");
    version
        .headers_mut()
        .insert("sec-websocket-version", 12.into());
    let mut other_host = websocket("/echo");
    other_host
        .headers_mut()
        .insert("host", http::HeaderValue::from_static("evil.example"));
    let mut large = websocket("/echo");
    let value = http::HeaderValue::from_str(&"a".repeat(20_000)).unwrap();
    large.headers_mut().insert("x", value);
    for (request, status) in [
        (websocket("/other"), 404),
        (version, 400),
        (other_host, 400),
        (large, 431),
        (request(Method::CONNECT, "/echo", Some("connect-udp")), 501),
        (request(Method::GET, "/echo", None), 405),
        (request(Method::GET, "/other", None), 404),
    ] {
        let about = format!("{request:?}").chars().take(100).collect::<String>();
        let (response, _stream) = ask(&mut requests, request).await.unwrap();
        assert_eq!(response.status(), status, "{about}");
    }
    assert_eq!(server.stats().opened, 0);
    let (response, _stream) = ask(&mut requests, websocket("/echo")).await.unwrap();
    assert_eq!(response.status(), 200, "the connection is unharmed");
}

#[tokio::test]
async fn requests_for_the_http_server_are_sent_back_to_http_1() {
    let mut config = crate::server::config();
    config.http2 = true;
    let fallback = Arc::new(|_unrouted| panic!("not over HTTP/2"));
    let server = super::server(config).fallback(fallback).start().unwrap();
    let mut requests = raw(&server).await;
    let error = ask(&mut requests, request(Method::GET, "/", None)).await;
    assert_eq!(error.unwrap_err().reason(), Some(Reason::HTTP_1_1_REQUIRED));
}

/// What the server said at the end may be lost when the client still writes.
fn is_of_connection(error: &h2::Error) -> bool {
    error.is_io() || error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
}

#[tokio::test]
async fn a_flood_of_streams_opened_and_reset_ends_the_connection() {
    let server = start();
    let mut requests = raw(&server).await;
    let mut count = 0;
    let error = within(async {
        loop {
            let sent = match requests.ready().await {
                Ok(ready) => {
                    requests = ready;
                    requests.send_request(websocket("/echo"), false)
                }
                Err(error) => break error,
            };
            match sent {
                Ok((_response, mut stream)) => stream.send_reset(Reason::CANCEL),
                Err(error) => break error,
            }
            count += 1;
            if count == 10 {
                let (response, _stream) = ask(&mut requests, websocket("/echo")).await.unwrap();
                assert_eq!(response.status(), 200, "a few are no flood");
            }
            // Now and then, so that the frames go out in batches.
            if count % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    assert!(is_of_connection(&error), "{error:?}");
    until(|| server.stats().connections == 0).await;
}

#[tokio::test]
async fn small_frames_that_nobody_reads_end_the_connection_at_the_budget() {
    let server = start();
    let mut requests = raw(&server).await;
    let (response, mut stream) = ask(&mut requests, websocket("/deaf")).await.unwrap();
    let send = |stream: &mut SendStream<Bytes>, count| {
        (0..count).all(|_| stream.send_data(Bytes::from_static(b"\x82"), false).is_ok())
    };
    assert!(send(&mut stream, 9_000));
    let (other, _stream) = ask(&mut requests, websocket("/echo")).await.unwrap();
    assert_eq!(
        other.status(),
        200,
        "a window of the smallest messages is no flood"
    );
    // A window full of single bytes would cost 16 MB.
    send(&mut stream, 50_000);
    let error = read_all(&mut response.into_body()).await.unwrap_err();
    assert!(is_of_connection(&error), "{error:?}");
    assert_eq!(server.stats().opened, 2);
}
