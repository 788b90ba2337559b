//! Names of messages: [`MessageId`] and the counter that draws them.
//!
//! In: the time and the kernel's randomness at start. Out: ids such as
//! `5A32EA72-38F4D5DC-3541-00000008`. Invariant: no two ids of one process are equal, from
//! any number of threads; the random group keeps processes apart.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

/// A message's id: unix seconds, random, process and counter as groups of hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    seconds: u32,
    random: u32,
    process: u16,
    counter: u32,
}

impl MessageId {
    /// The id of messages the server itself makes (notifications): all zero.
    pub const NIL: Self = Self {
        seconds: 0,
        random: 0,
        process: 0,
        counter: 0,
    };

    /// Bytes of the text form; in notifications see [`MessageId::write`].
    pub const TEXT_LEN: usize = 31;

    pub(crate) const BYTES: usize = 14;

    /// The groups as big-endian numbers, one behind the other.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let number = u128::from(self.seconds) << 80
            | u128::from(self.random) << 48
            | u128::from(self.process) << 32
            | u128::from(self.counter);
        let [_, _, bytes @ ..] = number.to_be_bytes();
        bytes
    }

    /// Rises by one from message to message.
    pub(crate) fn counter_low(self) -> usize {
        usize::try_from(self.counter).unwrap_or_default()
    }

    /// When it was drawn, in seconds since 1970.
    pub fn unix_seconds(self) -> i64 {
        i64::from(self.seconds)
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let number = |from: usize, len: usize| {
            let group = bytes.iter().skip(from).take(len);
            group.fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
        };
        Self {
            seconds: number(0, 4),
            random: number(4, 4),
            process: u16::try_from(number(8, 2)).unwrap_or_default(),
            counter: number(10, 4),
        }
    }

    /// Appends the text form.
    pub fn write(self, out: &mut String) {
        push_hex(out, self.seconds, 8);
        out.push('-');
        push_hex(out, self.random, 8);
        out.push('-');
        push_hex(out, u32::from(self.process), 4);
        out.push('-');
        push_hex(out, self.counter, 8);
    }
}

/// A text is no message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message id has the form 5A32EA72-38F4D5DC-3541-00000008")]
pub struct MessageIdError;

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        let mut groups = text.split('-');
        let mut group = |digits: usize| {
            let group = groups.next().filter(|group| group.len() == digits)?;
            let upper = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
            if group.bytes().all(upper) {
                u32::from_str_radix(group, 16).ok()
            } else {
                None
            }
        };
        let (Some(seconds), Some(random), Some(process), Some(counter)) =
            (group(8), group(8), group(4), group(8))
        else {
            return Err(MessageIdError);
        };
        let process = u16::try_from(process).map_err(|_| MessageIdError)?;
        if groups.next().is_some() {
            return Err(MessageIdError);
        }
        Ok(Self {
            seconds,
            random,
            process,
            counter,
        })
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seconds,
            random,
            process,
            counter,
        } = self;
        write!(
            formatter,
            "{seconds:08X}-{random:08X}-{process:04X}-{counter:08X}"
        )
    }
}

/// Draws ids. Share one per process.
#[derive(Debug)]
pub(crate) struct MessageIds {
    seed: u64,
    process: u16,
    drawn: AtomicU64,
}

impl MessageIds {
    /// Seeds the random group from the kernel.
    pub(crate) fn new() -> Self {
        // Without randomness ids stay unique in this process: the counter alone does that.
        let seed = getrandom::u64().unwrap_or_else(|error| {
            tracing::warn!(%error, "no randomness for message ids");
            0
        });
        // The format has 16 bits for the process; cutting is its definition.
        let process = u16::try_from(std::process::id() & 0xFFFF).unwrap_or_default();
        Self {
            seed,
            process,
            drawn: AtomicU64::new(0),
        }
    }

    /// The next id. Lock-free: one atomic increment, and the random group is a function of
    /// the seed and the thousand the number falls in.
    pub(crate) fn next(&self, unix_seconds: i64) -> MessageId {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        MessageId {
            seconds: low_half(unix_seconds.unsigned_abs()),
            random: low_half(mix(self.seed ^ (number / RENEWED_EVERY))),
            process: self.process,
            counter: low_half(number.wrapping_add(1)),
        }
    }
}

/// The finaliser of splitmix64: equal inputs give equal outputs, near inputs far ones.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

fn low_half(value: u64) -> u32 {
    u32::try_from(value & 0xFFFF_FFFF).unwrap_or_default()
}

fn push_hex(out: &mut String, value: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = (value >> (4 * place)) & 0xF;
        out.push(
            char::from_digit(digit, 16)
                .unwrap_or('0')
                .to_ascii_uppercase(),
        );
    }
}

/// The random group changes after this many ids (S-22).
const RENEWED_EVERY: u64 = 1000;

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    /// S-22.
    #[test]
    fn an_id_has_four_groups_of_upper_case_hex() {
        let ids = MessageIds::new();
        let text = ids.next(0x5A32_EA72).to_string();
        let groups: Vec<&str> = text.split('-').collect();
        assert_eq!(
            groups.iter().map(|group| group.len()).collect::<Vec<_>>(),
            [8, 8, 4, 8]
        );
        assert_eq!(groups[0], "5A32EA72");
        assert_eq!(groups[2], format!("{:04X}", std::process::id() & 0xFFFF));
        assert_eq!(groups[3], "00000001");
        assert_eq!(text.len(), MessageId::TEXT_LEN);
        assert_eq!(text, text.to_uppercase());
    }

    #[test]
    fn the_text_form_reads_back_and_nothing_else_does() {
        let text = "5A32EA72-38F4D5DC-3541-00000008";
        let id: MessageId = text.parse().unwrap();
        let mut written = String::new();
        id.write(&mut written);
        assert_eq!((id.to_string().as_str(), written.as_str()), (text, text));
        assert_eq!(
            MessageId::NIL.to_string(),
            "00000000-00000000-0000-00000000"
        );
        for wrong in [
            "",
            "5A32EA72-38F4D5DC-3541",
            "5a32ea72-38F4D5DC-3541-00000008",
            &format!("{text}-"),
        ] {
            assert_eq!(wrong.parse::<MessageId>(), Err(MessageIdError), "{wrong}");
        }
    }

    /// S-22: four random bytes, renewed every 1000 ids.
    #[test]
    fn the_random_group_is_renewed_every_thousand_ids() {
        let ids = MessageIds::new();
        let drawn: Vec<MessageId> = (0..3000).map(|_| ids.next(1)).collect();
        let randoms: HashSet<u32> = drawn.iter().map(|id| id.random).collect();
        assert_eq!(randoms.len(), 3);
        assert_eq!(drawn[0].random, drawn[999].random);
        assert_ne!(drawn[999].random, drawn[1000].random);
    }

    #[test]
    #[expect(
        clippy::needless_collect,
        reason = "all threads run before the first is joined"
    )]
    fn ids_are_unique_from_eight_threads() {
        let ids = MessageIds::new();
        let all: Vec<MessageId> = thread::scope(|scope| {
            let draw = || (0..10_000).map(|_| ids.next(7)).collect::<Vec<_>>();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(draw)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 80_000);
    }
}
