//! Talks to `proto_server`: what is typed is a request, whose answer is shown, as are notifications; `!` reconnects, an
//! empty line stops. A lost connection is made again within a second.
//!
//! ```sh
//! cargo run -p tidewire --example proto_client -- 127.0.0.1 4444
//! ```

mod console;

use std::time::Duration;

use console::{Console, Input};
use tidewire::{
    ErrorChain,
    fbe::{Backoff, Client, DownReason, RequestError, Response},
};

/// The longest wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(1);

/// How long a request waits for its answer.
const REQUEST: Duration = Duration::from_secs(10);

/// How long the last bytes have on their way.
const CLOSE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() {
    let address = console::argument(1, "address", "127.0.0.1".to_owned());
    let port = console::argument(2, "port", 4444_u16);
    console::say(format_args!("Server address: {address}"));
    console::say(format_args!("Server port: {port}\n"));
    let client = Client::new(format!("{address}:{port}")).request_timeout(REQUEST);
    console::say("Press Enter to stop the client or '!' to reconnect the client...");
    console::begin("Client connecting...");
    console::say("Done!");
    let client = client
        .reconnect(Backoff::new(RECONNECT, RECONNECT))
        .on_down(|reason, _retry_in| {
            if !matches!(reason, DownReason::Connect(_)) {
                console::say("Simple protocol client disconnected a session");
            }
            let reason = ErrorChain(reason);
            console::say(format_args!("Simple protocol client: {reason}"));
        })
        .start();
    let mut console = Console::new();
    loop {
        tokio::select! {
            received = client.recv() => match received {
                Some(message) => console::say(format_args!("Received: {}", message.as_ref())),
                None => break, // it has given up
            },
            input = console.next() => match input {
                Input::Line(line) => tell(client.request(&line).await),
                Input::Exclamation => client.reconnect(),
                Input::Stop => break,
            },
        }
    }
    client.close(CLOSE).await;
    console::say("Client disconnecting...Done!");
}

fn tell(answer: Result<Response, RequestError>) {
    match answer {
        Ok(response) => console::say(format_args!(
            "Length: {}, Hash: 0x{:08X}",
            response.length, response.hash
        )),
        Err(RequestError::Rejected(why)) => console::say(format_args!("Rejected: {why}")),
        Err(error) => console::say(format_args!("Request failed: {error}")),
    }
}
