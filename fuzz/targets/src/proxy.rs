//! What stands before a server or a client: PROXY headers of balancers, answers of proxies.
//! The same result in any cut, and what is read can be written and read again.

use arbitrary::Unstructured;
use tidewire_proto::proxy::{HEADER_BYTES_MAX, Header, ProxyUrl, Step, Tunnel, TunnelError};

use crate::script;

pub(crate) fn header(data: &[u8]) {
    let whole = Header::scan(data, HEADER_BYTES_MAX);
    for end in 0..data.len() {
        match Header::scan(&data[..end], HEADER_BYTES_MAX) {
            Ok(None) => {}
            Ok(Some(found)) => {
                assert_eq!(
                    whole,
                    Ok(Some(found)),
                    "the same header with more behind it"
                );
            }
            Err(_) => {
                assert!(whole.is_err(), "what was refused stays refused");
                break;
            }
        }
    }
    let Ok(Some((header, len))) = whole else {
        return;
    };
    assert!((1..=data.len().min(HEADER_BYTES_MAX)).contains(&len));
    let line = header.encode_v1();
    let again = Header::scan(line.as_bytes(), HEADER_BYTES_MAX);
    let again = again.expect("a line of ours").expect("all of it");
    assert_eq!(again.1, line.len(), "a line ends where it ends");
    for checksum in [false, true] {
        let bytes = header.encode_v2(checksum).expect("what came in fits");
        // The checksum may be more than came in.
        let again = Header::scan(&bytes, HEADER_BYTES_MAX + 7);
        let (again, len) = again.expect("a header of ours").expect("all of it");
        assert_eq!(len, bytes.len(), "a header ends where it ends");
        assert_eq!(again.command, header.command);
        assert_eq!(again.addresses, header.addresses, "the same addresses");
    }
}

/// A proxy that answers anything: the handshake opens, fails or wants more, the same in any cut.
pub(crate) fn tunnel(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let (Ok(socks), Ok(cuts)) = (u.arbitrary::<bool>(), script::cuts(&mut u)) else {
        return;
    };
    let answer = u.take_rest();
    let proxy = if socks {
        "socks5://name:secret@proxy:1080"
    } else {
        "http://name:secret@proxy:3128"
    };
    let whole = through(proxy, answer, &[]);
    assert_eq!(whole, through(proxy, answer, &cuts), "in cuts of {cuts:?}");
    assert_eq!(whole, through(proxy, answer, &[1]), "byte by byte");
}

/// How many bytes of the answer the tunnel took, if it opened, and what was sent.
fn through(
    proxy: &str,
    answer: &[u8],
    cuts: &[u8],
) -> Result<(Option<usize>, Vec<u8>), TunnelError> {
    let proxy = ProxyUrl::parse(proxy).expect("a valid address");
    let (mut tunnel, mut sent) = Tunnel::new(&proxy, "example.com", 443).expect("a valid host");
    let mut sizes = cuts.iter().cycle();
    let (mut from, mut to) = (0, 0);
    while to < answer.len() {
        let size = sizes
            .next()
            .map_or(answer.len(), |size| usize::from(*size).max(1));
        to = to.saturating_add(size).min(answer.len());
        while from < to {
            match tunnel.receive(&answer[from..to])? {
                Step::More => break,
                Step::Write { used, bytes } => {
                    assert!((1..=to - from).contains(&used), "an answer was used");
                    from += used;
                    sent.extend(bytes);
                }
                Step::Open { used } => {
                    assert!((1..=to - from).contains(&used), "an answer was used");
                    return Ok((Some(from + used), sent));
                }
            }
        }
    }
    Ok((None, sent))
}
