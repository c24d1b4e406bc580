//! The demo's configuration, `envoy/demo.yaml`, filled in.

use anyhow::{Result, bail};
use std::{net::SocketAddr, path::Path};

/// Which Criminal IP the demo asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// The real one, over TLS.
    Real,
    /// The stand-in at this address.
    StandIn(SocketAddr),
}

/// The bearer token for the demo's control listener. It is no secret: the listener is on the loopback, and stops with the
/// demo.
pub const TOKEN: &str = "only-for-the-demo";

const TEMPLATE: &str = include_str!("../../../envoy/demo.yaml");
const RAW: &str = r#"{name: envoy.transport_sockets.raw_buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}"#;
const TLS: &str = r#"{name: envoy.transport_sockets.tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {validation_context: {trusted_ca: {filename: /etc/ssl/certs/ca-certificates.crt}}}}}"#;

/// The bootstrap, as YAML.
///
/// # Errors
/// When the file has a blank that nobody fills in.
pub fn bootstrap(module: &Path, upstream: SocketAddr, api: Api) -> Result<String> {
    let (host, port, transport) = match api {
        Api::Real => ("api.criminalip.io".to_owned(), 443, TLS),
        Api::StandIn(address) => (address.ip().to_string(), address.port(), RAW),
    };
    let filled = TEMPLATE
        .replace("${MODULE}", &module.display().to_string())
        .replace("${TOKEN}", TOKEN)
        .replace("${API_HOST}", &host)
        .replace("${API_PORT}", &port.to_string())
        .replace("${API_TRANSPORT}", transport)
        .replace("${UPSTREAM_PORT}", &upstream.port().to_string());
    let blank = filled.lines().filter(|line| !line.starts_with('#')).find(|line| line.contains("${"));
    match blank {
        Some(line) => bail!("nothing fills in {line:?}"),
        None => Ok(filled),
    }
}
