//! Sends each line to an echo server and prints what comes back:
//! `cargo run --features udp --example udp_echo_client -- [ADDRESS=127.0.0.1] [PORT=3333]`.
//! `!` opens a new socket, an empty line stops the client.

mod console;

use std::{error::Error, net::IpAddr};

use console::{Console, Input, argument, begin, say};
use tidewire::udp::{Client, RecvError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = argument(1, "address", "127.0.0.1".to_owned());
    let port: u16 = argument(2, "port", 3333);
    say(format_args!("UDP server address: {address}"));
    say(format_args!("UDP server port: {port}\n"));
    // An address of IPv6 stands in brackets before a port.
    let client = match address.parse::<IpAddr>() {
        Ok(ip) => Client::to((ip, port).into()),
        Err(_name) => Client::new(format!("{address}:{port}")),
    };
    begin("Client connecting...");
    let mut socket = client.connect().await?;
    say("Done!");
    say(format_args!("Echo UDP client uses {}", socket.local_addr()));
    say("Press Enter to stop the client or '!' to reconnect the client...");
    let mut console = Console::new();
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Ok(Some(datagram)) => {
                    let text = String::from_utf8_lossy(&datagram.payload);
                    say(format_args!("Incoming: {text}"));
                },
                Ok(None) => break,
                Err(error @ RecvError::Unreachable(_)) => {
                    say(format_args!("Echo UDP client caught an error: {error}"));
                }
                Err(error) => return Err(error.into()),
            },
            input = console.next() => match input {
                Input::Stop => break,
                Input::Exclamation => {
                    begin("Client reconnecting...");
                    socket = client.connect().await?;
                    say("Done!");
                }
                Input::Line(line) => {
                    if let Err(error) = socket.send(line.as_bytes()).await {
                        say(format_args!("Echo UDP client cannot send: {error}"));
                    }
                }
            },
        }
    }
    begin("Client disconnecting...");
    drop(socket);
    say("Done!");
    Ok(())
}
