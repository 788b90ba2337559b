//! A timer, three times: waited for by the thread, waited for by a callback, and cancelled.
//!
//! ```sh
//! cargo run -p tidewire --example asio_timer
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to people")]

use std::{error::Error, sync::mpsc::sync_channel, time::Duration};

use tidewire::{
    runtime::{Config, Runtime},
    timer::{Expiry, Timer},
};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::start(Config::default().threads(1.try_into()?))?;
    let span = Duration::from_secs(1);

    let timer = Timer::after(span);
    tell(timer.wait_blocking()?);

    let (done, ended) = sync_channel(1);
    timer.set_after(span);
    let again = done.clone();
    timer.on_expiry(&runtime, move |expiry| {
        tell(expiry);
        again.send(()).ok();
    });
    ended.recv()?;

    timer.set_after(span);
    timer.on_expiry(&runtime, move |expiry| {
        tell(expiry);
        done.send(()).ok();
    });
    timer.cancel();
    ended.recv()?;

    runtime.stop();
    Ok(())
}

fn tell(expiry: Expiry) {
    match expiry {
        Expiry::Expired => println!("Asio timer was expired!"),
        Expiry::Cancelled => println!("Asio timer was canceled!"),
    }
}
