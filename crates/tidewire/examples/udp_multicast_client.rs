//! Prints what is sent to a multicast group:
//! `cargo run --features udp --example udp_multicast_client -- [LISTEN=0.0.0.0] [GROUP=239.255.0.1] [PORT=3334] [INTERFACE]`.
//! `!` opens a new socket, an empty line stops the client. The interface, as in `lo`, is the one that the system chooses
//! unless it is given.

mod console;

use std::{error::Error, net::IpAddr};

use console::{Console, Input, argument, begin, say};
use tidewire::udp::{Client, Group};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen = argument(1, "listen address", IpAddr::from([0, 0, 0, 0]));
    let address = argument(2, "group", IpAddr::from([239, 255, 0, 1]));
    let port: u16 = argument(3, "port", 3334);
    let interface = argument(4, "interface", String::new());
    say(format_args!("UDP listen address: {listen}"));
    say(format_args!("UDP multicast address: {address}"));
    say(format_args!("UDP multicast port: {port}\n"));
    let mut group = Group::new(address);
    if !interface.is_empty() {
        group = group.interface(interface.as_str());
    }
    let client = Client::listen((listen, port).into()).group(group.clone());
    begin("Client connecting...");
    let mut socket = client.connect().await?;
    say("Done!");
    say(format_args!("Multicast UDP client joined {group}"));
    say("Press Enter to stop the client or '!' to reconnect the client...");
    let mut console = Console::new();
    loop {
        tokio::select! {
            received = socket.recv() => match received? {
                Some(datagram) => {
                    let text = String::from_utf8_lossy(&datagram.payload);
                    say(format_args!("Incoming: {text}"));
                },
                None => break,
            },
            input = console.next() => match input {
                Input::Stop => break,
                Input::Exclamation => {
                    begin("Client reconnecting...");
                    // A port may have several listeners: the old one leaves after the new one has come.
                    socket = client.connect().await?;
                    say("Done!");
                }
                Input::Line(line) => {
                    let sent = socket.send_to(line.as_bytes(), (address, port).into()).await;
                    if let Err(error) = sent {
                        say(format_args!("Multicast UDP client cannot send: {error}"));
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
