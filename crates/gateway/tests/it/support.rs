//! Backends, and gateways in front of them.

use std::time::Duration;

use tidewire::ws::{
    AcceptFuture, Decision, Request, RunningServer, Server, ServerConfig, Url, WebSocket,
};
use tidewire_gateway::settings::{Endpoint, Settings, Upstream};

/// A guard against hanging, no statement about speed.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), work)
        .await
        .expect("done in time")
}

/// Sends every message back.
pub(crate) async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// An endpoint that tells its client the request it got, then echoes.
pub(crate) struct Telling;

impl tidewire::ws::Endpoint for Telling {
    fn accept<'a>(&'a self, _request: &'a Request) -> AcceptFuture<'a> {
        let decision = Decision::new().subprotocol("chat.v2");
        decision.subprotocol("chat.v1").into()
    }

    fn serve(
        &self,
        mut socket: WebSocket,
        request: Request,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let head = String::from_utf8_lossy(request.head.as_bytes()).into_owned();
            if socket.send(head).await.is_ok() {
                echo(socket).await;
            }
        })
    }
}

/// A server that tells and echoes on every path.
pub(crate) fn telling() -> RunningServer {
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    Server::new(config).route_any(Telling).start().unwrap()
}

/// An endpoint called `name` with these addresses behind it.
pub(crate) fn endpoint(name: &str, urls: &[String]) -> Endpoint {
    let upstream = |url: &String| Upstream::new(Url::parse(url).unwrap());
    Endpoint::new(name, urls.iter().map(upstream).collect())
}

/// The address of a server.
pub(crate) fn url(server: &RunningServer, path: &str) -> String {
    format!("ws://{}{path}", server.local_addr())
}

/// Settings on a free port.
pub(crate) fn settings(endpoints: Vec<Endpoint>) -> Settings {
    Settings::new("127.0.0.1:0".parse().unwrap(), endpoints)
}

/// A server that echoes on every path.
pub(crate) fn echoing() -> RunningServer {
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    Server::new(config).route_any(echo).start().unwrap()
}

/// A server with an endpoint `stuck`, which reads nothing, and one that echoes; and the endpoints.
pub(crate) fn stuck_and_echo() -> (RunningServer, Vec<Endpoint>) {
    let stuck = |socket: WebSocket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    };
    let server = Server::new(ServerConfig::new("127.0.0.1:0".parse().unwrap()))
        .route("/stuck", stuck)
        .route("/echo", echo)
        .start()
        .unwrap();
    let endpoints =
        ["stuck", "echo"].map(|name| endpoint(name, &[url(&server, &format!("/{name}"))]));
    (server, endpoints.into())
}

/// Returns whether this test has its process for itself. Otherwise it is run again in one of its own, and has passed
/// when this returns.
pub(crate) fn alone(test: &str) -> bool {
    const ALONE: &str = "TIDEWIRE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", test, "--nocapture"]).env(ALONE, "1");
    let output = child.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// Bytes of memory that this process has now.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = statm.split_whitespace().nth(1).unwrap();
    pages.parse::<usize>().unwrap() * 4096
}

/// Waits until the gateway looks again for the backend that was at this address: what a client sends from
/// now on is kept for the next one.
pub(crate) async fn missed(address: std::net::SocketAddr) {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    drop(listener.accept().await.unwrap());
}
