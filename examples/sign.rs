//! Makes a key, signs with it and checks the signature.
//!
//! `SKMS_ENDPOINT` says where the gateway is, `SKMS_CA` names the certificates that vouch for
//! it, and `SKMS_TOKEN_FILE` has the token.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::{env, error::Error};

use skms::{
    client::{Client, ClientConfig, TokenSource},
    proto::{self, sign_request, verify_request},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut config = ClientConfig::new(env::var("SKMS_ENDPOINT")?.parse()?);
    if let Ok(ca) = env::var("SKMS_CA") {
        config = config.with_ca_file(ca);
    }
    if let Ok(file) = env::var("SKMS_TOKEN_FILE") {
        config = config.with_token(TokenSource::File(file.into()));
    }
    let client = Client::connect(config).await?;

    let request = proto::CreateKeyRequest { key_type: "ec-p256".to_owned(), ..Default::default() };
    let key_id = client.create_key(request).await?.id;
    let signed = client
        .sign(proto::SignRequest {
            key_id: key_id.clone(),
            input: Some(sign_request::Input::Message("a message".into())),
            ..Default::default()
        })
        .await?;
    let verdict = client
        .verify(proto::VerifyRequest {
            key_id: key_id.clone(),
            input: Some(verify_request::Input::Message("a message".into())),
            signature: signed.signature.clone(),
            ..Default::default()
        })
        .await?;
    println!("{key_id}: a signature of {} bytes, valid: {}", signed.signature.len(), verdict.valid);
    if verdict.valid { Ok(()) } else { Err("the signature is not valid".into()) }
}
