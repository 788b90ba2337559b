//! Answers the requests of the simple protocol with the length and a hash of their text, rejects empty ones, and greets
//! everybody. What is typed here goes to all as a notification "(admin) …"; `!` restarts the server, an empty line
//! stops it.
//!
//! ```sh
//! cargo run -p tidewire --example proto_server -- 4444
//! ```

mod console;

use std::{error::Error, time::Duration};

use console::{Console, Input};
use tidewire::{
    ErrorChain,
    fbe::{Handler, MessageRef, Server, ServerConfig, Session, SessionError, hash_of_text},
};

const GREETING: &str =
    "Hello from Simple protocol server! Please send a message or '!' to disconnect the client!";

/// How long the server waits for its clients when it stops.
const DRAIN: Duration = Duration::from_secs(5);

struct Hashes {
    id: u64,
}

impl Handler for Hashes {
    fn opened(&mut self, session: &mut Session<'_, '_>) {
        let id = self.id;
        console::say(format_args!(
            "Simple protocol session with Id {id} connected!"
        ));
        let notification = GREETING;
        session.send(MessageRef::Notify { notification }).ok();
    }

    fn received(&mut self, session: &mut Session<'_, '_>, message: MessageRef<'_>) {
        console::say(format_args!("Received: {message}"));
        let MessageRef::Request { id, message } = message else {
            return;
        };
        let answer = if message.is_empty() {
            let error = "Request message is empty!";
            MessageRef::Reject { id, error }
        } else {
            MessageRef::Response {
                id,
                // A message is below 4 GiB.
                length: u32::try_from(message.len()).unwrap_or(u32::MAX),
                hash: hash_of_text(message),
            }
        };
        // Full: this client does not read its answers, and gets no more of them.
        if session.send(answer).is_err() {
            session.abort();
        }
    }

    fn closed(&mut self, outcome: Result<(), &SessionError>) {
        let id = self.id;
        if let Err(error) = outcome
            && !error.is_disconnect()
        {
            let error = ErrorChain(error);
            console::say(format_args!(
                "Simple protocol session caught an error: {error}"
            ));
        }
        console::say(format_args!(
            "Simple protocol session with Id {id} disconnected!"
        ));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = console::argument(1, "port", 4444_u16);
    console::say(format_args!("Server port: {port}\n"));
    let config = ServerConfig::new(([0, 0, 0, 0], port).into());
    let server = Server::new(config, |session| Hashes { id: session.id() });
    console::begin("Server starting...");
    let mut running = server.start()?;
    console::say("Done!");
    console::say(format_args!("Listening on {}", running.local_addr()));
    console::say("Press Enter to stop the server or '!' to restart the server...");
    let mut console = Console::new();
    loop {
        match console.next().await {
            Input::Line(line) => {
                let notification = &format!("(admin) {line}");
                running.broadcast(MessageRef::Notify { notification })?;
            }
            Input::Exclamation => {
                console::begin("Server restarting...");
                running.drain(DRAIN).await;
                running = server.start()?;
                console::say("Done!");
            }
            Input::Stop => break,
        }
    }
    console::begin("Server stopping...");
    running.drain(DRAIN).await;
    console::say("Done!");
    Ok(())
}
