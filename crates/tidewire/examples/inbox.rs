//! Inbox style without async: a server whose messages are polled, and a client that talks to it.
//! The server answers in capitals until every client has left.
//!
//! ```sh
//! cargo run -p tidewire --example inbox -- 127.0.0.1:8081
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to people")]

use std::{error::Error, time::Duration};

use tidewire::inbox::{Client, Server, ServerConfig};

const SESSIONS_MAX: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:8081".into());
    let mut config = ServerConfig::new(0, SESSIONS_MAX);
    config.address = address.parse()?;
    let server = Server::new(config);
    server.start()?;
    let address = server.local_addr().ok_or("the server does not run")?;
    println!("ws://{address}");

    let client = Client::default();
    client.try_connect(&address.ip().to_string(), address.port())?;
    for word in ["one", "two", "three"] {
        client.send_message(word.as_bytes());
    }
    let mut answers = 0;
    while server.is_serving() {
        for id in 1..=SESSIONS_MAX {
            if server.wait_inbox(id, Duration::from_millis(10)) {
                answer(&server, id);
            }
        }
        while let Some(message) = client.read_message() {
            println!("answer: {}", String::from_utf8_lossy(&message));
            answers += 1;
        }
        if answers == 3 {
            client.disconnect();
        }
    }
    server.stop();
    Ok(())
}

/// Answers everything that waits.
fn answer(server: &Server, id: usize) {
    while let Some(message) = server.read_message(id) {
        let text = String::from_utf8_lossy(&message);
        println!("session {id}: {text}");
        server.send_message(id, text.to_uppercase().as_bytes());
    }
}
