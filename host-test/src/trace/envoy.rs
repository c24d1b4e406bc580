//! The calls of a trace in the form of Envoy's own log (`--component-log-level wasm:trace`), to be compared with it.

use super::{Entry, Event, Trace};
use std::fmt::Write;

/// The lines that Envoy would log, without time and source.
///
/// ```text
/// [host->vm] proxy_on_context_create(1, 0)
/// [vm->host] env.proxy_define_metric(0, 71390, 32, 65396)
/// [vm<-host] env.proxy_define_metric return: 0
/// [host<-vm] proxy_on_context_create return: void
/// ```
pub fn text(trace: &Trace) -> String {
    lines(trace.entries())
}

/// The same for some entries.
pub fn lines(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        if let Some(line) = line(&entry.event) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// The line for one event; `None` for what Envoy does not log so.
pub fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Enter { function, arguments } => format!("[host->vm] {function}({})", list(arguments)),
        Event::Leave { function, result } => format!("[host<-vm] {function} return: {}", value(*result)),
        Event::Call { function, arguments, .. } => format!("[vm->host] {function}({})", list(arguments)),
        Event::Return { function, result } => format!("[vm<-host] {function} return: {}", value(*result)),
        Event::Log { message, .. } => format!("wasm log: {message}"),
        _ => return None,
    })
}

/// The call lines in a log of Envoy, without time and source, so that [`text`] can be compared with them.
pub fn calls_in_log(log: &str) -> String {
    let mut text = String::new();
    for line in log.lines() {
        let marks = ["[host->vm] ", "[host<-vm] ", "[vm->host] ", "[vm<-host] "];
        if let Some(start) = marks.iter().find_map(|mark| line.find(mark)) {
            text.push_str(&line[start..]);
            text.push('\n');
        }
    }
    text
}

fn list(arguments: &[u64]) -> String {
    let mut text = String::new();
    for (index, argument) in arguments.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{separator}{argument}");
    }
    text
}

fn value(result: Option<u64>) -> String {
    result.map_or_else(|| "void".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_read_as_in_envoys_log() {
        let enter = Event::Enter { function: "proxy_on_context_create".into(), arguments: vec![1, 0] };
        assert_eq!(line(&enter).unwrap(), "[host->vm] proxy_on_context_create(1, 0)");
        let leave = Event::Leave { function: "proxy_on_context_create".into(), result: None };
        assert_eq!(line(&leave).unwrap(), "[host<-vm] proxy_on_context_create return: void");
        let returned = Event::Return { function: "env.proxy_define_metric".into(), result: Some(0) };
        assert_eq!(line(&returned).unwrap(), "[vm<-host] env.proxy_define_metric return: 0");
    }

    #[test]
    fn the_calls_of_a_real_log_are_found() {
        let log = "[2026-11-22 08:22:11.477][17857][trace][wasm] [source/x.cc:39] [host->vm] proxy_on_configure(1, 10)\n\
                   [2026-11-22 08:22:11.477][17857][info][wasm] [source/x.cc:1151] wasm log: hello\n";
        assert_eq!(calls_in_log(log), "[host->vm] proxy_on_configure(1, 10)\n");
    }
}
