//! A request, read once and sent often: its URL taken apart, its headers in place.

use ::http::header::{HOST, HeaderName, HeaderValue};
use ::http::{HeaderMap, Method, Uri};
use bytes::Bytes;

use super::Target;
use crate::model::effect::Request;
use crate::model::url::{BadUrl, Url};
use crate::world::Speaks;

/// A request that can be sent.
#[derive(Debug, Clone)]
pub struct Ask {
    pub to: Target,
    pub(super) method: Method,
    /// Path and query, as they stand in the request's first line.
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why a request cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error(transparent)]
    Url(#[from] BadUrl),
    #[error("`{0}` is not a HTTP method: use GET, HEAD, POST, PUT or DELETE")]
    Method(String),
    #[error("`{0}` is not a HTTP header: use letters, digits and `-`, and a value without line breaks")]
    Header(String),
}

impl Ask {
    /// A request from its data.
    ///
    /// # Errors
    /// Where it is no HTTP request.
    pub fn new(request: &Request) -> Result<Ask, BadRequest> {
        let Url { host, port, secure, authority, target } = request.url.parse()?;
        let mut headers = HeaderMap::new();
        let host_header = HeaderValue::from_str(&authority).map_err(|_| BadUrl::NotOne(authority))?;
        headers.insert(HOST, host_header);
        for (name, value) in &request.headers {
            let bad = || BadRequest::Header(name.chars().take(80).collect());
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?,
                HeaderValue::from_str(value).map_err(|_| bad())?,
            );
        }
        Ok(Ask {
            method: Method::from_bytes(request.method.as_bytes())
                .map_err(|_| BadRequest::Method(request.method.chars().take(20).collect()))?,
            target,
            headers,
            body: request.body.clone().map(Bytes::from).unwrap_or_default(),
            to: Target::new(&host, port, secure.then(|| (host.clone(), Speaks::Http1))),
        })
    }

    /// A GET of a URL.
    ///
    /// # Errors
    /// As [`Ask::new`].
    pub fn get(url: &str) -> Result<Ask, BadRequest> {
        Ask::new(&Request { method: "GET".into(), url: url.into(), headers: Default::default(), body: None })
    }

    /// The same request where, over https, the host is asked for another name (RFC 6066, section 3), which its certificate must be for.
    pub fn with_server_name(mut self, name: &str) -> Ask {
        if let Some((server, _)) = &mut self.to.tls {
            name.clone_into(server);
        }
        self
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
        let target = target.parse().map_err(|_| BadUrl::NotOne(target.chars().take(200).collect()))?;
        Ok(Ask { target, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_host_and_an_address_as_one() {
        let ask = Ask::get("http://checkout.shop.example:8080/a?b=c").unwrap();
        assert_eq!(
            (ask.to.host.as_str(), ask.to.port, ask.target.to_string().as_str()),
            ("checkout.shop.example", 8080, "/a?b=c")
        );
        let ask = Ask::get("http://[::1]").unwrap();
        assert_eq!((ask.to.literal, ask.to.port), (Some("::1".parse().unwrap()), 80));
        assert_eq!(ask.headers[HOST], "[::1]");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_a_way_out() {
        let ask = Ask::get("https://a.example/").unwrap();
        assert_eq!((ask.to.port, ask.to.tls.clone()), (443, Some(("a.example".to_owned(), Speaks::Http1))));
        let ask = ask.with_server_name("b.example");
        assert_eq!(ask.to.tls, Some(("b.example".to_owned(), Speaks::Http1)));
        assert!(matches!(Ask::get("ftp://a.example/"), Err(BadRequest::Url(_))));
        let request = |method: &str, header: &str| Request {
            method: method.into(),
            url: "http://a/".into(),
            headers: [(header.to_owned(), "v\n".to_owned())].into(),
            body: None,
        };
        assert!(matches!(Ask::new(&request("GET", "a")), Err(BadRequest::Header(_))));
    }
}
