//! DNS as a probe needs it: every question is asked, no answer is remembered.
//!
//! A cache between the prober and its resolver would hide what users see; the resolver's own cache is what they see.

use std::io;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::connect::ClusterError;

/// A resolver without a cache.
pub struct Names {
    resolver: TokioResolver,
}

impl Names {
    /// The resolver of this machine, its hosts file included.
    ///
    /// # Errors
    /// Where the machine has none that can be understood.
    pub fn of_the_system() -> Result<Names, ClusterError> {
        let wrong = |why: NetError| ClusterError::Names(why.to_string());
        let mut builder = TokioResolver::builder_tokio().map_err(wrong)?;
        builder.options_mut().cache_size = 0;
        Ok(Names { resolver: builder.build().map_err(wrong)? })
    }

    /// One server, and nothing else.
    ///
    /// # Errors
    /// As [`Names::of_the_system`].
    pub fn of(server: SocketAddr) -> Result<Names, ClusterError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        let server = NameServerConfig::new(server.ip(), true, connections.into());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        Ok(Names { resolver: builder.build().map_err(|why| ClusterError::Names(why.to_string()))? })
    }

    /// The addresses of a host.
    ///
    /// # Errors
    /// `NotFound` for a name that does not exist or has no address; `TimedOut` where nobody answers.
    pub async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        match self.resolver.lookup_ip(host).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_no_records_found() => Err(io::Error::new(io::ErrorKind::NotFound, error)),
            Err(NetError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
