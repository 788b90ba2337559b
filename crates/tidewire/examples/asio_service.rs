//! Dispatch and post: the first runs a function at once when it is called on the runtime's thread, the second always
//! queues it. Prints the order in which that happens.
//!
//! ```sh
//! cargo run -p tidewire --example asio_service
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to people")]

use std::{
    error::Error,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use tidewire::runtime::{Config, PostError, Runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::start(Config::default().threads(1.try_into()?))?;

    let (done, ended) = sync_channel(2);
    say("1 - Dispatch from the main thread");
    let (inner, last) = (runtime.clone(), done.clone());
    runtime.dispatch(move || first(&inner, last).unwrap_or_else(|error| println!("{error}")))?;
    say("2 - Post from the main thread");
    let inner = runtime.clone();
    runtime.post(move || second(&inner, done).unwrap_or_else(|error| println!("{error}")))?;

    for _both in 0..2 {
        ended.recv()?;
    }
    runtime.stop();
    Ok(())
}

fn first(runtime: &Runtime, done: SyncSender<()>) -> Result<(), PostError> {
    say("1.1 - Dispatched");
    say("1.2 - Dispatch");
    runtime.dispatch(|| say("1.2.1 - Dispatched"))?;
    say("1.3 - Post");
    runtime.post(move || {
        say("1.3.1 - Posted");
        done.send(()).ok();
    })
}

fn second(runtime: &Runtime, done: SyncSender<()>) -> Result<(), PostError> {
    say("2.1 - Posted");
    say("2.2 - Dispatch");
    runtime.dispatch(|| say("2.2.1 - Dispatched"))?;
    say("2.3 - Post");
    runtime.post(move || {
        say("2.3.1 - Posted");
        done.send(()).ok();
    })
}

fn say(what: &str) {
    println!("{what} in thread with Id {:?}", thread::current().id());
}
