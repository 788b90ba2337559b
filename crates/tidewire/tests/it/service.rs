//! A protocol that is no WebSocket: what every server has from the service.

use std::{borrow::Cow, io, pin::Pin, sync::Arc, time::Duration};

use tidewire::{
    net::{Exceeded, Peer, Stream},
    service::{Config, Protocol, RunningServer, Server, Service, Workers},
    tls::ServerTls,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::tls::Authority;

/// Long enough for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

/// Wants a name, greets by it, then repeats every line until there are no more or the server drains.
struct Lines {
    greeting: &'static str,
}

impl Protocol for Lines {
    type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

    async fn open(
        service: Arc<Service<Self>>,
        stream: Stream,
        _peer: Peer,
    ) -> io::Result<Option<Self::Connection>> {
        let mut stream = BufReader::new(stream);
        let mut name = String::new();
        if (&mut stream).take(64).read_line(&mut name).await? == 0 {
            return Ok(None);
        }
        let greeting = format!("{} {name}", service.protocol().greeting);
        stream.write_all(greeting.as_bytes()).await?;
        stream.flush().await?;
        Ok(Some(Box::pin(async move {
            let ended = tokio::select! {
                ended = repeat(&mut stream) => ended,
                () = service.drain().started() => stream.write_all(b"bye\n").await,
            };
            ended.ok();
            stream.shutdown().await.ok();
        })))
    }

    fn busy(&self, _exceeded: Exceeded) -> Cow<'static, [u8]> {
        Cow::Borrowed(b"busy\n")
    }
}

async fn repeat(stream: &mut BufReader<Stream>) -> io::Result<()> {
    let mut line = Vec::new();
    while stream.take(1024).read_until(b'\n', &mut line).await? > 0 {
        stream.write_all(&line).await?;
        stream.flush().await?;
        line.clear();
    }
    Ok(())
}

fn server(greeting: &'static str, change: impl FnOnce(&mut Config)) -> Server<Lines> {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap());
    config.workers = Workers::Pool;
    change(&mut config);
    Server::new(config, Lines { greeting })
}

/// The client's side.
struct Caller<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Caller<S> {
    /// Sends a line and expects one.
    async fn says(&mut self, line: &str, expected: &str) {
        self.0.write_all(line.as_bytes()).await.unwrap();
        self.hears(expected).await;
    }

    async fn hears(&mut self, expected: &str) {
        let mut line = String::new();
        let read = timeout(HANG, self.0.read_line(&mut line)).await;
        read.expect("an answer").unwrap();
        assert_eq!(line, expected);
    }
}

async fn call(running: &RunningServer<Lines>) -> Caller<TcpStream> {
    let tcp = TcpStream::connect(running.local_addr()).await.unwrap();
    Caller(BufReader::new(tcp))
}

#[tokio::test]
async fn a_protocol_of_ones_own_has_tls() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("server", &crate::tls::authority::servers_usage());
    let tls = ServerTls::from_pem(&certificate, &key).unwrap();
    let running = server("hello", |config| config.tls = Some(tls))
        .start()
        .unwrap();
    let tcp = TcpStream::connect(running.local_addr()).await.unwrap();
    let stream = crate::tls::connect_raw(tcp, &authority).await;
    let mut caller = Caller(BufReader::new(stream));
    caller.says("ann\n", "hello ann\n").await;
    caller.says("again\n", "again\n").await;
}

#[tokio::test]
async fn more_callers_than_there_are_places_for_hear_that_it_is_busy() {
    let running = server("hello", |config| config.limits.connections_max = 1)
        .start()
        .unwrap();
    let mut first = call(&running).await;
    first.says("ann\n", "hello ann\n").await;
    let mut second = call(&running).await;
    second.hears("busy\n").await;
    assert_eq!(running.connections(), 1);
    drop(first);
    timeout(HANG, async {
        while running.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the place is given back");
    call(&running).await.says("bob\n", "hello bob\n").await;
}

#[tokio::test]
async fn a_caller_that_does_not_open_in_time_is_dropped_and_counted() {
    let running = server("hello", |config| {
        config.limits.handshake_timeout = Duration::from_millis(1);
    })
    .start()
    .unwrap();
    let mut silent = call(&running).await;
    silent.hears("").await;
    assert_eq!(running.refused(), 1);
}

#[tokio::test]
async fn a_reload_is_for_those_to_come() {
    let running = server("hello", |_config| {}).start().unwrap();
    let mut before = call(&running).await;
    before.says("ann\n", "hello ann\n").await;
    running.reconfigure(&server("good day", |config| {
        config.limits.connections_max = 2;
    }));
    let mut after = call(&running).await;
    after.says("bob\n", "good day bob\n").await;
    before.says("still there\n", "still there\n").await;
    call(&running).await.hears("busy\n").await;
}

#[tokio::test]
async fn a_drain_tells_everybody_and_waits_for_them() {
    for workers in [Workers::Pool, Workers::per_core()] {
        let running = server("hello", |config| config.workers = workers)
            .start()
            .unwrap();
        let mut caller = call(&running).await;
        caller.says("ann\n", "hello ann\n").await;
        let drained = tokio::spawn(running.drain(HANG));
        caller.hears("bye\n").await;
        caller.hears("").await;
        assert!(drained.await.unwrap());
    }
}

#[tokio::test]
async fn a_successor_goes_on_with_the_same_sockets() {
    let mut running = server("hello", |_config| {}).start().unwrap();
    let sockets = running.listeners().iter();
    let sockets = sockets.map(|socket| socket.try_clone().unwrap());
    let mut before = call(&running).await;
    before.says("ann\n", "hello ann\n").await;
    let successor = server("good day", |_config| {}).start_on(sockets).unwrap();
    running.stop_accepting();
    assert_eq!(successor.local_addr(), running.local_addr());
    call(&successor).await.says("bob\n", "good day bob\n").await;
    before.says("still there\n", "still there\n").await;
}
