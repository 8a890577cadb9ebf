//! Keys that `openssl` makes, wraps and uses.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use skms::proto::{self, ImportMethod, import_key_request::Material};
use tempfile::TempDir;

use crate::ask;

/// A directory for the files of `openssl`.
pub(super) struct OpenSsl(TempDir);

impl OpenSsl {
    pub(super) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(super) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// What it writes to stdout; the words of `line` and then `more` are its arguments.
    pub(super) fn run(&self, line: &str, more: &[&str]) -> Vec<u8> {
        let mut command = Command::new("openssl");
        command.current_dir(self.0.path()).args(line.split_whitespace()).args(more);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A new key of this type, as it is imported. Its file is `TYPE.pem`, where it is a
    /// pair.
    pub(super) fn make(&self, key_type: &str) -> Vec<u8> {
        let line = match key_type {
            "rsa-2048" => "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
            "rsa-3072" => "-algorithm RSA -pkeyopt rsa_keygen_bits:3072",
            "rsa-4096" => "-algorithm RSA -pkeyopt rsa_keygen_bits:4096",
            "ec-p256" => "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
            "ec-p384" => "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
            "ec-p521" => "-algorithm EC -pkeyopt ec_paramgen_curve:P-521",
            "ec-secp256k1" => "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
            "ed25519" => "-algorithm ED25519",
            "x25519" => "-algorithm X25519",
            secret => {
                let bytes = match secret {
                    "aes-128" => "16",
                    "aes-256" | "hmac-sha256" => "32",
                    "hmac-sha384" => "48",
                    "hmac-sha512" => "64",
                    other => panic!("no key of type {other}"),
                };
                return self.run("rand", &[bytes]);
            }
        };
        self.run(&format!("genpkey {line} -out {key_type}.pem"), &[]);
        self.run(&format!("pkcs8 -topk8 -nocrypt -outform DER -in {key_type}.pem"), &[])
    }

    /// The public half of a key that was made, in PEM.
    pub(super) fn public(&self, key_type: &str) -> String {
        String::from_utf8(self.run(&format!("pkey -pubout -in {key_type}.pem"), &[])).unwrap()
    }

    /// RSAES-OAEP with SHA-256 to a public key in PEM.
    pub(super) fn oaep(&self, public: &str, message: &[u8]) -> Vec<u8> {
        self.file("to.pem", public.as_bytes());
        self.file("message", message);
        self.run(
            "pkeyutl -encrypt -pubin -inkey to.pem -in message -pkeyopt rsa_padding_mode:oaep \
             -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256",
            &[],
        )
    }

    /// What the method of a job makes of material.
    pub(super) fn wrap(&self, job: &proto::ImportJob, material: &[u8]) -> Vec<u8> {
        let direct = [ImportMethod::RsaOaep3072Sha256, ImportMethod::RsaOaep4096Sha256];
        if direct.contains(&job.method()) {
            return self.oaep(&job.public_key, material);
        }
        let key = self.run("rand", &["32"]);
        self.file("material", material);
        let inner =
            self.run("enc -id-aes256-wrap-pad -iv A65959A6 -in material", &["-K", &hex::encode(&key)]);
        [self.oaep(&job.public_key, &key), inner].concat()
    }
}

/// A job of this method and id.
pub(super) fn job(method: ImportMethod, id: &str) -> proto::CreateImportJobRequest {
    proto::CreateImportJobRequest { method: method.into(), import_job_id: id.into(), ..Default::default() }
}

/// A key of this type and id, of material in the clear.
pub(super) fn plain(key_type: &str, id: &str, material: &[u8]) -> proto::ImportKeyRequest {
    proto::ImportKeyRequest {
        key_type: key_type.into(),
        key_id: id.into(),
        params: ask::create(key_type, id, "soft").params,
        material: Some(Material::Plain(material.to_vec().into())),
        ..Default::default()
    }
}

/// The same, wrapped.
pub(super) fn wrapped(key_type: &str, id: &str, job: &str, ciphertext: &[u8]) -> proto::ImportKeyRequest {
    let wrapped = proto::WrappedMaterial { import_job: job.into(), ciphertext: ciphertext.to_vec().into() };
    proto::ImportKeyRequest { material: Some(Material::Wrapped(wrapped)), ..plain(key_type, id, b"") }
}

/// A new version of a key, of material in the clear.
pub(super) fn version(id: &str, material: &[u8]) -> proto::ImportKeyRequest {
    proto::ImportKeyRequest { new_version: true, params: None, ..plain("", id, material) }
}
