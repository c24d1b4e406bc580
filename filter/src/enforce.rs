//! Carries a decision out on the current HTTP context: tag, filter state, log line, refusal.

use crate::host::{self, Action, Headers, Level};
use crate::worker::Worker;
use alloc::string::String;
use evaluator::Action as Verdict;
use evaluator::filled;
use gate::{Config, Decision, Format, LogLevel, Remote, StreamId};

/// Tags, and refuses where that is the decision; logs it when it is carried out. Returns whether the request was refused; an
/// error where it was to be and neither passes nor is answered.
pub(crate) fn enforce(
    worker: &mut Worker,
    config: &Config,
    stream: StreamId,
    remote: &Remote,
    decision: &Decision,
) -> Result<bool, host::Status> {
    write_tag(worker, config, decision);
    if config.tag.response_header.is_some() {
        worker.response_tags.insert(stream, worker.tag.text().to_vec());
    }
    let refused = if decision.refuses(config.mode) {
        refuse(config, remote, decision)?;
        true
    } else if let Err(status) = host::set_header(Headers::Request, &config.tag.request_header, worker.tag.text()) {
        report("set the tag", Err(status));
        !remove_tag(Headers::Request, config)?
    } else {
        false
    };
    log(config, decision, || worker.gate.log_line(decision, config, remote, None));
    Ok(refused)
}

/// Writes the tag, and sets it as the filter state where the configuration names one.
pub(crate) fn write_tag(worker: &mut Worker, config: &Config, decision: &Decision) {
    worker.tag.write(decision, config.mode);
    if let Some(name) = &config.tag.filter_state {
        report("set the filter state", host::set_property(name, worker.tag.text()));
    }
}

/// Takes away what a client may have put where the tag belongs, or resets the request: upstreams believe the tag. Returns
/// whether the request may pass; an error where it neither passes nor is reset.
fn remove_tag(map: Headers, config: &Config) -> Result<bool, host::Status> {
    let Err(status) = host::remove_header(map, &config.tag.request_header) else { return Ok(true) };
    report("remove the tag", Err(status));
    host::reset_request().map(|()| false)
}

/// Lets the current context's request pass, but not with a tag of the client's in its headers or trailers.
pub(crate) fn pass_untagged(map: Headers, config: &Config) -> Action {
    match remove_tag(map, config) {
        Ok(true) => Action::Continue,
        Ok(false) => Action::Pause,
        Err(status) => {
            report("reset a request", Err(status));
            Action::Pause
        }
    }
}

/// Logs a decision where the configuration wants it.
pub(crate) fn log(config: &Config, decision: &Decision, line: impl FnOnce() -> String) {
    let denied = decision.verdict.action == Verdict::Deny;
    let wanted = match config.log {
        LogLevel::None => false,
        LogLevel::Denials => denied,
        LogLevel::All => true,
    };
    if wanted {
        let level = if denied { Level::Warn } else { Level::Info };
        host::log(level, &line());
    }
}

/// Answers the current context's request in the place of the upstream, or resets it: it must not pass.
pub(crate) fn refuse(config: &Config, remote: &Remote, decision: &Decision) -> Result<(), host::Status> {
    let is_grpc = host::header(Headers::Request, "content-type")
        .is_some_and(|kind| kind.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc")));
    // A gRPC client reads the body as `grpc-message`.
    let format = match host::header(Headers::Request, "accept") {
        Some(accept) if !is_grpc => Format::for_accept(&accept),
        _ => Format::Text,
    };
    const PERMISSION_DENIED: i32 = 7;
    let mut body = gate::body(format, decision, config, remote);
    if !is_grpc {
        body.push('\n');
    }
    let headers = [("content-type", format.content_type()), ("cache-control", "no-store")];
    let grpc_status = is_grpc.then_some(PERMISSION_DENIED);
    let details = details(decision.rule(config).or_else(|| decision.reason.map(gate::Reason::code)));
    let replied = host::reply(config.deny.status, &details, &headers, body.as_bytes(), grpc_status);
    if replied.is_ok() {
        return Ok(());
    }
    report("refuse", replied);
    host::reset_request()
}

/// What `%RESPONSE_CODE_DETAILS%` shows, which must not contain white space.
fn details(why: Option<&str>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let mut details = String::with_capacity(why.map_or(0, str::len).saturating_add(32));
    details.push_str("criminalip_denied");
    if let Some(why) = why {
        details.push(':');
        details.extend(why.chars().map(plain));
    }
    details
}

/// Logs a host call that failed.
pub(crate) fn report(what: &str, result: Result<(), host::Status>) {
    if let Err(status) = result {
        host::log(Level::Error, &filled("portcullis: cannot {}: {}", &[what, &status.text()]));
    }
}
