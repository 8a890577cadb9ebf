//! Why somebody was not taken for a caller.
//!
//! **Invariant:** neither part of a [`Refusal`] is made of anything that came with
//! the call, so that it can go to a client, to the log and to a record as it is.

use crate::model::Reason;

/// A refusal: the reason for the client, and more for those who run the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub reason: Reason,
    /// What exactly was wrong, for the log and the audit record only.
    pub detail: &'static str,
}

impl Refusal {
    pub(super) const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail }
    }

    pub(super) const fn malformed(detail: &'static str) -> Self {
        Self::new(Reason::TokenMalformed, detail)
    }

    pub(super) const fn signature(detail: &'static str) -> Self {
        Self::new(Reason::TokenSignatureInvalid, detail)
    }

    pub(super) const fn revoked(detail: &'static str) -> Self {
        Self::new(Reason::TokenRevoked, detail)
    }

    pub(super) const fn certificate(detail: &'static str) -> Self {
        Self::new(Reason::ClientCertificateRequired, detail)
    }

    /// The sentence for the client: the same for every refusal of one reason, so that
    /// it tells nobody how close a forgery came.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self.reason {
            Reason::TokenMissing => "the call has no proof of who makes it",
            Reason::TokenMalformed => "the token is not of a form that is taken here",
            Reason::TokenExpired => "the token is not valid any more",
            Reason::TokenNotYetValid => "the token is not valid yet",
            Reason::TokenSignatureInvalid => "the token is not signed by a key of its issuer",
            Reason::TokenIssuerUntrusted => "the issuer of the token is not trusted here",
            Reason::TokenAudienceMismatch => "the token is for somebody else",
            Reason::TokenRevoked => "the proof of who makes the call was revoked, or is used up",
            Reason::ClientCertificateRequired => "the call must come with another client certificate",
            Reason::RateLimited => {
                "too many tokens of the issuer are used up; try again when some have ended"
            }
            // No refusal has any other.
            _ => "the call is not authenticated",
        }
    }
}
