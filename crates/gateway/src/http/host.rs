//! Under which names the gateway answers.
//!
//! A web page may make a browser call any address under a name of the page's own, also one on the machine or in the shop's
//! network that only trusts who is near (DNS rebinding). The name still stands in the request: one that is not the gateway's
//! is refused with 421.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use relay::WallMs;

use super::problem::{ClassicError, ErrorType, Problem};
use crate::ids;

/// The longest name that DNS knows.
const NAME_MAX: usize = 253;

/// A name or an address, without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(Name);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Address(IpAddr),
    /// In small letters, without a dot at its end.
    Dns(String),
}

/// A text that is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a host name such as pay.example.com, without scheme and port")]
pub struct HostNameError;

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<HostName, HostNameError> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(HostName(Name::Address(address.to_canonical())));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let fits = (1..=NAME_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if fits { Ok(HostName(Name::Dns(name))) } else { Err(HostNameError) }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Address(address) => address.fmt(f),
            Name::Dns(name) => name.fmt(f),
        }
    }
}

/// The gateway's own names: those of its configuration, where it listens, and this machine's names for itself. Ports don't
/// matter, for a proxy may have another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts(Vec<HostName>);

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misdirected {
    /// It names no host, or several.
    NoHost,
    /// It names one that is not the gateway's.
    OtherHost,
}

impl Hosts {
    /// `configured`, and the addresses that are `listened` at. An address that stands for all of them is none.
    pub(crate) fn new(configured: &[HostName], listened: &[SocketAddr]) -> Hosts {
        let listened = listened.iter().map(|address| address.ip().to_canonical());
        let listened = listened.filter(|ip| !ip.is_unspecified()).map(|ip| HostName(Name::Address(ip)));
        Hosts(configured.iter().cloned().chain(listened).collect())
    }

    /// Whether the request is for this gateway. Who asks about its health may do so by any name: an orchestrator knows only
    /// addresses, and there is nothing to be learnt.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Misdirected> {
        if matches!(uri.path(), "/healthz" | "/readyz") {
            return Ok(());
        }
        let mut named = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else { return Err(Misdirected::NoHost) };
        // A request that names its target as a whole means that one, whatever the header says.
        let authority = match uri.authority() {
            Some(authority) => authority.clone(),
            None => Authority::try_from(host.as_bytes()).map_err(|_| Misdirected::OtherHost)?,
        };
        let name: HostName = authority.host().parse().map_err(|_| Misdirected::OtherHost)?;
        let is_ours = self.0.contains(&name)
            || match &name.0 {
                Name::Address(address) => address.is_loopback(),
                Name::Dns(name) => name == "localhost",
            };
        if is_ours { Ok(()) } else { Err(Misdirected::OtherHost) }
    }
}

/// Whether the POS Terminal Management API is meant.
fn is_terminal_management(path: &str) -> bool {
    path.starts_with("/postfmapi/")
        || matches!(
            path,
            "/v1/findTerminal"
                | "/v1/getTerminalDetails"
                | "/v1/getTerminalsUnderAccount"
                | "/v1/getStoresUnderAccount"
                | "/v1/assignTerminals"
        )
}

impl Misdirected {
    /// The refusal, in the form of the surface that this path belongs to.
    pub(crate) fn response(self, path: &str, now: WallMs) -> Response {
        let (status, text) = match self {
            Misdirected::NoHost => (StatusCode::BAD_REQUEST, "The request needs one header Host."),
            Misdirected::OtherHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "This gateway does not answer under the name in the header Host. Its operator can add it to hosts.",
            ),
        };
        match path {
            "/sync" | "/async" | "/connectedTerminals" => {
                ClassicError::new(status, "000", text, ErrorType::Validation).into_response()
            }
            path if is_terminal_management(path) => {
                ClassicError::new(status, "000", text, ErrorType::Validation).into_response()
            }
            // The Cloud device API, whose clients read no other form.
            path if path.starts_with("/v1/merchants/") => {
                Problem::new(status, text).published(path, ids::request_id(now)).into_response()
            }
            _ => Problem::new(status, text).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(configured: &[&str], listened: &[&str]) -> Hosts {
        let configured: Vec<HostName> = configured.iter().map(|name| name.parse().unwrap()).collect();
        let listened: Vec<SocketAddr> = listened.iter().map(|address| address.parse().unwrap()).collect();
        Hosts::new(&configured, &listened)
    }

    fn check(hosts: &Hosts, target: &str, named: &[&str]) -> Result<(), Misdirected> {
        let mut headers = HeaderMap::new();
        for host in named {
            headers.append("Host", host.parse().unwrap());
        }
        hosts.check(&target.parse().unwrap(), &headers)
    }

    #[test]
    fn this_machine_is_known_by_its_names_for_itself_and_by_where_it_listens() {
        let ours = hosts(&[], &["192.0.2.7:8443", "[2001:db8::7]:80"]);
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8443",
            "192.0.2.7",
            "[2001:db8::7]:9",
        ] {
            assert_eq!(check(&ours, "/sync", &[host]), Ok(()), "{host}");
        }
        for host in ["192.0.2.8", "example.com", "localhost.example.com", "", "a b", "user@example.com"] {
            assert_eq!(check(&ours, "/sync", &[host]), Err(Misdirected::OtherHost), "{host}");
        }
    }

    #[test]
    fn configured_names_count_in_any_case_and_with_any_port() {
        let ours = hosts(&["Pay.Example.com", "192.0.2.9"], &["0.0.0.0:80", "[::]:443"]);
        for host in ["pay.example.com", "PAY.example.com.:8443", "192.0.2.9:1", "127.0.0.1"] {
            assert_eq!(check(&ours, "/sync", &[host]), Ok(()), "{host}");
        }
        for host in ["example.com", "0.0.0.0", "[::]"] {
            assert_eq!(check(&ours, "/sync", &[host]), Err(Misdirected::OtherHost), "{host}");
        }
    }

    #[test]
    fn one_host_is_named_and_the_target_comes_before_the_header() {
        let ours = hosts(&[], &[]);
        assert_eq!(check(&ours, "/sync", &[]), Err(Misdirected::NoHost));
        assert_eq!(check(&ours, "/sync", &["localhost", "localhost"]), Err(Misdirected::NoHost));
        let other = check(&ours, "http://example.com/sync", &["localhost"]);
        assert_eq!(other, Err(Misdirected::OtherHost));
        assert_eq!(check(&ours, "http://localhost:8080/sync", &["example.com"]), Ok(()));
        assert_eq!(check(&ours, "/healthz", &["10.1.2.3:8080"]), Ok(()));
    }

    #[test]
    fn a_name_has_no_scheme_and_no_port() {
        for bad in ["", "https://example.com", "example.com:8443", "a b", "*.example.com", "ä.example"] {
            assert_eq!(bad.parse::<HostName>(), Err(HostNameError), "{bad}");
        }
    }
}
