//! A URL that can be asked, taken apart: checked where a document is read, and where a request is made, by the same function.
//!
//! What Uri (RFC 3986) takes is narrowed to what the HTTP client speaks: `http` or `https`, a host, no user name, a port that there is.

use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

/// An `http://` or `https://` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The host's name, or its address as text, without the brackets of IPv6.
    pub host: String,
    pub port: u16,
    /// Whether it is asked over TLS.
    pub secure: bool,
    /// Host and port, as they stand in the URL.
    pub authority: String,
    /// Path and query, as they stand in a request's first line.
    pub target: Uri,
}

/// A host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The host's name, or its address as text, without the brackets of IPv6.
    pub host: String,
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl::NoPort(text.chars().take(200).collect());
        let authority: Authority = text.parse().map_err(|_| bad())?;
        let port = authority.port_u16().filter(|port| *port != 0).ok_or_else(bad)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        match host.is_empty() || text.contains('@') {
            true => Err(bad()),
            false => Ok(HostPort { host: host.to_owned(), port }),
        }
    }
}

/// A host's name as it is compared (RFC 4343).
pub fn bare(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Why a text is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error("`{0}` is not a URL: write it like `http://checkout.shop.example/`")]
    NotOne(String),
    #[error("`{0}` is not a host and a port: write it like `database.shop.example:5432`")]
    NoPort(String),
}

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl::NotOne(text.chars().take(200).collect());
        let url: Uri = text.parse().map_err(|_| bad())?;
        let secure = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(bad()),
        };
        let authority =
            url.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(bad());
        }
        let port = match authority.as_str().trim_start_matches(authority.host()).strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?,
            None if secure => 443,
            None => 80,
        };
        let target = url.path_and_query().map_or("/", |target| target.as_str()).parse().map_err(|_| bad())?;
        Ok(Url { host, port, secure, authority: authority.as_str().to_owned(), target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_host_port_and_target() {
        let url: Url = "http://checkout.shop.example:8080/a?b=c".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port), ("checkout.shop.example", 8080));
        assert_eq!(
            (url.authority.as_str(), url.target),
            ("checkout.shop.example:8080", "/a?b=c".parse().unwrap())
        );
        let url: Url = "http://[::1]".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.authority.as_str()), ("::1", 80, "[::1]"));
        let url: Url = "https://a.example/".parse().unwrap();
        assert_eq!((url.port, url.secure), (443, true));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_a_way_out() {
        for text in [
            "",
            "/",
            "checkout.shop.example",
            "ftp://a/",
            "http://",
            "http://a b/",
            "http://user@a/",
            "http://a:99999/",
            "http://a:0/",
            "http://a/\r\nX: y",
        ] {
            assert!(matches!(text.parse::<Url>(), Err(BadUrl::NotOne(_))), "{text}");
        }
    }

    #[test]
    fn a_host_has_a_port_and_nothing_else() {
        let of = |text: &str| text.parse().map(|HostPort { host, port }| (host, port));
        assert_eq!(of("database.shop.example:5432"), Ok(("database.shop.example".to_owned(), 5432)));
        assert_eq!(of("[::1]:53"), Ok(("::1".to_owned(), 53)));
        for text in ["", "a", ":5432", "a:0", "a:99999", "a:b", "me@a:1", "a:1/b", "tcp://a:1", "a b:1"] {
            assert!(matches!(of(text), Err(BadUrl::NoPort(_))), "{text}");
        }
    }
}
