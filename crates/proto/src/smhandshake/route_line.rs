//! The first line of a message: `ROUTENAME=<name>` (M-09, M-28), and of what goes back (M-30).
//!
//! In: a message, text or binary. Out: the name, borrowed, and where the payload begins; nothing is
//! copied and no more than the line is looked at. The other way: [`Prefix`], which stands before every
//! message of a backend, so that what a backend writes is never mistaken for a route line.

/// The route line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteLine<'a> {
    /// As the client wrote it: 1 to [`NAME_BYTES_MAX`] bytes without control characters.
    pub name: &'a str,
    /// How the line ended.
    pub line_end: LineEnd,
    /// Where the payload begins: behind the line, and behind one empty line if it follows.
    pub payload_at: usize,
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineEnd {
    /// `\n`.
    Lf,
    /// `\r\n`.
    CrLf,
}

/// A message has no usable route line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteLineError {
    /// It begins otherwise, or the line does not end.
    #[error("no route line")]
    Missing,
    /// The name is longer than [`NAME_BYTES_MAX`].
    #[error("route name too long")]
    NameTooLong,
    /// The name is empty, is no UTF-8 or has control characters.
    #[error("route name empty or not printable")]
    NameInvalid,
}

impl<'a> RouteLine<'a> {
    /// Reads the route line at the beginning of `message`.
    ///
    /// # Errors
    /// [`RouteLineError`], see there.
    pub fn parse(message: &'a [u8]) -> Result<Self, RouteLineError> {
        let after_key = message
            .strip_prefix(KEY.as_bytes())
            .ok_or(RouteLineError::Missing)?;
        let window = after_key.get(..LINE_BYTES_MAX).unwrap_or(after_key);
        let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
            return Err(if window.len() == LINE_BYTES_MAX {
                RouteLineError::NameTooLong
            } else {
                RouteLineError::Missing
            });
        };
        let (line, after) = window
            .split_at_checked(end)
            .ok_or(RouteLineError::Missing)?;
        let (name, line_end) = match line.strip_suffix(b"\r") {
            Some(name) => (name, LineEnd::CrLf),
            None => (line, LineEnd::Lf),
        };
        if name.len() > NAME_BYTES_MAX {
            return Err(RouteLineError::NameTooLong);
        }
        let name = std::str::from_utf8(name).map_err(|_| RouteLineError::NameInvalid)?;
        if !is_name(name) {
            return Err(RouteLineError::NameInvalid);
        }
        let line_len = message
            .len()
            .saturating_sub(after_key.len()) // the key
            .saturating_add(end)
            .saturating_add(1);
        debug_assert!(!after.is_empty(), "the line feed follows the line");
        let rest = message.get(line_len..).unwrap_or_default();
        let empty_line = match rest {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => 0,
        };
        Ok(Self {
            name,
            line_end,
            payload_at: line_len.saturating_add(empty_line),
        })
    }
}

impl LineEnd {
    /// The bytes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
        }
    }
}

/// The route line of what goes back to a client, ready to be put before a backend's messages.
///
/// It is written as the client writes it: its spelling of the name and its line end, those of its last message on the
/// route, so that a client that compares names byte by byte finds them again. Never an empty
/// line: all that follows the line is the backend's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    text: String,
}

impl Prefix {
    /// For a route on which the client has sent `line`.
    pub fn of(line: &RouteLine<'_>) -> Self {
        Self::new(line.name, line.line_end)
    }

    /// For a route on which the client has not sent anything.
    pub fn new(name: &str, line_end: LineEnd) -> Self {
        Self {
            text: [KEY, name, line_end.as_str()].concat(),
        }
    }

    /// The client has sent `line`: writes as it does from now on. Costs nothing when it writes as before.
    pub fn follow(&mut self, line: &RouteLine<'_>) {
        let same = self
            .text
            .strip_prefix(KEY)
            .and_then(|text| text.strip_suffix(line.line_end.as_str()))
            .is_some_and(|name| name == line.name);
        if !same {
            *self = Self::of(line);
        }
    }

    /// The line, its end included.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Returns whether `name` can stand in a route line.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control)
}

/// Longest name of a route, bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// The name and its line end.
const LINE_BYTES_MAX: usize = NAME_BYTES_MAX + 2;

const KEY: &str = "ROUTENAME=";
