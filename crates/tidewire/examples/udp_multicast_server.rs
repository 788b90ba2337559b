//! Sends each line to a multicast group, behind "(admin) ":
//! `cargo run --features udp --example udp_multicast_server -- [GROUP=239.255.0.1] [PORT=3334] [INTERFACE]`.
//! `!` restarts the server, an empty line stops it. The interface, as in `lo`, is the one that the system chooses unless
//! it is given.

mod console;

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use console::{Console, Input, argument, begin, say};
use tidewire::udp::{Config, Interface, MulticastOptions, Server, ServerConfig, Socket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let group = argument(1, "group", IpAddr::from([239, 255, 0, 1]));
    let port: u16 = argument(2, "port", 3334);
    let interface = argument(3, "interface", String::new());
    say(format_args!("UDP multicast address: {group}"));
    say(format_args!("UDP multicast port: {port}\n"));
    let any: IpAddr = match group {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let interface = match interface.as_str() {
        "" => Interface::Any,
        name => name.into(),
    };
    let multicast = MulticastOptions::default().interface(interface);
    let config = ServerConfig::new((any, 0).into())
        .socket(Config::default().multicast(multicast))
        .multicast_to(Some((group, port).into()));
    // It only sends; what comes is dropped.
    let server = Server::new(config, |mut socket: Socket| async move {
        while let Ok(Some(_)) = socket.recv().await {}
    });
    begin("Server starting...");
    let mut running = server.start()?;
    say("Done!");
    say("Press Enter to stop the server or '!' to restart the server...");
    let mut console = Console::new();
    loop {
        match console.next().await {
            Input::Stop => break,
            Input::Exclamation => {
                begin("Server restarting...");
                running.drain(Duration::from_secs(5)).await;
                running = server.start()?;
                say("Done!");
            }
            Input::Line(line) => {
                let line = format!("(admin) {line}");
                if let Err(error) = running.multicast(line.as_bytes()).await {
                    say(format_args!("UDP multicast server cannot send: {error}"));
                }
            }
        }
    }
    begin("Server stopping...");
    running.drain(Duration::from_secs(5)).await;
    say("Done!");
    Ok(())
}
