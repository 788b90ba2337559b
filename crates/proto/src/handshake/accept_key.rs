//! The proof that a server understood the handshake: Base64(SHA-1(key + GUID)), RFC 6455
//! section 4.2.2. SHA-1 (RFC 3174) and Base64 (RFC 4648 section 4) in the few lines this needs.

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The `Sec-WebSocket-Accept` value for a `Sec-WebSocket-Key` value.
pub fn accept_key(key: &[u8]) -> String {
    base64(&sha1(&[key, GUID].concat()))
}

/// Returns whether `key` is 16 bytes in Base64, as section 4.1 demands.
pub(super) fn is_valid_key(key: &[u8]) -> bool {
    let [body @ .., last, b'=', b'='] = key else {
        return false;
    };
    // The last character carries two bits of the 16th byte; the other four must be zero.
    body.len() == 21 && body.iter().all(|c| ALPHABET.contains(c)) && b"AQgw".contains(last)
}

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let [a, b, c] = match group {
            [a, b, c] => [*a, *b, *c],
            [a, b] => [*a, *b, 0],
            [a] => [*a, 0, 0],
            _ => continue,
        };
        let word = u32::from_be_bytes([0, a, b, c]);
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let index = usize::try_from((word >> shift) & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).copied().unwrap_or(b'=');
            out.push(if i <= group.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}

/// SHA-1 of a short input. Broken as a signature hash; here it only proves that the peer
/// speaks WebSocket.
fn sha1(input: &[u8]) -> [u8; 20] {
    let mut data = input.to_vec();
    data.push(0x80);
    while data.len() % 64 != 56 {
        data.push(0);
    }
    data.extend_from_slice(&(input.len() as u64).wrapping_mul(8).to_be_bytes());
    let mut h: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];
    for block in data.as_chunks::<64>().0 {
        sha1_block(&mut h, block);
    }
    let mut out = [0; 20];
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(h) {
        *bytes = word.to_be_bytes();
    }
    out
}

#[expect(clippy::many_single_char_names, reason = "the letters of RFC 3174")]
fn sha1_block(h: &mut [u32; 5], block: &[u8; 64]) {
    // The last 16 words are all the schedule needs; w[0] is always the current one.
    let mut w = [0_u32; 16];
    for (word, bytes) in w.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *h;
    for round in 0..80_u32 {
        let (f, k) = match round {
            0..20 => ((b & c) | (!b & d), 0x5a82_7999_u32),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6),
        };
        let [word, _, w2, _, _, _, _, _, w8, _, _, _, _, w13, ..] = w;
        let next = a
            .rotate_left(5)
            .wrapping_add(f)
            .wrapping_add(e)
            .wrapping_add(k)
            .wrapping_add(word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        w.rotate_left(1);
        w[15] = (w13 ^ w8 ^ w2 ^ word).rotate_left(1);
    }
    for (sum, part) in h.iter_mut().zip([a, b, c, d, e]) {
        *sum = sum.wrapping_add(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
            .collect()
    }

    #[test]
    fn sha1_matches_the_vectors_of_rfc_3174() {
        assert_eq!(hex(&sha1(b"")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(
            hex(&sha1(b"abc")),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(
            hex(&sha1(two_blocks)),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        );
        assert_eq!(
            hex(&sha1(&vec![b'a'; 1_000_000])),
            "34aa973cd4c4daa4f61eeb2bdbad27316534016f"
        );
    }

    #[test]
    fn base64_matches_the_vectors_of_rfc_4648() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn the_accept_value_is_that_of_rfc_6455_section_1_3() {
        assert_eq!(
            accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        assert!(is_valid_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in [
            &b""[..],
            b"AAAA",
            b"dGhlIHNhbXBsZSBub25jZR==",
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25j!Q==",
        ] {
            assert!(!is_valid_key(bad), "{bad:?}");
        }
    }
}
