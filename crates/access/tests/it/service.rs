//! An HTTP service of a few lines, which answers as it is told and counts.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The bytes of the answer to a request; `None`: none, ever.
type Answer = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

pub(crate) struct Service {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
}

impl Service {
    pub(crate) async fn start(
        answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (answer, count): (Answer, _) = (Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&count)));
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of the answers that a service may give"
)]
pub(crate) fn ok(status: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

async fn serve(mut stream: TcpStream, answer: Answer, asked: Arc<AtomicUsize>) {
    let mut read = Vec::new();
    while let Some(request) = request(&mut stream, &mut read).await {
        asked.fetch_add(1, SeqCst);
        match answer(&request) {
            None => std::future::pending().await,
            Some(answer) => {
                if stream.write_all(answer.as_bytes()).await.is_err() || !answer.starts_with("HTTP")
                {
                    return;
                }
            }
        }
    }
}

/// One request with its body.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            let head = text.get(..end).unwrap_or_default().to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.map_or(0, |it| it.split("\r\n").next().unwrap().parse().unwrap());
            let whole: usize = end + 4 + length;
            if read.len() >= whole {
                let rest = read.split_off(whole);
                let request = std::mem::replace(read, rest);
                return String::from_utf8(request).ok();
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
