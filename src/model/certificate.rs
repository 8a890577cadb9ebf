//! The certificate that a client showed in its TLS handshake, after it was verified.

/// What is known of a verified client certificate.
///
/// There is no common name: a name counts only as a subject alternative name
/// (RFC 6125 §6.4.4, RFC 9525).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The configured name of the authority that vouches for it.
    pub authority: String,
    /// The SHA-256 of its DER, as in `x5t#S256` (RFC 8705 §3.1).
    pub fingerprint: [u8; 32],
    /// Its serial number, in lower-case hexadecimal without leading zeros.
    pub serial: String,
    /// The URIs among its subject alternative names, such as SPIFFE ids.
    pub uris: Vec<String>,
    /// The DNS names among them.
    pub dns_names: Vec<String>,
    /// The mail addresses among them.
    pub emails: Vec<String>,
}
