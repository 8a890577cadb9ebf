//! Bare swtpm: keys like those of the gateway, in the TPM that it uses, by tss-esapi.
//!
//! A TPM has three slots, and the gateway has it to itself. So whatever is in the slots is
//! flushed before a row is measured, and the gateway is called once more before one of its
//! own is: it finds its handles gone, and connects anew.

use std::env;

use skms_backend::KeyType;
use skms_tests::swtpm::Swtpm;
use tss_esapi::{
    Context,
    attributes::{ObjectAttributesBuilder, SessionAttributesBuilder},
    constants::{
        CapabilityType, SessionType,
        tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK},
    },
    handles::{KeyHandle, SessionHandle},
    interface_types::{
        algorithm::{HashingAlgorithm, PublicAlgorithm},
        ecc::EccCurve,
        key_bits::RsaKeyBits,
        resource_handles::Hierarchy,
        session_handles::AuthSession,
    },
    structures::{
        Auth, CapabilityData, Digest, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, Private,
        Public, PublicBuilder, PublicEccParameters, PublicKeyRsa, PublicRsaParameters, RsaExponent,
        RsaScheme, SignatureScheme, SymmetricDefinition, SymmetricDefinitionObject,
    },
    tcti_ldr::TctiNameConf,
    tss2_esys::TPMT_TK_HASHCHECK,
};

use crate::child::{self, Child};

const TCTI: &str = "SKMS_BENCH_TCTI";
const SESSION: &str = "SKMS_BENCH_SESSION";
/// As long as those of the gateway.
const AUTH: [u8; 32] = [7; 32];
/// The first handles of transient objects and of loaded sessions.
const LEFT: [u32; 2] = [0x8000_0000, 0x0200_0000];

/// What a signature is authorized with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// The authorization value itself.
    Plain,
    /// A proof of it, in a salted session that is there already.
    Kept,
    /// A proof of it, in a salted session that is made for it.
    Each,
}

impl Session {
    const ALL: [(Self, &str); 3] = [(Self::Plain, "plain"), (Self::Kept, "kept"), (Self::Each, "each")];
}

pub(crate) fn start(tpm: &Swtpm, session: Session) -> Child {
    let (_, session) = Session::ALL.into_iter().find(|(known, _)| *known == session).unwrap();
    Child::start(child::TPM, [(TCTI, tpm.tcti().into()), (SESSION, session.into())])
}

pub(crate) fn serve() {
    let tcti: TctiNameConf = env::var(TCTI).unwrap().parse().unwrap();
    let wanted = env::var(SESSION).unwrap();
    let (session, _) = Session::ALL.into_iter().find(|(_, name)| *name == wanted).unwrap();
    child::answer_signatures(|key_type| {
        let mut tpm = Tpm::open(tcti.clone(), key_type, session);
        Box::new(move || tpm.sign())
    });
}

struct Tpm {
    context: Context,
    /// The key under which the other is wrapped, and with which sessions are salted.
    parent: KeyHandle,
    key: KeyHandle,
    scheme: SignatureScheme,
    session: Session,
    kept: AuthSession,
}

impl Tpm {
    fn open(tcti: TctiNameConf, key_type: KeyType, session: Session) -> Self {
        let mut context = Context::new(tcti).unwrap();
        clear(&mut context);
        context.set_sessions((Some(AuthSession::Password), None, None));
        let parent = context.create_primary(Hierarchy::Owner, parent(), None, None, None, None).unwrap();
        let parent = parent.key_handle;
        let (public, scheme) = how(key_type);
        let auth = Auth::try_from(AUTH.as_slice()).unwrap();
        let (private, public): (Private, Public) = {
            let made = context.create(parent, public, Some(auth.clone()), None, None, None).unwrap();
            (made.out_private, made.out_public)
        };
        let key = context.load(parent, private, public).unwrap();
        context.tr_set_auth(key.into(), auth).unwrap();
        let kept = match session {
            Session::Plain | Session::Each => AuthSession::Password,
            Session::Kept => salted(&mut context, parent),
        };
        Self { context, parent, key, scheme, session, kept }
    }

    fn sign(&mut self) {
        let session =
            if self.session == Session::Each { salted(&mut self.context, self.parent) } else { self.kept };
        self.context.set_sessions((Some(session), None, None));
        let digest = Digest::try_from([1; 32].as_slice()).unwrap();
        let ticket =
            TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() };
        self.context.sign(self.key, digest, self.scheme, ticket.try_into().unwrap()).unwrap();
        if self.session == Session::Each {
            self.context.clear_sessions();
            self.context.flush_context(SessionHandle::from(session).into()).unwrap();
        }
    }
}

fn salted(context: &mut Context, parent: KeyHandle) -> AuthSession {
    context.clear_sessions();
    let (symmetric, hash) = (SymmetricDefinition::AES_128_CFB, HashingAlgorithm::Sha256);
    let session =
        context.start_auth_session(Some(parent), None, None, SessionType::Hmac, symmetric, hash).unwrap();
    let (attributes, mask) = SessionAttributesBuilder::new().with_continue_session(true).build();
    context.tr_sess_set_attributes(session.unwrap(), attributes, mask).unwrap();
    session.unwrap()
}

/// Flushes what somebody else has loaded.
fn clear(context: &mut Context) {
    for first in LEFT {
        let (found, _) = context.get_capability(CapabilityType::Handles, first, 64).unwrap();
        let CapabilityData::Handles(handles) = found else { panic!("the TPM tells no handles") };
        for handle in handles.into_inner() {
            let handle = context.tr_from_tpm_public(handle).unwrap();
            // The wrapper does not know the handle, and says so after it was flushed.
            let _ = context.flush_context(handle);
        }
    }
}

fn attributes() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
}

fn parent() -> Public {
    let attributes = attributes().with_decrypt(true).with_restricted(true);
    on_p256(attributes, SymmetricDefinitionObject::AES_128_CFB)
}

fn on_p256(attributes: ObjectAttributesBuilder, symmetric: SymmetricDefinitionObject) -> Public {
    let kdf = KeyDerivationFunctionScheme::Null;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes.build().unwrap())
        .with_ecc_parameters(PublicEccParameters::new(symmetric, EccScheme::Null, EccCurve::NistP256, kdf))
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
        .unwrap()
}

/// What is made, and the scheme that the gateway uses with it.
fn how(key_type: KeyType) -> (Public, SignatureScheme) {
    let attributes = attributes().with_sign_encrypt(true);
    let hash_scheme = HashScheme::new(HashingAlgorithm::Sha256);
    match key_type {
        KeyType::EcP256 => {
            (on_p256(attributes, SymmetricDefinitionObject::Null), SignatureScheme::EcDsa { hash_scheme })
        }
        KeyType::Rsa2048 => {
            let parameters = PublicRsaParameters::new(
                SymmetricDefinitionObject::Null,
                RsaScheme::Null,
                RsaKeyBits::Rsa2048,
                RsaExponent::default(),
            );
            let public = PublicBuilder::new()
                .with_public_algorithm(PublicAlgorithm::Rsa)
                .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
                .with_object_attributes(attributes.build().unwrap())
                .with_rsa_parameters(parameters)
                .with_rsa_unique_identifier(PublicKeyRsa::default())
                .build();
            (public.unwrap(), SignatureScheme::RsaSsa { hash_scheme })
        }
        other => panic!("{other} is not measured"),
    }
}
