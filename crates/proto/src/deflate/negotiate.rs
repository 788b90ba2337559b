//! Agreeing on permessage-deflate in the opening handshake (RFC 7692 sections 5 and 7.1).
//!
//! In: the values of all fields `Sec-WebSocket-Extensions`. Out: the parameters agreed on and
//! the value to send. Pure functions, linear in the header.

use std::fmt::Write as _;

use super::{
    DeflateConfig,
    config::{BITS_MAX, BITS_MIN},
};
use crate::{
    ExtensionError, Role,
    extensions::{self, Extension},
};

/// The parameters that both ends agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeflateParameters {
    /// The server compresses each message without the ones before it.
    pub server_no_context_takeover: bool,
    /// The client compresses each message without the ones before it.
    pub client_no_context_takeover: bool,
    /// Largest window of the server's compressor, as a power of two: 8 to 15.
    pub server_max_window_bits: u8,
    /// Largest window of the client's compressor, as a power of two: 8 to 15.
    pub client_max_window_bits: u8,
}

const NAME: &str = "permessage-deflate";

impl DeflateParameters {
    /// Window and context takeover of what `sender` compresses.
    pub(crate) fn of(self, sender: Role) -> (u8, bool) {
        match sender {
            Role::Server => (
                self.server_max_window_bits,
                !self.server_no_context_takeover,
            ),
            Role::Client => (
                self.client_max_window_bits,
                !self.client_no_context_takeover,
            ),
        }
    }
}

/// The parameters of one offer or answer, as written.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Asked,
}

/// `client_max_window_bits`, which an offer may also have without value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    No,
    Any,
    Bits(u8),
}

impl Written {
    /// `None` when a parameter is unknown, doubled, or its value is not what it must be.
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut written = Self::default();
        for (name, value) in &extension.parameters {
            let doubled = match (*name, *value) {
                ("server_no_context_takeover", None) => {
                    std::mem::replace(&mut written.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    std::mem::replace(&mut written.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => written
                    .server_max_window_bits
                    .replace(bits(value)?)
                    .is_some(),
                ("client_max_window_bits", value) => {
                    let asked =
                        value.map_or(Some(Asked::Any), |value| bits(value).map(Asked::Bits))?;
                    std::mem::replace(&mut written.client_max_window_bits, asked) != Asked::No
                }
                _ => return None,
            };
            if doubled {
                return None;
            }
        }
        Some(written)
    }
}

/// A decimal integer from 8 to 15 without leading zeros (section 7.1.2.1).
fn bits(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => digit.checked_sub(b'0'),
        [b'1', digit @ b'0'..=b'5'] => digit.checked_sub(b'0')?.checked_add(10),
        _ => None,
    }
}

/// The server's choice: the first offer that can be met, with the value to answer. `None`: no
/// such offer; the connection goes on without compression.
///
/// # Errors
/// [`ExtensionError::Malformed`].
pub(crate) fn accept<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    config: &DeflateConfig,
) -> Result<Option<(DeflateParameters, String)>, ExtensionError> {
    let offers = match extensions::parse(values) {
        Err(ExtensionError::TooLong) => return Ok(None),
        offers => offers?,
    };
    Ok(offers
        .iter()
        .filter(|offer| offer.name == NAME)
        .filter_map(Written::read)
        .find_map(|offer| meet(offer, config)))
}

/// Parameters that meet an offer, and the answer that says so.
fn meet(offer: Written, config: &DeflateConfig) -> Option<(DeflateParameters, String)> {
    let server_max_window_bits = match offer.server_max_window_bits {
        Some(asked) if asked < BITS_MIN => return None,
        Some(asked) => config.own_bits().min(asked),
        None => config.own_bits(),
    };
    let agreed = DeflateParameters {
        server_no_context_takeover: offer.server_no_context_takeover || !config.context_takeover,
        client_no_context_takeover: offer.client_no_context_takeover
            || !config.peer_context_takeover,
        server_max_window_bits,
        client_max_window_bits: match offer.client_max_window_bits {
            // A client that says 8 must not be held to it: many compressors use 9 then.
            Asked::No | Asked::Bits(8) => BITS_MAX,
            Asked::Any => config.peer_bits(),
            Asked::Bits(most) => config.peer_bits().min(most),
        },
    };
    let mut answer = String::from(NAME);
    if agreed.server_no_context_takeover {
        answer.push_str("; server_no_context_takeover");
    }
    if agreed.client_no_context_takeover {
        answer.push_str("; client_no_context_takeover");
    }
    //= rfc7692#7.1.2.1: accepted by the same parameter with the same or a smaller value
    if offer.server_max_window_bits.is_some() {
        write_bits(&mut answer, "server", agreed.server_max_window_bits);
    }
    //= rfc7692#7.1.2.2: MUST NOT be answered when it was not offered
    if agreed.client_max_window_bits < BITS_MAX {
        write_bits(&mut answer, "client", agreed.client_max_window_bits);
    }
    Some((agreed, answer))
}

/// The client's offer.
pub(crate) fn offer(config: &DeflateConfig) -> String {
    let mut offer = String::from(NAME);
    if !config.peer_context_takeover {
        offer.push_str("; server_no_context_takeover");
    }
    if !config.context_takeover {
        offer.push_str("; client_no_context_takeover");
    }
    if config.peer_bits() < BITS_MAX {
        write_bits(&mut offer, "server", config.peer_bits());
    }
    if config.own_bits() < BITS_MAX {
        write_bits(&mut offer, "client", config.own_bits());
    } else {
        offer.push_str("; client_max_window_bits");
    }
    offer
}

/// Checks the server's answer to [`offer`]; `None` when it chose no extension. `config` is
/// `None` when nothing was offered.
///
/// # Errors
/// [`ExtensionError`]: the handshake fails (section 5.1; CVE-2026-2229).
pub(crate) fn verify<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    config: Option<&DeflateConfig>,
) -> Result<Option<DeflateParameters>, ExtensionError> {
    let answer = extensions::parse(values)?;
    let Some(extension) = answer.first() else {
        return Ok(None);
    };
    let Some(config) = config.filter(|_| answer.iter().all(|other| other.name == NAME)) else {
        return Err(ExtensionError::NotOffered);
    };
    if answer.len() > 1 {
        return Err(ExtensionError::Several);
    }
    Written::read(extension)
        .and_then(|answer| agree(answer, config))
        .map(Some)
        .ok_or(ExtensionError::Parameters)
}

/// Returns the parameters that an answer means; `None` when it allows the server more than was offered.
fn agree(answer: Written, config: &DeflateConfig) -> Option<DeflateParameters> {
    let server_bits = answer.server_max_window_bits.unwrap_or(BITS_MAX);
    //= rfc7692#7.1.2.2: in an answer the parameter must have a value
    let client_bits = match answer.client_max_window_bits {
        Asked::Any => return None,
        Asked::Bits(bits) if bits > config.own_bits() => return None,
        Asked::Bits(bits) => bits,
        Asked::No => config.own_bits(),
    };
    let keeps_context = !answer.server_no_context_takeover && !config.peer_context_takeover;
    if keeps_context || server_bits > config.peer_bits() {
        return None;
    }
    Some(DeflateParameters {
        server_no_context_takeover: answer.server_no_context_takeover,
        client_no_context_takeover: answer.client_no_context_takeover || !config.context_takeover,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits,
    })
}

fn write_bits(out: &mut String, whose: &str, bits: u8) {
    write!(out, "; {whose}_max_window_bits={bits}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut DeflateConfig)) -> DeflateConfig {
        let mut config = DeflateConfig::default();
        change(&mut config);
        config
    }

    /// Both directions allowed everything.
    fn free() -> DeflateConfig {
        config(|config| {
            config.context_takeover = true;
            config.peer_context_takeover = true;
        })
    }

    fn answer(offers: &str, config: &DeflateConfig) -> Option<String> {
        accept(std::iter::once(offers.as_bytes()), config)
            .unwrap()
            .map(|(_, answer)| answer)
    }

    fn verified(
        value: &str,
        config: &DeflateConfig,
    ) -> Result<Option<DeflateParameters>, ExtensionError> {
        verify(std::iter::once(value.as_bytes()), Some(config))
    }

    #[test]
    fn the_default_keeps_no_context_in_either_direction() {
        let both =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned();
        let config = DeflateConfig::default();
        assert_eq!(answer("permessage-deflate", &config), Some(both.clone()));
        assert_eq!(offer(&config), both + "; client_max_window_bits");
    }

    #[test]
    fn offers_are_answered_as_the_rfc_says() {
        let small = config(|config| {
            config.context_takeover = true;
            config.peer_context_takeover = true;
            config.window_bits = 11;
            config.peer_window_bits = 10;
        });
        for (offers, config, expected) in [
            ("", free(), None),
            ("x-webkit-deflate-frame", free(), None),
            ("PERMESSAGE-DEFLATE", free(), None),
            ("permessage-deflate", free(), Some("")),
            ("permessage-deflate", small.clone(), Some("")),
            (
                "permessage-deflate; client_max_window_bits",
                free(),
                Some(""),
            ),
            (
                "permessage-deflate; client_max_window_bits",
                small.clone(),
                Some("; client_max_window_bits=10"),
            ),
            (
                "permessage-deflate; client_max_window_bits=9",
                small.clone(),
                Some("; client_max_window_bits=9"),
            ),
            (
                "permessage-deflate; client_max_window_bits=8",
                small.clone(),
                Some(""),
            ),
            (
                "permessage-deflate; client_max_window_bits=12",
                free(),
                Some("; client_max_window_bits=12"),
            ),
            (
                "permessage-deflate; server_max_window_bits=15",
                small.clone(),
                Some("; server_max_window_bits=11"),
            ),
            (
                "permessage-deflate; server_max_window_bits=\"10\"",
                small.clone(),
                Some("; server_max_window_bits=10"),
            ),
            ("permessage-deflate; server_max_window_bits=8", small, None),
            (
                "permessage-deflate; server_no_context_takeover",
                free(),
                Some("; server_no_context_takeover"),
            ),
            (
                "permessage-deflate; client_no_context_takeover",
                free(),
                Some("; client_no_context_takeover"),
            ),
            (
                "foo, permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9, permessage-deflate",
                free(),
                Some("; server_max_window_bits=9"),
            ),
        ] {
            assert_eq!(
                answer(offers, &config),
                expected.map(|parameters| format!("permessage-deflate{parameters}")),
                "{offers}"
            );
        }
    }

    /// Wrong in an offer and in an answer alike.
    const WRONG: &[&str] = &[
        "foo",
        "foo=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=0",
        "server_max_window_bits=7",
        "server_max_window_bits=08",
        "server_max_window_bits=010",
        "server_max_window_bits=16",
        "server_max_window_bits=99",
        "server_max_window_bits=1000000000000000000000",
        "server_max_window_bits=-9",
        "server_max_window_bits=+9",
        "server_max_window_bits=9.0",
        "server_max_window_bits=abc",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=0",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=010",
        "client_max_window_bits=10; client_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits=10",
        "SERVER_MAX_WINDOW_BITS=10",
    ];

    #[test]
    fn a_wrong_offer_is_declined_and_the_next_one_looked_at() {
        for wrong in WRONG {
            let offer = format!("permessage-deflate; {wrong}");
            assert_eq!(answer(&offer, &free()), None, "{wrong}");
            assert_eq!(
                answer(&format!("{offer}, permessage-deflate"), &free()).as_deref(),
                Some("permessage-deflate"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn cve_2026_2229_a_wrong_answer_fails_the_handshake() {
        for wrong in WRONG.iter().chain(&["client_max_window_bits"]) {
            assert_eq!(
                verified(&format!("permessage-deflate; {wrong}"), &free()),
                Err(ExtensionError::Parameters),
                "{wrong}"
            );
        }
        let wish = DeflateConfig::default();
        let small = config(|config| {
            config.peer_context_takeover = true;
            config.peer_window_bits = 10;
            config.window_bits = 10;
        });
        for (value, config, error) in [
            ("permessage-deflate", &wish, ExtensionError::Parameters),
            ("permessage-deflate", &small, ExtensionError::Parameters),
            (
                "permessage-deflate; server_max_window_bits=11",
                &small,
                ExtensionError::Parameters,
            ),
            (
                "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11",
                &small,
                ExtensionError::Parameters,
            ),
            ("foo", &wish, ExtensionError::NotOffered),
            ("permessage-deflate, foo", &wish, ExtensionError::NotOffered),
            (
                "permessage-deflate, permessage-deflate",
                &wish,
                ExtensionError::Several,
            ),
            ("permessage-deflate;", &wish, ExtensionError::Malformed),
        ] {
            assert_eq!(verified(value, config), Err(error), "{value}");
        }
        let long = "a".repeat(2000);
        assert_eq!(verified(&long, &wish), Err(ExtensionError::TooLong));
        assert_eq!(
            verify(std::iter::once(&b"permessage-deflate"[..]), None),
            Err(ExtensionError::NotOffered)
        );
    }

    #[test]
    fn an_answer_may_ask_for_less_than_was_offered() {
        let value = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=8; client_max_window_bits=8";
        let agreed = verified(value, &free()).unwrap().unwrap();
        assert_eq!(agreed.of(Role::Server), (8, false));
        assert_eq!(agreed.of(Role::Client), (8, false));
        assert_eq!(verified("", &free()), Ok(None));
    }

    #[test]
    fn an_overlong_offer_counts_as_none() {
        let offers = vec!["permessage-deflate"; 17].join(",");
        assert_eq!(answer(&offers, &free()), None);
    }

    #[test]
    fn both_roles_agree_whatever_they_want() {
        for mask in 0..16_u8 {
            for (own, peer) in [(9, 15), (15, 9), (12, 10), (15, 15)] {
                let client = config(|config| {
                    config.context_takeover = mask & 1 != 0;
                    config.peer_context_takeover = mask & 2 != 0;
                    config.window_bits = own;
                    config.peer_window_bits = peer;
                });
                let server = config(|config| {
                    config.context_takeover = mask & 4 != 0;
                    config.peer_context_takeover = mask & 8 != 0;
                    config.window_bits = 13;
                    config.peer_window_bits = 11;
                });
                let offer = offer(&client);
                let (theirs, answer) = accept(std::iter::once(offer.as_bytes()), &server)
                    .unwrap()
                    .expect("nothing of ours is too much");
                let ours = verified(&answer, &client).unwrap().unwrap();
                assert_eq!(
                    (
                        ours.server_no_context_takeover,
                        ours.client_no_context_takeover
                    ),
                    (
                        theirs.server_no_context_takeover,
                        theirs.client_no_context_takeover
                    ),
                );
                assert_eq!(ours.server_no_context_takeover, mask & 6 != 6);
                assert_eq!(ours.client_no_context_takeover, mask & 9 != 9);
                assert!(theirs.server_max_window_bits <= ours.server_max_window_bits);
                assert!(ours.client_max_window_bits <= theirs.client_max_window_bits);
                assert!(ours.server_max_window_bits <= peer && ours.client_max_window_bits <= own);
            }
        }
    }
}
