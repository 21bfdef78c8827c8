//! Which web pages' browsers may connect.

use std::fmt;
use std::str::FromStr;

/// Where a web page is from, as its browser says it in `Origin`: a scheme, a host and a port.
///
/// `null` is what a browser says of a page that has no such place, as one that was opened from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Box<str>);

/// A text that is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an origin such as https://till.example.com, without a path, or null")]
pub struct OriginError;

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Origin, OriginError> {
        if text == "null" {
            return Ok(Origin(text.into()));
        }
        let text = text.to_ascii_lowercase();
        let (scheme, place) = text.split_once("://").ok_or(OriginError)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            // An address in brackets has colons of its own.
            Some((address, after)) => (&place[..address.len() + 2], after.strip_prefix(':')),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let is_host =
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@\\,".contains(&b));
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if !(is_scheme && is_host && is_port)
            || place.len() > host.len() + port.map_or(0, |port| port.len() + 1)
        {
            return Err(OriginError);
        }
        let default = match scheme {
            "http" => Some("80"),
            "https" => Some("443"),
            _ => None,
        };
        let port =
            port.filter(|port| Some(*port) != default).map_or(String::new(), |port| format!(":{port}"));
        Ok(Origin(format!("{scheme}://{host}{port}").into()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> String {
        text.parse::<Origin>().map_or_else(|error| error.to_string(), |origin| origin.to_string())
    }

    #[test]
    fn an_origin_is_compared_in_one_form() {
        for (text, form) in [
            ("https://till.example.com", "https://till.example.com"),
            ("HTTPS://Till.Example.com:443", "https://till.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("https://localhost:80", "https://localhost:80"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("null", "null"),
        ] {
            assert_eq!(origin(text), form, "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "*",
            "till.example.com",
            "https://",
            "://till",
            "https://till.example.com/",
            "https://till.example.com/pay",
            "https://user@till.example.com",
            "https://till.example.com:",
            "https://till.example.com:0",
            "https://till.example.com:65536",
            "https://[::1]x:1",
            "https://a b",
            "https://ä.example",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
