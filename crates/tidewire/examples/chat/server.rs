//! The chat of the TCP and TLS examples: the server.

use std::{error::Error, time::Duration};

use tidewire::{
    ErrorChain,
    tcp::{Handler, RecvError, RunningServer, Server, ServerConfig, Session},
};

use crate::console::{self, Console, Input};

/// How long a server waits for its clients when it stops.
const DRAIN: Duration = Duration::from_secs(5);

/// One member of the chat.
struct Member {
    id: u64,
    greeting: String,
}

impl Handler for Member {
    fn opened(&mut self, session: &mut Session<'_>) {
        console::say(format_args!("Chat session with Id {} connected!", self.id));
        session.send(self.greeting.as_bytes()).ok();
    }

    fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
        console::say(format_args!("Incoming: {}", String::from_utf8_lossy(bytes)));
        session.broadcast(bytes);
        if bytes == b"!" {
            session.close();
        }
    }

    fn closed(&mut self, outcome: Result<(), &RecvError>) {
        if let Err(error) = outcome
            && !error.is_disconnect()
        {
            console::say(format_args!(
                "Chat session caught an error: {}",
                ErrorChain(error)
            ));
        }
        console::say(format_args!(
            "Chat session with Id {} disconnected!",
            self.id
        ));
    }
}

/// Serves the chat until an empty line is typed.
pub(crate) async fn serve(config: ServerConfig, name: &'static str) -> Result<(), Box<dyn Error>> {
    let server = Server::handlers(config, move |session| Member {
        id: session.id(),
        greeting: format!(
            "Hello from {name} chat! Please send a message or '!' to disconnect the client!"
        ),
    });
    let mut running = start(&server)?;
    console::say("Press Enter to stop the server or '!' to restart the server...");
    let mut console = Console::new();
    loop {
        match console.next().await {
            Input::Line(line) => running.broadcast(format!("(admin) {line}")),
            Input::Exclamation => {
                console::begin("Server restarting...");
                running.drain(DRAIN).await;
                running = server.start()?;
                console::say("Done!");
                console::say(format_args!("Listening on {}", running.address()));
            }
            Input::Stop => break,
        }
    }
    console::begin("Server stopping...");
    running.drain(DRAIN).await;
    console::say("Done!");
    Ok(())
}

fn start(server: &Server) -> Result<RunningServer, Box<dyn Error>> {
    console::begin("Server starting...");
    let running = server.start()?;
    console::say("Done!");
    console::say(format_args!("Listening on {}", running.address()));
    Ok(running)
}
