//! The calls between proxy and module, of a simulation and in the log of a real Envoy.

use crate::trace::{self, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// A callback, and the host calls that the module made in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Callback {
    function: String,
    context: u64,
    /// Its arguments but the context.
    arguments: Vec<u64>,
    result: String,
    calls: Vec<String>,
}

/// Where the calls of streams differ, in a line for each stream: its first callback that is another.
pub(super) fn differences(simulated: &[Entry], log: &[String]) -> Vec<String> {
    let here = streams(simulated.iter().filter_map(|entry| Some((entry.worker, trace::envoy::line(&entry.event)?))));
    let there = streams(log.iter().filter_map(|line| {
        // Level and logger, then the thread.
        let mut words = line.splitn(4, ' ');
        let (_, logger, thread, text) = (words.next()?, words.next()?, words.next()?, words.next()?);
        Some((thread.parse().ok().filter(|_| logger == "wasm")?, text.to_owned()))
    }));
    let mut found = Vec::new();
    if here.len() != there.len() {
        found.push(format!("calls: simulation of {} streams, Envoy of {}", here.len(), there.len()));
    }
    for (index, (here, there)) in here.iter().zip(&there).enumerate() {
        let count = here.len().max(there.len());
        let first = (0..count).find(|at| here.get(*at) != there.get(*at));
        if let Some(at) = first {
            let shown = |calls: &[String]| calls.get(at).map_or("nothing more", String::as_str).to_owned();
            let line = format!("calls of stream {}: simulation {}, Envoy {}", index + 1, shown(here), shown(there));
            found.push(line);
        }
    }
    found
}

/// The callbacks of each stream, in the order in which the streams came. Numbers of contexts are left out, and of the
/// arguments of host calls, which are addresses, all.
fn streams(lines: impl Iterator<Item = (usize, String)>) -> Vec<Vec<String>> {
    let callbacks = callbacks(lines);
    let is_root = |callback: &&Callback| match callback.function.as_str() {
        "proxy_on_context_create" => callback.arguments == [0],
        "proxy_on_vm_start" | "proxy_on_configure" | "proxy_on_tick" | "proxy_on_queue_ready" => true,
        _ => false,
    };
    let roots: BTreeSet<u64> = callbacks.iter().filter(is_root).map(|callback| callback.context).collect();
    let mut order = Vec::new();
    let mut streams: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for callback in callbacks.iter().filter(|callback| !roots.contains(&callback.context)) {
        let stream = streams.entry(callback.context).or_insert_with(|| {
            order.push(callback.context);
            Vec::new()
        });
        // A body comes in as many pieces as the network makes of it.
        if callback.function.ends_with("_body") || callback.function.ends_with("_data") {
            let shown = format!("{} = {}", callback.function, callback.result);
            if stream.last() != Some(&shown) {
                stream.push(shown);
            }
        } else {
            stream.push(callback.shown());
        }
    }
    order.iter().filter_map(|context| streams.remove(context)).collect()
}

impl Callback {
    fn shown(&self) -> String {
        // Those of headers tell how many there are, to which the way of sending a body adds.
        let arguments = if self.function.ends_with("_request_headers") || self.function == "proxy_on_context_create" {
            String::new()
        } else {
            format!("{:?}", self.arguments)
        };
        format!("{}{arguments} = {} after {:?}", self.function, self.result, self.calls)
    }
}

/// All callbacks that the proxy made by itself, of all threads.
fn callbacks(lines: impl Iterator<Item = (usize, String)>) -> Vec<Callback> {
    let mut done = Vec::new();
    // Those that each thread is in; the ones inside others are allocations.
    let mut open: BTreeMap<usize, Vec<(usize, Callback)>> = BTreeMap::new();
    let mut begun = 0;
    for (thread, line) in lines {
        let stack = open.entry(thread).or_default();
        if let Some((function, arguments)) = line.strip_prefix("[host->vm] ").and_then(call) {
            let mut arguments = arguments.into_iter();
            let context = arguments.next().unwrap_or(0);
            let (function, arguments) = (function.to_owned(), arguments.collect());
            let callback = Callback { function, context, arguments, result: String::new(), calls: Vec::new() };
            stack.push((begun, callback));
            begun += 1;
        } else if let Some((_, result)) = line.strip_prefix("[host<-vm] ").and_then(|rest| rest.split_once(" return: "))
        {
            if let Some((number, mut callback)) = stack.pop() {
                result.clone_into(&mut callback.result);
                if stack.is_empty() && callback.function.starts_with("proxy_on_") {
                    done.push((number, callback));
                }
            }
        } else if let Some(rest) = line.strip_prefix("[vm<-host] ")
            && let Some((_, callback)) = stack.first_mut()
            && let Some((function, result)) = rest.split_once(" return: ")
        {
            let function = function.trim_start_matches("env.").trim_start_matches("wasi_snapshot_preview1.");
            callback.calls.push(format!("{function} = {result}"));
        }
    }
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, callback)| callback).collect()
}

fn call(text: &str) -> Option<(&str, Vec<u64>)> {
    let (function, arguments) = text.trim_end_matches(')').split_once('(')?;
    let numbers = arguments.split(", ").filter(|text| !text.is_empty());
    Some((function, numbers.map(|text| text.parse::<i64>().map_or(0, |number| number as u64)).collect()))
}
