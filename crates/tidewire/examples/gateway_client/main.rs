//! A client of a gateway: opens every endpoint that a file names (one name per line), sends what is
//! typed as `NAME: TEXT` to the endpoint NAME, and prints what comes. Without an address it only shows
//! which names it read.
//!
//! ```sh
//! cargo run -p tidewire --example gateway_client -- expected_configuration.txt ws://127.0.0.1:8085/
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to people")]

mod conversation; // open, send, print
mod names; // the file with the names

use std::error::Error;

use tidewire::mux;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next();
    let file = file.unwrap_or_else(|| "expected_configuration.txt".into());
    let names = names::read(&std::fs::read_to_string(&file)?);
    let Some(url) = arguments.next() else {
        println!(
            "{file} names {}; an address is needed to open them",
            names.join(", ")
        );
        return Ok(());
    };
    let gateway = mux::connect(&url).await?;
    conversation::run(&gateway, &names, lines(), |line| println!("{line}")).await;
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
