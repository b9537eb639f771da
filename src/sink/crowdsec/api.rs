//! The local API as a machine sees it: it logs in, adds alerts, reads its own, and deletes decisions.

use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{CONTENT_TYPE, DATE};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::CrowdsecSettings;
use crate::escape;
use crate::http::{self, SideBySide};
use crate::redact::redact;
use crate::sink::decision::{ORIGIN, SentDecision};
use crate::time::Timestamp;

/// A request is answered in full within this time. Many decisions take the API a while.
const DEADLINE: Duration = Duration::from_secs(30);

/// Answers are no longer than this; 300,000 decisions are shorter.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// So much of the API's own words is shown.
const WORDS_MAX: usize = 200;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("cannot ask `{url}`: {why}")]
    Unreachable { url: String, why: String },
    #[error(
        "`{url}` refuses the login of machine `{machine}`: {words}; compare `machine` and `password` of \
         `[ban.crowdsec]` with `cscli machines list`"
    )]
    Login {
        url: String,
        machine: String,
        words: String,
    },
    #[error("`{url}` answers {status}: {words}")]
    Refused {
        url: String,
        status: StatusCode,
        words: String,
    },
    #[error("`{url}` does not answer as CrowdSec's local API does: {why}")]
    Foreign { url: String, why: String },
}

/// The way to the local API.
#[derive(Debug)]
pub(super) struct Api {
    settings: CrowdsecSettings,
    client: Option<Client>,
    token: Option<String>,
    /// How many times it has logged in.
    logins: u64,
    /// By how much the API's clock is ahead, in milliseconds.
    ahead_ms: i64,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// An alert as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Alert {
    #[serde(default)]
    pub(super) machine_id: String,
    /// `null` if there is none.
    pub(super) decisions: Option<Vec<Decision>>,
}

/// A decision as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    pub(super) id: u64,
    pub(super) duration: String,
    pub(super) origin: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) value: String,
}

impl Api {
    pub(super) fn new(settings: CrowdsecSettings) -> Self {
        Self {
            settings,
            client: None,
            token: None,
            logins: 0,
            ahead_ms: 0,
        }
    }

    /// Changes with each login. After one the API may be another, or know nothing any more.
    pub(super) fn logins(&self) -> u64 {
        self.logins
    }

    pub(super) fn machine(&self) -> &str {
        &self.settings.machine
    }

    /// Logs in, if it has not.
    pub(super) async fn log_in(&mut self) -> Result<(), ApiError> {
        if self.token.is_some() {
            return Ok(());
        }
        let body = json!({
            "machine_id": self.settings.machine,
            "password": self.settings.password.expose(),
            "scenarios": [],
        });
        let answer = self.send(Method::POST, "v1/watchers/login", Some(body.to_string()));
        let Answer { status, body, .. } = answer.await?;
        if status != StatusCode::OK {
            let words = self.words(&body);
            let url = self.url();
            return Err(match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ApiError::Login {
                    url,
                    machine: self.settings.machine.clone(),
                    words,
                },
                _ => ApiError::Refused { url, status, words },
            });
        }
        self.token = Some(self.parse::<Token>(&body)?.token);
        self.logins += 1;
        Ok(())
    }

    /// Every alert of the agent's origin with a decision in force, whoever added it.
    pub(super) async fn alerts(&mut self) -> Result<Vec<Alert>, ApiError> {
        // Without a limit there are 100. One above what there is keeps version 1.4.6 busy without end.
        let path = format!("v1/alerts?origin={ORIGIN}&has_active_decision=true&limit=0");
        let body = self.ask(Method::GET, &path, None).await?;
        self.parse::<Option<Vec<Alert>>>(&body)
            .map(Option::unwrap_or_default)
    }

    /// Adds an alert, and returns it as it is then.
    pub(super) async fn add(
        &mut self,
        scenario: &str,
        decisions: &[SentDecision<'_>],
        at: Timestamp,
    ) -> Result<Alert, ApiError> {
        let at = self.their_time(at).to_string();
        let name = scenario.rsplit('/').next().unwrap_or_default();
        let alert = json!([{
            "scenario": scenario,
            "scenario_hash": "",
            "scenario_version": "",
            "message": format!("{} networks banned by {name}", decisions.len()),
            "events_count": 1,
            "events": [],
            "start_at": at,
            "stop_at": at,
            "capacity": 0,
            "leakspeed": "0s",
            "simulated": false,
            "source": { "scope": ORIGIN, "value": name },
            "decisions": decisions,
        }]);
        let body = self
            .ask(Method::POST, "v1/alerts", Some(alert.to_string()))
            .await?;
        let ids = self.parse::<Vec<String>>(&body)?;
        let id = match &ids[..] {
            [id] if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => id,
            _ => return Err(self.foreign("it names no alert")),
        };
        let body = self
            .ask(Method::GET, &format!("v1/alerts/{id}"), None)
            .await?;
        self.parse(&body)
    }

    /// Deletes a decision.
    pub(super) async fn delete(&mut self, id: u64) -> Result<(), ApiError> {
        let path = format!("v1/decisions/{id}");
        self.ask(Method::DELETE, &path, None).await.map(drop)
    }

    /// Asks as the machine; logs in first, and once more if the login is not valid any more.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Vec<u8>, ApiError> {
        self.log_in().await?;
        let mut answer = self.send(method.clone(), path, body.clone()).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.token = None;
            self.log_in().await?;
            answer = self.send(method, path, body).await?;
        }
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(ApiError::Refused {
            url: self.url(),
            status: answer.status,
            words: self.words(&answer.body),
        })
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer, ApiError> {
        let client = self.client()?;
        let mut request = client.request(method, format!("{}{path}", self.settings.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let exchange = async {
            let response = request.send().await.map_err(http::cause)?;
            let ahead_ms = ahead(&response);
            let status = response.status();
            Ok(Answer {
                status,
                ahead_ms,
                body: whole(response).await?,
            })
        };
        let answer = timeout(DEADLINE, exchange).await.unwrap_or_else(|_| {
            Err(format!(
                "there was no answer within {} s",
                DEADLINE.as_secs()
            ))
        });
        let answer = answer.map_err(|why| ApiError::Unreachable {
            url: self.url(),
            why: self.hidden(&why),
        })?;
        if let Some(ahead_ms) = answer.ahead_ms {
            self.ahead_ms = ahead_ms;
        }
        Ok(answer)
    }

    /// The client, made at first use: a machine without certificates is told of that as of any failure.
    fn client(&mut self) -> Result<Client, ApiError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let url = &self.settings.url;
        let port = url.port_or_known_default().unwrap_or_default();
        let made = http::client(DEADLINE, url.scheme() == "https", SideBySide { port });
        let client = made.map_err(|error| ApiError::Unreachable {
            url: self.url(),
            why: http::cause(error),
        })?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Bans end by the API's clock.
    fn their_time(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().saturating_add(self.ahead_ms))
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, body: &[u8]) -> Result<T, ApiError> {
        serde_json::from_slice(body).map_err(|error| self.foreign(&error.to_string()))
    }

    fn foreign(&self, why: &str) -> ApiError {
        ApiError::Foreign {
            url: self.url(),
            why: self.hidden(why),
        }
    }

    pub(super) fn url(&self) -> String {
        self.settings.url.to_string()
    }

    /// The `message` of an answer, or what there is of it.
    fn words(&self, body: &[u8]) -> String {
        #[derive(Deserialize)]
        struct Message {
            message: String,
        }
        match serde_json::from_slice::<Message>(body) {
            Ok(Message { message }) => self.hidden(&message),
            Err(_) if body.is_empty() => "it says nothing".to_owned(),
            Err(_) => self.hidden(&String::from_utf8_lossy(body)),
        }
    }

    /// Somebody else's words: bounded, escaped, and without the password, should it be echoed.
    fn hidden(&self, words: &str) -> String {
        let mut words = redact(words).into_owned();
        for secret in [Some(self.settings.password.expose()), self.token.as_deref()] {
            // A shorter one would be found in other words, and so be shown.
            if let Some(secret) = secret.filter(|secret| secret.len() >= 4) {
                words = words.replace(secret, "***");
            }
        }
        escape::terminal(&words, WORDS_MAX).into_owned()
    }
}

struct Answer {
    status: StatusCode,
    ahead_ms: Option<i64>,
    body: Vec<u8>,
}

async fn whole(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(http::cause)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!(
                "its answer is longer than {} MiB",
                ANSWER_BYTES_MAX >> 20
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// By how much the clock of whoever answered is ahead of this machine's. What is within the answer's precision is none.
fn ahead(response: &Response) -> Option<i64> {
    const PRECISION_MS: i64 = 2_000;
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let theirs = DateTime::parse_from_rfc2822(date).ok()?.timestamp_millis();
    let ahead = theirs - chrono::Utc::now().timestamp_millis();
    Some(if ahead.abs() <= PRECISION_MS {
        0
    } else {
        ahead
    })
}

/// The local API's address: `http` or `https`, without user, password, query and fragment, ending in a slash.
pub(super) fn parse_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    is_plain.then_some(url)
}
