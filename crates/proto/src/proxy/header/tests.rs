//! Headers written by hand from the specification, in any cut, damaged in any place.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const V1_TCP4: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n";
const V1_TCP6: &[u8] = b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n";
/// The longest line there can be: 107 bytes.
const V1_LONGEST: &[u8] = b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
    ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
const V2_TCP4: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\
    \xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb";
const V2_TCP6: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04\x01\xbb";
/// As balancers send it for a health check: LOCAL, family 0, nothing behind.
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
/// LOCAL with a family and a block that make no sense; both must be ignored.
const V2_LOCAL_BLOCK: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\xff\x00\x05\x03\x00\x04ab";
const V2_UNSPEC: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x02\xff\xff";
/// 12 bytes of addresses; ALPN h2, authority a.b, padding, unique id 7, unknown type 0xe0, and
/// TLS: certificate in this connection, verified, with version and common name.
const V2_TLVS: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x3c\
    \xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\
    \x01\x00\x02h2\x02\x00\x03a.b\x04\x00\x01\0\x05\x00\x01\x07\xe0\x00\x00\
    \x20\x00\x17\x03\0\0\0\0\x21\x00\x07TLSv1.3\x22\x00\x05alice";

/// With a CRC-32C, calculated by another program.
const V2_CHECKSUM: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13\
    \xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x03\x00\x04\xd4\x5a\x11\xb9";

fn tcp4() -> Header {
    Header::tcp(
        "192.0.2.1:56324".parse().unwrap(),
        "198.51.100.7:443".parse().unwrap(),
    )
}

fn tcp6() -> Header {
    Header::tcp(
        "[2001:db8::1]:56324".parse().unwrap(),
        "[2001:db8::2]:443".parse().unwrap(),
    )
}

fn v1(mut header: Header) -> Header {
    header.version = Version::V1;
    header
}

fn scan(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    Header::scan(bytes, HEADER_BYTES_MAX)
}

/// Every prefix asks for more, the whole gives the header, and what follows is left alone.
fn check(bytes: &[u8], header: &Header) {
    for cut in 0..bytes.len() {
        assert_eq!(scan(&bytes[..cut]), Ok(None), "cut at {cut}");
    }
    let expected = Ok(Some((header.clone(), bytes.len())));
    assert_eq!(scan(bytes), expected);
    for behind in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\0",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"PROXY ",
    ] {
        assert_eq!(scan(&[bytes, behind].concat()), expected);
    }
}

#[test]
fn headers_of_both_versions_are_read_in_any_cut() {
    check(V1_TCP4, &v1(tcp4()));
    check(V1_TCP6, &v1(tcp6()));
    check(V2_TCP4, &tcp4());
    check(V2_TCP6, &tcp6());
    check(V2_LOCAL, &Header::local());
    let mut unknown = v1(Header::local());
    unknown.command = Command::Proxy;
    check(b"PROXY UNKNOWN\r\n", &unknown);
    assert_eq!(V1_LONGEST.len(), 107);
    check(V1_LONGEST, &unknown);
    unknown.version = Version::V2;
    check(V2_UNSPEC, &unknown);
}

#[test]
fn a_local_command_makes_the_rest_of_the_header_void() {
    check(V2_LOCAL_BLOCK, &Header::local());
}

#[test]
fn tlvs_are_kept_and_read_by_name() {
    let (header, len) = scan(V2_TLVS).unwrap().unwrap();
    check(V2_TLVS, &header);
    assert_eq!(len, V2_TLVS.len());
    assert_eq!(header.addresses, tcp4().addresses);
    let tlvs = &header.tlvs;
    assert_eq!(tlvs.alpn(), Some(&b"h2"[..]));
    assert_eq!(tlvs.authority(), Some("a.b"));
    assert_eq!(tlvs.unique_id(), Some(&[7][..]));
    assert_eq!(tlvs.value(0xe0), Some(&[][..]));
    assert_eq!(tlvs.value(0xe1), None);
    let kinds: Vec<u8> = tlvs.iter().map(|tlv| tlv.kind).collect();
    assert_eq!(kinds, [1, 2, 5, 0xe0, 0x20], "padding is no content");
    let ssl = tlvs.ssl().unwrap();
    assert!(ssl.over_tls() && ssl.certificate_verified());
    assert_eq!((ssl.version(), ssl.cipher()), (Some("TLSv1.3"), None));
    assert_eq!(ssl.common_name(), Some("alice"));
}

#[test]
fn a_certificate_the_balancer_did_not_verify_is_not_verified() {
    for (client, verify, verified) in [(3, 0, true), (5, 0, true), (1, 0, false), (3, 1, false)] {
        let mut tlvs = Tlvs::default();
        tlvs.push(Tlvs::SSL, &[client, 0, 0, 0, verify]).unwrap();
        let ssl = tlvs.ssl().unwrap();
        assert_eq!(ssl.certificate_verified(), verified, "{client} {verify}");
    }
}

#[test]
fn what_is_no_header_is_refused_with_its_first_wrong_byte() {
    for (bytes, error) in [
        (&b"GET / HTTP/1.1\r\n"[..], HeaderError::Signature),
        (b"proxy TCP4", HeaderError::Signature),
        (b"PROXZ", HeaderError::Signature),
        (b"\r\n\r\n\r", HeaderError::Signature),
        (b"\r\n\r\n\0\r\nQUIT\r", HeaderError::Signature),
        (b"\x16\x03\x01", HeaderError::Signature),
        (b"\r\n\r\n\0\r\nQUIT\n\x11", HeaderError::Version(1)),
        (b"\r\n\r\n\0\r\nQUIT\n\x31", HeaderError::Version(3)),
        (b"\r\n\r\n\0\r\nQUIT\n\x22", HeaderError::Command(2)),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x41", HeaderError::Family(0x41)),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x13", HeaderError::Family(0x13)),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x10", HeaderError::Family(0x10)),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b",
            HeaderError::TooShort {
                expected: 12,
                announced: 11,
            },
        ),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x20\x00\xff\xff",
            HeaderError::TooLarge {
                announced: 65551,
                max: HEADER_BYTES_MAX,
            },
        ),
    ] {
        assert_eq!(scan(bytes), Err(error), "{}", bytes.escape_ascii());
        let before = &bytes[..bytes.len() - 1];
        assert!(
            scan(before) == Ok(None) || error == HeaderError::Signature,
            "{}: refused late",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn the_limit_of_a_header_is_exact() {
    assert!(Header::scan(V2_TCP4, V2_TCP4.len()).unwrap().is_some());
    assert!(matches!(
        Header::scan(V2_TCP4, V2_TCP4.len() - 1),
        Err(HeaderError::TooLarge {
            announced: 28,
            max: 27
        })
    ));
}

#[test]
fn lines_that_break_a_rule_are_refused() {
    let ports = HeaderError::Line("ports from 0 to 65535");
    let v4 = HeaderError::Line("IPv4 addresses behind TCP4");
    let v6 = HeaderError::Line("IPv6 addresses behind TCP6");
    let four = HeaderError::Line("two IPv4 addresses and two ports");
    let end = HeaderError::Line("CR LF at the end");
    let family = HeaderError::Line("TCP4, TCP6 or UNKNOWN");
    for (line, error) in [
        ("PROXY \r\n", family),
        ("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", family),
        ("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", family),
        ("PROXY UNKNOWNX\r\n", family),
        ("PROXY TCP4\r\n", four),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", four),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", four),
        ("PROXY TCP4 1.1.1.1  2.2.2.2 1\r\n", ports),
        ("PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", v4),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", v4),
        ("PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", v4),
        ("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", v6),
        ("PROXY TCP6 ::1%lo ::1 1 2\r\n", v6),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", ports),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", ports),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", ports),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", ports),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", end),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rX", end),
    ] {
        assert_eq!(scan(line.as_bytes()), Err(error), "{line:?}");
    }
    let endless = [&b"PROXY UNKNOWN "[..], &[b'a'; 200]].concat();
    assert_eq!(scan(&endless[..106]), Ok(None));
    for len in 107..endless.len() {
        assert_eq!(scan(&endless[..len]), Err(HeaderError::LineTooLong));
    }
    let mut late = endless;
    late[106..108].copy_from_slice(b"\r\n"); // 108 bytes
    assert!(scan(&late).is_err() && scan(&late[..107]).is_err());
}

#[test]
fn tlvs_of_the_wrong_form_are_refused() {
    for (tlvs, what) in [
        (&b"\x01"[..], "cut in its length"),
        (b"\x01\x00", "cut in its length"),
        (b"\x01\x00\x03h2", "ends behind the header"),
        (b"\x20\x00\x04\x01\0\0\0", "TLS of four bytes"),
        (b"\x20\x00\x07\x01\0\0\0\0\x21\x00", "TLS with a cut part"),
        (b"\x03\x00\x03abc", "a checksum of three bytes"),
    ] {
        let mut bytes = V2_TCP4.to_vec();
        bytes.extend_from_slice(tlvs);
        bytes[15] += u8::try_from(tlvs.len()).unwrap();
        let result = scan(&bytes);
        assert!(
            matches!(result, Err(HeaderError::Tlv(_))),
            "{what}: {result:?}"
        );
    }
}

#[test]
fn every_damaged_bit_of_a_header_with_a_checksum_is_noticed() {
    let mut header = tcp4();
    header.tlvs.push(Tlvs::AUTHORITY, b"example.org").unwrap();
    let good = header.encode_v2(true).unwrap();
    let read = scan(&good).unwrap().unwrap().0;
    assert_eq!(read.tlvs.authority(), Some("example.org"));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        match scan(&bad) {
            Err(_) | Ok(None) => {}
            // PROXY became LOCAL (all is void), the family became unspecified (all is void),
            // or the checksum became another TLV: a checksum inside cannot protect from that.
            Ok(Some((other, _))) => assert!(
                other.addresses == Addresses::Unspecified
                    || other.tlvs.value(Tlvs::CRC32C).is_none(),
                "bit {bit}: {other:?}"
            ),
        }
    }
}

#[test]
fn a_checksum_is_taken_over_the_header_with_its_own_field_zero() {
    let (header, _) = scan(V2_CHECKSUM).unwrap().unwrap();
    check(V2_CHECKSUM, &header);
    assert_eq!(header.addresses, tcp4().addresses);
    let mut bad = V2_CHECKSUM.to_vec();
    bad[27] ^= 1; // the port
    assert_eq!(scan(&bad), Err(HeaderError::Checksum));
}

#[test]
fn a_checksum_behind_the_checksum_damages_the_header() {
    let once = tcp4().encode_v2(true).unwrap();
    let mut twice = once.clone();
    twice.extend_from_slice(&once[28..]);
    twice[15] += 7;
    assert_eq!(scan(&twice), Err(HeaderError::Checksum));
}

#[test]
fn headers_are_written_as_the_specification_shows() {
    assert_eq!(tcp4().encode_v1().as_bytes(), V1_TCP4);
    assert_eq!(tcp6().encode_v1().as_bytes(), V1_TCP6);
    assert_eq!(Header::local().encode_v1(), "PROXY UNKNOWN\r\n");
    assert_eq!(tcp4().encode_v2(false).unwrap(), V2_TCP4);
    assert_eq!(tcp6().encode_v2(false).unwrap(), V2_TCP6);
    assert_eq!(Header::local().encode_v2(false).unwrap(), V2_LOCAL);
    assert_eq!(tcp4().encode_v2(true).unwrap(), V2_CHECKSUM);
    let mixed = Header::tcp("1.2.3.4:5".parse().unwrap(), "[::1]:6".parse().unwrap());
    assert_eq!(
        mixed.addresses.source(),
        Some("[::ffff:1.2.3.4]:5".parse().unwrap())
    );
}

#[test]
fn unix_paths_are_read_and_written_and_bounded() {
    let mut header = tcp4();
    header.transport = Transport::Datagram;
    header.addresses = Addresses::Unix {
        source: Bytes::from_static(b"\0abstract"),
        destination: Bytes::from(vec![b'x'; 108]),
    };
    let bytes = header.encode_v2(false).unwrap();
    assert_eq!((bytes.len(), bytes[13]), (16 + 216, 0x32));
    check(&bytes, &header);
    assert_eq!(header.addresses.source(), None);
    header.addresses = Addresses::Unix {
        source: Bytes::from(vec![b'x'; 109]),
        destination: Bytes::new(),
    };
    assert_eq!(header.encode_v2(false), Err(EncodeError));
}

#[test]
fn a_header_too_long_for_its_length_field_is_not_written() {
    let mut header = tcp4();
    assert_eq!(header.tlvs.push(1, &vec![0; 65536]), Err(EncodeError));
    header.tlvs.push(1, &vec![0; 65535]).unwrap();
    assert_eq!(header.encode_v2(false), Err(EncodeError));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        v6 in any::<bool>(), ips in any::<[u128; 2]>(), ports in any::<[u16; 2]>(),
        tlvs in proptest::collection::vec((32_u8..=255, proptest::collection::vec(any::<u8>(), 0..40)), 0..5),
    ) {
        let address = |ip: u128, port| {
            let ip: std::net::IpAddr = if v6 {
                std::net::Ipv6Addr::from_bits(ip).into()
            } else {
                std::net::Ipv4Addr::from_bits(ip as u32).into()
            };
            SocketAddr::new(ip, port)
        };
        let mut header = Header::tcp(address(ips[0], ports[0]), address(ips[1], ports[1]));
        let line = header.encode_v1();
        prop_assert_eq!(scan(line.as_bytes()), Ok(Some((v1(header.clone()), line.len()))));
        for (kind, value) in tlvs.iter().filter(|(kind, _)| *kind != Tlvs::SSL) {
            header.tlvs.push(*kind, value).unwrap();
        }
        let bytes = header.encode_v2(false).unwrap();
        prop_assert_eq!(scan(&bytes), Ok(Some((header.clone(), bytes.len()))));
        let summed = header.encode_v2(true).unwrap();
        let (read, len) = scan(&summed).unwrap().unwrap();
        prop_assert_eq!(len, summed.len());
        prop_assert_eq!(read.addresses, header.addresses);
    }

    #[test]
    fn bytes_of_any_kind_are_answered_and_the_answer_never_depends_on_the_cut(
        start in 0_usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300,
    ) {
        let input = [[&b""[..], V2_TCP4.get(..13).unwrap(), b"PROXY TCP4 "][start], &bytes].concat();
        let part = scan(&input[..cut.min(input.len())]);
        // What was decided on a part is decided.
        if part != Ok(None) {
            prop_assert_eq!(part, scan(&input));
        }
    }
}
