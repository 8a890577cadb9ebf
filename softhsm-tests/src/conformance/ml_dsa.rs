//! The `ml-dsa` crate of RustCrypto as the other implementation of FIPS 204.

use ml_dsa::{
    EncodedVerifyingKey, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, Signature, Verifier as _, VerifyingKey,
};
use skms_backend::{KeyType, PublicKey};

/// Whether `signature` is the key's over `message`, as RustCrypto sees it.
pub(super) fn verifies(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    match key.key_type() {
        KeyType::MlDsa44 => agrees::<MlDsa44>(key, message, signature),
        KeyType::MlDsa65 => agrees::<MlDsa65>(key, message, signature),
        KeyType::MlDsa87 => agrees::<MlDsa87>(key, message, signature),
        other => panic!("{other} is no ML-DSA"),
    }
}

fn agrees<P: MlDsaParams>(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let encoded = EncodedVerifyingKey::<P>::try_from(key.raw()).unwrap();
    let signature = Signature::<P>::try_from(signature).unwrap();
    VerifyingKey::<P>::decode(&encoded).verify(message, &signature).is_ok()
}
