//! Where the canary connects: `tcp://HOST:PORT` or `ssl://HOST:PORT`, as `ElectrumX` writes its
//! services.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::ServerName;

/// Longer lists of services are none.
const SERVICES_BYTES_MAX: usize = 4_096;

/// One service of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    host: Box<str>,
    port: u16,
    /// For whom TLS is asked; `None` over plain TCP.
    tls_name: Option<ServerName<'static>>,
}

/// What is wrong with a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum BadDestination {
    #[error("it begins with neither `tcp://` nor `ssl://`")]
    Scheme,
    #[error("its host is no name and no address; an IPv6 address is written `[::1]`")]
    Host,
    #[error("its port is not from 1 to 65535")]
    Port,
    #[error("it names no service that begins with `ssl://` or `tcp://`")]
    NoService,
}

impl Destination {
    /// Reads `tcp://HOST:PORT` or `ssl://HOST:PORT`.
    pub fn parse(text: &str) -> Result<Self, BadDestination> {
        let (scheme, address) = text
            .trim()
            .split_once("://")
            .ok_or(BadDestination::Scheme)?;
        let is_secure = is_secure(scheme).ok_or(BadDestination::Scheme)?;
        let (host, port) = address.rsplit_once(':').ok_or(BadDestination::Port)?;
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|&port| is_number && port > 0);
        let port = port.ok_or(BadDestination::Port)?;
        let host = host_of(host).ok_or(BadDestination::Host)?;
        let name = ServerName::try_from(host.clone()).map_err(|_| BadDestination::Host)?;
        Ok(Self {
            host: host.into(),
            port,
            tls_name: is_secure.then_some(name),
        })
    }

    /// The one of `ElectrumX`'s `SERVICES` that most wallets take: the first `ssl://`, else the first
    /// `tcp://`. One that listens at all addresses is visited at this machine's own.
    pub fn of_services(services: &str) -> Result<Self, BadDestination> {
        if services.len() > SERVICES_BYTES_MAX {
            return Err(BadDestination::NoService);
        }
        let services = || services.split(',').map(str::trim);
        let first = |wanted| {
            services().find(|service| {
                let scheme = service.split_once("://").map(|(scheme, _)| scheme);
                scheme.and_then(is_secure) == Some(wanted)
            })
        };
        let service = first(true).or_else(|| first(false));
        let service = service.ok_or(BadDestination::NoService)?;
        let (scheme, address) = service.split_once("://").ok_or(BadDestination::Scheme)?;
        let (host, port) = address.rsplit_once(':').ok_or(BadDestination::Port)?;
        let host = match host {
            "" | "0.0.0.0" => Ipv4Addr::LOCALHOST.to_string(),
            "[::]" => format!("[{}]", Ipv6Addr::LOCALHOST),
            host => host.to_owned(),
        };
        Self::parse(&format!("{scheme}://{host}:{port}"))
    }

    /// The name or address, without brackets, and the port.
    pub(super) fn endpoint(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    pub(super) fn tls_name(&self) -> Option<&ServerName<'static>> {
        self.tls_name.as_ref()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls_name.is_some() {
            "ssl"
        } else {
            "tcp"
        };
        let (host, port) = (&self.host, self.port);
        match host.parse() {
            Ok(IpAddr::V6(address)) => write!(f, "{scheme}://[{address}]:{port}"),
            _ => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

/// `ElectrumX` takes its schemes in any case.
fn is_secure(scheme: &str) -> Option<bool> {
    match &*scheme.to_ascii_lowercase() {
        "tcp" => Some(false),
        "ssl" => Some(true),
        _ => None,
    }
}

fn host_of(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!text.is_empty() && text.bytes().all(is_char)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_service() {
        for text in [
            "tcp://127.0.0.1:50001",
            "ssl://[::1]:50002",
            "ssl://electrum.example:50002",
            "tcp://localhost:1",
        ] {
            assert_eq!(Destination::parse(text).unwrap().to_string(), text);
        }
        for (text, bad) in [
            ("", BadDestination::Scheme),
            ("127.0.0.1:50001", BadDestination::Scheme),
            ("wss://127.0.0.1:50004", BadDestination::Scheme),
            ("rpc://127.0.0.1:8000", BadDestination::Scheme),
            ("http://127.0.0.1:50001", BadDestination::Scheme),
            ("tcp://127.0.0.1", BadDestination::Port),
            ("tcp://127.0.0.1:0", BadDestination::Port),
            ("tcp://127.0.0.1:65536", BadDestination::Port),
            ("tcp://127.0.0.1:+1", BadDestination::Port),
            ("tcp://:50001", BadDestination::Host),
            ("tcp://::1:50001", BadDestination::Host),
            ("tcp://[::1:50001", BadDestination::Host),
            ("tcp://[127.0.0.1]:50001", BadDestination::Host),
            ("tcp://user@host:50001", BadDestination::Host),
            ("tcp://two words:50001", BadDestination::Host),
            ("ssl://-.:50001", BadDestination::Host),
        ] {
            assert_eq!(Destination::parse(text), Err(bad), "{text}");
        }
    }

    #[test]
    fn of_the_servers_services_tls_is_taken_first() {
        for (services, expected) in [
            ("tcp://:50001,ssl://:50002,rpc://", "ssl://127.0.0.1:50002"),
            (
                "rpc://localhost:8000, TCP://0.0.0.0:50001",
                "tcp://127.0.0.1:50001",
            ),
            ("tcp://[::]:50001", "tcp://[::1]:50001"),
            ("wss://:50004,tcp://10.0.0.1:50001", "tcp://10.0.0.1:50001"),
        ] {
            let found = Destination::of_services(services).unwrap();
            assert_eq!(found.to_string(), expected, "{services}");
        }
        for (services, bad) in [
            ("", BadDestination::NoService),
            ("rpc://,wss://:50004", BadDestination::NoService),
            ("tcp://", BadDestination::Port),
            ("ssl://:x", BadDestination::Port),
            (&*"tcp://:1,".repeat(1_000), BadDestination::NoService),
        ] {
            assert_eq!(
                Destination::of_services(services),
                Err(bad),
                "{services:.20}"
            );
        }
    }
}
