//! Lists every object in a token, one a line: class, `CKA_ID` and `CKA_LABEL` in
//! hexadecimal, and which boolean attributes are true, separated by tabs.
//!
//! Usage: `softhsm-objects MODULE TOKEN-LABEL PIN-FILE`, with `SOFTHSM2_CONF` set.

use std::{
    env,
    error::Error,
    fs,
    io::{Write as _, stdout},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(module), Some(label), Some(pin_file)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: softhsm-objects MODULE TOKEN-LABEL PIN-FILE".into());
    };
    let library = Pkcs11::new(module)?;
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    for slot in library.get_slots_with_token()? {
        if library.get_token_info(slot)?.label() != label {
            continue;
        }
        let session = library.open_ro_session(slot)?;
        session.login(UserType::User, Some(&AuthPin::new(fs::read_to_string(pin_file)?.into())))?;
        for object in session.find_objects(&[])? {
            writeln!(stdout(), "{}", describe(&session, object))?;
        }
        return Ok(());
    }
    Err(format!("no token is called `{label}`").into())
}

fn describe(session: &Session, object: ObjectHandle) -> String {
    const FLAGS: [(AttributeType, &str); 15] = [
        (AttributeType::Token, "CKA_TOKEN"),
        (AttributeType::Private, "CKA_PRIVATE"),
        (AttributeType::Sensitive, "CKA_SENSITIVE"),
        (AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE"),
        (AttributeType::Extractable, "CKA_EXTRACTABLE"),
        (AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE"),
        (AttributeType::Local, "CKA_LOCAL"),
        (AttributeType::Modifiable, "CKA_MODIFIABLE"),
        (AttributeType::Sign, "CKA_SIGN"),
        (AttributeType::Verify, "CKA_VERIFY"),
        (AttributeType::Encrypt, "CKA_ENCRYPT"),
        (AttributeType::Decrypt, "CKA_DECRYPT"),
        (AttributeType::Wrap, "CKA_WRAP"),
        (AttributeType::Unwrap, "CKA_UNWRAP"),
        (AttributeType::Derive, "CKA_DERIVE"),
    ];
    let (mut class, mut id, mut label) = ("unreadable", String::new(), String::new());
    let what = [AttributeType::Class, AttributeType::Id, AttributeType::Label];
    // A half-made object may lack any of them; it must be listed all the same.
    for attribute in what.iter().flat_map(|kind| session.get_attributes(object, &[*kind]).unwrap_or_default())
    {
        match attribute {
            Attribute::Class(ObjectClass::PRIVATE_KEY) => class = "private-key",
            Attribute::Class(ObjectClass::PUBLIC_KEY) => class = "public-key",
            Attribute::Class(ObjectClass::SECRET_KEY) => class = "secret-key",
            Attribute::Class(ObjectClass::CERTIFICATE) => class = "certificate",
            Attribute::Class(ObjectClass::DATA) => class = "data",
            Attribute::Class(_) => class = "other",
            Attribute::Id(bytes) => id = hex::encode(bytes),
            Attribute::Label(bytes) => label = hex::encode(bytes),
            _ => {}
        }
    }
    let set = |kind: AttributeType| {
        let read = session.get_attributes(object, &[kind]).unwrap_or_default();
        matches!(
            read.first(),
            Some(
                Attribute::Token(true)
                    | Attribute::Private(true)
                    | Attribute::Sensitive(true)
                    | Attribute::AlwaysSensitive(true)
                    | Attribute::Extractable(true)
                    | Attribute::NeverExtractable(true)
                    | Attribute::Local(true)
                    | Attribute::Modifiable(true)
                    | Attribute::Sign(true)
                    | Attribute::Verify(true)
                    | Attribute::Encrypt(true)
                    | Attribute::Decrypt(true)
                    | Attribute::Wrap(true)
                    | Attribute::Unwrap(true)
                    | Attribute::Derive(true)
            )
        )
    };
    let flags: Vec<&str> = FLAGS.iter().filter(|(kind, _)| set(*kind)).map(|(_, name)| *name).collect();
    format!("{class}\t{id}\t{label}\t{}", flags.join(","))
}
