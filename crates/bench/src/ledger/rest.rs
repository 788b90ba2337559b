//! [`Rest`]: just enough HTTP/1.1 for the REST API, so that a refused message can be told from
//! one without an answer.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Time for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Largest answer.
const ANSWER_MAX: usize = 1 << 20;

/// A connection that is kept alive.
#[derive(Debug)]
pub(super) struct Rest {
    stream: TcpStream,
}

/// What the server said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// For all recipients but these.
    Accepted {
        refused_for: Vec<u64>,
    },
    Refused,
    /// The server cannot tell, or it is not known what the answer means.
    Unknown,
}

#[derive(Debug, Default, Deserialize)]
struct Body {
    data: Option<Data>,
}

#[derive(Debug, Default, Deserialize)]
struct Data {
    #[serde(default)]
    refused: Vec<RefusedFor>,
}

#[derive(Debug, Deserialize)]
struct RefusedFor {
    recipient: u64,
}

impl Rest {
    pub(super) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = timeout(ANSWER_WITHIN, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// An error means that there was no answer.
    pub(super) async fn send_message(&mut self, message: &str) -> anyhow::Result<Answer> {
        let (status, body) = self.call("POST", "/send-message", message).await?;
        answer(status, &body)
    }

    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        let (_, body) = self.call("GET", path, "").await?;
        Ok(String::from_utf8(body)?)
    }

    async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        timeout(ANSWER_WITHIN, async {
            self.stream.write_all(request.as_bytes()).await?;
            let mut received = Vec::new();
            loop {
                if let Some(answer) = parse(&received)? {
                    return Ok(answer);
                }
                ensure!(received.len() < ANSWER_MAX, "a long answer");
                ensure!(
                    self.stream.read_buf(&mut received).await? > 0,
                    "no whole answer"
                );
            }
        })
        .await?
    }
}

fn answer(status: u16, body: &[u8]) -> anyhow::Result<Answer> {
    Ok(match status {
        202 if body.is_empty() => Answer::Accepted {
            refused_for: Vec::new(),
        },
        202 => {
            let body: Body = serde_json::from_slice(body)?;
            let refused = body.data.unwrap_or_default().refused;
            Answer::Accepted {
                refused_for: refused.iter().map(|refused| refused.recipient).collect(),
            }
        }
        400..500 => Answer::Refused,
        _ => Answer::Unknown,
    })
}

/// Status and body, once they are there whole.
fn parse(received: &[u8]) -> anyhow::Result<Option<(u16, Vec<u8>)>> {
    let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = received.split_at(end + 4);
    let head = std::str::from_utf8(head)?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let len = match lengths.next() {
        Some((_, len)) => len.trim().parse()?,
        None => 0,
    };
    Ok(body.get(..len).map(|body| (status, body.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acceptance_names_the_recipients_it_does_not_hold_for() {
        let accepted = |refused_for| Answer::Accepted { refused_for };
        let body = br#"{"data":{"id":"A","refused":[{"recipient":7,"code":"mailbox_full"}]},"success":true}"#;
        for (status, body, expected) in [
            (202, &b""[..], accepted(vec![])),
            (202, b"{\"success\":true}", accepted(vec![])),
            (202, body, accepted(vec![7])),
            (429, b"", Answer::Refused),
            (503, b"", Answer::Unknown),
        ] {
            assert_eq!(answer(status, body).expect("proper"), expected);
        }
    }

    #[test]
    fn an_answer_counts_once_it_is_whole() {
        let whole = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        for cut in 0..whole.len() {
            let (part, _) = whole.split_at(cut);
            assert_eq!(parse(part).expect("no error"), None, "{cut} bytes");
        }
        assert_eq!(parse(whole).expect("no error"), Some((202, b"{}".to_vec())));
    }
}
