//! Talks to `proto_server`: what is typed is a request, whose answer is shown, as are notifications; `!` reconnects, an
//! empty line stops. A lost connection is made again after a second.
//!
//! ```sh
//! cargo run -p tidewire --example proto_client -- 127.0.0.1 4444
//! ```

mod console;

use std::time::Duration;

use console::{Console, Input};
use tidewire::{
    ErrorChain,
    fbe::{Client, Connection, RequestError},
};
use tokio::time::sleep;

/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(1);

/// How long a request waits for its answer.
const REQUEST: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let address = console::argument(1, "address", "127.0.0.1".to_owned());
    let port = console::argument(2, "port", 4444_u16);
    console::say(format_args!("Server address: {address}"));
    console::say(format_args!("Server port: {port}\n"));
    let client = Client::new(format!("{address}:{port}")).request_timeout(REQUEST);
    console::say("Press Enter to stop the client or '!' to reconnect the client...");
    let mut console = Console::new();
    loop {
        console::begin("Client connecting...");
        let connected = client.connect().await;
        console::say("Done!");
        let next = match connected {
            Ok(connection) => {
                console::say("Simple protocol client connected a new session");
                let next = talk(connection, &mut console).await;
                console::say("Simple protocol client disconnected a session");
                next
            }
            Err(error) => {
                let error = ErrorChain(&error);
                console::say(format_args!("Simple protocol client: {error}"));
                Next::Later
            }
        };
        match next {
            Next::Stop => break,
            Next::AtOnce => {}
            Next::Later => tokio::select! {
                () = sleep(RECONNECT) => {}
                // Whoever wants to stop need not wait.
                input = console.next() => if input == Input::Stop { break },
            },
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

async fn talk(connection: Connection, console: &mut Console) -> Next {
    loop {
        tokio::select! {
            received = connection.recv() => match received {
                Some(message) => console::say(format_args!("Received: {}", message.as_ref())),
                None => return Next::Later,
            },
            input = console.next() => {
                let next = match input {
                    Input::Line(line) => {
                        tell(connection.request(&line).await);
                        continue;
                    }
                    Input::Exclamation => Next::AtOnce,
                    Input::Stop => Next::Stop,
                };
                connection.disconnect().await.ok();
                return next;
            }
        }
    }
}

fn tell(answer: Result<tidewire::fbe::Response, RequestError>) {
    match answer {
        Ok(response) => console::say(format_args!(
            "Length: {}, Hash: 0x{:08X}",
            response.length, response.hash
        )),
        Err(RequestError::Rejected(why)) => console::say(format_args!("Rejected: {why}")),
        Err(error) => console::say(format_args!("Request failed: {error}")),
    }
}
