//! A client that keeps its connection: what is typed is sent, now or when there is a connection
//! again; what happens is shown.
//!
//! ```sh
//! cargo run -p tidewire --example client_reconnect -- ws://127.0.0.1:9001/echo
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to people")]

use std::{error::Error, time::Duration};

use tidewire::{
    ErrorChain,
    ws::{Backoff, Client, ClientEvent},
};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.unwrap_or_else(|| "ws://127.0.0.1:9001/echo".into());
    let mut client = Client::new(&url)?
        .reconnect(Backoff::default())
        .on_connect(|mut socket| async move {
            socket.send("hello").await?;
            Ok(socket)
        })
        .start();
    let mut lines = lines();
    loop {
        tokio::select! {
            event = client.next() => match event {
                Some(ClientEvent::Up { attempt, took }) => println!("up, attempt {attempt}, {took:.1?}"),
                Some(ClientEvent::Message(message)) => println!("< {message:?}"),
                Some(ClientEvent::Down { reason, retry_in }) => match retry_in {
                    Some(wait) => println!("{}; again in {wait:.1?}", ErrorChain(&reason)),
                    None => println!("{}; giving up", ErrorChain(&reason)),
                },
                Some(_) => {}
                None => return Ok(()),
            },
            line = lines.recv() => match line {
                Some(line) => client.try_send(line)?,
                None => break,
            },
        }
    }
    let closed = client.close(Duration::from_secs(5)).await;
    println!("{} messages were not delivered", closed.undelivered.len());
    Ok(())
}

/// What is typed, until the end of input. A thread of its own: it must not hold up the end.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { break };
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
