//! Many inputs and one key: one job, one result for each input.

use std::time::Instant;

use skms_backend::{Class, Cost, Error, KeyRef, OpContext, Operation, Workers};

use crate::{
    resolve::resolve,
    session::{Context, Handle, Link, Token},
};

/// What is done with each input: with a session, and the key behind a handle.
pub(crate) trait Work<I, T>:
    Fn(&Token, &Link, &Handle, &I) -> Result<T, Error> + Send + 'static
{
}

impl<I, T, F: Fn(&Token, &Link, &Handle, &I) -> Result<T, Error> + Send + 'static> Work<I, T> for F {}

/// Checks every input, and has the device see those that it may; the answers come in
/// the order of the inputs.
pub(crate) async fn each<I: Send + 'static, T: Send + 'static>(
    workers: &Workers<Token>,
    key: &KeyRef,
    operation: Operation,
    inputs: Vec<I>,
    ctx: &OpContext,
    check: impl Fn(&I) -> Result<(), Error>,
    one: impl Work<I, T>,
) -> Vec<Result<T, Error>> {
    let checks: Vec<Result<(), Error>> = inputs.iter().map(check).collect();
    let good: Vec<I> =
        inputs.into_iter().zip(&checks).filter_map(|(input, check)| check.is_ok().then_some(input)).collect();
    let mut done = Ok(Vec::new());
    if !good.is_empty() {
        let (key, frame) = (key.clone(), ctx.clone());
        let job = move |token: &Token, context: &mut Context| {
            batch(token, context, &key, operation, &good, &frame, one)
        };
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
/// When nothing was done and the session is to blame, so that the pool opens
/// another one.
fn batch<I, T>(
    token: &Token,
    context: &mut Context,
    key: &KeyRef,
    operation: Operation,
    inputs: &[I],
    ctx: &OpContext,
    one: impl Work<I, T>,
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
        let done = token.run(context, operation, |link| {
            let found = || {
                let handle = resolve(token, link, key, operation, ctx.deadline)?;
                one(token, link, &handle, input)
            };
            found().inspect_err(|error| {
                if error.class() == Class::Handle {
                    token.forget(link, key.tag);
                }
            })
        });
        match done {
            Err(error) if ends_batch(error.class()) => {
                if !error.class().context_survives() && results.iter().all(Result::is_err) {
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
    match class {
        // The input may be to blame; the next one has a session of its own.
        Class::Caller | Class::Broken => false,
        Class::Unsupported
        | Class::Key
        | Class::StorageFull
        | Class::Session
        | Class::Login
        | Class::Handle
        | Class::Reinitialize
        | Class::Shrink
        | Class::Pin
        | Class::QueueFull
        | Class::Hung
        | Class::Timeout
        | Class::Cancelled
        | Class::Closed => true,
    }
}
