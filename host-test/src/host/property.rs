//! Properties: paths to what the proxy knows of stream, connection and plugin, as raw bytes. Strings have no NUL at the
//! end, numbers are 8 bytes, little-endian; a truth value is one byte.

use super::{
    abi::Status,
    context::{Context, Kind, Stream},
    headers::HeaderMap,
    state::VmState,
};

/// The value at a path whose parts are separated by NUL.
pub(crate) fn read(state: &VmState, path: &[u8]) -> Result<Vec<u8>, Status> {
    if path.is_empty() {
        return Err(Status::SerializationFailure);
    }
    // A NUL at the end ends the last part.
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    let context = state.context().ok_or(Status::NotFound)?;
    if let Some(stream) = &context.stream
        && let Some(value) = stream.borrow().given.get(path)
    {
        return Ok(value.clone());
    }
    let parts: Vec<&[u8]> = path.split(|byte| *byte == 0).collect();
    let first = parts[0];
    if let Some(value) = of_plugin(state, context, first) {
        return Ok(value);
    }
    let stream = context.stream.as_ref().ok_or(Status::NotFound)?.borrow();
    const WHOLE: [&[u8]; 7] = [b"source", b"destination", b"request", b"response", b"connection", b"upstream", b"xds"];
    if parts.len() == 1 && WHOLE.contains(&first) {
        return Err(Status::SerializationFailure);
    }
    of_stream(context, &stream, &parts).ok_or(Status::NotFound)
}

/// All values of a header, as CEL has them.
fn joined(map: &HeaderMap, name: &[u8]) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = map.iter().filter(|(other, _)| *other == name).map(|(_, value)| value).collect();
    (!values.is_empty()).then(|| values.join(&b","[..]))
}

/// Headers and trailers can only be read while the filter has them in hand, and at the end, when it logs.
fn of_stream(context: &Context, stream: &Stream, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let has = |at_hand: bool| (at_hand || context.logging).then_some(());
    let first = parts[0];
    let second = parts.get(1).map(|part| String::from_utf8_lossy(part));
    match (first, second.as_deref(), parts.get(2)) {
        (b"source" | b"destination", Some(field), None) => {
            let connection = stream.connection.borrow();
            peer(if first == b"source" { &connection.source } else { &connection.destination }, field)
        }
        (b"connection_id", None, _) => Some(number(stream.connection.borrow().id)),
        (b"connection", Some(field), None) => connection(stream, field),
        (b"request", Some("headers"), Some(name)) => {
            has(context.has_request_headers)?;
            joined(&stream.request_headers, name)
        }
        (b"request", Some(field), None) => {
            if context.kind == Kind::Tcp && field == "duration" {
                return None;
            }
            if OF_HEADERS.contains(&field) {
                has(context.has_request_headers)?;
            }
            request(stream, field)
        }
        (b"response", Some("headers"), Some(name)) => {
            has(context.has_response_headers)?;
            joined(stream.response_headers.as_ref()?, name)
        }
        (b"response", Some("trailers"), Some(name)) => {
            has(context.has_response_trailers)?;
            joined(stream.response_trailers.as_ref()?, name)
        }
        (b"response", Some(field), None) => response(stream, field),
        (b"upstream", Some("address"), None) => stream.upstream_address.clone(),
        (b"upstream", Some("port"), None) => port(stream.upstream_address.as_ref()?).map(number),
        (b"xds", Some("cluster_name"), None) => stream.cluster.clone(),
        (b"filter_state", Some(name), None) => {
            filter_state(stream, name.as_bytes().strip_prefix(b"wasm.").unwrap_or(name.as_bytes()))
        }
        (name, None, _) => filter_state(stream, name),
        _ => None,
    }
}

fn of_plugin(state: &VmState, context: &Context, name: &[u8]) -> Option<Vec<u8>> {
    let names = state.plugins.get(context.plugin)?;
    match name {
        b"plugin_name" => Some(names.name.clone()),
        b"plugin_root_id" => Some(names.root_id.clone()),
        b"plugin_vm_id" => Some(state.vm_id.to_vec()),
        _ => None,
    }
}

/// Filter state that modules set, by its name without the prefix `wasm.`.
fn filter_state(stream: &Stream, name: &[u8]) -> Option<Vec<u8>> {
    stream.state.get(name).cloned().or_else(|| stream.connection.borrow().state.get(name).cloned())
}

fn number(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

fn peer(address: &[u8], field: &str) -> Option<Vec<u8>> {
    match field {
        "address" => Some(address.to_vec()),
        "port" => port(address).map(number),
        _ => None,
    }
}

/// What follows the last colon; a path of a socket has none.
fn port(address: &[u8]) -> Option<u64> {
    std::str::from_utf8(address).ok()?.rsplit_once(':')?.1.parse().ok()
}

fn connection(stream: &Stream, field: &str) -> Option<Vec<u8>> {
    let connection = stream.connection.borrow();
    match field {
        "id" => Some(number(connection.id)),
        "mtls" => Some(vec![u8::from(connection.mtls)]),
        "requested_server_name" => Some(connection.server_name.clone().unwrap_or_default()),
        "tls_version" => connection.tls_version.clone(),
        _ => None,
    }
}

/// The fields of a request that are read from its headers.
const OF_HEADERS: [&str; 9] = ["path", "url_path", "query", "host", "scheme", "method", "referer", "useragent", "id"];

fn request(stream: &Stream, field: &str) -> Option<Vec<u8>> {
    let header = |name: &str| stream.request_headers.first(name).map(<[u8]>::to_vec);
    let path = || stream.request_headers.first(":path").unwrap_or_default();
    match field {
        "path" => header(":path"),
        "url_path" => path().split(|byte| *byte == b'?').next().map(<[u8]>::to_vec),
        "query" => Some(path().splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default().to_vec()),
        "host" => header(":authority"),
        "scheme" => header(":scheme"),
        "method" => header(":method"),
        "referer" => header("referer"),
        "useragent" => header("user-agent"),
        "id" => header("x-request-id"),
        "protocol" => Some(b"HTTP/1.1".to_vec()),
        "time" => Some(number(stream.began)),
        "size" => Some(number(stream.request_size)),
        "total_size" => Some(number(stream.request_size + stream.request_headers.byte_size() as u64)),
        "duration" => Some(number(stream.ended_at?.saturating_sub(stream.began_at))),
        _ => None,
    }
}

fn response(stream: &Stream, field: &str) -> Option<Vec<u8>> {
    match field {
        "code" => stream.code.map(|code| number(u64::from(code))),
        "code_details" => stream.code_details.clone(),
        "flags" => Some(number(stream.flags)),
        "size" => Some(number(stream.response_size)),
        "total_size" => {
            let headers = stream.response_headers.as_ref().map_or(0, HeaderMap::byte_size);
            Some(number(stream.response_size + headers as u64))
        }
        _ => None,
    }
}
