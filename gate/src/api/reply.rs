//! Answers, and problems as RFC 9457 has them.

use crate::Mistake;
use crate::writer::Writer;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The answer to a request of the control listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer in JSON.
    pub(super) fn json(status: u16, writer: Writer) -> Reply {
        Reply {
            status,
            headers: vec![("content-type", "application/json".into()), no_store()],
            body: writer.into_text().into(),
        }
    }

    /// An answer without a body.
    pub(super) fn empty(status: u16) -> Reply {
        Reply { status, headers: vec![no_store()], body: Vec::new() }
    }

    /// The same with one more header.
    pub(super) fn with(mut self, name: &'static str, value: String) -> Reply {
        self.headers.push((name, value));
        self
    }

    /// The answer to a request whose body is longer than [`super::CONTROL_MAX_BODY`].
    pub fn too_large() -> Reply {
        Problem::too_large().into()
    }

    /// The answer to a request whose body does not come.
    pub fn timed_out() -> Reply {
        let detail = "the body did not come within 10 seconds; where it never does, the proxy keeps it from this filter: \
                      its configuration needs allow_on_headers_stop_iteration: true";
        Problem::new(408, "timeout", detail).into()
    }
}

pub(super) fn no_store() -> (&'static str, String) {
    ("cache-control", "no-store".into())
}

/// Why a request is not done.
#[derive(Debug)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: u16,
    code: &'static str,
    detail: String,
    mistakes: Vec<Mistake>,
    /// The value of `allow`.
    allow: Option<String>,
    /// Where the mistake is, for what is no body.
    place: Option<(String, &'static str)>,
}

impl Problem {
    #[cold]
    #[inline(never)]
    pub(super) fn new(status: u16, code: &'static str, detail: &str) -> Problem {
        let (mistakes, allow, place) = (Vec::new(), None, None);
        Problem(Box::new(Parts { status, code, detail: detail.into(), mistakes, allow, place }))
    }

    /// The same, and which methods there are.
    pub(super) fn allowing(mut self, methods: String) -> Problem {
        self.0.allow = Some(methods);
        self
    }

    pub(super) fn unauthorized() -> Problem {
        Problem::new(401, "unauthorized", "show a bearer token or a client certificate that is let in")
    }

    pub(super) fn not_found() -> Problem {
        Problem::new(404, "not_found", "there is no such thing here")
    }

    pub(super) fn too_large() -> Problem {
        Problem::new(413, "too_large", "the body may have 16 KiB")
    }

    pub(super) fn busy() -> Problem {
        Problem::new(503, "unavailable", "others are changing the same; try again")
    }

    /// A part of the request, but for its body, is wrong.
    #[cold]
    #[inline(never)]
    pub(super) fn invalid(path: &str, code: &'static str, message: &str) -> Problem {
        let mut problem = Problem::new(422, "invalid", message);
        problem.0.place = Some((path.into(), code));
        problem
    }

    /// The body is wrong.
    pub(super) fn mistaken(mistakes: Vec<Mistake>) -> Problem {
        let malformed = mistakes.iter().any(|mistake| mistake.kind.code() == "not_json");
        let (status, code) = if malformed { (400, "malformed") } else { (422, "invalid") };
        let detail = mistakes.first().map_or(String::new(), ToString::to_string);
        let mut problem = Problem::new(status, code, &detail);
        problem.0.mistakes = mistakes;
        problem
    }
}

impl From<Problem> for Reply {
    fn from(Problem(problem): Problem) -> Reply {
        let mut writer = Writer::default();
        writer.open('{');
        writer.text("type", &["urn:portcullis:problem:", problem.code].concat());
        writer.text("title", title(problem.status));
        writer.number("status", problem.status.into());
        writer.text("detail", &problem.detail);
        if !problem.mistakes.is_empty() || problem.place.is_some() {
            writer.list("errors");
            if let Some((path, code)) = &problem.place {
                error(&mut writer, path, code, &problem.detail);
            }
            for mistake in &problem.mistakes {
                error(&mut writer, &mistake.path, mistake.kind.code(), &mistake.message);
            }
            writer.close(']');
        }
        writer.close('}');
        let kind = ("content-type", "application/problem+json".into());
        let mut headers = vec![kind, no_store()];
        if problem.status == 401 {
            headers.push(("www-authenticate", "Bearer realm=\"portcullis\"".into()));
        }
        headers.extend(problem.allow.map(|allow| ("allow", allow)));
        Reply { status: problem.status, headers, body: writer.into_text().into() }
    }
}

fn error(writer: &mut Writer, path: &str, code: &str, message: &str) {
    writer.open('{');
    writer.text("path", path);
    writer.text("code", code);
    writer.text("message", message);
    writer.close('}');
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        _ => "Service Unavailable",
    }
}
