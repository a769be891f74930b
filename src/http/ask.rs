//! A request, read once and sent often: its URL taken apart, its headers in place.

use std::net::IpAddr;

use ::http::header::{HOST, HeaderName, HeaderValue};
use ::http::{HeaderMap, Method, Uri};
use bytes::Bytes;

use crate::model::effect::Request;

/// A request that can be sent.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The host's name, or its address as text.
    pub host: String,
    /// The address, where the URL names one.
    pub literal: Option<IpAddr>,
    pub port: u16,
    pub(super) method: Method,
    /// Path and query, as they stand in the request's first line.
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why a request cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error("`{0}` is not a URL: write it like `http://checkout.shop.example/`")]
    Url(String),
    #[error("https is not spoken yet: use a http:// URL")]
    Https,
    #[error("`{0}` is not a HTTP method: use GET, HEAD, POST, PUT or DELETE")]
    Method(String),
    #[error("`{0}` is not a HTTP header: use letters, digits and `-`, and a value without line breaks")]
    Header(String),
}

impl Ask {
    /// A request from its data.
    ///
    /// # Errors
    /// Where it is no HTTP request, or one over https.
    pub fn new(request: &Request) -> Result<Ask, BadRequest> {
        let bad_url = || BadRequest::Url(request.url.chars().take(200).collect());
        let url: Uri = request.url.parse().map_err(|_| bad_url())?;
        match url.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(BadRequest::Https),
            Some(_) | None => return Err(bad_url()),
        }
        let authority =
            url.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad_url)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(bad_url());
        }
        let port = match authority.as_str().trim_start_matches(authority.host()).strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| bad_url())?,
            None => 80,
        };
        let target = url.path_and_query().map_or("/", |target| target.as_str());
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(authority.as_str()).map_err(|_| bad_url())?);
        for (name, value) in &request.headers {
            let bad = || BadRequest::Header(name.chars().take(80).collect());
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?,
                HeaderValue::from_str(value).map_err(|_| bad())?,
            );
        }
        Ok(Ask {
            literal: host.parse().ok(),
            port,
            method: Method::from_bytes(request.method.as_bytes())
                .map_err(|_| BadRequest::Method(request.method.chars().take(20).collect()))?,
            target: target.parse().map_err(|_| bad_url())?,
            headers,
            body: request.body.clone().map(Bytes::from).unwrap_or_default(),
            host,
        })
    }

    /// A GET of a URL.
    ///
    /// # Errors
    /// As [`Ask::new`].
    pub fn get(url: &str) -> Result<Ask, BadRequest> {
        Ask::new(&Request { method: "GET".into(), url: url.into(), headers: Default::default(), body: None })
    }

    /// The same request with another body.
    pub fn with_body(&self, body: impl Into<Bytes>) -> Ask {
        Ask { body: body.into(), ..self.clone() }
    }

    /// The same request with another query.
    ///
    /// # Errors
    /// Where that is no query.
    pub fn with_query(&self, query: &str) -> Result<Ask, BadRequest> {
        self.with_target(&format!("{}?{query}", self.target.path()))
    }

    /// The same request to another path and query.
    ///
    /// # Errors
    /// Where that is no path.
    pub fn with_target(&self, target: &str) -> Result<Ask, BadRequest> {
        let target = target.parse().map_err(|_| BadRequest::Url(target.chars().take(200).collect()))?;
        Ok(Ask { target, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_host_port_and_target() {
        let ask = Ask::get("http://checkout.shop.example:8080/a?b=c").unwrap();
        assert_eq!(
            (ask.host.as_str(), ask.port, ask.target.to_string().as_str()),
            ("checkout.shop.example", 8080, "/a?b=c")
        );
        let ask = Ask::get("http://[::1]").unwrap();
        assert_eq!((ask.literal, ask.port), (Some("::1".parse().unwrap()), 80));
        assert_eq!(ask.headers[HOST], "[::1]");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_a_way_out() {
        assert_eq!(Ask::get("https://a.example/").unwrap_err(), BadRequest::Https);
        for url in ["", "/", "ftp://a/", "http://", "http://a b/", "http://user@a/", "http://a:99999/"] {
            assert!(matches!(Ask::get(url), Err(BadRequest::Url(_))), "{url}");
        }
        let request = |method: &str, header: &str| Request {
            method: method.into(),
            url: "http://a/".into(),
            headers: [(header.to_owned(), "v\n".to_owned())].into(),
            body: None,
        };
        assert!(matches!(Ask::new(&request("GET", "a")), Err(BadRequest::Header(_))));
    }
}
