//! What can be heard on the way to a TPM: no secret and no authorization value, unless the
//! way is said to be trusted, and then the values of keys that sign.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use aws_lc_rs::{
    cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey},
    encoding::{AsDer as _, Pkcs8V1Der},
    iv::FixedLength,
    rand,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair},
};
use bytes::Bytes;
use parking_lot::Mutex;
use skms_backend::{
    EncryptInput, EncryptionAlgorithm, Hash, KeyBackend, KeyRef, KeySpec, KeyTag, KeyType, Secret, SignInput,
    SignatureAlgorithm, Usage,
};
use skms_backend_tpm::TpmBackend;
use skms_tests::swtpm::{self, Swtpm};

use super::soon;

/// As much of a secret as is looked for: nothing random is found by chance.
const WINDOW: usize = 16;
/// Where the authorization value stands in a blob: behind magic, version and the name of the
/// storage key.
const AUTH: std::ops::Range<usize> = 37..69;

/// Somebody between the gateway and the TPM, who writes down every byte of both.
struct Listener {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Listener {
    fn before(tpm: &Swtpm) -> Self {
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let port = swtpm::free_port();
        for offset in [0, 1] {
            let listener = TcpListener::bind(("127.0.0.1", port + offset)).unwrap();
            let (heard, there) = (Arc::clone(&heard), tpm.port() + offset);
            // It ends with the process.
            thread::spawn(move || {
                for here in listener.incoming().map_while(Result::ok) {
                    let Ok(there) = TcpStream::connect(("127.0.0.1", there)) else { continue };
                    let back = (there.try_clone().unwrap(), here.try_clone().unwrap());
                    for (from, to) in [(here, there), back] {
                        let heard = Arc::clone(&heard);
                        thread::spawn(move || pass_on(from, to, &heard));
                    }
                }
            });
        }
        Self { port, heard }
    }

    fn heard(&self, bytes: &[u8]) -> bool {
        self.heard.lock().windows(bytes.len()).any(|window| window == bytes)
    }

    /// The secrets of which any part was heard.
    fn known(&self, secrets: &[(&'static str, Vec<u8>)]) -> BTreeSet<&'static str> {
        let heard = self.heard.lock();
        let windows: BTreeSet<&[u8]> = heard.windows(WINDOW).collect();
        let is_known = |secret: &[u8]| secret.windows(WINDOW).any(|window| windows.contains(window));
        secrets.iter().filter(|(_, secret)| is_known(secret)).map(|(name, _)| *name).collect()
    }
}

/// What comes of the key pairs in the imports that were heard, if what stands where the key
/// of their wrapping belongs is taken for that key (TPM 2.0 part 3, chapter 13.3).
fn unwrapped(heard: &[u8]) -> Vec<Vec<u8>> {
    const IMPORT: [u8; 4] = 0x156_u32.to_be_bytes();
    let sized = |at: &mut usize, width: usize| {
        let length = heard[*at..*at + width].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        *at += width + length;
        heard[*at - length..*at].to_vec()
    };
    let commands =
        heard.windows(10).enumerate().filter(|(_, head)| head[..2] == [0x80, 2] && head[6..] == IMPORT);
    let unwrapped = commands.map(|(at, _)| {
        // Behind the head and the handle: the authorization, the key, the public area, the pair.
        let mut at = at + 14;
        let [_, key, _, mut pair] = [4, 2, 2, 2].map(|width| sized(&mut at, width));
        assert_eq!(key.len(), 16, "no import");
        let key = DecryptingKey::cfb128(UnboundCipherKey::new(&AES_128, &key).unwrap()).unwrap();
        key.decrypt(&mut pair, DecryptionContext::Iv128(FixedLength::from([0; 16]))).unwrap();
        pair
    });
    unwrapped.collect()
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        heard.lock().extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Has everything done that carries a secret, and says what is secret of it.
async fn everything(backend: &dyn KeyBackend) -> Vec<(&'static str, Vec<u8>)> {
    let mut secrets = Vec::new();
    let random = |length: usize| {
        let mut bytes = vec![0; length];
        rand::fill(&mut bytes).unwrap();
        bytes
    };
    let spec = |key_type, usage| KeySpec { key_type, usage };

    // Pairs that were made elsewhere: what of them is not public.
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let ec = ec.to_pkcs8v1().unwrap();
    for (name, key_type, encoded) in [
        ("the imported curve", KeyType::EcP256, ec.as_ref()),
        ("the imported RSA", KeyType::Rsa2048, rsa.as_ref()),
    ] {
        let key = import(backend, spec(key_type, Usage::Sign(Vec::new())), encoded.to_vec()).await;
        let public = key.pin.as_ref().unwrap().public_key().unwrap().spki_der().to_vec();
        let public: BTreeSet<&[u8]> = public.windows(WINDOW).collect();
        for window in encoded.windows(WINDOW).filter(|window| !public.contains(window)) {
            secrets.push((name, window.to_vec()));
        }
        secrets.push(("the authorization of what was imported", key.blob[AUTH].to_vec()));
        let algorithm = SignatureAlgorithm::of(key_type).next().unwrap();
        let input = vec![SignInput::Message(TEXT.into())];
        backend.sign(&key, algorithm, input, &soon()).await.remove(0).unwrap();
    }

    let (hmac, aes) = (random(32), random(32));
    let key = import(backend, spec(KeyType::HmacSha256, Usage::Mac), hmac.clone()).await;
    let text = random(64);
    let code = backend.mac(&key, vec![text.clone().into()], &soon()).await.remove(0).unwrap();
    secrets.extend([("the HMAC key", hmac), ("its input", text), ("its code", code.to_vec())]);
    secrets.push(("the authorization of the HMAC key", key.blob[AUTH].to_vec()));

    let algorithm = EncryptionAlgorithm::Aes256Gcm;
    let key = import(backend, spec(KeyType::Aes256, Usage::Encrypt(vec![algorithm])), aes.clone()).await;
    let input = EncryptInput {
        salt: random(32).into(),
        header: Bytes::new(),
        aad: Bytes::new(),
        plaintext: random(32).into(),
    };
    backend.encrypt(&key, algorithm, vec![input], &soon()).await.remove(0).unwrap();
    secrets.extend([("the AES key", aes), ("the authorization of the AES key", key.blob[AUTH].to_vec())]);

    let usage = Usage::Encrypt(vec![EncryptionAlgorithm::RsaOaepSha256]);
    let key = generate(backend, spec(KeyType::Rsa2048, usage)).await;
    let plaintext = random(32);
    let public = key.pin.as_ref().unwrap().public_key().unwrap();
    let ciphertext = public.encrypt_oaep(EncryptionAlgorithm::RsaOaepSha256, &plaintext).unwrap();
    let input = vec![skms_backend::DecryptInput::Oaep(ciphertext.into())];
    let opened = backend.decrypt(&key, EncryptionAlgorithm::RsaOaepSha256, input, &soon()).await.remove(0);
    assert_eq!(opened.unwrap().expose(), plaintext);
    secrets.push(("what was decrypted", plaintext));

    let (one, other) = (
        generate(backend, spec(KeyType::EcP256, Usage::Agree)).await,
        generate(backend, spec(KeyType::EcP256, Usage::Agree)).await,
    );
    let peer = other.pin.as_ref().unwrap().public_key().unwrap();
    let agreed = backend.agreement().unwrap().agree(&one, peer, &soon()).await.unwrap();
    secrets.push(("the agreed secret", agreed.expose().to_vec()));
    secrets.push(("random bytes", backend.random(64, &soon()).await.unwrap().expose().to_vec()));
    secrets
}

async fn import(backend: &dyn KeyBackend, spec: KeySpec, material: Vec<u8>) -> KeyRef {
    let tag = KeyTag::random().unwrap();
    let made = backend.import(&spec, tag, Secret::new(material), &soon()).await.unwrap();
    KeyRef { tag, key_type: spec.key_type, blob: made.blob, pin: Some(made.pin) }
}

async fn generate(backend: &dyn KeyBackend, spec: KeySpec) -> KeyRef {
    let tag = KeyTag::random().unwrap();
    let made = backend.generate(&spec, tag, &soon()).await.unwrap();
    KeyRef { tag, key_type: spec.key_type, blob: made.blob, pin: Some(made.pin) }
}

const TEXT: &str = "what is signed is no secret";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_heard_on_the_way_to_the_tpm() {
    if swtpm::left_out() {
        return;
    }
    for trusted_path in [false, true] {
        let tpm = Swtpm::new();
        let listener = Listener::before(&tpm);
        let config = format!(
            "tcti = \"swtpm:host=127.0.0.1,port={}\"\ntrusted_path = {trusted_path}\n",
            listener.port
        );
        let config = toml::from_str(&config).unwrap();
        let backend = TpmBackend::open("tpm", &config, None, Arc::new(())).unwrap();
        let secrets = everything(&backend).await;
        let wrapped = unwrapped(&listener.heard.lock());
        assert_eq!(wrapped.len(), 2, "two key pairs were imported");
        listener.heard.lock().extend(wrapped.concat());
        assert!(secrets.len() > 100, "{}", secrets.len());
        // The listener hears, and so is not deaf to secrets.
        let digest = Hash::Sha256.digest(TEXT.as_bytes());
        assert!(listener.heard(digest.as_ref()), "what was signed was not heard");
        let expected: &[&str] = if trusted_path { &["the authorization of what was imported"] } else { &[] };
        assert_eq!(listener.known(&secrets), expected.iter().copied().collect());
    }
}
