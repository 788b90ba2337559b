//! [`Session`]: the connection, what is typed and what comes in.

use std::{
    future::{pending, poll_fn},
    io,
    task::{Context, Poll},
};

use tidewire::ws::{
    CloseCode, CloseFrame, Incoming, Message, RecvError, SendError, Url, WebSocket,
};
use tokio::sync::mpsc::Receiver;

use super::{
    command::{self, Command, DISCONNECT},
    dialect::Dialect,
    input::Input,
    prompt::Prompt,
    screen::{Gone, Screen, escape},
    target::Target,
};
use crate::report;

/// A chat from its banner to its end.
#[derive(Debug)]
pub(super) struct Session {
    target: Target,
    screen: Screen,
    lines: Receiver<Input>,
    link: Option<Link>,
    /// Whether the lines come from a script, which goes on writing messages when there is no
    /// connection any more: they must not be taken for commands.
    is_scripted: bool,
    /// Whether there is no connection although the user has not ended it.
    is_cut_off: bool,
    /// Whether a connection or a message has failed.
    failed: bool,
}

/// An open connection.
#[derive(Debug)]
struct Link {
    socket: WebSocket,
    dialect: Dialect,
}

type Received = Result<Option<Incoming>, RecvError>;

/// Whether the chat goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Line,
    Exit,
}

impl Session {
    pub(super) fn new(
        target: Target,
        screen: Screen,
        lines: Receiver<Input>,
        is_scripted: bool,
    ) -> Self {
        Self {
            target,
            screen,
            lines,
            link: None,
            is_scripted,
            is_cut_off: false,
            failed: false,
        }
    }

    /// Runs until the user leaves or nobody can see anything; tells whether anything failed.
    ///
    /// # Errors
    /// When lines cannot be read.
    ///
    /// # Cancel safety
    /// Not cancel safe: the connection is aborted.
    pub(super) async fn run(mut self) -> io::Result<bool> {
        match self.talk().await {
            Ok(Ok(())) => Ok(self.failed),
            Ok(Err(error)) => Err(error),
            // As for any program whose reader has seen enough.
            Err(Gone) => Ok(false),
        }
    }

    async fn talk(&mut self) -> Result<io::Result<()>, Gone> {
        self.screen.line(BANNER).await?;
        if self.target.connects_at_once() {
            self.connect(None).await?;
        }
        self.prompt().await?;
        let ended = loop {
            if self.is_cut_off && self.is_scripted {
                break Ok(());
            }
            tokio::select! {
                input = self.lines.recv() => match input {
                    Some(Input::Line(prompt, line)) => {
                        if self.handle_line(prompt, &line).await? == Next::Exit {
                            break Ok(());
                        }
                        self.prompt().await?;
                    }
                    Some(Input::Failed(error)) => break Err(error),
                    Some(Input::End) | None => break Ok(()),
                },
                received = receive(self.link.as_mut()) => self.handle_received(received).await?,
            }
        };
        if self.link.is_some() {
            self.disconnect().await?;
        }
        self.screen.line("Exiting Program!").await?;
        Ok(ended)
    }

    async fn prompt(&self) -> Result<(), Gone> {
        let prompt = match self.link {
            Some(_) => Prompt::Online,
            None => Prompt::Offline,
        };
        self.screen.prompt(prompt).await
    }

    async fn handle_line(&mut self, prompt: Prompt, line: &str) -> Result<Next, Gone> {
        match prompt {
            Prompt::Online => self.handle_message(line).await?,
            Prompt::Offline => match Command::read(line) {
                Command::Nothing => {}
                Command::Help => self.screen.line(self.usage()).await?,
                Command::Connect(url) => self.connect(url).await?,
                Command::Exit => return Ok(Next::Exit),
                Command::Unknown => {
                    self.screen.line("Command not recognized!").await?;
                    self.screen.line(self.usage()).await?;
                }
            },
        }
        Ok(Next::Line)
    }

    /// A line typed while connected: never a command, also when the connection has ended since.
    async fn handle_message(&mut self, line: &str) -> Result<(), Gone> {
        match (line, self.link.is_some()) {
            ("", _) | (DISCONNECT, false) => Ok(()),
            (DISCONNECT, true) => self.disconnect().await,
            (_, _) => self.send(line).await,
        }
    }

    fn usage(&self) -> String {
        command::usage(&Url::without_credentials(self.target.url()))
    }

    async fn connect(&mut self, url: Option<String>) -> Result<(), Gone> {
        let url = url.as_deref().unwrap_or_else(|| self.target.url());
        match self.target.connect(url).await {
            Ok((socket, dialect)) => {
                self.link = Some(Link { socket, dialect });
                self.is_cut_off = false;
                self.screen.line("Connected successfully.").await
            }
            Err(error) => {
                self.is_cut_off = true;
                self.failed = true;
                let cause = report::line(error.as_ref());
                let text = format!("Connection failed: ({})", escape(&cause));
                self.screen.line(text).await
            }
        }
    }

    /// Sends a message. Goes on receiving while the server takes nothing: it may itself be
    /// waiting for us to read.
    async fn send(&mut self, line: &str) -> Result<(), Gone> {
        let message = self.link.as_ref().map(|link| link.dialect.message(line));
        let error = loop {
            let (Some(link), Some(message)) = (&mut self.link, &message) else {
                break SendError::Closed;
            };
            match poll_fn(|cx| link.poll_send(cx, message)).await {
                Sending::Done(Ok(())) => return Ok(()),
                Sending::Done(Err(error)) => break error,
                Sending::Received(received) => self.handle_received(received).await?,
            }
        };
        self.failed = true;
        let text = format!("Error while sending: {}", report::line(&error));
        self.screen.line(text).await
    }

    /// Ends the connection properly and shows what still comes in until then.
    async fn disconnect(&mut self) -> Result<(), Gone> {
        if let Some(link) = &mut self.link {
            link.socket.start_close(CloseCode::NORMAL, "");
        }
        while let Some(link) = &mut self.link {
            let received = link.socket.recv_any().await;
            // The server may have closed first, for a reason of its own.
            let is_answer = !link.socket.close_frame().is_some_and(is_complaint);
            if matches!(received, Ok(None)) && is_answer {
                self.link = None;
                self.screen.line("Disconnected successfully!").await?;
            } else {
                self.handle_received(received).await?;
            }
        }
        Ok(())
    }

    async fn handle_received(&mut self, received: Received) -> Result<(), Gone> {
        let Some(link) = &self.link else {
            return Ok(());
        };
        match received {
            Ok(Some(Incoming::Message(message))) => {
                if let Some(text) = link.dialect.shown(&message) {
                    self.screen.line(format!("rcv=> {}", escape(&text))).await?;
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                let frame = link.socket.close_frame().cloned();
                self.link = None;
                self.is_cut_off = true;
                self.failed |= frame.as_ref().is_some_and(is_complaint);
                let why = frame.map_or(String::new(), |frame| {
                    format!(" ({} {})", frame.code.0, escape(&frame.reason))
                });
                let text = format!("Disconnected by the server{why}");
                self.screen.line(text).await?;
            }
            Err(error) => {
                self.link = None;
                self.is_cut_off = true;
                self.failed = true;
                let text = format!("Connection lost: ({})", report::line(&error));
                self.screen.line(text).await?;
            }
        }
        Ok(())
    }
}

/// Cancel safe.
async fn receive(link: Option<&mut Link>) -> Received {
    match link {
        Some(link) => link.socket.recv_any().await,
        None => pending().await,
    }
}

/// How far a message is.
enum Sending {
    Done(Result<(), SendError>),
    /// Not sent yet; this came in.
    Received(Received),
}

impl Link {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Message) -> Poll<Sending> {
        // Receiving also writes what is queued, and has us woken when that goes on.
        if let Poll::Ready(received) = self.socket.poll_recv_any(cx) {
            return Poll::Ready(Sending::Received(received));
        }
        match self.socket.try_send(message) {
            Err(SendError::Full) => Poll::Pending,
            result => Poll::Ready(Sending::Done(result)),
        }
    }
}

/// Returns whether the server closed because something was wrong.
fn is_complaint(frame: &CloseFrame) -> bool {
    !matches!(
        frame.code,
        CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::NO_STATUS
    )
}

///
const BANNER: &str = "---<Command Line Chat Initialized!>---";
