//! One request to a daemon over HTTP, and its answer in full, or why there is none.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::daemon::{Address, DaemonUrl, Failure};
use crate::http::{cause, connect_timeout};
use crate::redact::redact;
use crate::units::format_duration;

/// What the daemon is asked for is much shorter.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Longer details are cut.
const DETAIL_CHARS_MAX: usize = 200;

/// A daemon's own words and what has come of asking it, in full.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

/// The way to a daemon.
pub(super) struct Line {
    client: Client,
    url: DaemonUrl,
    timeout: Duration,
    /// What an echo must not bring to light.
    secrets: Vec<String>,
}

impl Line {
    pub(super) fn new(client: Client, url: DaemonUrl, timeout: Duration) -> Self {
        let mut line = Self {
            client,
            url,
            timeout,
            secrets: Vec::new(),
        };
        line.secrets = line.secrets();
        line
    }

    /// The password, and both credentials as the header has them.
    fn secrets(&self) -> Vec<String> {
        let (_, password) = self.url.expose_credentials();
        let request = self.request().build().ok();
        let header = request
            .as_ref()
            .and_then(|it| it.headers().get(AUTHORIZATION));
        let header = header.and_then(|header| header.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Basic "));
        // A shorter one would be found in other words, and so be told.
        let password = Some(password).filter(|password| password.len() >= 4);
        token
            .into_iter()
            .chain(password)
            .map(str::to_owned)
            .collect()
    }

    fn request(&self) -> RequestBuilder {
        let (user, password) = self.url.expose_credentials();
        let request = self.client.post(self.url.endpoint().clone());
        request.basic_auth(user, Some(password))
    }

    pub(super) fn address(&self) -> &Address {
        self.url.address()
    }

    /// An answer in JSON, it may be hoped: of another status than a daemon's for one there is none.
    pub(super) async fn ask(&self, request: &Value) -> Result<Answer, Failure> {
        let request = self
            .request()
            .header(CONTENT_TYPE, "application/json")
            .body(request.to_string());
        match timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            // Without a connection it would not have come to this.
            Err(_) => Err(Failure::Busy {
                detail: format!("no answer within {}", format_duration(self.timeout)),
            }),
        }
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let mut response = request.send().await.map_err(|error| self.lost(error))?;
        let status = response.status();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(Failure::WrongCredentials);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                return Err(Failure::Busy {
                    detail: told(status),
                });
            }
            // Errors have such a status, and are told in JSON.
            StatusCode::OK
            | StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::INTERNAL_SERVER_ERROR => {}
            _ => return Err(unreachable(told(status))),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(unreachable("its answer is longer than 64 KiB".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }

    fn lost(&self, error: reqwest::Error) -> Failure {
        if error.is_connect() && error.is_timeout() {
            let limit = format_duration(connect_timeout(self.timeout));
            return unreachable(format!("no connection within {limit}"));
        }
        let cause = cause(error);
        if cause.starts_with("invalid HTTP") {
            // Another port of the daemon, or an Electrum server's.
            return unreachable(
                "what answers there does not speak HTTP: is it the daemon's RPC port?".to_owned(),
            );
        }
        unreachable(self.words(&cause))
    }

    /// Somebody else's words: bounded, and without credentials, should they be echoed.
    pub(super) fn words(&self, text: &str) -> String {
        let mut words = redact(text).into_owned();
        for secret in &self.secrets {
            words = words.replace(secret, "***");
        }
        match words.char_indices().nth(DETAIL_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &words[..end]),
            None => words,
        }
    }
}

/// An HTTP status that stands for itself.
pub(super) fn told(status: StatusCode) -> String {
    format!("HTTP {}", status.as_u16())
}

pub(super) fn unreachable(detail: String) -> Failure {
    Failure::Unreachable { detail }
}
