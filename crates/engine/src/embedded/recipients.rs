//! The list of mailboxes that a shared row stands for, as it lies in the file: [`Recipients`].
//!
//! In: users and offsets. Out: the same, in their order. For each entry the length of the user's
//! key (LEB128), the key, and the offset (LEB128): about ten bytes, so that a message to many costs
//! little more than its body. Invariant: a list that was read is well-formed to its end.

/// A well-formed list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipients<'a>(&'a [u8]);

impl<'a> Recipients<'a> {
    /// Appends an entry to the list in `out`.
    pub(super) fn push(out: &mut Vec<u8>, user: &str, offset: u64) {
        push_number(out, user.len() as u64);
        out.extend_from_slice(user.as_bytes());
        push_number(out, offset);
    }

    /// `None` if the bytes are no list, or an empty one.
    pub(super) fn check(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (user, offset) = take_entry(&mut rest)?;
            std::str::from_utf8(user).ok()?;
            if offset == 0 {
                return None;
            }
        }
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    /// The list that [`Recipients::push`] has made; `None` if that was never called.
    pub(super) fn pushed(list: &'a [u8]) -> Option<Self> {
        (!list.is_empty()).then_some(Self(list))
    }

    /// The entries in the order in which they were added.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'a str, u64)> {
        let text = |(user, offset)| Some((std::str::from_utf8(user).ok()?, offset));
        self.entries().filter_map(text)
    }

    pub(super) fn contains(self, user: &str, offset: u64) -> bool {
        self.entries()
            .any(|entry| entry == (user.as_bytes(), offset))
    }

    fn entries(self) -> impl Iterator<Item = (&'a [u8], u64)> {
        let mut rest = self.0;
        std::iter::from_fn(move || take_entry(&mut rest))
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// `None` at the end, and where no entry begins.
fn take_entry<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], u64)> {
    let len = usize::try_from(take_number(rest)?).ok()?;
    let (user, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some((user, take_number(rest)?))
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(&str, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (user, offset) in entries {
            Recipients::push(&mut bytes, user, *offset);
        }
        bytes
    }

    #[test]
    fn a_list_reads_back() {
        let long = "x".repeat(200);
        let entries = [("ann", 1), ("Пётр", 127), (&long, 128), ("", u64::MAX)];
        let bytes = list(&entries);
        let read: Vec<_> = Recipients::check(&bytes).unwrap().iter().collect();
        assert_eq!(read, entries);
    }

    #[test]
    fn damage_is_no_list_and_never_panics() {
        let bytes = list(&[("ann", 300), ("bob", 2)]);
        for cut in [1, 3, 4, 5, 7, 10] {
            assert!(Recipients::check(&bytes[..cut]).is_none(), "{cut} bytes");
        }
        for wrong in [
            &[][..],
            &[0, 0],
            &[1, 0xff, 1],
            &[0xff; 20],
            &[0x80; 20],
            &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert!(Recipients::check(wrong).is_none(), "{wrong:?}");
        }
    }
}
