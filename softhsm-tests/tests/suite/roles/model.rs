//! Who may do what by the shipped policies, said once more without Cedar: a table of
//! roles, two sentences about tenants, and what a caller is told.

use skms::model::{Access, Action, Rpc, Target};

/// A caller.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) name: &'static str,
    pub(super) roles: &'static [&'static str],
    pub(super) tenant: Option<&'static str>,
}

/// A key, or none of this name. All names have one length, so that answers can be
/// compared byte by byte.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// `None`: there is no such key.
    pub(super) about: Option<About>,
}

#[derive(Debug)]
pub(super) struct About {
    pub(super) tenant: Option<&'static str>,
    /// The value of its label `team`.
    pub(super) team: Option<&'static str>,
}

const fn who(name: &'static str, roles: &'static [&'static str], tenant: Option<&'static str>) -> Who {
    Who { name, roles, tenant }
}

pub(super) const CALLERS: [Who; 18] = [
    who("admin", &["admin"], None),
    who("admin-of-acme", &["admin"], Some("acme")),
    who("key-manager", &["key-manager"], None),
    who("key-manager-of-acme", &["key-manager"], Some("acme")),
    who("signer", &["signer"], None),
    who("signer-of-acme", &["signer"], Some("acme")),
    who("verifier", &["verifier"], None),
    who("verifier-of-acme", &["verifier"], Some("acme")),
    who("encrypter", &["encrypter"], None),
    who("encrypter-of-acme", &["encrypter"], Some("acme")),
    who("auditor", &["auditor"], None),
    who("auditor-of-acme", &["auditor"], Some("acme")),
    who("payroll", &["team-signer", "payroll"], None),
    who("payroll-of-acme", &["team-signer", "payroll"], Some("acme")),
    who("team-without-name", &["team-signer"], None),
    who("nobody", &[], None),
    // Neither is a role, however much it looks like one.
    who("upper-case", &["Admin", "SIGNER", "key-manager."], None),
    who("scopes", &["admin,signer", "*", "Role::\"admin\""], Some("acme")),
];

const fn key(name: &'static str, tenant: Option<&'static str>, team: Option<&'static str>) -> Key {
    Key { name, about: Some(About { tenant, team }) }
}

pub(super) const KEYS: [Key; 7] = [
    key("nobodys", None, None),
    key("payroll", None, Some("payroll")),
    key("of-acme", Some("acme"), None),
    key("acmepay", Some("acme"), Some("payroll")),
    key("foreign", Some("other"), None),
    key("forepay", Some("other"), Some("payroll")),
    Key { name: MISSING, about: None },
];

/// A key that is none.
pub(super) const MISSING: &str = "missing";

/// What each role may do, on some key or on the gateway.
const ROLES: [(&str, &[Action]); 6] = [
    ("admin", &Action::ALL),
    (
        "key-manager",
        &[
            Action::GetKey,
            Action::GetPublicKey,
            Action::ListKeys,
            Action::CreateKey,
            Action::RotateKey,
            Action::UpdateKey,
            Action::SetKeyLabels,
            Action::EnableKey,
            Action::DisableKey,
            Action::RestoreKey,
            Action::MarkKeyCompromised,
            Action::ScheduleKeyDestruction,
            Action::SetPrimaryVersion,
            Action::CreateImportJob,
            Action::GetImportJob,
            Action::ImportKey,
            Action::ListBackends,
            Action::GetBackend,
            Action::GetServerInfo,
            Action::DescribeApi,
        ],
    ),
    (
        "signer",
        &[
            Action::GetKey,
            Action::GetPublicKey,
            Action::ListKeys,
            Action::SignMessage,
            Action::VerifySignature,
            Action::CreateCsr,
            Action::GenerateMac,
            Action::VerifyMac,
            Action::GetServerInfo,
            Action::DescribeApi,
        ],
    ),
    (
        "verifier",
        &[
            Action::GetKey,
            Action::GetPublicKey,
            Action::ListKeys,
            Action::VerifySignature,
            Action::VerifyMac,
            Action::GetServerInfo,
            Action::DescribeApi,
        ],
    ),
    (
        "encrypter",
        &[
            Action::GetKey,
            Action::GetPublicKey,
            Action::ListKeys,
            Action::Encrypt,
            Action::Decrypt,
            Action::ReEncryptFrom,
            Action::ReEncryptTo,
            Action::GenerateDataKey,
            Action::GenerateDataKeyPlaintext,
            Action::GenerateRandom,
            Action::GetServerInfo,
            Action::DescribeApi,
        ],
    ),
    (
        "auditor",
        &[
            Action::GetKey,
            Action::GetPublicKey,
            Action::ListKeys,
            Action::ListBackends,
            Action::GetBackend,
            Action::GetServerInfo,
            Action::DescribeApi,
        ],
    ),
];
/// What takes a key that does not sign.
const USES_OTHERS: [Action; 7] = [
    Action::Encrypt,
    Action::Decrypt,
    Action::ReEncryptFrom,
    Action::GenerateDataKey,
    Action::GenerateMac,
    Action::VerifyMac,
    Action::DeriveSharedSecret,
];
/// What a team may do: the first with its own keys, the second at all.
const TEAM_KEYS: [Action; 4] =
    [Action::GetKey, Action::GetPublicKey, Action::SignMessage, Action::VerifySignature];
const TEAM_GATEWAY: [Action; 3] = [Action::ListKeys, Action::GetServerInfo, Action::DescribeApi];

impl Who {
    fn has(&self, role: &str) -> bool {
        self.roles.contains(&role)
    }

    fn by_role(&self, action: Action) -> bool {
        ROLES.iter().any(|(role, actions)| self.has(role) && actions.contains(&action))
    }

    /// Whether there could be something with which it may do this.
    pub(super) fn may_call(&self, action: Action) -> bool {
        let team = TEAM_KEYS.contains(&action) || TEAM_GATEWAY.contains(&action);
        action == Action::TestPermissions || self.by_role(action) || self.has("team-signer") && team
    }

    /// Whether it may do this to the gateway. What is on a device is of no tenant.
    pub(super) fn may_to_gateway(&self, action: Action) -> bool {
        self.may_call(action) && (action != Action::AdoptKey || self.tenant.is_none())
    }

    /// Whether it may do this to this key.
    pub(super) fn may(&self, action: Action, key: &Key) -> bool {
        let team = key.about.as_ref().and_then(|about| about.team);
        let of_team = self.has("team-signer") && team.is_some_and(|team| self.has(team));
        self.is_of_its_tenant(key) && (self.by_role(action) || of_team && TEAM_KEYS.contains(&action))
    }

    /// Who has a tenant touches the keys of that tenant. Who has none touches those
    /// that have none; only an admin touches them all, and learns which there are.
    fn is_of_its_tenant(&self, key: &Key) -> bool {
        match (self.tenant, &key.about) {
            (Some(mine), Some(about)) => about.tenant == Some(mine),
            (None, Some(about)) => about.tenant.is_none() || self.has("admin"),
            (Some(_), None) => false,
            (None, None) => self.has("admin"),
        }
    }

    /// What it is told.
    pub(super) fn expected(&self, rpc: Rpc, key: &Key) -> &'static str {
        let Access::Action(action) = rpc.access() else { return "ok" };
        if !self.may_call(action) {
            return "PermissionDenied METHOD_NOT_ALLOWED";
        }
        match (action, action.target()) {
            (Action::AdoptKey, _) if !self.may_to_gateway(action) => "PermissionDenied KEY_ACCESS_DENIED",
            // Its gateway has nothing but a software backend.
            (Action::AdoptKey, _) => "Unimplemented OPERATION_NOT_SUPPORTED_BY_BACKEND",
            // A key that is made is of its maker's tenant.
            // Nobody has an import job.
            (Action::GetImportJob, _) => "NotFound IMPORT_JOB_NOT_FOUND",
            (Action::CreateKey, _) | (_, Target::Gateway | Target::Nothing) => "ok",
            (_, Target::Key) if !self.may(action, key) => "PermissionDenied KEY_ACCESS_DENIED",
            (_, Target::Key) if key.about.is_none() => "NotFound KEY_NOT_FOUND",
            (Action::ImportKey, Target::Key) => "InvalidArgument FIELD_INVALID new_version",
            // The keys of the model sign, and that is all.
            (action, Target::Key) if USES_OTHERS.contains(&action) => {
                "FailedPrecondition KEY_PURPOSE_MISMATCH"
            }
            (_, Target::Key) => "ok",
        }
    }
}
