//! Every RPC that the gateway serves: the list is made of the proto descriptor, so
//! that one without an action, a limit or a price does not compile.

use super::Action;

macro_rules! rpcs {
    ($($name:ident = $path:literal $shape:ident,)+) => {
        /// An RPC.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "named as in the .proto files, where they are described")]
        pub enum Rpc { $($name,)+ }

        impl Rpc {
            /// Every RPC.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its path in HTTP/2: `/package.Service/Method`.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)+ }
            }

            /// How many messages it has in either direction.
            #[must_use]
            pub const fn shape(self) -> Shape {
                match self { $(Self::$name => Shape::$shape,)+ }
            }

            /// The RPC of a path.
            #[must_use]
            pub fn of_path(path: &str) -> Option<Self> {
                match path { $($path => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/rpcs.rs"));

/// How many messages an RPC has in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One and one.
    Unary,
    /// Many and one.
    ClientStream,
    /// One and many.
    ServerStream,
    /// Many and many.
    Bidirectional,
}

/// Who may call an RPC at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without proof of who it is.
    Public,
    /// Whoever may do this.
    Action(Action),
}

impl Rpc {
    /// Its service and its method, `skms.v1.KeyManagement/SignMessage`, for records
    /// and measurements.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.path().trim_start_matches('/')
    }

    /// Who may call it at all.
    #[must_use]
    pub const fn access(self) -> Access {
        match self {
            // Balancers and kubelets have no token.
            Self::HealthCheck | Self::HealthWatch => Access::Public,
            Self::Reflect | Self::ReflectAlpha => Access::Action(Action::DescribeApi),
            Self::CreateKey | Self::BatchCreateKeys => Access::Action(Action::CreateKey),
            Self::AdoptKey => Access::Action(Action::AdoptKey),
            // The versions are a part of the key.
            Self::GetKey | Self::ListKeyVersions => Access::Action(Action::GetKey),
            Self::GetPublicKey => Access::Action(Action::GetPublicKey),
            Self::ListKeys | Self::StreamKeys | Self::WatchKeys => Access::Action(Action::ListKeys),
            Self::RotateKey => Access::Action(Action::RotateKey),
            Self::UpdateKey => Access::Action(Action::UpdateKey),
            Self::EnableKey => Access::Action(Action::EnableKey),
            Self::DisableKey => Access::Action(Action::DisableKey),
            Self::RestoreKey => Access::Action(Action::RestoreKey),
            Self::MarkKeyCompromised => Access::Action(Action::MarkKeyCompromised),
            Self::ScheduleKeyDestruction => Access::Action(Action::ScheduleKeyDestruction),
            Self::SetPrimaryVersion => Access::Action(Action::SetPrimaryVersion),
            Self::CreateImportJob => Access::Action(Action::CreateImportJob),
            Self::GetImportJob => Access::Action(Action::GetImportJob),
            Self::ImportKey => Access::Action(Action::ImportKey),
            Self::CreateCertificateSigningRequest => Access::Action(Action::CreateCsr),
            Self::SignMessage | Self::BatchSign | Self::SignStream | Self::SignLargeMessage => {
                Access::Action(Action::SignMessage)
            }
            Self::VerifySignature | Self::BatchVerify | Self::VerifyStream | Self::VerifyLargeMessage => {
                Access::Action(Action::VerifySignature)
            }
            Self::Encrypt | Self::BatchEncrypt | Self::EncryptStream => Access::Action(Action::Encrypt),
            Self::Decrypt | Self::BatchDecrypt | Self::DecryptStream => Access::Action(Action::Decrypt),
            Self::ReEncrypt => Access::Action(Action::ReEncryptFrom),
            Self::GenerateDataKey => Access::Action(Action::GenerateDataKey),
            Self::GenerateRandom => Access::Action(Action::GenerateRandom),
            Self::GenerateMac => Access::Action(Action::GenerateMac),
            Self::VerifyMac => Access::Action(Action::VerifyMac),
            Self::DeriveSharedSecret => Access::Action(Action::DeriveSharedSecret),
            Self::ListBackends => Access::Action(Action::ListBackends),
            Self::GetBackend => Access::Action(Action::GetBackend),
            Self::TestPermissions => Access::Action(Action::TestPermissions),
            Self::GetServerInfo => Access::Action(Action::GetServerInfo),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_that_of_its_rpc() {
        for rpc in Rpc::ALL {
            assert_eq!(Rpc::of_path(rpc.path()), Some(*rpc));
        }
        for none in ["", "/", "/skms.v1.KeyManagement/", "/skms.v1.KeyManagement/signmessage", "SignMessage"]
        {
            assert_eq!(Rpc::of_path(none), None, "{none}");
        }
    }
}
