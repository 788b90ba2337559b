//! HTTP: TRACE requests, and where their answers end.

use bytes::Bytes;

use super::{
    job::Job,
    stream::{Messages, Split},
};

/// Requests for `/`, as of the original but with the `Host` that HTTP/1.1 wants.
#[derive(Debug, Default)]
pub(super) struct Trace;

impl Messages for Trace {
    fn message(job: &Job) -> Bytes {
        let host = job.authority();
        format!("TRACE / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n").into()
    }

    fn split(&mut self, _job: &Job, bytes: &[u8]) -> Result<Split, String> {
        let mut split = Split::default();
        let mut rest = bytes;
        while let Some(len) = answer_len(rest)? {
            let Some(behind) = rest.get(len..) else { break };
            split.messages += 1;
            rest = behind;
        }
        split.unread = rest.len();
        Ok(split)
    }
}

/// The length of the answer that begins here; `None` while its head has not come.
///
/// # Errors
/// It is no success, or does not tell its length.
fn answer_len(bytes: &[u8]) -> Result<Option<usize>, String> {
    const SUCCESS: &[u8] = b"HTTP/1.1 200 ";
    let shown = |bytes: &[u8]| {
        let line = bytes.split(|byte| *byte == b'\r').next();
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    };
    let begin = SUCCESS.len().min(bytes.len());
    if bytes[..begin] != SUCCESS[..begin] {
        return Err(format!("the server answered {:?}", shown(bytes)));
    }
    let Some(head_len) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = bytes[..head_len].split(|byte| *byte == b'\n');
    let length = lines.find_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) => Ok(Some(head_len + 4 + length)),
        None => Err("the server's answer has no Content-Length".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let answer =
            b"HTTP/1.1 200 OK\r\nContent-Type: message/http\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(answer_len(answer), Ok(Some(answer.len())));
        for len in 0..answer.len() - 4 {
            let begun = answer_len(&answer[..len]);
            assert!(begun.is_ok(), "{len}: {begun:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_first_line() {
        let refused = answer_len(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n");
        assert_eq!(
            refused,
            Err("the server answered \"HTTP/1.1 405 Method Not Allowed\"".to_owned())
        );
        assert!(answer_len(b"SSH-2.0-x\r\n").is_err());
        assert!(answer_len(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
