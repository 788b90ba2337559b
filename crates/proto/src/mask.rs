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
    let key = u32::from_le_bytes(key).rotate_right(bits);
    let key = u64::from(key) << 32 | u64::from(key);
    let (chunks, rest) = data.as_chunks_mut::<8>();
    let mut high = 0_u64;
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk) ^ key;
        high |= word;
        *chunk = word.to_le_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.to_le_bytes()) {
        *byte ^= key;
        high |= u64::from(*byte);
    }
    high & 0x8080_8080_8080_8080 == 0
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
