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

/// What is told in parts.
pub(super) trait Parted {
    /// Where in it a part can end.
    type Place;

    /// Everything that a token is bound to: all but where the part begins and how
    /// long it is.
    fn bound(&self) -> String;
    fn write(place: &Self::Place) -> Vec<u8>;
    fn read(bytes: &[u8]) -> Option<Self::Place>;
}

/// A list that comes in pages.
pub(super) trait Listed: Parted {
    /// The token that this page was asked for with; empty on the first.
    fn token(&self) -> &str;
}

impl Parted for proto::ListKeysRequest {
    type Place = Place;

    fn bound(&self) -> String {
        let (filter, order) = (&self.filter, &self.order_by);
        // The word keeps tokens of older gateways out, which named an id alone.
        format!("keys {filter:?} {order:?} {} {}", self.view, self.show_destroyed)
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

impl Parted for proto::ListKeyVersionsRequest {
    type Place = u32;

    fn bound(&self) -> String {
        format!("versions {:?} {:?}", self.key_id, self.filter)
    }

    fn write(place: &u32) -> Vec<u8> {
        place.to_be_bytes().to_vec()
    }

    fn read(bytes: &[u8]) -> Option<u32> {
        bytes.try_into().map(u32::from_be_bytes).ok()
    }
}

impl Listed for proto::ListKeysRequest {
    fn token(&self) -> &str {
        &self.page_token
    }
}

impl Listed for proto::ListKeyVersionsRequest {
    fn token(&self) -> &str {
        &self.page_token
    }
}

fn fingerprint<L: Parted>(request: &L) -> Vec<u8> {
    let mut digest = Hash::Sha256.digest(request.bound().as_bytes()).as_ref().to_vec();
    digest.truncate(BOUND_BYTES);
    digest
}

/// The token for the page behind `last`.
pub(super) fn token<L: Listed>(request: &L, last: &L::Place) -> String {
    hex::encode(written(request, last))
}

/// The token for what is behind `last`, where it travels as bytes.
pub(super) fn written<L: Parted>(request: &L, last: &L::Place) -> Vec<u8> {
    let mut token = fingerprint(request);
    token.extend(L::write(last));
    token
}

/// Where the page before ended; `None` where the token was not made for this list.
pub(super) fn last<L: Listed>(request: &L) -> Option<L::Place> {
    read(request, &hex::decode(request.token()).ok()?)
}

/// The same of a token that travels as bytes.
pub(super) fn read<L: Parted>(request: &L, token: &[u8]) -> Option<L::Place> {
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
