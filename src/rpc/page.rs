//! Page tokens (AIP-158): opaque, bound to the other fields of the request, and
//! without any authority: they say where to go on, and what may be seen there is
//! decided anew.

use skms_backend::Hash;

use crate::{
    model::{KeyId, Place},
    proto,
};

/// How much of the fingerprint a token carries: enough that it does not fit
/// another list by accident.
const BOUND_BYTES: usize = 8;

/// A list that comes in pages.
pub(super) trait Listed {
    /// Where in it a page can end.
    type Place;

    /// Everything that a token is bound to: all but where the page begins and how
    /// long it is.
    fn bound(&self) -> String;
    /// The token that this page was asked for with; empty on the first.
    fn token(&self) -> &str;
    fn write(place: &Self::Place) -> Vec<u8>;
    fn read(bytes: &[u8]) -> Option<Self::Place>;
}

impl Listed for proto::ListKeysRequest {
    type Place = Place;

    fn bound(&self) -> String {
        let (filter, order) = (&self.filter, &self.order_by);
        // The word keeps tokens of older gateways out, which named an id alone.
        format!("keys {filter:?} {order:?} {} {}", self.view, self.show_destroyed)
    }

    fn token(&self) -> &str {
        &self.page_token
    }

    fn write(place: &Place) -> Vec<u8> {
        [&place.millis.to_be_bytes(), place.id.as_str().as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Place> {
        let (millis, id) = bytes.split_first_chunk()?;
        let id: KeyId = std::str::from_utf8(id).ok()?.parse().ok()?;
        Some(Place { millis: i64::from_be_bytes(*millis), id })
    }
}

impl Listed for proto::ListKeyVersionsRequest {
    type Place = u32;

    fn bound(&self) -> String {
        format!("versions {:?} {:?}", self.key_id, self.filter)
    }

    fn token(&self) -> &str {
        &self.page_token
    }

    fn write(place: &u32) -> Vec<u8> {
        place.to_be_bytes().to_vec()
    }

    fn read(bytes: &[u8]) -> Option<u32> {
        bytes.try_into().map(u32::from_be_bytes).ok()
    }
}

fn fingerprint<L: Listed>(request: &L) -> Vec<u8> {
    let mut digest = Hash::Sha256.digest(request.bound().as_bytes()).as_ref().to_vec();
    digest.truncate(BOUND_BYTES);
    digest
}

/// The token for the page behind `last`.
pub(super) fn token<L: Listed>(request: &L, last: &L::Place) -> String {
    let mut token = fingerprint(request);
    token.extend(L::write(last));
    hex::encode(token)
}

/// Where the page before ended; `None` where the token was not made for this list.
pub(super) fn last<L: Listed>(request: &L) -> Option<L::Place> {
    let token = hex::decode(request.token()).ok()?;
    let (bound_to, last) = token.split_at_checked(BOUND_BYTES)?;
    if bound_to != fingerprint(request) { None } else { L::read(last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_its_own_list_and_no_other() {
        let mut request = proto::ListKeysRequest { filter: "state = enabled".into(), ..Default::default() };
        let place = Place { millis: 1_767_225_600_001, id: "payroll".parse().unwrap() };
        request.page_token = token(&request, &place);
        request.page_size = 7;
        assert_eq!(last(&request), Some(place));
        request.order_by = "create_time".into();
        assert_eq!(last(&request), None);
        for token in ["", "00", "zz", "0011223344556677", "001122334455667700"] {
            request.page_token = token.to_owned();
            assert_eq!(last(&request), None);
        }
    }

    #[test]
    fn a_token_of_versions_fits_their_key() {
        let mut request = proto::ListKeyVersionsRequest { key_id: "payroll".into(), ..Default::default() };
        request.page_token = token(&request, &7);
        assert_eq!(last(&request), Some(7));
        let cut = proto::ListKeyVersionsRequest {
            page_token: request.page_token[..request.page_token.len() - 2].to_owned(),
            ..request.clone()
        };
        assert_eq!(last(&cut), None);
        request.key_id = "other".into();
        assert_eq!(last(&request), None);
    }
}
