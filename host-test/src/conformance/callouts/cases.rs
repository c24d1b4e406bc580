//! The cases: what the guest does, and to which method of the server.

/// The methods of the server, of four letters each. It does what they say when the first message has come.
pub(super) const METHODS: [&str; 11] =
    ["pong", "both", "mute", "fail", "late", "http", "text", "drop", "half", "hang", "echo"];

/// A case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is about.
    pub name: &'static str,
    /// What the guest does, by callback, on top of logging what came.
    pub does: &'static [(&'static str, &'static str)],
    /// Whether the client leaves as soon as the headers have been seen, instead of waiting for an answer.
    pub leaves: bool,
    /// The callback that is the last of all.
    pub last: &'static str,
}

const fn case(name: &'static str, does: &'static [(&'static str, &'static str)]) -> Case {
    Case { name, does, leaves: false, last: "delete" }
}

/// The callbacks in which the guests do something.
const HEADERS: &str = "request_headers";
const ANSWERED: &str = "http_call_response";
const INITIAL: &str = "grpc_receive_initial_metadata";
const MESSAGE: &str = "grpc_receive";
const CLOSED: &str = "grpc_close";

/// All cases.
pub const CASES: &[Case] = &[
    case("a callout that is answered", &[(HEADERS, "(call $ask (i32.const 170) (i32.const 5000))"), (ANSWERED, "(call $go)")]),
    case(
        "a callout that takes too long",
        &[(HEADERS, "(call $ask (i32.const 174) (i32.const 50))"), (ANSWERED, "(call $go)")],
    ),
    case("a callout to nobody", &[(HEADERS, "(call $ask (i32.const 160) (i32.const 50)) (call $go)")]),
    Case {
        name: "a callout whose client leaves",
        does: &[(HEADERS, "(call $ask (i32.const 174) (i32.const 500))"), (ANSWERED, "(call $go)")],
        leaves: true,
        last: ANSWERED,
    },
    case("a call that is answered", &[(HEADERS, "(call $call @pong)"), (MESSAGE, "(call $go)")]),
    case(
        "a call that is answered twice",
        &[(HEADERS, "(call $call @both)"), (CLOSED, "(call $go)"), (MESSAGE, "(call $go)")],
    ),
    case(
        "a call that is answered without a message",
        &[(HEADERS, "(call $call @mute)"), (CLOSED, "(call $go)"), (MESSAGE, "(call $go)")],
    ),
    case("a call that fails", &[(HEADERS, "(call $call @fail)"), (CLOSED, "(call $go)")]),
    case("a call that fails after a message", &[(HEADERS, "(call $call @late)"), (CLOSED, "(call $go)")]),
    case("a call that is answered by HTTP", &[(HEADERS, "(call $call @http)"), (CLOSED, "(call $go)")]),
    case("a call that is answered by HTTP with a body", &[(HEADERS, "(call $call @text)"), (CLOSED, "(call $go)")]),
    case("a call that is reset", &[(HEADERS, "(call $call @drop)"), (CLOSED, "(call $go)")]),
    case("a call that is cut", &[(HEADERS, "(call $call @half)"), (CLOSED, "(call $go)")]),
    case(
        "a call that takes too long",
        &[(HEADERS, "(call $call_of (i32.const 100) @hang (i32.const 50))"), (CLOSED, "(call $go)")],
    ),
    case(
        "a call to nobody",
        &[(HEADERS, "(call $call_of (i32.const 110) @pong (i32.const 5000))"), (CLOSED, "(call $go)")],
    ),
    case(
        "a call to no host",
        &[(HEADERS, "(call $call_of (i32.const 180) @pong (i32.const 5000))"), (CLOSED, "(call $go)")],
    ),
    case("a call that is cancelled", &[(HEADERS, "(call $call @hang) (call $cancel) (call $cancel) (call $go)")]),
    case("a call that is closed", &[(HEADERS, "(call $call @hang) (call $close) (call $close) (call $go)")]),
    case(
        "a message on a call",
        &[(HEADERS, "(call $call @hang) (call $send (i32.const 1)) (call $cancel) (call $go)")],
    ),
    case(
        "a call that is cancelled when it is answered",
        &[(HEADERS, "(call $call @pong)"), (MESSAGE, "(call $cancel) (call $go)")],
    ),
    case(
        "a call that is cancelled when it has failed",
        &[(HEADERS, "(call $call @fail)"), (CLOSED, "(call $cancel) (call $go)")],
    ),
    Case {
        name: "a call whose client leaves",
        does: &[(HEADERS, "(call $call_of (i32.const 100) @hang (i32.const 500))"), (CLOSED, "(call $go)")],
        leaves: true,
        last: CLOSED,
    },
    case(
        "a stream with one message",
        &[(HEADERS, "(call $stream @echo) (call $send (i32.const 1))"), (CLOSED, "(call $go)")],
    ),
    case(
        "a stream that is closed after its answer",
        &[
            (HEADERS, "(call $stream @echo) (call $send (i32.const 0))"),
            (MESSAGE, "(call $close)"),
            (CLOSED, "(call $go)"),
        ],
    ),
    case(
        "a stream that is used after its end",
        &[
            (HEADERS, "(call $stream @echo) (call $send (i32.const 1))"),
            (
                CLOSED,
                "(call $send (i32.const 1)) (call $close) (call $close) (call $send (i32.const 1)) (call $cancel) (call $go)",
            ),
        ],
    ),
    case(
        "a stream that is cancelled after its end",
        &[
            (HEADERS, "(call $stream @echo) (call $send (i32.const 1))"),
            (CLOSED, "(call $cancel) (call $cancel) (call $go)"),
        ],
    ),
    case(
        "a stream that is cancelled with its first message",
        &[
            (HEADERS, "(call $stream @echo) (call $send (i32.const 0))"),
            (MESSAGE, "(call $cancel) (call $cancel) (call $go)"),
        ],
    ),
    case(
        "a stream that is cancelled with its metadata",
        &[(HEADERS, "(call $stream @echo) (call $send (i32.const 0))"), (INITIAL, "(call $cancel) (call $go)")],
    ),
    case(
        "a stream that is closed at once",
        &[
            (HEADERS, "(call $stream @echo) (call $close) (call $close) (call $send (i32.const 0))"),
            (CLOSED, "(call $go)"),
        ],
    ),
    case("a stream that is cancelled at once", &[(HEADERS, "(call $stream @echo) (call $cancel) (call $go)")]),
    case(
        "a stream that is answered twice",
        &[(HEADERS, "(call $stream @both) (call $send (i32.const 1))"), (CLOSED, "(call $go)")],
    ),
    case(
        "a stream that fails",
        &[(HEADERS, "(call $stream @fail) (call $send (i32.const 1))"), (CLOSED, "(call $go)")],
    ),
    case(
        "a stream that fails after a message",
        &[(HEADERS, "(call $stream @late) (call $send (i32.const 1))"), (CLOSED, "(call $go)")],
    ),
    case(
        "a stream that ends before it was closed",
        &[
            (HEADERS, "(call $stream @pong) (call $send (i32.const 0))"),
            (CLOSED, "(call $close) (call $close) (call $go)"),
        ],
    ),
    case(
        "a stream that is answered by HTTP",
        &[(HEADERS, "(call $stream @http) (call $send (i32.const 1))"), (CLOSED, "(call $go)")],
    ),
    case(
        "a stream that is answered by HTTP with a body",
        &[(HEADERS, "(call $stream @text) (call $send (i32.const 1))"), (CLOSED, "(call $go)")],
    ),
    case(
        "a stream that is reset",
        &[(HEADERS, "(call $stream @drop) (call $send (i32.const 1))"), (CLOSED, "(call $go)")],
    ),
    case(
        "a stream that is cut",
        &[(HEADERS, "(call $stream @half) (call $send (i32.const 1))"), (CLOSED, "(call $go)")],
    ),
    case("a stream to no host", &[(HEADERS, "(call $stream_of (i32.const 180) @echo) (call $send (i32.const 1))"), (CLOSED, "(call $go)")]),
    case(
        "calls and streams have numbers of their own",
        &[(
            HEADERS,
            "(call $call @hang) (call $stream @hang) (call $call_of (i32.const 110) @pong (i32.const 50)) (call $call @hang)
            (call $cancel) (call $stream @hang) (call $cancel) (i32.store (i32.const 8) (i32.const 4)) (call $cancel)
            (call $close) (call $send (i32.const 0)) (i32.store (i32.const 8) (i32.const 7)) (call $cancel) (call $close)
            (call $send (i32.const 0)) (call $go)",
        )],
    ),
    case("a stream to nobody", &[(HEADERS, "(call $stream_of (i32.const 110) @echo)"), (CLOSED, "(call $go)")]),
    Case {
        name: "a stream whose client leaves",
        does: &[(HEADERS, "(call $stream @hang) (call $send (i32.const 0))")],
        leaves: true,
        last: "delete",
    },
];
