//! A bare gRPC server: tonic as it comes, the messages of SignMessage in their
//! usual sizes, and nothing done between them.

use std::{future::pending, net::SocketAddr, pin::Pin, thread};

use skms::proto::{
    self, CreateKeyRequest, GetKeyRequest, GetPublicKeyRequest, GetPublicKeyResponse, KeyResponse,
    ListKeyVersionsRequest, ListKeyVersionsResponse, ListKeysRequest, ListKeysResponse, RotateKeyRequest,
    SignRequest, SignResponse, UpdateKeyRequest, UpdateKeyResponse, VerifyRequest, VerifyResponse,
    key_management_server::{KeyManagement, KeyManagementServer},
    sign_request::Input,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use crate::{
    child::{self, Child},
    load::Sample,
};

/// Starts it and says where it listens.
pub(crate) fn start() -> (Child, String) {
    let mut child = Child::start(child::ECHO, []);
    let endpoint = child.line();
    (child, endpoint)
}

pub(crate) fn serve() {
    // The parent never writes: this returns when it has gone.
    thread::spawn(|| {
        child::answer(|_, _, _| Sample::default());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        println!("http://{}", incoming.local_addr().unwrap());
        let server = Server::builder().add_service(KeyManagementServer::new(Echo));
        server.serve_with_incoming(incoming.with_nodelay(Some(true))).await.unwrap();
        pending::<()>().await;
    });
}

struct Echo;

type Echoes<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn echo(request: SignRequest) -> Result<SignResponse, Status> {
    let Some(Input::Message(signature)) = request.input else { return Err(other()) };
    Ok(SignResponse {
        signature,
        key_id: request.key_id,
        version: 1,
        algorithm: request.algorithm,
        encoding: 1,
        signature_crc32c: 1,
        protection_level: 1,
        ..SignResponse::default()
    })
}

#[tonic::async_trait]
impl KeyManagement for Echo {
    async fn sign_message(&self, request: Request<SignRequest>) -> Result<Response<SignResponse>, Status> {
        echo(request.into_inner()).map(Response::new)
    }

    async fn batch_sign(
        &self,
        request: Request<proto::BatchSignRequest>,
    ) -> Result<Response<proto::BatchSignResponse>, Status> {
        let results = request.into_inner().requests.into_iter().map(|request| {
            let response = echo(request)?;
            let result = Some(proto::batch_sign_result::Result::Response(response));
            Ok(proto::BatchSignResult { result, reference: String::new() })
        });
        Ok(Response::new(proto::BatchSignResponse { results: results.collect::<Result<_, Status>>()? }))
    }

    type SignStreamStream = Echoes<proto::SignStreamResponse>;

    async fn sign_stream(
        &self,
        request: Request<Streaming<proto::SignStreamRequest>>,
    ) -> Result<Response<Self::SignStreamStream>, Status> {
        use proto::{sign_stream_request::Kind, sign_stream_response::Result as Answer};
        let answers = request.into_inner().map(|message| {
            let message = message?;
            let result = match message.kind {
                Some(Kind::Sign(request)) => Answer::Response(echo(request)?),
                Some(Kind::Start(_)) | None => Answer::Ack(proto::SignStreamAck { max_in_flight: u32::MAX }),
            };
            Ok(proto::SignStreamResponse { sequence: message.sequence, result: Some(result) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    type VerifyStreamStream = Echoes<proto::VerifyStreamResponse>;

    async fn verify_stream(
        &self,
        _: Request<Streaming<proto::VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        Err(other())
    }

    async fn sign_large_message(
        &self,
        _: Request<Streaming<proto::SignLargeMessageRequest>>,
    ) -> Result<Response<proto::SignLargeMessageResponse>, Status> {
        Err(other())
    }

    async fn verify_large_message(
        &self,
        _: Request<Streaming<proto::VerifyLargeMessageRequest>>,
    ) -> Result<Response<proto::VerifyLargeMessageResponse>, Status> {
        Err(other())
    }

    async fn batch_create_keys(
        &self,
        _: Request<Streaming<proto::BatchCreateKeysRequest>>,
    ) -> Result<Response<proto::BatchCreateKeysResponse>, Status> {
        Err(other())
    }

    type StreamKeysStream = Echoes<proto::StreamKeysResponse>;

    async fn stream_keys(
        &self,
        _: Request<proto::StreamKeysRequest>,
    ) -> Result<Response<Self::StreamKeysStream>, Status> {
        Err(other())
    }

    type WatchKeysStream = Echoes<proto::WatchKeysResponse>;

    async fn watch_keys(
        &self,
        _: Request<proto::WatchKeysRequest>,
    ) -> Result<Response<Self::WatchKeysStream>, Status> {
        Err(other())
    }

    async fn batch_verify(
        &self,
        _: Request<proto::BatchVerifyRequest>,
    ) -> Result<Response<proto::BatchVerifyResponse>, Status> {
        Err(other())
    }

    async fn create_key(&self, _: Request<CreateKeyRequest>) -> Result<Response<KeyResponse>, Status> {
        Err(other())
    }

    async fn adopt_key(
        &self,
        _: Request<proto::AdoptKeyRequest>,
    ) -> Result<Response<proto::AdoptKeyResponse>, Status> {
        Err(other())
    }

    async fn get_key(&self, _: Request<GetKeyRequest>) -> Result<Response<KeyResponse>, Status> {
        Err(other())
    }

    async fn list_keys(&self, _: Request<ListKeysRequest>) -> Result<Response<ListKeysResponse>, Status> {
        Err(other())
    }

    async fn list_key_versions(
        &self,
        _: Request<ListKeyVersionsRequest>,
    ) -> Result<Response<ListKeyVersionsResponse>, Status> {
        Err(other())
    }

    async fn get_public_key(
        &self,
        _: Request<GetPublicKeyRequest>,
    ) -> Result<Response<GetPublicKeyResponse>, Status> {
        Err(other())
    }

    async fn rotate_key(&self, _: Request<RotateKeyRequest>) -> Result<Response<KeyResponse>, Status> {
        Err(other())
    }

    async fn update_key(&self, _: Request<UpdateKeyRequest>) -> Result<Response<UpdateKeyResponse>, Status> {
        Err(other())
    }

    async fn enable_key(
        &self,
        _: Request<proto::EnableKeyRequest>,
    ) -> Result<Response<proto::EnableKeyResponse>, Status> {
        Err(other())
    }

    async fn disable_key(
        &self,
        _: Request<proto::DisableKeyRequest>,
    ) -> Result<Response<proto::DisableKeyResponse>, Status> {
        Err(other())
    }

    async fn restore_key(
        &self,
        _: Request<proto::RestoreKeyRequest>,
    ) -> Result<Response<proto::RestoreKeyResponse>, Status> {
        Err(other())
    }

    async fn mark_key_compromised(
        &self,
        _: Request<proto::MarkKeyCompromisedRequest>,
    ) -> Result<Response<proto::MarkKeyCompromisedResponse>, Status> {
        Err(other())
    }

    async fn schedule_key_destruction(
        &self,
        _: Request<proto::ScheduleKeyDestructionRequest>,
    ) -> Result<Response<proto::ScheduleKeyDestructionResponse>, Status> {
        Err(other())
    }

    async fn set_primary_version(
        &self,
        _: Request<proto::SetPrimaryVersionRequest>,
    ) -> Result<Response<proto::SetPrimaryVersionResponse>, Status> {
        Err(other())
    }

    async fn create_import_job(
        &self,
        _: Request<proto::CreateImportJobRequest>,
    ) -> Result<Response<proto::CreateImportJobResponse>, Status> {
        Err(other())
    }

    async fn get_import_job(
        &self,
        _: Request<proto::GetImportJobRequest>,
    ) -> Result<Response<proto::GetImportJobResponse>, Status> {
        Err(other())
    }

    async fn import_key(
        &self,
        _: Request<proto::ImportKeyRequest>,
    ) -> Result<Response<proto::ImportKeyResponse>, Status> {
        Err(other())
    }

    async fn create_certificate_signing_request(
        &self,
        _: Request<proto::CreateCertificateSigningRequestRequest>,
    ) -> Result<Response<proto::CreateCertificateSigningRequestResponse>, Status> {
        Err(other())
    }

    async fn verify_signature(&self, _: Request<VerifyRequest>) -> Result<Response<VerifyResponse>, Status> {
        Err(other())
    }
}

fn other() -> Status {
    Status::unimplemented("only SignMessage with a message is measured")
}
