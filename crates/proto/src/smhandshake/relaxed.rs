//! Events in the unquoted form of `SocketMaster`'s README: `{event: SMHandshake, data: SYN}`.
//!
//! In: text, already bounded. Out: an [`Event`]. A member is a word, `:`, a word; members stand
//! between `{` and `}`, with `,` between them; blanks may stand around all of these. A word is
//! - in double quotes: as in JSON;
//! - in single quotes: anything but a single quote, a backslash and control characters;
//! - bare: anything but `{` `}` `[` `]` `,` quotes, backslash and control characters, a key also not `:`; blanks
//!   around it do not belong to it. As a value, nothing at all and `null` are no value.

use super::{
    Event,
    members::{Member, Members},
    strict,
};

pub(super) fn parse(text: &str) -> Option<Event> {
    let mut members = Members::default();
    let mut rest = skip_blanks(text).strip_prefix('{')?;
    loop {
        let (key, after) = word(skip_blanks(rest), &[':'])?;
        let member = members.begin(key?)?;
        rest = skip_blanks(after).strip_prefix(':')?;
        let (value, after) = word(skip_blanks(rest), &[',', '}'])?;
        if member == Member::Event && value.is_none() {
            return None;
        }
        members.set(member, value);
        rest = skip_blanks(after);
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
            continue;
        }
        let after = rest.strip_prefix('}')?;
        return skip_blanks(after)
            .is_empty()
            .then(|| members.into_event())?;
    }
}

/// `value` as a word: bare if every reader of this form takes it so, else in double quotes.
pub(super) fn written(value: &str) -> String {
    let plain = !value.is_empty()
        && value != "null"
        && value.trim_matches(BLANKS) == value
        && !value.contains(|c: char| c == ':' || ends_bare(c));
    if plain {
        value.to_owned()
    } else {
        strict::quoted(value)
    }
}

/// The word at the beginning, and what follows it. A bare one ends before one of `ends`.
fn word<'a>(text: &'a str, ends: &[char]) -> Option<(Option<String>, &'a str)> {
    if text.starts_with('"') {
        let (quoted, after) = text.split_at_checked(quoted_len(text)?)?;
        return Some((Some(strict::unquoted(quoted)?), after));
    }
    if let Some(text) = text.strip_prefix('\'') {
        let (inside, after) = text.split_once('\'')?;
        let plain = !inside.contains(|c: char| c == '\\' || c.is_control());
        return plain.then(|| (Some(inside.to_owned()), after));
    }
    let (bare, after) = text.split_at_checked(text.find(ends)?)?;
    let bare = bare.trim_end_matches(BLANKS);
    if bare.contains(ends_bare) {
        return None;
    }
    let word = !(bare.is_empty() || bare == "null");
    Some((word.then(|| bare.to_owned()), after))
}

/// How long the text in double quotes at the beginning is, quotes included.
fn quoted_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.checked_add(1),
            _ => {}
        }
    }
    None
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches(BLANKS)
}

/// Returns whether the character never stands in a bare word.
fn ends_bare(c: char) -> bool {
    matches!(c, '{' | '}' | '[' | ']' | ',' | '"' | '\'' | '\\') || c.is_control()
}

/// JSON's white space.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
