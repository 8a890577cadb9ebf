//! Lines of the log: what is written for a call says for which, and in which trace.

use serde_json::Value;
use skms::proto::key_management_client::KeyManagementClient;
use skms_tests::gateway::Home;
use tonic::Request;
use tonic_types::StatusExt as _;

use crate::ask::{PROGRAM, create};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn a_line_for_a_call_has_its_id_and_that_of_its_trace_at_every_level() {
    // By default, and where less is wanted; without its first line no test finds a gateway.
    for level in ["info", "error,skms::server=info"] {
        let home = Home::software(PROGRAM);
        let gateway = home.start_with([
            ("SKMS__LOG__LEVEL", level.into()),
            ("FAILPOINTS", "create-key.intent-written=panic(canary-6d1f)".into()),
        ]);
        let mut client = KeyManagementClient::new(gateway.channel().await);
        let mut calls = Vec::new();
        for (key, parent, trace) in [
            ("one", Some(format!("00-{TRACE}-b7ad6b7169203331-01")), Value::from(TRACE)),
            // Not sampled, not well formed, and none.
            ("two", Some(format!("00-{TRACE}-b7ad6b7169203331-00")), TRACE.into()),
            ("three", Some(format!("00-{TRACE}-b7ad6b7169203331-zz")), Value::Null),
            ("four", None, Value::Null),
        ] {
            let mut request = Request::new(create("ed25519", key, ""));
            if let Some(parent) = parent {
                request.metadata_mut().insert("traceparent", parent.parse().unwrap());
            }
            let failed = client.create_key(request).await.unwrap_err();
            calls.push((failed.get_error_details().request_info().unwrap().request_id.clone(), trace));
        }
        drop(client);
        gateway.signal(rustix::process::Signal::TERM);
        let log = gateway.log_to_the_end().await;
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (id, trace) in calls {
            let of_call = lines.iter().filter(|line| line["span"]["request_id"] == id.as_str());
            let mut said = Vec::new();
            for line in of_call {
                let span = &line["span"];
                assert_eq!((&span["name"], &span["trace_id"]), (&"call".into(), &trace), "{level}: {line}");
                assert_eq!(span["rpc"], "skms.v1.KeyManagement/CreateKey");
                assert_eq!(line["level"], "ERROR", "{level}: {line}");
                assert_eq!(line.to_string().matches(&id).count(), 1, "once is enough: {line}");
                said.push(line["message"].as_str().unwrap());
            }
            // Where it happened, on a task of its own, and what became of it.
            assert_eq!(said.len(), 2, "{level}: {said:?} in\n{log}");
            assert_eq!(said[0], "a part of the gateway panicked");
        }
        // Nothing that is about no call looks as if it were.
        let others = lines.iter().filter(|line| line["message"] == "serving");
        assert!(others.clone().count() > 0 && others.clone().all(|line| line["span"].is_null()));
    }
}
