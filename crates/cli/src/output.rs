//! Results → standard output.

use std::io::{self, Write as _};

/// Writes `text` at once. A reader that has seen enough and closed the pipe is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes one line per URL.
pub(crate) fn print_urls(urls: &[(&'static str, String)]) -> io::Result<()> {
    print(&lines(urls))
}

/// The labels stand in a column.
fn lines(urls: &[(&'static str, String)]) -> String {
    urls.iter()
        .map(|(label, url)| format!("{label:<11}{url}\n"))
        .collect::<Vec<_>>()
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_in_a_column() {
        let urls = [
            ("messaging", "ws://a/chat".to_owned()),
            ("rest", "http://b/".to_owned()),
        ];
        assert_eq!(
            lines(&urls),
            "messaging  ws://a/chat\nrest       http://b/\n"
        );
    }
}
