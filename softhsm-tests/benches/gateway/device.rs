//! Bare SoftHSM2: the keys of the gateway, in its token, used by cryptoki with a
//! session a thread and handles that are found once.

use std::env;

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::{
        Mechanism,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, KeyType as Cryptoki, ObjectClass},
    session::UserType,
    types::AuthPin,
};
use skms_backend::KeyType;
use skms_tests::softhsm::SoftHsm;

use crate::child::{self, Child};

const MODULE: &str = "SKMS_BENCH_MODULE";
const LABEL: &str = "SKMS_BENCH_LABEL";
const PIN: &str = "SKMS_BENCH_PIN";

pub(crate) fn start(token: &SoftHsm) -> Child {
    let environment = [
        (MODULE, token.module().into()),
        (LABEL, token.label().into()),
        (PIN, token.pin().into()),
        token.env(),
    ];
    Child::start(child::DEVICE, environment)
}

pub(crate) fn serve() {
    let library = Pkcs11::new(env::var_os(MODULE).unwrap()).unwrap();
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let label = env::var(LABEL).unwrap();
    let slots = library.get_slots_with_token().unwrap();
    let slot = *slots.iter().find(|slot| library.get_token_info(**slot).unwrap().label() == label).unwrap();
    // The login is the process's and lasts as long as this session.
    let login = library.open_ro_session(slot).unwrap();
    login.login(UserType::User, Some(&AuthPin::new(env::var(PIN).unwrap().into()))).unwrap();

    child::answer_signatures(|key_type| {
        let session = library.open_rw_session(slot).unwrap();
        let (kind, mechanism, input) = how(key_type);
        let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(kind)];
        let key = *session.find_objects(&wanted).unwrap().first().unwrap();
        Box::new(move || {
            session.sign(&mechanism, key, &input).unwrap();
        })
    });
}

/// The type of the key, the mechanism that the gateway uses, and what it would
/// give the device for some message.
fn how(key_type: KeyType) -> (Cryptoki, Mechanism<'static>, Vec<u8>) {
    match key_type {
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
            // The DigestInfo of a SHA-256 digest has 51 bytes.
            (Cryptoki::RSA, Mechanism::RsaPkcs, vec![1; 51])
        }
        KeyType::EcP256 | KeyType::EcP384 | KeyType::EcP521 | KeyType::EcSecp256k1 => {
            (Cryptoki::EC, Mechanism::Ecdsa, vec![1; 32])
        }
        KeyType::Ed25519 => {
            let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
            (Cryptoki::EC_EDWARDS, mechanism, crate::rows::MESSAGE.to_vec())
        }
        other => panic!("{other} is not measured"),
    }
}
