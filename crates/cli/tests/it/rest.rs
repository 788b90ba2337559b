//! [`Rest`]: just enough HTTP/1.1 for the REST API, so that a failed request can be told from an
//! unanswered one.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A connection that is kept alive.
#[derive(Debug)]
pub(crate) struct Rest {
    stream: TcpStream,
    host: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Rest {
    pub(crate) async fn connect(url: &str) -> io::Result<Self> {
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        Ok(Self {
            stream: TcpStream::connect(host).await?,
            host: host.to_owned(),
        })
    }

    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.call("GET", path, "").await
    }

    pub(crate) async fn send_message(&mut self, body: &str) -> io::Result<Answer> {
        self.call("POST", "/send-message", body).await
    }

    /// An error means that there was no answer.
    async fn call(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut received = Vec::new();
        loop {
            if let Some(answer) = Answer::read(&received) {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Answer {
    /// `None` while it is incomplete.
    fn read(received: &[u8]) -> Option<Self> {
        let text = str::from_utf8(received).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse().expect("a length"));
        (body.len() >= length).then(|| Self {
            status,
            body: body.to_owned(),
        })
    }
}
