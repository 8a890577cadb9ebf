//! From the `authorization` headers of a call to its token (RFC 6750 §2.1).

use super::refusal::Refusal;

/// The token, if the call has one. A call with two has none that could be trusted:
/// whoever is in front of the gateway may have looked at the other.
pub(super) fn token<'h>(headers: &[&'h [u8]]) -> Result<Option<&'h [u8]>, Refusal> {
    let header = match headers {
        [] => return Ok(None),
        [header] => header,
        _ => return Err(Refusal::malformed("more than one authorization header")),
    };
    let (scheme, token) =
        header.split_at_checked(SCHEME.len()).ok_or(Refusal::malformed("no bearer scheme"))?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(Refusal::malformed("no bearer scheme"));
    }
    if token.len() > MAX_BYTES {
        return Err(Refusal::malformed("the token is too long"));
    }
    Ok(Some(token))
}

/// The scheme in any case (RFC 9110 §11.1), and one space.
const SCHEME: &[u8] = b"bearer ";
/// Twice what issuers make who keep to what a call needs. Longer ones cost memory in
/// every connection.
const MAX_BYTES: usize = 4 * 1024;
