//! Many inputs and one key: one job, one result for each input.

use std::time::Instant;

use skms_backend::{Class, Cost, Error, OpContext, Operation, Workers};

use crate::device::{Connection, Link, Tpm};

/// Checks every input, and has the TPM see those that it may; the answers come in the
/// order of the inputs.
pub(crate) async fn each<I: Send + 'static, T: Send + 'static>(
    workers: &Workers<Tpm>,
    operation: Operation,
    inputs: Vec<I>,
    ctx: &OpContext,
    check: impl Fn(&I) -> Result<(), Error>,
    one: impl Fn(&Tpm, &mut Connection, &I) -> Result<T, Error> + Send + 'static,
) -> Vec<Result<T, Error>> {
    let checks: Vec<Result<(), Error>> = inputs.iter().map(check).collect();
    let good: Vec<I> =
        inputs.into_iter().zip(&checks).filter_map(|(input, check)| check.is_ok().then_some(input)).collect();
    let mut done = Ok(Vec::new());
    if !good.is_empty() {
        let frame = ctx.clone();
        let job = move |tpm: &Tpm, link: &mut Link| batch(tpm, link, operation, &good, &frame, one);
        done = workers.run(operation, Cost::Fast, ctx, job).await;
    }
    let mut done = done.map(Vec::into_iter);
    checks
        .into_iter()
        .map(|check| {
            check?;
            match &mut done {
                Ok(results) => results.next().unwrap_or_else(|| {
                    Err(Error::new(Class::Broken, operation).detail("an input has no result"))
                }),
                Err(error) => Err(error.clone()),
            }
        })
        .collect()
}

/// Works on inputs that were checked, one result for each.
///
/// # Errors
/// When nothing was done and the TPM is not to be reached, so that the pool waits for it.
fn batch<I, T>(
    tpm: &Tpm,
    link: &mut Link,
    operation: Operation,
    inputs: &[I],
    ctx: &OpContext,
    one: impl Fn(&Tpm, &mut Connection, &I) -> Result<T, Error>,
) -> Result<Vec<Result<T, Error>>, Error> {
    let mut results = Vec::with_capacity(inputs.len());
    let mut end: Option<Error> = None;
    for input in inputs {
        if end.is_none() {
            if ctx.deadline <= Instant::now() {
                end = Some(Error::new(Class::Timeout, operation));
            } else if ctx.cancellation.is_cancelled() {
                end = Some(Error::new(Class::Cancelled, operation));
            }
        }
        if let Some(end) = &end {
            results.push(Err(end.clone()));
            continue;
        }
        match tpm.run(link, |connection| one(tpm, connection, input)) {
            Err(error) if ends_batch(error.class()) => {
                if is_of_device(error.class()) && results.iter().all(Result::is_err) {
                    return Err(error);
                }
                end = Some(error.clone());
                results.push(Err(error));
            }
            done => results.push(done),
        }
    }
    Ok(results)
}

/// Whether the next input of a batch would fare no better.
const fn ends_batch(class: Class) -> bool {
    !matches!(class, Class::Caller | Class::Broken)
}

/// Whether the pool must open the TPM again. What is wrong with a key is not; to open it
/// takes as long as fifty signatures.
const fn is_of_device(class: Class) -> bool {
    matches!(class, Class::Session | Class::Reinitialize | Class::Pin)
}
