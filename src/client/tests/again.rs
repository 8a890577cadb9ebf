//! Calls that are made again, tokens that are fetched again, gateways that take turns.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::client::{Retry, TokenCommand};

fn again() -> Retry {
    Retry { first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(5), ..Retry::default() }
}

fn disable(id: &str, request_id: &str) -> proto::DisableKeyRequest {
    proto::DisableKeyRequest { key_id: id.into(), request_id: request_id.into(), ..Default::default() }
}

/// How often the fake was called meanwhile.
async fn calls<T>(fake: &Fake, work: impl Future<Output = T>) -> (T, usize) {
    let before = fake.seen("user-agent").len();
    let made = work.await;
    (made, fake.seen("user-agent").len() - before)
}

#[test]
fn a_call_is_made_again_where_nothing_is_done_twice() {
    let fake = Fake::tcp();
    fake.block_on(async {
        let client = Client::connect(config(&fake).with_retry(again())).await.unwrap();
        let (shown, count) = calls(&fake, client.get_key(get("flaky"))).await;
        assert_eq!((shown.unwrap().id.as_str(), count), ("flaky", 2));
        // What changes something has an id, its caller's or a new one.
        let (done, count) = calls(&fake, client.disable_key(disable("flaky", ""))).await;
        assert_eq!((done.is_ok(), count), (true, 2));
        let (away, count) = calls(&fake, client.get_key(get("away"))).await;
        assert_eq!((away.unwrap_err().failure().unwrap().code, count), (Code::Unavailable, 4));
        for key in ["missing", "denied", "broken", "busy"] {
            let (refused, count) = calls(&fake, client.get_key(get(key))).await;
            if refused.is_err() {
                assert_eq!(count, 1, "{key}");
            }
        }
        // Not without an id, unless it was not begun.
        let once = || client.key_management();
        let plain = |key: &'static str| {
            client.repeated(crate::client::Twice::Other, move || {
                let mut service = once();
                async move { service.disable_key(disable(key, "")).await }
            })
        };
        let (refused, count) = calls(&fake, plain("away")).await;
        assert_eq!((refused.is_err(), count), (true, 1));
        client.get_key(get("leaving")).await.unwrap();
        let (done, count) = calls(&fake, plain("leaving")).await;
        assert!(done.is_ok() && count <= 2);
    });
}

#[test]
fn a_call_is_not_made_again_by_those_who_do_not_want_it_or_have_done_so_too_often() {
    let fake = Fake::tcp();
    fake.block_on(async {
        let client = Client::connect(config(&fake).with_retry(Retry::never())).await.unwrap();
        let (refused, count) = calls(&fake, client.get_key(get("away"))).await;
        assert_eq!((refused.is_err(), count), (true, 1));
        let retry = Retry { budget: 5, ..again() };
        let client = Client::connect(config(&fake).with_retry(retry)).await.unwrap();
        let many = async {
            for _ in 0..20 {
                client.get_key(get("away")).await.unwrap_err();
            }
        };
        assert_eq!(calls(&fake, many).await.1, 25);
    });
}

#[test]
fn a_call_with_all_that_is_tried_again_ends_at_its_deadline() {
    let fake = Fake::tcp();
    let retry = Retry { attempts: 1000, budget: 1000, ..again() };
    let config = config(&fake).with_retry(retry).with_call_timeout(Duration::from_millis(200));
    fake.block_on(async {
        let client = Client::connect(config).await.unwrap();
        let begun = std::time::Instant::now();
        client.get_key(get("away")).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_token_file_is_read_again_when_its_token_is_refused() {
    let fake = Fake::tcp();
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "token", "expired").unwrap();
    fake.block_on(async {
        let config = config(&fake).with_token(TokenSource::File(file.clone()));
        let client = Client::connect(config).await.unwrap();
        let refused = client.get_key(get("payroll")).await.unwrap_err();
        assert_eq!(refused.failure().unwrap().reason.as_deref(), Some("TOKEN_EXPIRED"));
        fs::write(&file, "renewed").unwrap();
        client.get_key(get("payroll")).await.unwrap();
        // One that is being written is not there yet.
        fs::write(&file, "").unwrap();
        client.get_key(get("payroll")).await.unwrap();
    });
    assert_eq!(fake.seen("authorization").last().unwrap().as_deref(), Some("Bearer renewed"));
}

#[test]
fn a_program_gives_tokens_and_is_asked_again_when_one_is_refused() {
    let fake = Fake::tcp();
    let folder = tempfile::tempdir().unwrap();
    // The first is not good any more.
    let text = "#!/bin/sh\nif [ -e \"$1\" ]; then echo good; else touch \"$1\"; echo expired; fi\n";
    let program = write(folder.path(), "program", text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let command = TokenCommand {
        program,
        arguments: vec![folder.path().join("asked").into()],
        lifetime: Duration::from_secs(300),
    };
    fake.block_on(async {
        let config = config(&fake).with_token(TokenSource::Command(command.clone()));
        let client = Client::connect(config.clone()).await.unwrap();
        let (shown, count) = calls(&fake, client.get_key(get("payroll"))).await;
        assert_eq!((shown.is_ok(), count), (true, 2));
        let (shown, count) = calls(&fake, client.get_key(get("payroll"))).await;
        assert_eq!((shown.is_ok(), count), (true, 1));
        for (program, told) in
            [("/bin/false", "ended with"), ("/nonexistent", "cannot be read"), ("/bin/true", "no token")]
        {
            let command = TokenCommand { program: program.into(), ..command.clone() };
            let config = config.clone().with_token(TokenSource::Command(command));
            let error = Client::connect(config).await.unwrap_err();
            assert!(matches!(error, Error::TokenCommand { .. }), "{error:?}");
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(told), "{program}: {cause}");
        }
    });
}

#[test]
fn gateways_take_turns_and_one_that_is_gone_takes_none() {
    let (one, other) = (Fake::tcp(), Fake::tcp());
    one.block_on(async {
        let config = config(&one).and_endpoint(other.endpoint().parse().unwrap()).with_retry(again());
        let client = Client::connect(config.clone()).await.unwrap();
        for _ in 0..20 {
            client.get_key(get("payroll")).await.unwrap();
        }
        let seen = |fake: &Fake| fake.seen("grpc-timeout").iter().flatten().count();
        assert_eq!((seen(&one), seen(&other)), (10, 10));
        tokio::task::spawn_blocking(move || drop(other)).await.unwrap();
        for _ in 0..100 {
            client.get_key(get("payroll")).await.unwrap();
        }
        let open = client.pool().gateways().filter(|(_, is_open)| *is_open).count();
        assert_eq!(open, 1, "{:?}", client.pool());
        // One of them is enough to begin with.
        let client = Client::connect(config).await.unwrap();
        client.get_key(get("payroll")).await.unwrap();
    });
    let none = ClientConfig { endpoints: Vec::new(), ..config(&one) };
    assert!(matches!(one.block_on(Client::connect(none)), Err(Error::NoEndpoint)));
}

#[test]
fn who_drops_a_client_leaves_no_task_behind() {
    let (one, other) = (Fake::tcp(), Fake::tcp());
    one.block_on(async {
        let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = alive();
        let config = config(&one).and_endpoint(other.endpoint().parse().unwrap());
        let client = Client::connect(config).await.unwrap();
        for _ in 0..4 {
            client.get_key(get("payroll")).await.unwrap();
        }
        assert!(alive() > before);
        drop(client);
        let gone = async {
            while alive() > before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    });
}
