//! The first message of a TLS client (RFC 8446 section 4.1.2), by which proxies learn where it wants to go.

/// A ClientHello that names this server (RFC 6066 section 3), or none.
pub fn client_hello(server: Option<&str>) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(server) = server {
        let name = [&[0][..], &length(server.len()), server.as_bytes()].concat();
        let names = [&length(name.len())[..], &name].concat();
        extensions = [&[0, 0][..], &length(names.len()), &names].concat();
    }
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        // TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, and no compression.
        &[0, 2, 0xc0, 0x2f, 1, 0],
        &length(extensions.len()),
        &extensions,
    ]
    .concat();
    let handshake = [&[1, 0][..], &length(body.len()), &body].concat();
    [&[22, 3, 1][..], &length(handshake.len()), &handshake].concat()
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}
