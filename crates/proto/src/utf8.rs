//! Incremental UTF-8 validation (RFC 6455 section 8.1) that fails at the first bad byte.
//!
//! In: the pieces of a text message in any cut. Invariant: after `push` returned true for all
//! pieces so far, they are a prefix of some valid text. A sequence cut by a piece's end waits
//! in `carry`, at most three bytes.

/// State between two pieces of one message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8 {
    carry: [u8; 4],
    carried: u8,
}

impl Utf8 {
    /// Takes the next piece; false when the text can no longer become valid.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.carried > 0 {
            let Some((first, rest)) = piece.split_first() else {
                return true;
            };
            let len = usize::from(self.carried);
            let Some(slot) = self.carry.get_mut(len) else {
                return false;
            };
            *slot = *first;
            self.carried = self.carried.saturating_add(1);
            piece = rest;
            match std::str::from_utf8(self.carry.get(..len.saturating_add(1)).unwrap_or_default()) {
                Ok(_) => self.carried = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                for (slot, byte) in self
                    .carry
                    .iter_mut()
                    .zip(piece.get(error.valid_up_to()..).unwrap_or_default())
                {
                    *slot = *byte;
                    self.carried = self.carried.saturating_add(1);
                }
                true
            }
        }
    }

    /// Returns whether the text may end here.
    pub(crate) fn is_complete(self) -> bool {
        self.carried == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], cut: &[usize]) -> (bool, bool) {
        let mut utf8 = Utf8::default();
        let mut from = 0;
        for to in cut.iter().copied().chain([bytes.len()]) {
            let to = to.clamp(from, bytes.len());
            if !utf8.push(&bytes[from..to]) {
                return (false, false);
            }
            from = to;
        }
        (true, utf8.is_complete())
    }

    #[test]
    fn a_bad_byte_fails_at_once_and_a_cut_sequence_waits() {
        assert_eq!(
            check("κόσμε😀".as_bytes(), &[1, 3, 5, 11, 12, 13]),
            (true, true)
        );
        assert_eq!(check(b"\xf0\x9f\x98", &[1, 2]), (true, false));
        assert_eq!(
            check(b"\xf4\x90", &[1]),
            (false, false),
            "above U+10FFFF is known at the second byte"
        );
        assert_eq!(
            check(b"\xed\xa0", &[1]),
            (false, false),
            "a surrogate is known at the second byte"
        );
        assert_eq!(check(b"abc\xff", &[2]), (false, false));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_verdict_of_the_whole(
            bytes in prop_oneof![any::<Vec<u8>>(), any::<String>().prop_map(String::into_bytes)],
            mut cuts in prop::collection::vec(0..64_usize, 0..6),
        ) {
            cuts.sort_unstable();
            let (alive, complete) = check(&bytes, &cuts);
            prop_assert_eq!(alive && complete, std::str::from_utf8(&bytes).is_ok());
        }
    }
}
