//! The state of a message, in a sentence for people.

use jiff::Timestamp;
use tidewire_hub::{Departure, Refusal, TraceEntry, TraceStep};

use super::report::Look;

/// The state of a message for a recipient, and why it is so. `live`: his live sessions, where they are the caller's business.
pub(super) fn state(
    steps: &[TraceEntry],
    look: &Look,
    live: Option<usize>,
) -> (&'static str, String) {
    for entry in steps {
        let at = time(entry.at);
        if let TraceStep::Confirmed { session } = entry.step {
            let by = live.map_or_else(String::new, |_| format!(" by session {session}"));
            let text = format!("its arrival was confirmed{by} at {at}");
            return ("confirmed", text);
        }
        if let TraceStep::Refused(refusal) = entry.step {
            return ("refused", format!("it was refused at {at}: {refusal}"));
        }
    }
    match look {
        Look::Waits => ("waiting", waiting(steps, live)),
        Look::Gone(Some((at, why))) => departed(*at, *why),
        Look::Gone(None) => (
            "unknown",
            "it is not in the mailbox any more, and why is not remembered: there is no proof that it has arrived"
                .to_owned(),
        ),
        Look::Not => not_stored(steps),
    }
}

fn waiting(steps: &[TraceEntry], live: Option<usize>) -> String {
    let Some(live) = live else {
        return "it waits in the mailbox".to_owned();
    };
    let last = steps.iter().rev().find_map(|entry| {
        let TraceStep::HandedOut { session } = entry.step else {
            return None;
        };
        Some(format!(
            "; session {session} was given it at {} and has not confirmed that it has arrived",
            time(entry.at)
        ))
    });
    let given = last.as_deref().unwrap_or_default();
    let now = match live {
        0 => "; the user has no live session, and gets it at the next connect",
        _ if last.is_some() => "",
        _ => {
            "; the user's live sessions have not been given it yet: they have not read or confirmed what came before"
        }
    };
    format!("it waits in the mailbox{given}{now}")
}

fn departed(at: Timestamp, why: Departure) -> (&'static str, String) {
    let at = time(at);
    match why {
        Departure::Expired => (
            "expired",
            format!("it was too old at {at} and left the mailbox; its arrival was not confirmed"),
        ),
        Departure::Removed => (
            "removed",
            format!(
                "it was removed from the mailbox on request at {at}; its arrival was not confirmed"
            ),
        ),
        Departure::Released => (
            "released",
            format!(
                "it left the mailbox at {at}, given to a client that never answers pings: there is no proof that it has \
                 arrived"
            ),
        ),
    }
}

fn not_stored(steps: &[TraceEntry]) -> (&'static str, String) {
    for entry in steps {
        if let TraceStep::PassedOn { sessions, missed } = entry.step {
            let why = match (sessions, missed) {
                (1.., _) => {
                    let text = "it was passed on to live sessions without being stored: nothing proves that it has arrived";
                    return ("passed_on", text.to_owned());
                }
                (0, 0) => "the user had no live session",
                (0, _) => "the queues of his sessions were full",
            };
            let text =
                format!("it is of a type that is not stored, and {why}: the user has not got it");
            return ("missed", text);
        }
        if matches!(entry.step, TraceStep::Stored { .. }) {
            let text = "it was stored; among so many recipients this mailbox was not looked into, ask for this user";
            return ("unknown", text.to_owned());
        }
    }
    let text = "what is remembered does not tell whether it has arrived";
    ("unknown", text.to_owned())
}

/// Returns the words for a message as a whole, if there is something to say.
pub(super) fn whole(refused: Option<Refusal>, is_for_administrator: bool) -> Option<String> {
    match refused {
        Some(Refusal::StoreFailed) => Some(
            "the message store has failed: whether the message is on disk is not known".to_owned(),
        ),
        Some(refusal) => Some(format!("it was refused: {refusal}")),
        None if is_for_administrator => Some(
            "it is for the administrator, and goes to those who are told of events and nobody else"
                .to_owned(),
        ),
        None => None,
    }
}

pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

pub(super) fn second(unix_seconds: i64) -> String {
    Timestamp::from_second(unix_seconds)
        .unwrap_or_default()
        .to_string()
}
