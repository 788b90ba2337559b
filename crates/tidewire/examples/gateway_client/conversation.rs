//! Open what is expected, send what is typed, print what comes.

use std::time::Duration;

use tidewire::mux::{Event, Gateway, LogicalSender, LogicalSocket, OpenError};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::timeout,
};

/// How long answers may take once there is nothing more to send.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// An open endpoint, and the lines that wait for it.
struct Open {
    name: String,
    lines: mpsc::Sender<String>,
}

/// Until the sockets are closed, or the input has ended and nothing comes any more.
pub(crate) async fn run(
    gateway: &Gateway,
    names: &[String],
    mut input: mpsc::Receiver<String>,
    mut print: impl FnMut(String),
) {
    let (events, mut happened) = mpsc::channel(64);
    let mut open: Vec<Open> = Vec::new();
    for name in names {
        match gateway.endpoint(name).await {
            Ok(socket) => {
                print(format!("{name} is open"));
                // A task each for receiving and sending: an endpoint that takes nothing, or is not
                // heard, holds up no other.
                let (lines, waiting) = mpsc::channel(16);
                tokio::spawn(send(socket.sender(), waiting));
                tokio::spawn(receive(socket, name.clone(), events.clone()));
                open.push(Open {
                    name: name.clone(),
                    lines,
                });
            }
            Err(OpenError::Rejected { status: 404, .. }) => {
                print(format!(
                    "{name} is expected, but the gateway does not know it"
                ));
            }
            Err(error) => print(format!("{name} is not open: {error}")),
        }
    }
    drop(events);
    loop {
        let line = tokio::select! {
            event = happened.recv() => match event {
                Some(event) => {
                    print(event);
                    continue;
                }
                None => return,
            },
            line = input.recv() => line,
        };
        let Some(line) = line else { break };
        if let Err(problem) = give(&open, &line) {
            print(problem);
        }
    }
    while let Ok(Some(event)) = timeout(LAST_ANSWERS, happened.recv()).await {
        print(event);
    }
}

/// Gives `NAME: TEXT` to the endpoint of that name.
fn give(open: &[Open], line: &str) -> Result<(), String> {
    let (name, text) = line
        .split_once(':')
        .ok_or_else(|| format!("expected NAME: TEXT, got {line}"))?;
    let name = name.trim();
    let mut named = open.iter();
    let endpoint = named
        .find(|endpoint| endpoint.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| format!("{name} is not open"))?;
    let given = endpoint.lines.try_send(text.trim().to_owned());
    given.map_err(|error| match error {
        TrySendError::Full(_) => format!("{name} takes nothing at the moment"),
        TrySendError::Closed(_) => format!("{name} is closed"),
    })
}

async fn send(sender: LogicalSender, mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        if sender.send(line).await.is_err() {
            return; // the receiving task says why
        }
    }
}

async fn receive(mut socket: LogicalSocket, name: String, events: mpsc::Sender<String>) {
    loop {
        let (event, ended) = match socket.recv_any().await {
            Ok(Some(Event::Message(message))) => {
                let text = String::from_utf8_lossy(message.payload());
                (format!("{name}: {text}"), false)
            }
            Ok(Some(Event::Down { retry })) => {
                (format!("{name} is down, tried again in {retry:?}"), false)
            }
            Ok(Some(Event::Up)) => (format!("{name} is up again"), false),
            Ok(Some(_)) => continue,
            Ok(None) => match socket.close_frame() {
                Some(frame) => (
                    format!("{name} was closed with {} {}", frame.code, frame.reason),
                    true,
                ),
                None => (format!("{name} was closed"), true),
            },
            Err(error) => (format!("{name} is lost: {error}"), true),
        };
        if events.send(event).await.is_err() || ended {
            return;
        }
    }
}
