//! The control listener's API: what operators may ask and do. Requests come in as heads and bodies, answers go out; the
//! description for callers is `envoy/control.openapi.json`.

mod access;
mod events;
mod log;
mod overrides;
mod peers;
mod query;
mod reply;
mod status;
#[cfg(test)]
mod tests;
mod workbench;

pub use access::{Caller, Credential, SHORTEST_TOKEN};
pub(crate) use events::ended;
pub use reply::Reply;

use crate::{Control, Effects, Gate, Proxy};
use access::Right;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use query::Query;
use reply::Problem;

/// The longest body that is read, in bytes.
pub const CONTROL_MAX_BODY: usize = 16 << 10;

/// A request to the control listener, but for its body. Bytes may be anything.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The method.
    pub method: Vec<u8>,
    /// The path with its query.
    pub target: Vec<u8>,
    /// The `:authority`.
    pub authority: Vec<u8>,
    /// `origin`, which browsers send.
    pub origin: Option<Vec<u8>>,
    /// `sec-fetch-site`, which browsers send.
    pub fetch_site: Option<Vec<u8>>,
    /// `content-type`
    pub content_type: Option<Vec<u8>>,
    /// `content-length`
    pub content_length: Option<Vec<u8>>,
    /// `idempotency-key`
    pub idempotency_key: Option<Vec<u8>>,
}

/// A request that may be answered.
#[derive(Clone, Debug)]
pub struct Call {
    endpoint: Endpoint,
    /// What stands in the place of the path's parameter.
    subject: String,
    query: Vec<(String, String)>,
    key: Option<Vec<u8>>,
    by: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    PostEvent,
    ListEvents,
    GetEvent,
    ListPeers,
    GetPeer,
    LookUpPeer,
    ListOverrides,
    PutOverride,
    DeleteOverride,
    GetStatus,
    ListAudit,
}

/// Every method and path, and who may use it.
const ROUTES: [(&str, &str, Endpoint, Right); 11] = [
    ("POST", "/v1/events", Endpoint::PostEvent, Right::Write),
    ("GET", "/v1/events", Endpoint::ListEvents, Right::Read),
    ("GET", "/v1/events/{id}", Endpoint::GetEvent, Right::Read),
    ("GET", "/v1/peers", Endpoint::ListPeers, Right::Read),
    ("GET", "/v1/peers/{peer}", Endpoint::GetPeer, Right::Read),
    ("POST", "/v1/peers/{peer}/lookup", Endpoint::LookUpPeer, Right::Write),
    ("GET", "/v1/overrides", Endpoint::ListOverrides, Right::Read),
    ("PUT", "/v1/overrides/{cidr}", Endpoint::PutOverride, Right::Write),
    ("DELETE", "/v1/overrides/{cidr}", Endpoint::DeleteOverride, Right::Write),
    ("GET", "/v1/status", Endpoint::GetStatus, Right::Read),
    ("GET", "/v1/audit", Endpoint::ListAudit, Right::Read),
];

impl Head {
    /// Whether this caller may make this request.
    ///
    /// # Errors
    /// The answer to a request that may not be made, or that there is none like.
    pub fn admit(self, control: &Control, caller: &Caller) -> Result<Call, Reply> {
        self.check(control, caller).map_err(Reply::from)
    }

    fn check(self, control: &Control, caller: &Caller) -> Result<Call, Problem> {
        // Whoever is not known learns nothing else.
        let (right, by) = access::rights(control, caller).ok_or_else(Problem::unauthorized)?;
        if self.is_cross_site() {
            return Err(Problem::new(403, "cross_site", "another site's page made this request"));
        }
        let target = core::str::from_utf8(&self.target).map_err(|_| Problem::not_found())?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let matching = ROUTES.iter().filter_map(|route| Some((route, subject(route.1, path)?)));
        let mut methods = Vec::new();
        for ((method, _, endpoint, needed), subject) in matching {
            if method.as_bytes() != self.method {
                methods.push(*method);
                continue;
            }
            if *needed == Right::Write && right == Right::Read {
                return Err(Problem::new(403, "forbidden", "these credentials are for reading only"));
            }
            let call = Call {
                endpoint: *endpoint,
                subject: query::decode(subject).ok_or_else(Problem::not_found)?,
                query: query::pairs(query)?,
                key: self.idempotency_key.clone(),
                by,
            };
            if call.takes_body() {
                self.check_body()?;
            }
            return Ok(call);
        }
        if methods.is_empty() {
            return Err(Problem::not_found());
        }
        let detail = ["there are only ", &methods.join(", "), " here"].concat();
        Err(Problem::new(405, "method_not_allowed", &detail).allowing(methods.join(", ")))
    }

    /// Browsers say where a request comes from; other clients do not.
    fn is_cross_site(&self) -> bool {
        let site = self.fetch_site.as_deref();
        let foreign = |origin: &Vec<u8>| {
            let host = origin.strip_prefix(b"https://").or(origin.strip_prefix(b"http://"));
            host.is_none_or(|host| !host.eq_ignore_ascii_case(&self.authority))
        };
        site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) || self.origin.as_ref().is_some_and(foreign)
    }

    fn check_body(&self) -> Result<(), Problem> {
        let kind = self.content_type.as_deref().unwrap_or_default();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if !kind.eq_ignore_ascii_case(b"application/json") {
            return Err(Problem::new(415, "unsupported_media_type", "the body must be of type application/json"));
        }
        let length = self.content_length.as_deref().and_then(|length| core::str::from_utf8(length).ok());
        if length.is_some_and(|length| length.parse::<usize>().map_or(true, |length| length > CONTROL_MAX_BODY)) {
            return Err(Problem::too_large());
        }
        Ok(())
    }
}

/// What stands in the path in the place of a template's parameter; empty where the template has none.
fn subject<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, rest)) = template.split_once('{') else { return (template == path).then_some("") };
    let (_, after) = rest.split_once('}')?;
    let subject = path.strip_prefix(before)?.strip_suffix(after)?;
    // A network may be written with its slash.
    let slashes = if template.ends_with("{cidr}") { 1 } else { 0 };
    (!subject.is_empty() && subject.matches('/').count() <= slashes).then_some(subject)
}

impl Call {
    /// Whether there is a body to wait for.
    pub fn takes_body(&self) -> bool {
        matches!(self.endpoint, Endpoint::PostEvent | Endpoint::PutOverride)
    }
}

/// A request with a body, and when and where it came.
#[derive(Clone, Copy)]
struct Task<'a> {
    call: &'a Call,
    body: &'a [u8],
    proxy: Proxy<'a>,
}

impl Gate {
    /// Answers a request to the control listener. What it changes, all workers are told by `effects`.
    pub fn serve(&mut self, call: &Call, body: &[u8], proxy: Proxy<'_>, effects: &mut Effects) -> Reply {
        let query = &mut Query::new(&call.query);
        let task = Task { call, body, proxy };
        let answer = match call.endpoint {
            Endpoint::PostEvent => query.end().and_then(|()| self.post_event(task, effects)),
            Endpoint::ListEvents => self.list_events(query, proxy),
            Endpoint::GetEvent => self.event(call, query, proxy),
            Endpoint::ListPeers => self.list_peers(query, proxy),
            Endpoint::GetPeer => self.peer(call, query, proxy),
            Endpoint::LookUpPeer => self.look_up_peer(call, query, proxy, effects),
            Endpoint::ListOverrides => overrides::list(query, proxy),
            Endpoint::PutOverride => query.end().and_then(|()| self.put(task, effects)),
            Endpoint::DeleteOverride => self.delete(call, query, proxy, effects),
            Endpoint::GetStatus => self.control_status(query, proxy),
            Endpoint::ListAudit => log::list(query, proxy),
        };
        answer.unwrap_or_else(Reply::from)
    }
}
