//! Changing the server's daemon. The URLs hold credentials: they are put together when the act is
//! due, and shown nowhere.

use super::words::is_unsent;
use super::{Actor, Carried};
use crate::daemon::{Address, Daemons};
use crate::decision::Outcome;
use crate::policy::{Action, DaemonTarget};
use crate::redact::SecretUrls;
use crate::rpc::Client;

/// What the server is to be sent for a decision that goes `to` there: the URLs of `wanted`.
fn to_send(
    daemons: Option<&Daemons>,
    to: &DaemonTarget,
    wanted: &[Address],
) -> Result<SecretUrls, String> {
    // The empty text is the server's word for its own DAEMON_URL: no other may come out as that.
    if *to == DaemonTarget::Default {
        return Ok(SecretUrls::new(""));
    }
    let Some(daemons) = daemons.filter(|_| !wanted.is_empty()) else {
        return Err("not done, for it cannot be told which daemon to go to".into());
    };
    daemons.urls(wanted).map_err(|unknown| {
        format!(
            "not done, for `{unknown}` is no daemon of the configuration: name it in \
             `[server.daemon]`"
        )
    })
}

impl Actor {
    /// Takes the daemons that the server can be sent to.
    pub fn know_daemons(&mut self, daemons: Daemons) {
        self.daemons = Some(daemons);
    }

    pub(super) async fn change_daemon(
        &self,
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
            let said = match to_send(self.daemons.as_ref(), to, &decision.daemons) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(to: &DaemonTarget, daemons: &[&str]) -> Result<String, String> {
        let known = "u:sesame@a:1,u:sesame@b:2,u:sesame@c:3";
        let known = Daemons::parse(known, None).unwrap();
        let daemons: Vec<Address> = daemons.iter().copied().map(Address::from).collect();
        let urls = to_send(Some(&known), to, &daemons)?;
        Ok(urls.expose().to_owned())
    }

    #[test]
    fn the_daemons_wanted_are_sent_in_their_order() {
        assert_eq!(
            sent(&DaemonTarget::Best, &["b:2", "a:1"]).unwrap(),
            "http://u:sesame@b:2/,http://u:sesame@a:1/"
        );
        assert_eq!(sent(&DaemonTarget::Default, &[]).unwrap(), "");
    }

    #[test]
    fn what_cannot_be_told_is_not_sent() {
        assert_eq!(
            sent(&DaemonTarget::Primary, &[]).unwrap_err(),
            "not done, for it cannot be told which daemon to go to"
        );
        assert_eq!(
            sent(&DaemonTarget::Best, &["a:1", "d:4"]).unwrap_err(),
            "not done, for `d:4` is no daemon of the configuration: name it in `[server.daemon]`"
        );
    }
}
