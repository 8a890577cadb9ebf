//! Signs a thousand messages in one stream, with as many at work at once as the gateway grants.
//!
//! It takes the same variables as `sign`, and `SKMS_KEY`, the id of a key that signs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that says what it does")]

use std::{env, error::Error};

use skms::{
    client::{Client, ClientConfig, TokenSource},
    proto::{self, sign_request},
};

const MESSAGES: u32 = 1000;

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

    let start = proto::SignStreamStart { default_key_id: env::var("SKMS_KEY")?, ..Default::default() };
    let (mut asking, mut answers) = client.sign_stream(start).await?;
    let granted = answers.granted();
    // One task asks, and this one takes the answers, as they come.
    let asked = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let input = Some(sign_request::Input::Message(format!("message {number}").into()));
            asking.ask(proto::SignRequest { input, ..Default::default() }).await?;
        }
        Ok::<_, skms::client::Ended>(())
    });
    let (mut signed, mut refused) = (0, 0);
    while let Some((number, answer)) = answers.next().await? {
        match answer {
            Ok(_) => signed += 1,
            Err(failure) => {
                eprintln!("message {number}: {failure}");
                refused += 1;
            }
        }
    }
    asked.await??;
    println!("{signed} signatures, {granted} at once, {refused} refused");
    if signed == MESSAGES { Ok(()) } else { Err("not all of them were signed".into()) }
}
