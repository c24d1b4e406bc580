//! Contexts: what a VM's root, request or connection sees through host calls at this moment.

use super::headers::HeaderMap;
use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, rc::Rc};

/// What a context stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The VM itself: number 0.
    Vm,
    /// A plugin.
    Root,
    /// A request.
    Http,
    /// A connection.
    Tcp,
}

/// A connection from a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    /// The peer as the proxy's trust settings find it, with its port.
    pub(crate) source: Vec<u8>,
    pub(crate) destination: Vec<u8>,
    pub(crate) server_name: Option<Vec<u8>>,
    pub(crate) tls_version: Option<Vec<u8>>,
    pub(crate) mtls: bool,
    /// Filter state whose span is the connection.
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A request with its response, or a TCP connection: what the filters of one stream share.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) connection: Rc<RefCell<Connection>>,
    pub(crate) request_headers: HeaderMap,
    pub(crate) request_trailers: Option<HeaderMap>,
    pub(crate) response_headers: Option<HeaderMap>,
    pub(crate) response_trailers: Option<HeaderMap>,
    /// Filter state whose span is the stream.
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Properties that the test gives, by their path with NUL between the parts.
    pub(crate) given: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Unix nanoseconds at which it began, and virtual nanoseconds.
    pub(crate) began: u64,
    pub(crate) began_at: u64,
    pub(crate) ended_at: Option<u64>,
    pub(crate) request_size: u64,
    pub(crate) response_size: u64,
    pub(crate) code: Option<u32>,
    pub(crate) code_details: Option<Vec<u8>>,
    pub(crate) flags: u64,
    pub(crate) upstream_address: Option<Vec<u8>>,
    pub(crate) cluster: Option<Vec<u8>>,
}

/// A message from an upstream to a callout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

/// One context. The flags say which maps and buffers are at hand in this phase.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) kind: Kind,
    pub(crate) root: u32,
    /// Which of the proxy's plugins it belongs to.
    pub(crate) plugin: usize,
    /// The simulation's number of the stream.
    pub(crate) number: usize,
    pub(crate) stream: Option<Rc<RefCell<Stream>>>,
    pub(crate) has_request_headers: bool,
    pub(crate) has_request_trailers: bool,
    pub(crate) has_response_headers: bool,
    pub(crate) has_response_trailers: bool,
    pub(crate) logging: bool,
    pub(crate) end_of_stream: bool,
    pub(crate) request_body: Option<Vec<u8>>,
    /// Whether the module has let the stream go on, and so sees no body any more.
    pub(crate) hides_request_body: bool,
    pub(crate) response_body: Option<Vec<u8>>,
    pub(crate) downstream: Option<Vec<u8>>,
    pub(crate) upstream: Option<Vec<u8>>,
    pub(crate) callout: Option<Message>,
    pub(crate) grpc_initial: Option<HeaderMap>,
    pub(crate) grpc_trailing: Option<HeaderMap>,
    pub(crate) grpc_message: Option<Vec<u8>>,
    pub(crate) status: (u32, Cow<'static, str>),
    /// The configuration while the root is being configured.
    pub(crate) configuration: Option<Rc<[u8]>>,
    /// Names of properties whose span is the connection, as declared by the root.
    pub(crate) declared: BTreeMap<Vec<u8>, bool>,
}

impl Context {
    pub(crate) fn new(kind: Kind, root: u32, plugin: usize) -> Context {
        Context {
            kind,
            root,
            plugin,
            number: usize::MAX,
            stream: None,
            has_request_headers: false,
            has_request_trailers: false,
            has_response_headers: false,
            has_response_trailers: false,
            logging: false,
            end_of_stream: false,
            request_body: None,
            hides_request_body: false,
            response_body: None,
            downstream: None,
            upstream: None,
            callout: None,
            grpc_initial: None,
            grpc_trailing: None,
            grpc_message: None,
            status: (0, Cow::Borrowed("")),
            configuration: None,
            declared: BTreeMap::new(),
        }
    }
}
