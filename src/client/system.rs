//! The calls of `skms.v1.SystemService` and `grpc.health.v1.Health`.

use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::{Client, Error, ask, retry};
use crate::proto;

impl Client {
    /// Lists the backends in placement order.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn list_backends(&self) -> Result<Vec<proto::Backend>, Error> {
        Ok(ask!(self.system().list_backends(proto::ListBackendsRequest {}))?.backends)
    }

    /// Shows one backend.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn get_backend(&self, name: &str) -> Result<proto::Backend, Error> {
        let request = proto::GetBackendRequest { name: name.to_owned() };
        let answer = ask!(self.system().get_backend(request))?;
        Ok(answer.backend.unwrap_or_default())
    }

    /// Says what this caller may do: to the key of this id, or to the gateway where it
    /// is empty.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn test_permissions(
        &self,
        request: proto::TestPermissionsRequest,
    ) -> Result<Vec<proto::Permission>, Error> {
        Ok(ask!(self.system().test_permissions(request))?.permissions)
    }

    /// Shows the version and the limits of the gateway.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn server_info(&self) -> Result<proto::GetServerInfoResponse, Error> {
        ask!(self.system().get_server_info(proto::GetServerInfoRequest {}))
    }

    /// Asks whether a service is served; the empty name means the whole gateway.
    ///
    /// # Errors
    /// Not found for a name that the gateway does not know.
    pub async fn health(&self, service: &str) -> Result<ServingStatus, Error> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = self.call(async { self.health_checks().check(request).await }).await?;
        Ok(answer.status())
    }
}
