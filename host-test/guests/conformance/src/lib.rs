//! A filter that makes the host calls that its configuration lists, in the phases that it lists, and logs what each
//! answers. The SDK finds the context of each callback; the calls themselves are made past it, as it would panic at most
//! of what a host may answer.

mod calls;
mod program;

use program::Program;
use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext, StreamContext},
    types::{Action, ContextType, LogLevel},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::Duration,
};

thread_local! {
    static PROGRAM: RefCell<Program> = RefCell::default();
    static STREAMS: Cell<usize> = const { Cell::new(0) };
    static ROOT: Cell<u32> = const { Cell::new(0) };
}

/// A context with its part of the program: the root's, or that of the stream with this number.
struct Probe {
    id: u32,
    stream: Option<usize>,
    /// A phase that comes again is not looked at again.
    seen: RefCell<BTreeSet<&'static str>>,
}

impl Probe {
    fn root(id: u32) -> Probe {
        ROOT.set(id);
        Probe { id, stream: None, seen: RefCell::default() }
    }

    /// The streams take the programs in their order.
    fn stream(id: u32) -> Probe {
        let probe = Probe { id, stream: Some(STREAMS.get()), seen: RefCell::default() };
        STREAMS.set(STREAMS.get() + 1);
        probe.at("context_create");
        probe
    }

    /// Makes the calls of this phase.
    fn at(&self, phase: &'static str) {
        if !self.seen.borrow_mut().insert(phase) {
            return;
        }
        PROGRAM.with_borrow(|program| {
            for (index, line) in program.of(self.stream).iter().enumerate() {
                if line.phase == "*" || line.phase == phase {
                    let answer = calls::make(&line.call, self.id);
                    let stream = self.stream.map_or_else(|| "root".to_owned(), |stream| stream.to_string());
                    log(&format!("{stream} {phase} {index} {answer}"));
                }
            }
        });
    }

    /// Whether the calls of this phase let the stream go on, or end it.
    fn decides(&self, phase: &str) -> bool {
        const DECISIONS: [&str; 3] = ["proxy_continue_stream", "proxy_close_stream", "proxy_send_local_response"];
        PROGRAM.with_borrow(|program| {
            let mut lines = program.of(self.stream).iter();
            lines.any(|line| line.phase == phase && DECISIONS.contains(&line.call.name.as_str()))
        })
    }

    fn wants(&self, phase: &str) -> bool {
        PROGRAM
            .with_borrow(|program| program.of(self.stream).iter().any(|line| line.phase == "*" || line.phase == phase))
    }

    /// Opens a stream of gRPC that is answered with metadata and a message, through the SDK.
    fn open(&self) {
        // `GrpcService { envoy_grpc: EnvoyGrpc { cluster_name: "grpc" } }`
        const SERVICE: &str = "\x0a\x06\x0a\x04grpc";
        let opened = hostcalls::open_grpc_stream(SERVICE, "s", "pong", vec![]);
        let sent = opened.and_then(|token| hostcalls::send_grpc_stream_message(token, Some(b"ping"), true));
        if let Err(status) = sent {
            log(&format!("no stream: {status:?}"));
        }
    }

    /// Asks for something, through the SDK, which would not know the answer otherwise.
    fn ask(&self) {
        let headers = vec![(":method", "GET"), (":path", "/"), (":authority", "a")];
        let sent = hostcalls::dispatch_http_call("api", headers, None, vec![], Duration::from_secs(5));
        if let Err(status) = sent {
            log(&format!("no callout: {status:?}"));
        }
    }
}

fn log(text: &str) {
    // There is nobody else to tell.
    let _ = hostcalls::log(LogLevel::Info, text);
}

/// What the SDK calls in the last callback of a context.
impl Drop for Probe {
    fn drop(&mut self) {
        self.at("delete");
    }
}

impl Context for Probe {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        self.at("http_call_response");
        if self.stream.is_some() && !self.decides("http_call_response") {
            calls::resume_request();
        }
    }

    fn on_grpc_stream_initial_metadata(&mut self, _: u32, _: u32) {
        self.at("grpc_receive_initial_metadata");
    }

    fn on_grpc_stream_message(&mut self, _: u32, _: usize) {
        self.at("grpc_receive");
    }

    fn on_grpc_stream_trailing_metadata(&mut self, _: u32, _: u32) {
        self.at("grpc_receive_trailing_metadata");
    }

    fn on_grpc_stream_close(&mut self, _: u32, _: u32) {
        self.at("grpc_close");
    }

    fn on_done(&mut self) -> bool {
        self.at("done");
        true
    }
}

impl RootContext for Probe {
    fn on_vm_start(&mut self, _: usize) -> bool {
        let text = hostcalls::get_buffer(proxy_wasm::types::BufferType::VmConfiguration, 0, usize::MAX);
        let text = text.ok().flatten().unwrap_or_default();
        match Program::parse(&String::from_utf8_lossy(&text)) {
            Ok(program) => PROGRAM.set(program),
            Err(line) => {
                log(&format!("cannot read {line}"));
                return false;
            }
        }
        self.at("vm_start");
        true
    }

    fn on_configure(&mut self, _: usize) -> bool {
        self.at("configure");
        if self.wants("tick") {
            // A queue that nobody else has: only its own messages wake it.
            let name = format!("{:p}{:?}", self, proxy_wasm::hostcalls::get_current_time().ok());
            if let Ok(queue) = hostcalls::register_shared_queue(&name) {
                let _ = hostcalls::enqueue_shared_queue(queue, Some(b"message"));
            }
            let _ = hostcalls::set_tick_period(Duration::from_millis(50));
        }
        true
    }

    fn on_tick(&mut self) {
        if !self.seen.borrow().contains("tick") {
            self.ask();
            self.open();
        }
        self.at("tick");
    }

    fn on_queue_ready(&mut self, _: u32) {
        self.at("queue_ready");
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Probe::stream(id)))
    }

    fn create_stream_context(&self, id: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Probe::stream(id)))
    }

    fn get_type(&self) -> Option<ContextType> {
        PROGRAM.with_borrow(|program| {
            Some(if program.network { ContextType::StreamContext } else { ContextType::HttpContext })
        })
    }
}

impl HttpContext for Probe {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.at("request_headers");
        if self.wants("http_call_response") && !self.decides("request_headers") {
            self.ask();
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.at("request_body");
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.at("request_trailers");
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.at("response_headers");
        Action::Continue
    }

    fn on_http_response_body(&mut self, _: usize, _: bool) -> Action {
        self.at("response_body");
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.at("response_trailers");
        Action::Continue
    }

    fn on_log(&mut self) {
        self.at("log");
    }
}

impl StreamContext for Probe {
    fn on_new_connection(&mut self) -> Action {
        self.at("new_connection");
        Action::Continue
    }

    fn on_downstream_data(&mut self, _: usize, _: bool) -> Action {
        self.at("downstream_data");
        Action::Continue
    }

    fn on_downstream_close(&mut self, _: proxy_wasm::types::PeerType) {
        self.at("downstream_close");
    }

    fn on_upstream_data(&mut self, _: usize, _: bool) -> Action {
        self.at("upstream_data");
        Action::Continue
    }

    fn on_upstream_close(&mut self, _: proxy_wasm::types::PeerType) {
        self.at("upstream_close");
    }

    fn on_log(&mut self) {
        self.at("log");
    }
}

// Generates the entry point `_initialize`.
#[allow(unsafe_code, missing_docs)]
mod entry {
    use super::Probe;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
        proxy_wasm::set_root_context(|id| Box::new(Probe::root(id)));
    }}
}
