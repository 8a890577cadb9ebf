//! What the fake says of itself.

use tonic::{Request, Response, Status};

use super::{Answers, backend};
use crate::proto::{self, system_service_server::SystemService};

#[tonic::async_trait]
impl SystemService for Answers {
    async fn list_backends(
        &self,
        request: Request<proto::ListBackendsRequest>,
    ) -> Result<Response<proto::ListBackendsResponse>, Status> {
        self.admit(request, |_| "").await?;
        Ok(Response::new(proto::ListBackendsResponse { backends: vec![backend()] }))
    }

    async fn get_backend(
        &self,
        request: Request<proto::GetBackendRequest>,
    ) -> Result<Response<proto::GetBackendResponse>, Status> {
        self.admit(request, |request| &request.name).await?;
        Ok(Response::new(proto::GetBackendResponse { backend: Some(backend()) }))
    }

    async fn test_permissions(
        &self,
        request: Request<proto::TestPermissionsRequest>,
    ) -> Result<Response<proto::TestPermissionsResponse>, Status> {
        self.admit(request, |_| "").await?;
        Ok(Response::new(proto::TestPermissionsResponse::default()))
    }

    async fn get_server_info(
        &self,
        request: Request<proto::GetServerInfoRequest>,
    ) -> Result<Response<proto::GetServerInfoResponse>, Status> {
        self.admit(request, |_| "").await?;
        let info = proto::GetServerInfoResponse { version: "9.9.9".into(), ..Default::default() };
        Ok(Response::new(info))
    }
}
