//! The chat of the TCP and TLS examples: the client.

use std::time::Duration;

use tidewire::{
    ErrorChain,
    tcp::{Client, Connection},
};
use tokio::time::sleep;

use crate::console::{self, Console, Input};

/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Talks to the chat until an empty line is typed; connects again whenever the connection ends.
pub(crate) async fn talk(client: Client, name: &'static str) {
    let mut console = Console::new();
    console::say("Press Enter to stop the client or '!' to reconnect the client...");
    loop {
        console::begin("Client connecting...");
        let connected = client.connect().await;
        console::say("Done!");
        let again = match connected {
            Ok(connection) => {
                console::say(format_args!("Chat {name} client connected a new session"));
                let again = session(connection, &mut console).await;
                console::say(format_args!("Chat {name} client disconnected a session"));
                again
            }
            Err(error) => {
                console::say(format_args!("Chat {name} client: {}", ErrorChain(&error)));
                Next::Later
            }
        };
        match again {
            Next::Stop => break,
            Next::AtOnce => {}
            Next::Later => {
                // Whoever wants to stop need not wait.
                tokio::select! {
                    () = sleep(RECONNECT) => {}
                    input = console.next() => if input == Input::Stop { break },
                }
            }
        }
    }
    console::say("Client disconnecting...Done!");
}

/// The step that follows a connection.
enum Next {
    Stop,
    AtOnce,
    Later,
}

async fn session(mut connection: Connection, console: &mut Console) -> Next {
    loop {
        tokio::select! {
            received = connection.recv() => match received {
                Ok(Some(bytes)) => console::say(format_args!("{}", String::from_utf8_lossy(&bytes))),
                Ok(None) => return Next::Later,
                Err(error) => {
                    if !error.is_disconnect() {
                        console::say(format_args!("Chat client caught an error: {}", ErrorChain(&error)));
                    }
                    return Next::Later;
                }
            },
            input = console.next() => match input {
                Input::Line(line) => if connection.send(line).await.is_err() { return Next::Later },
                Input::Exclamation => {
                    connection.close().await.ok();
                    return Next::AtOnce;
                }
                Input::Stop => {
                    connection.close().await.ok();
                    return Next::Stop;
                }
            },
        }
    }
}
