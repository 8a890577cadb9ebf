//! Follows what becomes of keys, and goes on behind it when the stream ends.
//!
//! It takes the same variables as `sign`, and `SKMS_EVENTS`, after how many events it ends.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that says what it does")]

use std::{env, error::Error};

use skms::{
    client::{Client, ClientConfig, TokenSource},
    proto::WatchKeysRequest,
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

    let mut left = env::var("SKMS_EVENTS").map_or(Ok(u32::MAX), |count| count.parse())?;
    let mut watch =
        client.watch_keys(WatchKeysRequest { send_initial_state: true, ..Default::default() }).await?;
    while left > 0 {
        match watch.next().await {
            Ok(event) => {
                let id = event.key.as_ref().map_or("", |key| &key.id);
                println!("{} {id}", event.r#type().as_str_name());
                left -= 1;
            }
            // Nothing is missed: it goes on behind what was told last.
            Err(error) => {
                eprintln!("{error}; going on");
                watch.resume(error).await?;
            }
        }
    }
    Ok(())
}
