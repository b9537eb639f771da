//! HTTP clients: credentials go to the server that they are for, by no proxy and no redirect.

use std::time::Duration;

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use crate::rpc::dial;

/// A bitcoind closes a connection that was idle for 30 seconds by default; one that is about to be
/// closed is not used.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Looks up a server's name, with the address in front that answers first. What comes after this tries those
/// of one family one after the other, and a dead one would cost half of the deadline.
pub(crate) struct SideBySide {
    pub(crate) port: u16,
}

impl Resolve for SideBySide {
    fn resolve(&self, name: Name) -> Resolving {
        let port = self.port;
        Box::pin(async move {
            let found = lookup_host((name.as_str(), port)).await?;
            let addresses = dial::answering_first(found.collect()).await;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// `is_secure`: with the system's certificates.
pub(crate) fn client(
    timeout: Duration,
    is_secure: bool,
    names: impl Resolve + 'static,
) -> reqwest::Result<Client> {
    // There is one for the whole process; if another is there already, that is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!(
            env!("CARGO_PKG_NAME"),
            "/",
            env!("CARGO_PKG_VERSION")
        ))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        .connect_timeout(connect_timeout(timeout))
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(1)
        .dns_resolver(names);
    if is_secure {
        builder.build()
    } else {
        // A system without certificates is not asked for any.
        builder.tls_certs_only([]).build()
    }
}

/// Shorter than the whole deadline, so that it can be told whether there was a connection.
pub(crate) fn connect_timeout(timeout: Duration) -> Duration {
    timeout * 9 / 10
}

/// The first cause of an error: what stands before it names the URL, and says little.
pub(crate) fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
