//! Changing the server's daemon. The URLs hold credentials: they are read when the act is due, and
//! shown nowhere.

use super::Carried;
use super::words::is_unsent;
use crate::decision::Outcome;
use crate::policy::reading::read_bounded;
use crate::policy::{Action, DaemonTarget};
use crate::redact::SecretUrls;
use crate::rpc::Client;

/// A file of daemons' URLs is not longer.
const URLS_BYTES_MAX: usize = 64 * 1_024;

pub(super) async fn change_daemon(
    carried: &mut [Carried],
    intended: &[usize],
    client: &mut Client,
) {
    for &i in intended {
        let Carried {
            decision,
            outcome,
            unsent,
            ..
        } = &mut carried[i];
        let Action::DaemonUrl { to } = &decision.action else {
            continue;
        };
        let said = match daemon_urls(to) {
            Err(detail) => Err(detail),
            Ok(urls) => {
                let said = client.daemon_url(decision.epoch, &urls).await;
                *unsent = usize::from(said.as_ref().is_err_and(is_unsent));
                said.map_err(|error| error.to_string())
            }
        };
        *outcome = match said {
            Ok(detail) => Outcome::Executed { detail },
            Err(detail) => Outcome::Failed { detail },
        };
    }
}

fn daemon_urls(to: &DaemonTarget) -> Result<SecretUrls, String> {
    let text = match to {
        // The empty text is the server's word for its own DAEMON_URL.
        DaemonTarget::Default => return Ok(SecretUrls::new("")),
        DaemonTarget::Env(name) => std::env::var(&**name).map_err(|_| {
            format!("the environment variable `{name}` is not set: set it to the daemons' URLs")
        })?,
        DaemonTarget::File(path) => read_bounded((**path).as_ref(), URLS_BYTES_MAX)
            .map_err(|error| format!("cannot read the daemons' URLs from `{path}`: {error}"))?,
    };
    let urls: Vec<&str> = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|url| !url.is_empty())
        .collect();
    if text.len() > URLS_BYTES_MAX {
        return Err(format!(
            "the list of daemons' URLs is longer than {URLS_BYTES_MAX} bytes"
        ));
    }
    if urls.is_empty() {
        return Err(
            "the list of daemons' URLs is empty: an empty list would mean the default".into(),
        );
    }
    Ok(SecretUrls::new(urls.join(",")))
}
