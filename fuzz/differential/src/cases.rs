//! Streams from a seed: frames that are mostly valid, the same with a few bytes changed, and
//! plain noise.

use arbitrary::{Arbitrary as _, Unstructured};
use tidewire_fuzz::{Random, Script};
use tidewire_proto::Role;

/// What one receiver is given.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) receiver: Role,
    pub(crate) stream: Vec<u8>,
}

impl Case {
    pub(crate) fn receiver_name(&self) -> &'static str {
        match self.receiver {
            Role::Server => "server",
            Role::Client => "client",
        }
    }

    pub(crate) fn hex(&self) -> String {
        hex(&self.stream)
    }
}

/// The case with this number.
pub(crate) fn case(seed: u64, index: u64) -> Case {
    let mut random = Random::new(seed.wrapping_mul(1 << 32).wrapping_add(index));
    let first = script(&mut random);
    let stream = match index % 4 {
        0 | 1 => first.bytes,
        2 => {
            let second = script(&mut random);
            random.mutate(&first.bytes, &second.bytes)
        }
        _ => {
            // Behind a valid beginning, so that noise is also met in the middle of a message.
            let noise = random.bytes(60);
            let kept = random.below(first.bytes.len() + 1);
            [&first.bytes[..kept], &noise].concat()
        }
    };
    Case {
        receiver: first.receiver,
        stream,
    }
}

fn script(random: &mut Random) -> Script {
    loop {
        let bytes = random.bytes(900);
        if let Ok(script) = Script::arbitrary(&mut Unstructured::new(&bytes))
            && !script.bytes.is_empty()
        {
            return script;
        }
    }
}

/// Lower-case digits; `-` for nothing, so that a column is never empty.
pub(crate) fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
