//! A name server (RFC 1035) that has every name lead to where a test wants it.

use crate::{background::Background, changes::Watched};
use anyhow::Result;
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket as StdSocket},
    sync::Arc,
};
use tokio::net::UdpSocket;

/// A running name server; it stops when dropped.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    asked: Arc<Watched<Vec<String>>>,
    _background: Background,
}

impl Dns {
    /// Starts on any free local port. Names lead to the loopback address that `leads` gives; `None` is no such name.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(leads: fn(&str) -> Option<Ipv4Addr>) -> Result<Dns> {
        let socket = StdSocket::bind(("127.0.0.1", 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let asked = Arc::new(Watched::new(Vec::new()));
        let background = Background::start("dns", {
            let asked = asked.clone();
            move || serve(socket, leads, asked)
        })?;
        Ok(Dns { address, asked, _background: background })
    }

    /// The names that were asked for, in the order in which they were.
    pub fn asked(&self) -> Vec<String> {
        self.asked.read(Clone::clone)
    }

    /// Has every cache of names in this configuration ask here.
    pub fn resolve_for(&self, bootstrap: &mut Value) {
        match bootstrap {
            Value::Array(items) => items.iter_mut().for_each(|item| self.resolve_for(item)),
            Value::Object(members) => {
                if let Some(cache) = members.get_mut("dns_cache_config") {
                    cache["typed_dns_resolver_config"] = self.resolver();
                }
                members.values_mut().for_each(|member| self.resolve_for(member));
            }
            _ => {}
        }
    }

    fn resolver(&self) -> Value {
        let own =
            json!({"socket_address": {"address": self.address.ip().to_string(), "port_value": self.address.port()}});
        json!({
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [own],
                "dns_resolver_options": {"no_default_search_domain": true},
            },
        })
    }
}

async fn serve(socket: StdSocket, leads: fn(&str) -> Option<Ipv4Addr>, asked: Arc<Watched<Vec<String>>>) {
    let Ok(socket) = UdpSocket::from_std(socket) else { return eprintln!("the name server cannot listen") };
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Some(answer) = buffer.get(..length).and_then(|query| answer(query, leads, &asked)) else { continue };
        // Who asks and leaves is asked again.
        let _ = socket.send_to(&answer, from).await;
    }
}

/// The answer to a query of one question.
fn answer(query: &[u8], leads: fn(&str) -> Option<Ipv4Addr>, asked: &Watched<Vec<String>>) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const A: &[u8] = &[0, 1];
    let mut labels = Vec::new();
    let mut rest = query.get(HEADER..)?;
    while let [length @ 1..=63, after @ ..] = rest {
        let (label, after) = after.split_at_checked(usize::from(*length))?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        rest = after;
    }
    let kind = rest.get(1..3)?;
    let question = query.get(HEADER..query.len() - rest.len() + 5)?;
    let name = labels.join(".");
    let address = leads(&name);
    asked.change(|asked| asked.push(name));
    let found = address.filter(|_| kind == A);
    let code = if address.is_some() { 0x80 } else { 0x83 };
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x81, code, 0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    answer.extend(question);
    if let Some(address) = found {
        // The question's name, an A record of the class IN, for a minute.
        answer.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
