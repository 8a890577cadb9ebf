//! Page tokens (AIP-158): opaque, bound to the other fields of the request, and
//! without any authority: they say where to go on, and what may be seen there is
//! decided anew.

use skms_backend::Hash;

use crate::{model::KeyId, proto};

/// How much of the fingerprint a token carries: enough that it does not fit
/// another list by accident.
const BOUND_BYTES: usize = 8;

/// What a token is bound to: everything but where the page begins and how long it is.
fn bound(request: &proto::ListKeysRequest) -> Vec<u8> {
    let text =
        format!("{:?} {:?} {} {}", request.filter, request.order_by, request.view, request.show_destroyed);
    let mut digest = Hash::Sha256.digest(text.as_bytes()).as_ref().to_vec();
    digest.truncate(BOUND_BYTES);
    digest
}

/// The token for the page after `last`.
pub(super) fn token(request: &proto::ListKeysRequest, last: &KeyId) -> String {
    let mut token = bound(request);
    token.extend_from_slice(last.as_str().as_bytes());
    hex::encode(token)
}

/// The last key of the page before; `None` where the token was not made for this list.
pub(super) fn last(request: &proto::ListKeysRequest) -> Option<KeyId> {
    let token = hex::decode(&request.page_token).ok()?;
    let (bound_to, last) = token.split_at_checked(BOUND_BYTES)?;
    if bound_to != bound(request) {
        return None;
    }
    std::str::from_utf8(last).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_its_own_list_and_no_other() {
        let mut request = proto::ListKeysRequest { filter: "state = enabled".into(), ..Default::default() };
        let key: KeyId = "payroll".parse().unwrap();
        request.page_token = token(&request, &key);
        request.page_size = 7;
        assert_eq!(last(&request), Some(key));
        request.filter.clear();
        assert_eq!(last(&request), None);
        for token in ["", "00", "zz", "0011223344556677", "001122334455667700"] {
            request.page_token = token.to_owned();
            assert_eq!(last(&request), None);
        }
    }
}
