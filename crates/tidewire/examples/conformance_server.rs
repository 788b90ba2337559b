//! The echo server that the Autobahn suite tests: `cargo xtask conformance --role server`.
//!
//! ```text
//! conformance_server [--deflate] [--any-ratio] [--tls CERTIFICATE KEY]
//! ```
//!
//! Listens on a free port of the loopback address, says where in a line `echo ws://...`, and
//! sends every message back as it came, until it is killed.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::{env, error::Error, future, path::PathBuf};

use tidewire::{
    service::Workers,
    tls::ServerTls,
    ws::{Config, DeflateConfig, Server, ServerConfig, WebSocket},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut config = ServerConfig::new("127.0.0.1:0".parse()?);
    config.workers = Workers::Pool;
    let mut deflate = false;
    let mut ratio_max = DeflateConfig::default().ratio_max;
    let mut arguments = env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--deflate") => deflate = true,
            // A gateway before it may compress the long runs of one letter of group 9; their size is bounded anyway.
            Some("--any-ratio") => ratio_max = u32::MAX,
            Some("--tls") => {
                let mut file = || {
                    arguments
                        .next()
                        .map(PathBuf::from)
                        .ok_or("--tls takes two files")
                };
                config.tls = Some(ServerTls::from_pem(&file()?, &file()?)?);
            }
            _ => return Err(format!("unknown argument {}", argument.display()).into()),
        }
    }
    config.socket = socket_config(deflate, ratio_max).into();
    let scheme = if config.tls.is_some() { "wss" } else { "ws" };
    let server = Server::new(config).route("/", echo).start()?;
    println!("echo {scheme}://{}/", server.local_addr());
    future::pending().await
}

/// What goes wrong here is what the suite does wrong; it sees itself how it is answered.
async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// Group 9 sends messages of 16 MiB, and of 65 537 fragments. Compression is as hard as it gets:
/// every message, with all the context the cases let us keep.
fn socket_config(deflate: bool, ratio_max: u32) -> Config {
    let mut config = Config::default();
    config.message_bytes_max = 32 << 20;
    config.frame_bytes_max = 32 << 20;
    config.fragments_max = 100_000;
    // A ping of ours would set a stalled connection going again, and hide the fault.
    config.ping_interval = None;
    if deflate {
        let mut deflate = DeflateConfig::default();
        deflate.context_takeover = true;
        deflate.peer_context_takeover = true;
        deflate.threshold = 0;
        deflate.ratio_max = ratio_max;
        config.deflate = Some(deflate);
    }
    config
}
