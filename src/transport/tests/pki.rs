//! Authorities, and the certificates they make.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlIssuingDistributionPoint,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SanType,
    SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority.
pub(super) struct Ca {
    params: CertificateParams,
    key: KeyPair,
    /// Its certificate, and those above it but the root.
    chain: Vec<CertificateDer<'static>>,
    pem: String,
}

/// A certificate, what leads to its root, and its key.
pub(super) struct Leaf {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) pem: String,
    pub(super) key_pem: String,
}

impl Ca {
    pub(super) fn root(name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { params, key, chain: Vec::new(), pem: certificate.pem() }
    }

    /// One under it.
    pub(super) fn under(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (authority(name), KeyPair::generate().unwrap());
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        let chain = [vec![certificate.der().clone()], self.chain.clone()].concat();
        Self { params, key, chain, pem: certificate.pem() }
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server.
    pub(super) fn server(&self) -> Leaf {
        self.leaf(|params| {
            params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A certificate for a client, serial number 7.
    pub(super) fn client(&self) -> Leaf {
        self.leaf(|_| {})
    }

    /// The same, changed.
    pub(super) fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&[7]));
        params.subject_alt_names = vec![SanType::URI("spiffe://test/client".try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Leaf {
            chain: [vec![certificate.der().clone()], self.chain.clone()].concat(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// The list of those it has revoked.
    pub(super) fn crl(&self, serials: &[u8]) -> String {
        self.crl_with(serials, |_| {})
    }

    pub(super) fn crl_with(
        &self,
        serials: &[u8],
        change: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> String {
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let mut params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None::<CrlIssuingDistributionPoint>,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        change(&mut params);
        params.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// A certificate that nobody vouches for.
pub(super) fn self_signed() -> Leaf {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).unwrap();
    Leaf {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    }
}

/// A certificate that was made elsewhere, as rcgen makes none so weak. `weak/` was made
/// with `openssl req -x509 -newkey rsa:1024` and `openssl x509 -req -sha1`; whoever has
/// its key can do nothing with it, as nobody takes the certificates.
pub(super) fn weak(pem: &str) -> Leaf {
    use rustls::pki_types::pem::PemObject as _;
    let key_pem = include_str!("weak/leaf.key");
    Leaf {
        chain: vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()],
        key: PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap(),
        pem: pem.to_owned(),
        key_pem: key_pem.to_owned(),
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(SerialNumber::from_slice(&[3]));
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Makes a certificate end so long after now.
pub(super) fn end(params: &mut CertificateParams, after: Duration) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + after;
}

/// Writes a file that only its owner may read.
pub(super) fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// What is in a file in PEM.
pub(super) fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).unwrap()
}

/// A file in PEM with this in it.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
