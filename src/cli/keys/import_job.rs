//! `skms keys import-job`: key pairs under which others wrap material.

use uuid::Uuid;

use super::show;
use crate::{
    cli::{
        Context, Error, Exit,
        files::Place,
        json::ImportJobView,
        names::{IMPORT_METHODS, PROTECTION_LEVELS, name, parser},
        text,
    },
    proto::{CreateImportJobRequest, ImportJob, ImportJobState, ImportMethod, ProtectionLevel},
};

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    Create(Create),
    Get(Get),
}

/// Make an import job
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// How material will be wrapped
    #[arg(long, default_value = IMPORT_METHODS[0], value_parser = parser::<ImportMethod, 4>(IMPORT_METHODS))]
    method: ImportMethod,
    /// The id of the job [default: the gateway makes one]
    #[arg(long)]
    id: Option<String>,
    /// The least protection of its private half that will do
    #[arg(long, value_parser = parser::<ProtectionLevel, 3>(PROTECTION_LEVELS))]
    protection: Option<ProtectionLevel>,
    /// A UUID under which the command can be repeated without making a second job
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// Write the public key (PEM) to a file
    #[arg(long, value_name = "FILE")]
    public_key_out: Option<Place>,
}

/// Show an import job that you have made
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Get {
    /// The id of the job
    id: String,
    /// Write the public key (PEM) to a file
    #[arg(long, value_name = "FILE")]
    public_key_out: Option<Place>,
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<Exit, Error> {
    match command {
        Command::Create(args) => {
            let request = CreateImportJobRequest {
                method: args.method.into(),
                import_job_id: args.id.unwrap_or_default(),
                protection_level: args.protection.unwrap_or_default().into(),
                request_id: args.request_id.map(|id| id.to_string()).unwrap_or_default(),
                validate_only: false,
            };
            let job = context.connect().await?.create_import_job(request).await?;
            tell(job, args.public_key_out.as_ref(), context)
        }
        Command::Get(args) => {
            let job = context.connect().await?.import_job(&args.id).await?;
            tell(job, args.public_key_out.as_ref(), context)
        }
    }
}

fn tell(job: ImportJob, out: Option<&Place>, context: &mut Context<'_>) -> Result<Exit, Error> {
    if let Some(place) = out {
        place.write(show::pem(&job.public_key).as_bytes(), context.terminal)?;
    }
    if context.is_json() {
        context.terminal.print_json(&ImportJobView::from(job))?;
    } else if out != Some(&Place::Standard) {
        context.terminal.print(details(job))?;
    }
    Ok(Exit::Success)
}

fn details(job: ImportJob) -> String {
    text::details([
        ("ID", job.id),
        ("METHOD", name::<ImportMethod>(job.method)),
        ("STATE", name::<ImportJobState>(job.state)),
        ("PROTECTION", name::<ProtectionLevel>(job.protection_level)),
        ("BACKEND", job.backend),
        ("CREATED", text::time(job.create_time.as_ref())),
        ("EXPIRES", text::time(job.expire_time.as_ref())),
    ])
}
