//! [`Headers`]: the view of a request that authentication needs: its header fields, its query, who its connection is.
//!
//! A trait instead of a type, so that the toolkit's request head and `http::HeaderMap` both
//! fit without this crate knowing either.

use crate::CertificatePart;

/// One request, as far as authentication looks at it.
pub trait Headers: Sync {
    /// The values of all fields of this name, in the order received. The name is compared
    /// without regard to case; a value is what stands between the optional white space.
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a>;

    /// The part of the request's target behind its `?`. Default: none.
    fn query(&self) -> Option<&str> {
        None
    }

    /// The names of this kind in the client's certificate, if mutual TLS has verified one. Default: none.
    fn certificate_names(&self, part: CertificatePart) -> Vec<String> {
        let _ = part;
        Vec::new()
    }

    /// The token in the client's first message, where one was waited for. Default: none.
    fn first_message(&self) -> Option<&[u8]> {
        None
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for &[(N, V)] {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        values_of(self, name)
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync, const COUNT: usize> Headers for [(N, V); COUNT] {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        values_of(self, name)
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for Vec<(N, V)> {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        values_of(self, name)
    }
}

fn values_of<'a, N: AsRef<str>, V: AsRef<[u8]>>(
    fields: &'a [(N, V)],
    name: &'a str,
) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
    Box::new(
        fields
            .iter()
            .filter(move |(field, _)| field.as_ref().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref()),
    )
}
