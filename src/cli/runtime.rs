//! The one thread that the commands with a server run on, and the signals that end them.

use std::future::Future;

use super::exit::{Exit, Failure};

/// Runs a command to its end.
pub(super) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unready, format!("cannot start: {error}")))?;
    let ended = runtime.block_on(command);
    // A look-up of a name cannot be given up, and is not waited for.
    runtime.shutdown_background();
    ended
}

/// Ready at SIGTERM or SIGINT. SIGHUP ends nothing: nothing is read again while it runs, but for
/// list files, and those by themselves.
pub(super) fn shutdown() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(Exit::Unready, format!("cannot listen for signals: {error}"))
        })
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hangup.recv() => tracing::warn!(
                    "SIGHUP reads nothing again: restart for a changed configuration or policy; \
                     nothing is forgotten by that"
                ),
            }
        }
    })
}
