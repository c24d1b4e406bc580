//! Any bytes as requests to a control listener whose journal and memory hold a little. Nobody without a token changes anything,
//! and whatever those with one ask, each request is answered, once, in a form that the API's description has.
#![no_main]

use evaluator::{Connection, Direction};
use gate::{
    Caller, Config, Conflict, Credential, Effects, Gate, Head, Moment, Proxy, Remote, RootId, Site, Store, Version,
};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

const TOKEN: &[u8] = b"0123456789abcdef";

#[derive(Default)]
struct Shared(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

impl Store for Shared {
    fn read(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.0.borrow().get(key).map(|(value, version)| (value.clone(), Version(*version)))
    }

    fn write(&self, key: &str, value: &[u8], version: Option<Version>) -> Result<(), Conflict> {
        let mut all = self.0.borrow_mut();
        let before = all.get(key).map(|(_, version)| *version);
        if before != version.map(|Version(version)| version) {
            return Err(Conflict);
        }
        all.insert(key.to_owned(), (value.to_vec(), before.unwrap_or(0) + 1));
        Ok(())
    }
}

/// A request as the file has it: a line with method and target, lines with headers, an empty line, and the body.
fn request(text: &[u8]) -> (Head, &[u8]) {
    let mut head = Head { authority: b"proxy:9000".to_vec(), ..Head::default() };
    let end = text.windows(2).position(|pair| pair == b"\n\n");
    let (top, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
    let mut lines = top.split(|byte| *byte == b'\n');
    let mut first = lines.next().unwrap_or_default().splitn(2, |byte| *byte == b' ');
    head.method = first.next().unwrap_or_default().to_vec();
    head.target = first.next().unwrap_or_default().to_vec();
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_ascii().to_vec());
        match name {
            b"host" => head.authority = value,
            b"origin" => head.origin = Some(value),
            b"sec-fetch-site" => head.fetch_site = Some(value),
            b"content-type" => head.content_type = Some(value),
            b"content-length" => head.content_length = Some(value),
            b"idempotency-key" => head.idempotency_key = Some(value),
            _ => {}
        }
    }
    (head, body)
}

fuzz_target!(|bytes: &[u8]| {
    let store = Shared::default();
    let mut gate = Gate::new(7, &store);
    let mut now = Moment::from_millis(1_800_000_000_000);
    let parse = |document: &str| Config::parse(document.as_bytes()).unwrap();
    let site = Rc::new(Site::new(
        RootId(1),
        parse(
            r#"{"direction": "egress", "api": {"cluster": "c", "key": "k"}, "journal": {"entries": 64}, "self_test": true}"#,
        ),
    ));
    gate.enter(&site);
    gate.configure(&site.config, &store);
    let control = parse(r#"{"role": "control", "api": {"cluster": "c"}, "control": {"write_token_env": "WRITE"}}"#);
    let access = control.control.unwrap();
    for number in 0..8 {
        let remote = Remote { address: Some(IpAddr::from(Ipv4Addr::from(0x0b00_0000 + number))), host: None };
        let connection = Connection::new(Direction::Egress, now.timestamp());
        let _ = gate.consult(&site, &remote, &connection, now.timestamp());
        let client = Some(IpAddr::from([10, 20, 0, number as u8]));
        gate.note(&site, client, &remote, Some(443), false, now);
    }
    let write = Credential { from_environment: Some(TOKEN.to_vec()), from_header: None };
    let known = Caller { authorization: Some([b"Bearer ", TOKEN].concat()), write: write.clone(), ..Caller::default() };
    let unknown = Caller { authorization: Some(b"Bearer x".to_vec()), write, ..Caller::default() };
    for text in bytes.split(|byte| *byte == 0).take(8) {
        let mut effects = Effects::default();
        let proxy = Proxy { now, store: &store };
        gate.tend_listener(proxy, &mut effects);
        gate.tend_control(1, true, proxy, &mut effects);
        while gate.next_lookup(RootId(1), 1, proxy, &mut effects).is_some() {}
        gate.sweep(proxy, &mut effects);
        let (head, body) = request(text);
        if let Some(page) = head.page() {
            assert_eq!(page.status, 200);
            continue;
        }
        let refused = head.clone().admit(&access, &unknown).err().map(|reply| reply.status);
        assert!(refused.is_some_and(|status| (400..500).contains(&status)), "{refused:?}");
        let reply = match head.admit(&access, &known) {
            Ok(call) => gate.serve(&call, body, proxy, &mut effects),
            Err(reply) => reply,
        };
        assert!((200..500).contains(&reply.status) || reply.status == 503, "{}", reply.status);
        assert!(reply.status == 204 || reply.body.starts_with(b"{"), "{:?}", reply.body);
        now = now.after(Duration::from_millis(700));
    }
});
