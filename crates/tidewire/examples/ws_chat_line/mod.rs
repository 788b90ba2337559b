//! Somebody who chats at a console: what is typed is sent, what comes is printed; a lost connection is made again after
//! a second.

use std::{error::Error, time::Duration};

use tidewire::{
    ErrorChain,
    ws::{Backoff, Client, ClientEvent, Reconnecting},
};

use crate::console::{Console, Input, argument, begin, say};

/// A chat client: its name for people, the scheme of the address, and its port unless another one is given.
pub(crate) async fn run(
    (name, scheme, port): (&str, &str, u16),
    change: impl Fn(Client) -> Result<Client, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let address: String = argument(1, "address", "127.0.0.1".to_owned());
    let port: u16 = argument(2, "port", port);
    say(format_args!("{name} server address: {address}"));
    say(format_args!("{name} server port: {port}\n"));
    let host = match address.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => address,
    };
    let connect = || -> Result<Reconnecting, Box<dyn Error>> {
        let client = Client::new(&format!("{scheme}://{host}:{port}/"))?
            .subprotocol("chat")
            .subprotocol("superchat");
        let second = Duration::from_secs(1);
        // There is always another attempt.
        let client = change(client)?.reconnect(Backoff::new(second, second));
        Ok(client.retry_if(|_reason| true).start())
    };
    begin("Client connecting...");
    let mut client = connect()?;
    say("Done!");
    say("Press Enter to stop the client or '!' to reconnect the client...");
    let mut console = Console::new();
    loop {
        tokio::select! {
            event = client.next() => match event {
                Some(event) => tell(&event),
                None => return Ok(()),
            },
            input = console.next() => match input {
                Input::Stop => break,
                Input::Exclamation => {
                    begin("Client reconnecting...");
                    client.close(Duration::from_secs(1)).await;
                    client = connect()?;
                    say("Done!");
                }
                Input::Line(line) => if let Err(error) = client.try_send(line) {
                    say(format_args!("Not sent: {}", ErrorChain(&error)));
                },
            },
        }
    }
    begin("Client disconnecting...");
    client.close(Duration::from_secs(5)).await;
    say("Done!");
    Ok(())
}

fn tell(event: &ClientEvent) {
    match event {
        ClientEvent::Up { attempt, .. } => {
            say(format_args!(
                "Chat WebSocket client connected a new session, attempt {attempt}"
            ));
        }
        ClientEvent::Message(message) => {
            let text = String::from_utf8_lossy(message.payload());
            say(format_args!("Incoming: {text}"));
        }
        ClientEvent::Down { reason, .. } => {
            say(format_args!(
                "Chat WebSocket client disconnected a session: {}",
                ErrorChain(reason)
            ));
        }
        _ => {}
    }
}
