//! The chat of the TCP and TLS examples: the client.

use std::time::Duration;

use tidewire::{
    ErrorChain,
    tcp::{Backoff, Client, DownReason, Handler, RecvError, Session},
};

use crate::console::{self, Console, Input};

/// The longest wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(1);

/// How long the last bytes have on their way.
const CLOSE: Duration = Duration::from_secs(5);

/// Talks to the chat until an empty line is typed; connects again whenever the connection ends.
pub(crate) async fn talk(client: Client, name: &'static str) {
    let mut console = Console::new();
    console::say("Press Enter to stop the client or '!' to reconnect the client...");
    console::begin("Client connecting...");
    console::say("Done!");
    let client = client
        .reconnect(Backoff::new(RECONNECT, RECONNECT))
        .on_down(move |reason, retry_in| {
            if let DownReason::Connect(error) = reason {
                console::say(format_args!("Chat {name} client: {}", ErrorChain(error)));
            }
            if retry_in.is_none() {
                console::say(format_args!("Chat {name} client gives up"));
            }
        })
        .start(move |_session| Shown(name));
    loop {
        match console.next().await {
            Input::Line(line) => {
                if let Err(error) = client.try_send(line) {
                    console::say(format_args!("Chat {name} client: {}", ErrorChain(&error)));
                }
            }
            Input::Exclamation => client.reconnect(),
            Input::Stop => break,
        }
    }
    client.close(CLOSE).await;
    console::say("Client disconnecting...Done!");
}

/// Shows what comes.
struct Shown(&'static str);

impl Handler for Shown {
    fn opened(&mut self, _session: &mut Session<'_>) {
        console::say(format_args!(
            "Chat {} client connected a new session",
            self.0
        ));
    }

    fn received(&mut self, _session: &mut Session<'_>, bytes: &[u8]) {
        console::say(String::from_utf8_lossy(bytes));
    }

    fn closed(&mut self, outcome: Result<(), &RecvError>) {
        if let Err(error) = outcome
            && !error.is_disconnect()
        {
            let error = ErrorChain(error);
            console::say(format_args!(
                "Chat {} client caught an error: {error}",
                self.0
            ));
        }
        console::say(format_args!(
            "Chat {} client disconnected a session",
            self.0
        ));
    }
}
