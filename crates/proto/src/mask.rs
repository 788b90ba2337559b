//! XOR with the masking key (RFC 6455 section 5.3), many bytes at a time in safe Rust, and
//! the answer to "is it UTF-8?" for a whole payload.
//!
//! The compiler turns the loop for long payloads into vector instructions. The same pass collects
//! whether every byte is ASCII, which decides most text without a second pass.

/// Unmasks (or masks) `data` in place. `phase` is the position of the first byte within the
/// frame's payload. Returns whether all bytes are ASCII afterwards.
#[inline]
pub(crate) fn apply(data: &mut [u8], key: [u8; 4], phase: usize) -> bool {
    // Rotated so that its first byte goes with the first byte of `data`.
    let bits = match phase & 3 {
        0 => 0,
        1 => 8,
        2 => 16,
        _ => 24,
    };
    let key = u32::from_le_bytes(key).rotate_right(bits).to_le_bytes();
    if data.len() <= SHORT_MAX {
        short(data, key)
    } else {
        long(data, key)
    }
}

/// Up to here the vectorised loop costs more to enter than it saves.
const SHORT_MAX: usize = 128;

#[inline]
fn short(data: &mut [u8], [a, b, c, d]: [u8; 4]) -> bool {
    let wide = u128::from_ne_bytes([a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d]);
    let (chunks, rest) = data.as_chunks_mut::<16>();
    let mut high = 0_u128;
    for chunk in chunks {
        let word = u128::from_ne_bytes(*chunk) ^ wide;
        high |= word;
        *chunk = word.to_ne_bytes();
    }
    let narrow = u32::from_ne_bytes([a, b, c, d]);
    let (fours, rest) = rest.as_chunks_mut::<4>();
    let mut high_rest = 0_u32;
    for four in fours {
        let word = u32::from_ne_bytes(*four) ^ narrow;
        high_rest |= word;
        *four = word.to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c]) {
        *byte ^= key;
        high_rest |= u32::from(*byte);
    }
    high & u128::from_ne_bytes([0x80; 16]) == 0 && high_rest & 0x8080_8080 == 0
}

fn long(data: &mut [u8], [a, b, c, d]: [u8; 4]) -> bool {
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = data.as_chunks_mut::<8>();
    let mut high = 0_u64;
    for chunk in chunks {
        let word = u64::from_ne_bytes(*chunk) ^ wide;
        high |= word;
        *chunk = word.to_ne_bytes();
    }
    let mut high_rest = 0_u8;
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
        high_rest |= *byte;
    }
    high & 0x8080_8080_8080_8080 == 0 && high_rest & 0x80 == 0
}

/// The whole slice as text, if it is UTF-8.
pub(crate) fn is_utf8(data: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_equals_the_definition_for_every_length_and_phase() {
        let key = [0x12, 0x34, 0xfe, 0xa5];
        for len in 0..200_usize {
            for phase in 0..9_usize {
                let plain: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
                let mut fast = plain.clone();
                let ascii = apply(&mut fast, key, phase);
                let slow: Vec<u8> = plain
                    .iter()
                    .enumerate()
                    .map(|(i, b)| b ^ key[(i + phase) % 4])
                    .collect();
                assert_eq!(fast, slow, "len {len} phase {phase}");
                assert_eq!(ascii, slow.is_ascii(), "len {len} phase {phase}");
            }
        }
    }
}
