//! Traces: a call is a span of its caller's trace, at a collector that may be away.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{ResourceSpans, Span, status::StatusCode},
};
use skms::proto::{self, key_management_client::KeyManagementClient};
use skms_tests::gateway::Home;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use super::{PATIENCE, scrape};
use crate::ask::{PROGRAM, create, full};

/// A collector that gives what comes to the test.
struct Collector(mpsc::UnboundedSender<ResourceSpans>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            let _ = self.0.send(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector on a port of its own, and what it gets.
async fn collector() -> (String, mpsc::UnboundedReceiver<ResourceSpans>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (got, gets) = mpsc::unbounded_channel();
    let served = Server::builder()
        .add_service(TraceServiceServer::new(Collector(got)))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(served);
    (endpoint, gets)
}

fn text(span: &Span, name: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match attribute.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_span_of_the_trace_that_its_caller_names() {
    let (endpoint, mut gets) = collector().await;
    let home = Home::software(PROGRAM).configured(&format!(
        "[traces]\nendpoint = \"{endpoint}\"\nsample_percent = 0\nservice_name = \"tested\"\n"
    ));
    let gateway = home.start();
    let client = gateway.client().await;
    // Nobody asked for a trace of this one.
    client.create_key(create("ed25519", "key", "")).await.unwrap();

    let mut traced = KeyManagementClient::new(gateway.channel().await);
    let mut ask = async |request: proto::GetKeyRequest, parent: String| {
        let mut request = Request::new(request);
        request.metadata_mut().insert("traceparent", parent.parse().unwrap());
        traced.get_key(request).await
    };
    ask(full("key"), format!("00-{TRACE}-{PARENT}-01")).await.unwrap();
    ask(full("nobody"), format!("00-{TRACE}-{PARENT}-01")).await.unwrap_err();
    // Not sampled, and not well formed: neither is sent.
    ask(full("key"), format!("00-{TRACE}-{PARENT}-00")).await.unwrap();
    ask(full("key"), format!("00-{TRACE}-{PARENT}-zz")).await.unwrap();

    let mut spans: Vec<Span> = Vec::new();
    while spans.len() < 2 {
        let got = tokio::time::timeout(PATIENCE, gets.recv()).await.unwrap().unwrap();
        let service = got.resource.unwrap().attributes.into_iter().find(|kv| kv.key == "service.name");
        assert_eq!(service.unwrap().value.unwrap().value, Some(Value::StringValue("tested".into())));
        spans.extend(got.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    for (span, code) in spans.iter().zip(["0", "5"]) {
        assert_eq!(
            (hex::encode(&span.trace_id), hex::encode(&span.parent_span_id)),
            (TRACE.into(), PARENT.into())
        );
        assert_eq!(span.name, "skms.v1.KeyManagement/GetKey");
        assert_eq!(text(span, "rpc.grpc.status_code").as_deref(), Some(code));
        let id = text(span, "request_id").unwrap();
        assert!(home.audit().iter().any(|record| record["request_id"] == id.as_str()), "{id}");
        // A refusal is no failure of the gateway.
        assert_ne!(span.status.as_ref().map(|status| status.code()), Some(StatusCode::Error));
    }
    // What still waits is sent at the end: nothing more.
    assert!(gateway.stop().await.success());
    assert!(gets.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_no_call_and_one_line() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let home = Home::software(PROGRAM)
        .configured(&format!("[traces]\nendpoint = \"{endpoint}\"\nsample_percent = 100\n"));
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "key", "")).await.unwrap();
    let lost = async {
        // In two batches at least.
        let mut first = None;
        loop {
            client.get_key(full("key")).await.unwrap();
            let lost = scrape(&gateway).value("skms_spans_lost_total", "");
            if first.is_some_and(|first| lost > first) {
                break;
            }
            first = first.or(Some(lost).filter(|lost| *lost > 0.0));
        }
    };
    tokio::time::timeout(PATIENCE, lost).await.unwrap();
    let log = gateway.log();
    assert_eq!(log.matches("cannot send traces to the collector").count(), 1, "{log}");
    assert!(gateway.stop().await.success());
}
