//! A table of certificates with which nobody gets in, over both versions of TLS; and that what makes each of them bad is
//! the one thing that differs from a good one.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose as Usage, GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints,
    SigningKey, date_time_ymd,
};
use rustls::{
    ClientConfig, SupportedProtocolVersion,
    client::ResolvesClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{
    Authority, Served, clients_usage,
    handshake::{connect, is_upgraded, roots},
    mutual::{mutual, with_serial},
    servers_usage,
};

/// Shows these certificates whatever the server asks for, with a key that need not be theirs.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(
        &self,
        _roots: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

type Chain = Vec<CertificateDer<'static>>;

/// A server's authority, and the key of its clients.
struct Fixture {
    authority: Authority,
    key: KeyPair,
}

fn ca(name: &str, depth: Option<u8>) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let constraints = depth.map_or(
        BasicConstraints::Unconstrained,
        BasicConstraints::Constrained,
    );
    params.is_ca = IsCa::Ca(constraints);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn usage(purposes: &[Usage]) -> CertificateParams {
    let mut params = clients_usage();
    params.extended_key_usages = purposes.to_vec();
    params
}

fn between(from: i32, to: i32) -> CertificateParams {
    let mut params = clients_usage();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

impl Fixture {
    fn leaf(&self, params: &CertificateParams) -> Chain {
        self.leaf_of(params, self.authority.issuer())
    }

    fn leaf_of<S: SigningKey>(&self, params: &CertificateParams, issuer: &Issuer<'_, S>) -> Chain {
        vec![params.signed_by(&self.key, issuer).unwrap().into()]
    }

    /// A chain of a good client certificate under an authority of these parameters.
    fn through(&self, middle: CertificateParams) -> Chain {
        let key = KeyPair::generate().unwrap();
        let middle = CertifiedIssuer::signed_by(middle, key, self.authority.issuer()).unwrap();
        let mut chain = self.leaf_of(&clients_usage(), &middle);
        chain.push(middle.der().clone());
        chain
    }

    /// What is wrong, and what is shown.
    fn bad(&self) -> Vec<(&'static str, Chain)> {
        let mut bad = self.bad_leaves();
        bad.extend(self.bad_authorities());
        bad.extend(self.bad_bytes());
        bad
    }

    fn bad_leaves(&self) -> Vec<(&'static str, Chain)> {
        let good = clients_usage();
        let (stranger, same_name) = (Authority::new(), Authority::called(NAME));
        let mut critical = clients_usage();
        let mut extension =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(true);
        critical.custom_extensions.push(extension);
        let mut authority = clients_usage();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let for_use = |purpose| self.leaf(&usage(&[purpose]));
        let own = good.self_signed(&self.key).unwrap();
        vec![
            ("its own word", vec![own.into()]),
            ("a stranger's", self.leaf_of(&good, stranger.issuer())),
            ("a namesake's", self.leaf_of(&good, same_name.issuer())),
            ("expired", self.leaf(&between(2020, 2021))),
            ("not valid yet", self.leaf(&between(4000, 4001))),
            ("ends before it begins", self.leaf(&between(2030, 2020))),
            ("for servers", self.leaf(&servers_usage())),
            ("for code", for_use(Usage::CodeSigning)),
            ("for mail", for_use(Usage::EmailProtection)),
            ("for time stamps", for_use(Usage::TimeStamping)),
            ("for OCSP", for_use(Usage::OcspSigning)),
            ("for other things", for_use(Usage::Other(vec![1, 2, 3, 4]))),
            ("an authority's own", self.leaf(&authority)),
            ("an unknown critical extension", self.leaf(&critical)),
        ]
    }

    fn bad_authorities(&self) -> Vec<(&'static str, Chain)> {
        let named = |permitted: &[&str], excluded: &[&str]| {
            let trees = |names: &[&str]| {
                let names = names.iter().copied().map(str::to_owned);
                names.map(GeneralSubtree::DnsName).collect()
            };
            let mut middle = ca("middle", None);
            middle.name_constraints = Some(NameConstraints {
                permitted_subtrees: trees(permitted),
                excluded_subtrees: trees(excluded),
            });
            self.through(middle)
        };
        let mut for_servers = ca("middle", None);
        for_servers.extended_key_usages = vec![Usage::ServerAuth];
        let (mut past, mut future) = (ca("middle", None), ca("middle", None));
        past.not_after = date_time_ymd(2021, 1, 1);
        future.not_before = date_time_ymd(4000, 1, 1);
        let mut not_shown = self.through(ca("middle", None));
        not_shown.truncate(1);
        vec![
            ("no authority", self.through(clients_usage())),
            ("an authority that has expired", self.through(past)),
            ("an authority not valid yet", self.through(future)),
            ("an authority for servers", self.through(for_servers)),
            ("other names", named(&["elsewhere.example"], &[])),
            ("all names but this", named(&[], &["client"])),
            ("an authority that is not shown", not_shown),
            ("too many authorities", self.too_deep()),
        ]
    }

    fn bad_bytes(&self) -> Vec<(&'static str, Chain)> {
        let good = self.leaf(&clients_usage()).remove(0);
        let mut changed = good.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let cut = good[..good.len() - 1].to_vec();
        let mut longer = good.to_vec();
        longer.push(0);
        let bytes = [
            ("changed after it was signed", changed),
            ("cut short", cut),
            ("with a byte behind it", longer),
            ("no certificate", vec![0x30, 0x03, 1, 1, 0]),
            ("nothing", Vec::new()),
        ];
        let chains = bytes.map(|(what, bytes)| (what, vec![CertificateDer::from(bytes)]));
        chains.into()
    }

    /// Under an authority that may have none below it.
    fn too_deep(&self) -> Chain {
        let upper = CertifiedIssuer::signed_by(
            ca("upper", Some(0)),
            KeyPair::generate().unwrap(),
            self.authority.issuer(),
        );
        let upper = upper.unwrap();
        let lower =
            CertifiedIssuer::signed_by(ca("lower", None), KeyPair::generate().unwrap(), &upper);
        let lower = lower.unwrap();
        let mut chain = self.leaf_of(&clients_usage(), &lower);
        chain.extend([lower.der().clone(), upper.der().clone()]);
        chain
    }
}

const NAME: &str = "the one that is trusted";

/// What a client that shows this chain, and signs with this key, comes to.
async fn is_let_in(
    served: &Served,
    authority: &Authority,
    chain: &Chain,
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
) -> bool {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let shown = Arc::new(CertifiedKey::new(chain.clone(), key));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots(authority))
        .with_client_cert_resolver(Arc::new(Shows(shown)));
    // With TLS 1.3 a client learns of the refusal with its first read.
    match connect(served, &Arc::new(config)).await {
        Ok(mut stream) => is_upgraded(&mut stream).await,
        Err(_refused) => false,
    }
}

#[tokio::test]
async fn nobody_gets_in_with_a_certificate_that_is_wrong_in_one_thing() {
    let fixture = Fixture {
        authority: Authority::called(NAME),
        key: KeyPair::generate().unwrap(),
    };
    let served = Served::start(mutual(&fixture.authority).build().unwrap());
    let another_key = KeyPair::generate().unwrap();
    for version in [&TLS12, &TLS13] {
        let enters = async |chain: &Chain, key: &KeyPair| {
            is_let_in(&served, &fixture.authority, chain, key, version).await
        };
        for good in [
            fixture.leaf(&clients_usage()),
            fixture.leaf(&usage(&[])),
            fixture.through(ca("middle", None)),
            fixture.through(ca("middle", Some(0))),
        ] {
            assert!(enters(&good, &fixture.key).await, "{version:?}");
        }
        let bad = fixture.bad();
        assert!(bad.len() >= 25);
        for (what, chain) in bad {
            assert!(!enters(&chain, &fixture.key).await, "{what}, {version:?}");
        }
        let copied = fixture.leaf(&clients_usage());
        assert!(!enters(&copied, &another_key).await, "{version:?}");
    }
}

#[tokio::test]
async fn a_revoked_authority_revokes_whom_it_has_vouched_for() {
    let fixture = Fixture {
        authority: Authority::called(NAME),
        key: KeyPair::generate().unwrap(),
    };
    let list = fixture.authority.revoke(&[99], 4000);
    // Nobody has made a list for the authority in the middle.
    let tls = mutual(&fixture.authority).crl_file(list);
    let tls = tls.danger_allow_unknown_revocation().build().unwrap();
    let served = Served::start(tls);
    let middle = |serial: u64| {
        let mut params = ca("middle", None);
        params.serial_number = with_serial(serial).serial_number;
        fixture.through(params)
    };
    for version in [&TLS12, &TLS13] {
        for (serial, expected) in [(98, true), (99, false)] {
            let chain = middle(serial);
            let entered = is_let_in(&served, &fixture.authority, &chain, &fixture.key, version);
            assert_eq!(entered.await, expected, "{serial} {version:?}");
        }
    }
}
