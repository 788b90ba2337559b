//! An exchange as text: one line per frame, request or answer.

use std::{collections::HashMap, fmt::Write as _, path::PathBuf};

use crate::{
    desk::{Desk, raw_query},
    raw::{BINARY, CLOSE, PING, PONG, RawClient, TEXT},
};

/// What was said so far, and who says it.
pub(super) struct Transcript {
    pub(super) desk: Desk,
    text: String,
    clients: HashMap<&'static str, RawClient>,
    ids: Vec<String>,
}

impl Transcript {
    pub(super) fn new(toml: &str) -> Self {
        Self {
            desk: Desk::start(toml),
            text: String::new(),
            clients: HashMap::new(),
            ids: Vec::new(),
        }
    }

    /// A headline.
    pub(super) fn note(&mut self, note: &str) {
        writeln!(self.text, "\n# {note}").unwrap();
    }

    pub(super) async fn connect(&mut self, name: &'static str, query: &str) {
        self.connect_with(name, query, "").await;
    }

    pub(super) async fn connect_with(&mut self, name: &'static str, query: &str, head: &str) {
        writeln!(self.text, "{name} connects {query}").unwrap();
        let stream = raw_query(&self.desk, query, head).await;
        self.clients.insert(name, RawClient::over(stream));
    }

    /// Connects and waits for the session: it begins with a ping.
    pub(super) async fn session(&mut self, name: &'static str, query: &str) {
        self.connect(name, query).await;
        let client = self.clients.get_mut(name).unwrap();
        let payload = client.ping().await;
        client.send(PONG, &payload).await;
    }

    pub(super) async fn send(&mut self, name: &'static str, payload: &str) {
        self.send_frame(name, TEXT, payload.as_bytes()).await;
    }

    pub(super) async fn send_frame(&mut self, name: &'static str, opcode: u8, payload: &[u8]) {
        let shown = String::from_utf8_lossy(payload);
        writeln!(self.text, "{name} > {} {shown:.2000}", kind(opcode)).unwrap();
        let client = self.clients.get_mut(name).unwrap();
        client.send(opcode, payload).await;
    }

    /// The next messages of this client, who answers pings.
    pub(super) async fn hear(&mut self, name: &'static str, count: usize) {
        for _ in 0..count {
            self.hear_one(name, true).await;
        }
    }

    /// The same for a client who answers no ping.
    pub(super) async fn hear_mute(&mut self, name: &'static str, count: usize) {
        for _ in 0..count {
            self.hear_one(name, false).await;
        }
    }

    async fn hear_one(&mut self, name: &'static str, pongs: bool) {
        let client = self.clients.get_mut(name).unwrap();
        let (opcode, payload) = loop {
            match client.frame().await {
                Some((PING, payload)) if pongs => client.send(PONG, &payload).await,
                Some((PING | PONG, _)) => {}
                Some(frame) => break frame,
                None => break (0, Vec::new()),
            }
        };
        let shown = match (opcode, payload.split_at_checked(2)) {
            (CLOSE, Some((code, reason))) => {
                let code = u16::from_be_bytes(code.try_into().unwrap());
                format!("{code} {}", str::from_utf8(reason).unwrap())
            }
            _ => String::from_utf8(payload).unwrap(),
        };
        let shown = self.with_names(&shown);
        writeln!(self.text, "{name} < {} {shown}", kind(opcode)).unwrap();
    }

    /// Reads what this client gets until a proof has been taken for all it has read: the server
    /// asks for it with a ping, and answers the client's own ping behind the pong.
    pub(super) async fn prove(&mut self, name: &'static str) {
        let client = self.clients.get_mut(name).unwrap();
        let payload = client.ping().await;
        client.send(PONG, &payload).await;
        client.send(PING, b"proved").await;
        loop {
            match client.frame().await {
                Some((PONG, payload)) if payload == b"proved" => return,
                Some((PING, payload)) => client.send(PONG, &payload).await,
                other => panic!("expected a pong, got {other:?}"),
            }
        }
    }

    pub(super) fn leave(&mut self, name: &'static str) {
        writeln!(self.text, "{name} leaves").unwrap();
        drop(self.clients.remove(name).unwrap());
    }

    pub(super) async fn call(&mut self, method: &str, path: &str, head: &str, body: &str) {
        writeln!(
            self.text,
            "rest > {method} {path} {} {body}",
            head.trim_end()
        )
        .unwrap();
        let (status, _, answer) = self.desk.call(method, path, head, body).await;
        let answer = self.with_names(&answer);
        writeln!(self.text, "rest < {status} {answer}").unwrap();
    }

    pub(super) async fn post(&mut self, body: &str) {
        let head = "Content-Type: application/json\r\n";
        self.call("POST", "/send-message", head, body).await;
    }

    /// Replaces message ids and times of the server.
    fn with_names(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let (shown, len) = if let Some(id) = rest.get(..ID_LEN).filter(|text| is_id(text)) {
                let known = self.ids.iter().position(|known| known == id);
                let number = known.unwrap_or_else(|| {
                    self.ids.push(id.to_owned());
                    self.ids.len() - 1
                });
                (format!("<id {}>", number + 1), ID_LEN)
            } else if rest.get(..TIME_LEN).is_some_and(is_time) {
                ("<time>".to_owned(), TIME_LEN)
            } else {
                (next.to_string(), next.len_utf8())
            };
            out.push_str(&shown);
            rest = rest.get(len..).unwrap();
        }
        out
    }

    /// Compares the exchange with the file of that name.
    pub(super) fn check(self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
        let file = folder.join(format!("{name}.txt"));
        let Ok(expected) = std::fs::read_to_string(&file) else {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &self.text).unwrap();
            panic!("{} was written: read it, then run again", file.display());
        };
        for (number, (expected, found)) in expected.lines().zip(self.text.lines()).enumerate() {
            assert_eq!(expected, found, "line {} of {}", number + 1, file.display());
        }
        assert_eq!(expected, self.text, "{}", file.display());
    }
}

fn kind(opcode: u8) -> &'static str {
    match opcode {
        TEXT => "text",
        BINARY => "binary",
        CLOSE => "close",
        0 => "(the connection ends)",
        _ => "control",
    }
}

/// An id of a message; the nil id of notifications stays as it is.
fn is_id(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|letter| {
            if letter.is_ascii_hexdigit() {
                'x'
            } else {
                letter
            }
        })
        .collect();
    shape == "xxxxxxxx-xxxxxxxx-xxxx-xxxxxxxx" && !text.starts_with("00000000-")
}

/// A time of the server; none of a client of these tests has this form.
fn is_time(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '9' } else { letter })
        .collect();
    shape == "9999-99-99 99:99:99.999999+99:99"
}

const ID_LEN: usize = 31;
const TIME_LEN: usize = 32;
