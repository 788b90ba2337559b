//! A gateway that says what the test says: the codec over a real server on loopback.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use tidewire::{
    mux::{self, Gateway, LogicalSocket},
    proto::mux::{Body, DataFlags, Frame, SUBPROTOCOL, Side},
    ws::{AcceptFuture, Decision, Endpoint, Message, Request, RunningServer, Server, WebSocket},
};
use tokio::{sync::mpsc, time::timeout};

use crate::server::config;

/// Long enough for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

/// Fails a test that hangs.
pub(super) async fn within<T>(test: impl Future<Output = T>) -> T {
    timeout(HANG, test).await.expect("it goes on")
}

/// Hands out the sockets it accepts.
struct HandOut(mpsc::Sender<WebSocket>);

impl Endpoint for HandOut {
    fn accept<'a>(&'a self, _request: &'a Request) -> AcceptFuture<'a> {
        Decision::new().subprotocol(SUBPROTOCOL).into()
    }

    fn serve(
        &self,
        socket: WebSocket,
        _request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let sockets = self.0.clone();
        Box::pin(async move {
            sockets.send(socket).await.ok();
            std::future::pending::<()>().await;
        })
    }
}

pub(super) struct Script {
    pub(super) socket: WebSocket,
    _server: RunningServer,
}

/// A client and its gateway.
pub(super) async fn start() -> (Gateway, Script) {
    let (sockets, mut accepted) = mpsc::channel(1);
    let server = Server::new(config())
        .route("/", HandOut(sockets))
        .start()
        .unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let gateway = mux::connect(&url).await.unwrap();
    let script = Script {
        socket: accepted.recv().await.unwrap(),
        _server: server,
    };
    (gateway, script)
}

impl Script {
    /// The next message, which must be a frame of a client.
    pub(super) async fn hear(&mut self) -> Bytes {
        let message = self.socket.recv().await.unwrap().expect("a frame");
        let Message::Binary(bytes) = message else {
            panic!("{message:?} is no frame");
        };
        bytes
    }

    /// The next frame is this one.
    pub(super) async fn expect(&mut self, stream: u32, body: Body<'_>) {
        let bytes = self.hear().await;
        let frame = Frame::decode(&bytes, Side::Client).unwrap();
        assert_eq!(frame, Frame { stream, body });
    }

    /// The next frame is DATA; gives its stream, flags and payload.
    pub(super) async fn expect_data(&mut self) -> (u32, DataFlags, Bytes) {
        let bytes = self.hear().await;
        let frame = Frame::decode(&bytes, Side::Client).unwrap();
        let Body::Data { flags, payload } = frame.body else {
            panic!("{frame:?} is no DATA");
        };
        (frame.stream, flags, bytes.slice_ref(payload))
    }

    pub(super) async fn say(&mut self, stream: u32, body: Body<'_>) {
        let frame = Frame { stream, body }.encode().unwrap();
        self.socket.send(Message::binary(frame)).await.unwrap();
    }

    /// A text message, or a piece of one.
    pub(super) async fn text(&mut self, stream: u32, payload: &[u8], last: bool) {
        let flags = DataFlags {
            last,
            binary: false,
        };
        self.say(stream, Body::Data { flags, payload }).await;
    }

    /// A whole binary message.
    pub(super) async fn binary(&mut self, stream: u32, payload: &[u8]) {
        let flags = DataFlags {
            last: true,
            binary: true,
        };
        self.say(stream, Body::Data { flags, payload }).await;
    }

    /// Everything the client was told before this has been handled by its driver.
    pub(super) async fn settle(&mut self) {
        self.say(0, Body::Ping(b"settled")).await;
        self.expect(0, Body::Pong(b"settled")).await;
    }

    /// Opens the next socket, with this credit for the client.
    pub(super) async fn open(
        &mut self,
        gateway: &Gateway,
        stream: u32,
        credit: u32,
    ) -> LogicalSocket {
        let accept = async {
            let bytes = self.hear().await;
            let frame = Frame::decode(&bytes, Side::Client).unwrap();
            assert!(matches!(frame.body, Body::Open(_)), "{frame:?}");
            assert_eq!(frame.stream, stream);
            let accept = Body::Accept {
                credit,
                subprotocol: None,
            };
            self.say(stream, accept).await;
        };
        let (socket, ()) = tokio::join!(gateway.endpoint("any").into_future(), accept);
        socket.unwrap()
    }
}
