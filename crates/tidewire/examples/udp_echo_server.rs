//! Echoes datagrams and prints them: `cargo run --features udp --example udp_echo_server -- [PORT=3333]`.
//! `!` restarts the server, an empty line stops it.

mod console;

use std::{error::Error, net::Ipv4Addr, time::Duration};

use console::{Console, Input, argument, begin, say};
use tidewire::udp::{DatagramRef, Handler, Server, ServerConfig, Session, SocketError};

struct Echo;

impl Handler for Echo {
    fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>) {
        let text = String::from_utf8_lossy(datagram.payload);
        say(format_args!("Incoming: {text}"));
        if let Err(error) = session.reply(datagram.payload) {
            say(format_args!("Echo UDP server cannot answer: {error}"));
        }
    }

    fn failed(&mut self, _session: &mut Session<'_>, error: &SocketError) {
        let reason = &error.error;
        say(format_args!(
            "Echo UDP server caught an error: {error}: {reason}"
        ));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = argument(1, "port", 3333);
    say(format_args!("UDP server port: {port}\n"));
    let config = ServerConfig::new((Ipv4Addr::UNSPECIFIED, port).into());
    let mut server = Server::handlers(config, |_| Echo);
    begin("Server starting...");
    let mut running = server.start()?;
    say("Done!");
    // The same port after a restart, also if it was picked.
    let address = running.local_addr();
    server = Server::handlers(ServerConfig::new(address), |_| Echo);
    say(format_args!("Listening on {address}"));
    say("Press Enter to stop the server or '!' to restart the server...");
    let mut console = Console::new();
    loop {
        match console.next().await {
            Input::Stop => break,
            Input::Line(_) => {}
            Input::Exclamation => {
                begin("Server restarting...");
                running.drain(Duration::from_secs(5)).await;
                running = server.start()?;
                say("Done!");
            }
        }
    }
    begin("Server stopping...");
    running.drain(Duration::from_secs(5)).await;
    say("Done!");
    Ok(())
}
