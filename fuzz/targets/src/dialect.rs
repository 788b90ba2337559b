//! Target: what a client of the messaging server sends, through the classic dialect and back.
//!
//! Promises: a payload is a command or an error, never a panic; what was taken leaves as JSON, with the author's members byte for byte, and is taken again as the same message.

use serde_json::value::RawValue;
use tidewire_dialect::{Classic, Dialect as _, Ending, Payload};
use tidewire_hub::{Command, Config, Draft, JsonText, MessageId, Publication, Settings, UserId};

/// A payload of any kind.
pub(crate) fn classic(data: &[u8]) {
    let config = Config {
        recipients_max: 8,
        ..Config::default()
    };
    let settings = Settings::try_from(config).expect("a configuration that works");
    let Some(draft) = read(data, &settings) else {
        return;
    };
    assert!(!draft.recipients.as_slice().is_empty() && draft.recipients.as_slice().len() <= 8);
    let publication = publish(draft);
    let text = write(&publication);
    // The author's numbers pass untouched, also those that no float holds.
    serde_json::from_str::<&RawValue>(&text).expect("what leaves is JSON");
    let again = read(text.as_bytes(), &settings).expect("what leaves is taken again");
    assert_eq!(again.sender, *publication.sender());
    assert_eq!(again.recipients.as_slice(), publication.recipients());
    let again = publish(again);
    assert_eq!(again.kind_json(), publication.kind_json());
    assert_eq!(again.text_json(), publication.text_json());
    assert_eq!(again.data_json(), publication.data_json());
    assert_eq!(write(&again), text, "the second time as the first");
}

fn read<'a>(data: &'a [u8], settings: &Settings) -> Option<Draft<'a>> {
    match Classic::decode(data, &UserId::BOT, settings) {
        Ok(Command::Publish(draft)) => Some(draft),
        // A refusal keeps the connection, and so does whatever else there may be.
        Ok(_) => None,
        Err(error) => {
            let close = Classic::close(&Ending::Invalid(error));
            assert!(close.code == 4001 && close.reason.len() <= 123);
            None
        }
    }
}

fn publish(draft: Draft<'_>) -> Publication {
    Publication::new(MessageId::NIL, draft, &JsonText::quote("now"))
}

fn write(publication: &Publication) -> String {
    let Some(Payload::Text(text)) = Classic::publication(publication) else {
        panic!("the classic dialect tells every message as text");
    };
    text
}
