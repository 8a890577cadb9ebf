//! The certificates of a test: an authority for the gateway, one for its clients, and
//! what they make.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
};

/// An authority.
pub struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

/// A certificate and its key, in PEM.
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Ca {
    /// An authority of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a gateway on this machine.
    #[must_use]
    pub fn server(&self) -> Leaf {
        let names =
            [SanType::DnsName("localhost".try_into().unwrap()), SanType::IpAddress([127, 0, 0, 1].into())];
        self.leaf(1, names.to_vec(), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client of this URI.
    #[must_use]
    pub fn client(&self, serial: u64, uri: &str) -> Leaf {
        self.leaf(serial, vec![SanType::URI(uri.try_into().unwrap())], CLIENT)
    }

    /// The same, but that it ended long ago.
    #[must_use]
    pub fn expired_client(&self, uri: &str) -> Leaf {
        let mut params = params(1, vec![SanType::URI(uri.try_into().unwrap())], CLIENT);
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
        self.signed(&params)
    }

    fn leaf(&self, serial: u64, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> Leaf {
        self.signed(&params(serial, names, usage))
    }

    fn signed(&self, params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The list of those it has revoked, in PEM.
    #[must_use]
    pub fn crl(&self, number: u64, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(4000, 1, 1),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// A certificate for a client that nobody vouches for.
#[must_use]
pub fn self_signed(uri: &str) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let params = params(1, vec![SanType::URI(uri.try_into().unwrap())], CLIENT);
    Leaf { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn params(serial: u64, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial.into());
    params.subject_alt_names = names;
    params.extended_key_usages = vec![usage];
    params
}

const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;

/// Replaces a file as a whole, readable by its owner alone.
pub fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}
