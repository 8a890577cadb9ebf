//! From wrapped material to material.
//!
//! **Invariant:** where RSAES-OAEP fails, a random key takes the place of the one that did
//! not come out, so that whether it failed is neither told nor seen in what is done next
//! (Bleichenbacher 1998, Manger 2001).

use std::time::SystemTime;

use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded as _},
    rand,
};
use bytes::Bytes;
use skms_backend::{Class, DecryptInput, Operation, Secret};
use zeroize::Zeroizing;

use super::source::Wrapped;
use crate::{
    auth::Caller,
    gate::{Permit, Work},
    keys::{Call, Error, Keyring, crypto},
    model::{ImportJob, ImportMethod, KeyId},
};

impl Keyring {
    /// A job of this caller that can be used.
    pub(super) fn usable_job(&self, caller: &Caller, id: &KeyId) -> Result<std::sync::Arc<ImportJob>, Error> {
        let job = self.job_of(caller, id)?;
        if job.has_expired(SystemTime::now()) {
            return Err(Error::JobExpired { job: id.clone() });
        }
        Ok(job)
    }

    /// Unwraps material under its job.
    pub(super) async fn unwrapped(
        &self,
        permit: &Permit,
        call: &Call,
        wrapped: &Wrapped,
    ) -> Result<Secret, Error> {
        permit.note(|facts| {
            facts.import_job = Some(wrapped.job.clone());
            facts.input_bytes = Some(wrapped.ciphertext.len());
        });
        let job = self.usable_job(&call.caller, &wrapped.job)?;
        let (outer, inner) = split(job.method, &wrapped.ciphertext).ok_or(Error::MaterialInvalid)?;
        let gone = || Error::BackendGone { backend: job.backend.clone() };
        let device = permit.device(&job.backend).ok_or_else(gone)?;
        let key = job.key.as_ref().ok_or_else(gone)?;
        permit.charge_caller(Work::Cipher, job.method.key_type(), job.protection_level)?;
        let ctx = permit.context(self.limits.operation_timeout);
        let (device, ctx, input) = (&device, &ctx, &DecryptInput::Oaep(outer));
        let ask = || async move {
            let answers = device.decrypt(key, ImportMethod::OAEP, vec![input.clone()], ctx).await;
            crypto::only(answers, Operation::Decrypt)
        };
        let opened = match crypto::asked(ask).await {
            Ok(opened) => Some(opened),
            Err(error) if error.class() == Class::Caller => None,
            Err(source) => return Err(Error::Backend { backend: job.backend.clone(), source }),
        };
        match inner {
            None => opened.ok_or(Error::MaterialInvalid),
            Some(inner) => unwrap_inner(opened.as_ref(), &inner),
        }
    }
}

/// What is under RSAES-OAEP, and what is under the key in it.
fn split(method: ImportMethod, ciphertext: &Bytes) -> Option<(Bytes, Option<Bytes>)> {
    let modulus = method.key_type().rsa_bits()? / 8;
    if ciphertext.len() < modulus {
        return None;
    }
    let (outer, inner) = (ciphertext.slice(..modulus), ciphertext.slice(modulus..));
    match (method.has_inner_key(), inner.is_empty()) {
        (true, false) => Some((outer, Some(inner))),
        (false, true) => Some((outer, None)),
        _ => None,
    }
}

/// RFC 5649, with a key that fits nothing where there is none.
fn unwrap_inner(key: Option<&Secret>, wrapped: &[u8]) -> Result<Secret, Error> {
    let mut wrapping = Zeroizing::new([0; 32]);
    rand::fill(wrapping.as_mut_slice())
        .map_err(|_| Error::Internal { what: "the system gives no random bytes" })?;
    if let Some(key) = key.map(Secret::expose).filter(|key| key.len() == wrapping.len()) {
        wrapping.copy_from_slice(key);
    }
    let invalid = |_| Error::MaterialInvalid;
    let mut material = Zeroizing::new(vec![0; wrapped.len()]);
    let wrapping = AesKek::new(&AES_256, wrapping.as_slice()).map_err(invalid)?;
    let length = wrapping.unwrap_with_padding(wrapped, &mut material).map_err(invalid)?.len();
    material.truncate(length);
    Ok(Secret::new(std::mem::take(&mut *material)))
}
