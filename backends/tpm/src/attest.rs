//! What the TPM says of a key, signed by the TPM (TPM2_Certify).
//!
//! The statement is made of structures of TPM 2.0 part 2, marshalled one after the other:
//!
//! | what | why |
//! |---|---|
//! | `TPM2B_ATTEST` | what is signed: the Name of the key, and the challenge as `extraData` |
//! | `TPMT_SIGNATURE` | of the buffer of the first, by the attestation key: ECDSA with SHA-256 |
//! | `TPM2B_PUBLIC` | the key: its Name is a digest of this |
//! | `TPM2B_PUBLIC` | the attestation key |
//!
//! Whoever checks it must know the attestation key, or at least its Name, from elsewhere:
//! from the first day, or by TPM2_ActivateCredential with the endorsement key. It is made
//! of the seed of the owner hierarchy, as the storage key is, and so is another one after
//! the TPM was cleared. No certificate speaks of it.

use bytes::Bytes;
use skms_backend::{Attestation, Class, Error, KeyRef, Operation};
use tss_esapi::{
    handles::KeyHandle,
    interface_types::resource_handles::Hierarchy,
    structures::{Data, Public, SignatureScheme},
    traits::Marshall,
};

use crate::{
    device::{Connection, Guard},
    error::device,
    resolve, template,
};

/// The name of the format.
const FORMAT: &str = "tpm2-certify-1";

/// Has the TPM certify a key.
pub(crate) fn attest(
    connection: &mut Connection,
    key: &KeyRef,
    challenge: &[u8],
) -> Result<Attestation, Error> {
    // Made anew for each statement: one key less is loaded meanwhile, and statements are
    // rare. It is made first, as a loaded key may have to make room for it.
    let made = connection.call(Guard::Proof, Operation::Attest, |context| {
        context.create_primary(Hierarchy::Owner, template::attestation()?, None, None, None, None)
    })?;
    let by = made.key_handle;
    let statement = certified(connection, key, challenge, (by, &made.out_public));
    connection.flush(by.into());
    Ok(Attestation { format: FORMAT, statement: statement?, certificates: Vec::new() })
}

fn certified(
    connection: &mut Connection,
    key: &KeyRef,
    challenge: &[u8],
    (by, attestation_key): (KeyHandle, &Public),
) -> Result<Bytes, Error> {
    let failed = device(Operation::Attest);
    let (handle, public) = resolve::with_public(connection, key, Operation::Attest)?;
    let challenge = Data::try_from(challenge).map_err(&failed)?;
    let (attest, signature) = connection.call(Guard::ProofOfFirst, Operation::Attest, |context| {
        context.certify(handle, by, challenge.clone(), SignatureScheme::Null)
    })?;
    let mut statement = Vec::with_capacity(1024);
    sized(&mut statement, &attest.marshall().map_err(&failed)?)?;
    statement.extend_from_slice(&signature.marshall().map_err(&failed)?);
    sized(&mut statement, &public.marshall().map_err(&failed)?)?;
    sized(&mut statement, &attestation_key.marshall().map_err(&failed)?)?;
    Ok(statement.into())
}

/// Adds a structure with its length before it, as a `TPM2B` has it.
fn sized(statement: &mut Vec<u8>, structure: &[u8]) -> Result<(), Error> {
    let too_long = |_| Error::new(Class::Broken, Operation::Attest).detail("a part is too long");
    statement.extend_from_slice(&u16::try_from(structure.len()).map_err(too_long)?.to_be_bytes());
    statement.extend_from_slice(structure);
    Ok(())
}
