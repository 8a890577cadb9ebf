//! `skms health`: whether the gateway serves, for people and for probes.

use serde::Serialize;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{Context, Error, Exit};

/// Ask whether the gateway serves; succeeds only if it does
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A gRPC service or `backend/NAME`, in place of the whole gateway
    #[arg(long, value_name = "NAME", default_value = "")]
    service: String,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let status = context.connect().await?.health(&args.service).await?;
    let (name, exit) = outcome(status);
    if context.is_json() {
        context.terminal.print_json(&View { service: &args.service, status: name })?;
    } else {
        context.terminal.print(format!("{name}\n"))?;
    }
    Ok(exit)
}

fn outcome(status: ServingStatus) -> (&'static str, Exit) {
    match status {
        ServingStatus::Serving => ("serving", Exit::Success),
        ServingStatus::NotServing => ("not-serving", Exit::TryAgain),
        ServingStatus::ServiceUnknown => ("service-unknown", Exit::NotFound),
        ServingStatus::Unknown => ("unknown", Exit::Failure),
    }
}

#[derive(Serialize)]
struct View<'a> {
    service: &'a str,
    status: &'static str,
}
