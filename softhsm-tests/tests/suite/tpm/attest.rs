//! What the TPM says of a key, checked by those who know nothing of the gateway: by hand
//! from the specification (TPM 2.0 part 2), by openssl and by tpm2-tools.

use std::{fs, path::Path, process::Command, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey},
};
use skms::{client::Client, proto};
use skms_backend::der_from_p1363;
use skms_tests::{
    gateway::Home,
    swtpm::{Swtpm, left_out},
};

use crate::ask::{PROGRAM, create, der_of, full, metadata, outcome};

/// Reached only where a statement is waited for that nobody asked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// `TPM_GENERATED_VALUE`, `TPM_ST_ATTEST_CERTIFY`, and algorithms.
const GENERATED: u32 = 0xff54_4347;
const CERTIFY: u16 = 0x8017;
const ECDSA: u16 = 0x0018;
const ECC: u16 = 0x0023;
const SHA256_ID: u16 = 0x000b;
/// `TPMA_OBJECT`.
const FIXED_TPM: u32 = 1 << 1;
const FIXED_PARENT: u32 = 1 << 4;
const ORIGIN: u32 = 1 << 5;
const RESTRICTED: u32 = 1 << 16;
const SIGN: u32 = 1 << 18;
/// Where the attributes stand in a `TPMT_PUBLIC`.
const ATTRIBUTES: usize = 4;

/// Bytes that are read from the front, as they are marshalled.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().unwrap()))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().unwrap()))
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

/// A statement that was taken apart.
#[derive(Clone)]
struct Statement {
    attest: Vec<u8>,
    /// r‖s.
    signature: Vec<u8>,
    key: Vec<u8>,
    by: Vec<u8>,
}

impl Statement {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let attest = reader.sized()?.to_vec();
        if (reader.u16()?, reader.u16()?) != (ECDSA, SHA256_ID) {
            return None;
        }
        let mut signature = Vec::new();
        for _ in 0..2 {
            let number = reader.sized()?;
            signature.extend(std::iter::repeat_n(0, 32_usize.checked_sub(number.len())?));
            signature.extend_from_slice(number);
        }
        let (key, by) = (reader.sized()?.to_vec(), reader.sized()?.to_vec());
        reader.0.is_empty().then_some(Self { attest, signature, key, by })
    }

    fn attributes(public: &[u8]) -> Option<u32> {
        Some(u32::from_be_bytes(public.get(ATTRIBUTES..ATTRIBUTES + 4)?.try_into().unwrap()))
    }

    /// The point of the attestation key, which ends its public area.
    fn point(&self) -> Option<Vec<u8>> {
        let mut reader = Reader(&self.by);
        if reader.u16()? != ECC {
            return None;
        }
        let tail = self.by.len().checked_sub(2 * (2 + 32))?;
        let mut reader = Reader(self.by.get(tail..)?);
        Some([&[4], reader.sized()?, reader.sized()?].concat())
    }

    /// What is wrong with it, for somebody who knows the attestation key and chose the
    /// challenge.
    fn flaw(&self, known: &[u8], challenge: &[u8]) -> Option<&'static str> {
        if self.by != known {
            return Some("another attestation key");
        }
        let wanted = RESTRICTED | SIGN | FIXED_TPM | FIXED_PARENT | ORIGIN;
        if Self::attributes(&self.by).is_none_or(|said| said & wanted != wanted) {
            return Some("the attestation key signs anything");
        }
        let point = self.point().unwrap_or_default();
        let der = der_from_p1363(&self.signature).unwrap_or_default();
        if UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(&self.attest, &der).is_err() {
            return Some("the signature");
        }
        let mut attest = Reader(&self.attest);
        let read = (|| {
            let head = (attest.u32()?, attest.u16()?);
            let _signer = attest.sized()?;
            let extra = attest.sized()?;
            // The clock, its counters, its safety, and the version of the firmware.
            attest.take(8 + 4 + 4 + 1 + 8)?;
            Some((head, extra, attest.sized()?, attest.sized()?))
        })();
        let Some((head, extra, name, _qualified)) = read.filter(|_| attest.0.is_empty()) else {
            return Some("its form");
        };
        if head != (GENERATED, CERTIFY) {
            return Some("it is no certification");
        }
        if extra != challenge {
            return Some("another challenge");
        }
        let expected = [&SHA256_ID.to_be_bytes()[..], digest(&SHA256, &self.key).as_ref()].concat();
        (name != expected).then_some("it is of another key")
    }
}

async fn told(client: &Client, key: &str, challenge: &'static [u8]) -> Statement {
    let request = proto::GetKeyRequest { attestation_challenge: challenge.into(), ..full(key) };
    let shown = client.get_key(request).await.unwrap();
    let version = &metadata(&shown).versions[0];
    let attestation = version.attestation.as_ref().unwrap();
    assert_eq!((attestation.format.as_str(), attestation.cert_chain_der.len()), ("tpm2-certify-1", 0));
    Statement::read(&attestation.statement).unwrap()
}

#[tokio::test]
async fn every_key_of_the_tpm_is_attested_and_nothing_else_passes_for_it() {
    if left_out() {
        return;
    }
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut known = None;
    let mut checked = 0;
    let mut last = None;
    for offered in client.get_backend("tpm").await.unwrap().key_types {
        let key_type = offered.key_type.as_str();
        let made = client.create_key(create(key_type, key_type, "tpm")).await.unwrap();
        if key_type.starts_with("aes") {
            // It is used outside of the TPM, which has nothing to say of that.
            let request = proto::GetKeyRequest { attestation_challenge: "new".into(), ..full(key_type) };
            assert_eq!(
                outcome(&client.get_key(request).await),
                "Unimplemented OPERATION_NOT_SUPPORTED_BY_BACKEND"
            );
            let shown = client.get_key(full(key_type)).await.unwrap();
            assert_eq!(metadata(&shown).versions[0].attestation, None);
            continue;
        }
        let statement = told(&client, key_type, b"new").await;
        let by = known.get_or_insert_with(|| statement.by.clone()).clone();
        assert_eq!(statement.flaw(&by, b"new"), None, "{key_type}");
        assert_eq!(told(&client, key_type, b"").await.flaw(&by, b""), None, "{key_type}");
        let wanted = FIXED_TPM | FIXED_PARENT;
        assert_eq!(Statement::attributes(&statement.key).unwrap() & wanted, wanted, "{key_type}");
        // The key is the one that the gateway shows.
        if !made.public_key.is_empty() {
            let (shown, told) = (der_of(&made.public_key), &statement.key[statement.key.len() - 32..]);
            let tail = if key_type.starts_with("rsa") {
                &shown[shown.len() - 37..shown.len() - 5]
            } else {
                &shown[shown.len() - 32..]
            };
            assert_eq!(told, tail, "{key_type}");
        }
        checked += 1;
        last = Some((statement, by));
    }
    let (statement, by) = last.unwrap();
    assert_eq!(statement.flaw(&by, b"old"), Some("another challenge"));
    let spoilt = |spoil: fn(&mut Statement)| {
        let mut spoilt = statement.clone();
        spoil(&mut spoilt);
        spoilt.flaw(&by, b"new")
    };
    assert_eq!(spoilt(|spoilt| spoilt.key[10] ^= 1), Some("it is of another key"));
    assert_eq!(spoilt(|spoilt| spoilt.by[10] ^= 1), Some("another attestation key"));
    assert_eq!(spoilt(|spoilt| spoilt.signature[10] ^= 1), Some("the signature"));
    for at in 0..statement.attest.len() {
        let mut spoilt = statement.clone();
        spoilt.attest[at] ^= 1;
        assert_eq!(spoilt.flaw(&by, b"new"), Some("the signature"), "byte {at}");
    }
    println!("{checked} types of keys attested, and checked by hand");
}

/// The statement, as the command line writes it, and the attestation key over a restart.
#[tokio::test(flavor = "multi_thread")]
async fn openssl_and_tpm2_tools_take_a_statement_and_the_attestation_key_stays() {
    if left_out() {
        return;
    }
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("rsa-2048", "key", "tpm")).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_skms-failpoints"));
    command.args(["--endpoint", &gateway.endpoint(), "--token-file"]).arg(home.admin_token());
    command.args(["keys", "get", "key", "--attestation", &file("statement"), "--challenge", "c0ffee"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let statement = Statement::read(&fs::read(file("statement")).unwrap()).unwrap();
    assert_eq!(statement.flaw(&statement.by, &[0xc0, 0xff, 0xee]), None);

    fs::write(file("attest"), &statement.attest).unwrap();
    fs::write(file("signature"), der_from_p1363(&statement.signature).unwrap()).unwrap();
    // id-ecPublicKey on prime256v1, RFC 5480.
    let spki = [
        &hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap(),
        statement.point().unwrap().as_slice(),
    ]
    .concat();
    fs::write(file("by.der"), spki).unwrap();
    run("openssl", &["pkey", "-pubin", "-inform", "DER", "-in", &file("by.der"), "-out", &file("by.pem")]);
    let said = run(
        "openssl",
        &["dgst", "-sha256", "-verify", &file("by.pem"), "-signature", &file("signature"), &file("attest")],
    );
    assert_eq!(said, "Verified OK\n");
    // Another TPM says so as well: it checks signatures of keys that it is given.
    let tpm = Swtpm::new();
    let _ = tpm.tool("tpm2_startup", &["-c"]);
    let _ = tpm.tool(
        "tpm2_loadexternal",
        &["-Q", "-C", "n", "-G", "ecc", "-u", &file("by.pem"), "-c", &file("by.ctx")],
    );
    let _ = tpm.tool(
        "tpm2_verifysignature",
        &[
            "-Q",
            "-c",
            &file("by.ctx"),
            "-g",
            "sha256",
            "-f",
            "ecdsa",
            "-m",
            &file("attest"),
            "-s",
            &file("signature"),
        ],
    );

    assert!(gateway.stop().await.success());
    let gateway = home.start();
    assert_eq!(told(&gateway.client().await, "key", b"again").await.flaw(&statement.by, b"again"), None);
    assert!(Path::new(&file("statement")).exists());
}

/// Nobody waits for a statement that was not asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_tpm_that_stands_still_is_shown_without_a_statement() {
    if left_out() {
        return;
    }
    // Far longer than anybody waits.
    let home = Home::every(PROGRAM).configured("[limits]\noperation_timeout = \"1h\"\n");
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "tpm")).await.unwrap();
    assert!(metadata(&client.get_key(full("key")).await.unwrap()).versions[0].attestation.is_some());
    home.tpm().unwrap().stand_still(true);
    let shown = tokio::time::timeout(PATIENCE, client.get_key(full("key"))).await.unwrap().unwrap();
    assert_eq!(metadata(&shown).versions[0].attestation, None);
    home.tpm().unwrap().stand_still(false);
    // It answers what it was asked, and goes on.
    let statement = told(&client, "key", b"again").await;
    assert_eq!(statement.flaw(&statement.by, b"again"), None);
}

/// What a device that makes no statements answers.
#[tokio::test]
async fn who_asks_another_device_for_a_statement_is_told_that_there_is_none() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        let challenged = |view: proto::KeyView, bytes| proto::GetKeyRequest {
            attestation_challenge: vec![7; bytes].into(),
            view: view.into(),
            ..full(backend)
        };
        let asked = client.get_key(challenged(proto::KeyView::Full, 32)).await;
        assert_eq!(outcome(&asked), "Unimplemented OPERATION_NOT_SUPPORTED_BY_BACKEND");
        let asked = client.get_key(challenged(proto::KeyView::Full, 33)).await;
        assert_eq!(outcome(&asked), "InvalidArgument FIELD_INVALID");
        let asked = client.get_key(challenged(proto::KeyView::Basic, 1)).await;
        assert_eq!(outcome(&asked), "InvalidArgument PARAMETER_NOT_APPLICABLE");
        let shown = client.get_key(full(backend)).await.unwrap();
        assert_eq!(metadata(&shown).versions[0].attestation, None);
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {out}{err}");
    out.into_owned()
}
