//! `portcullis explain`: what a configuration does, in plain words.

use crate::document::Node;
use crate::exit::{Exit, Failure};
use crate::lint::Configuration;
use crate::term;
use evaluator::{Action, Condition, Direction, Findings};
use gate::{Config, Credentials, Fallback, Key, LogLevel, Mode, Role};
use std::path::PathBuf;
use std::time::Duration;

/// What to explain.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A plugin configuration: JSON, or an Envoy or Istio file that has one in it; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Explains every configuration in the file.
///
/// # Errors
/// The file cannot be read, or has mistakes.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let text = crate::lint::read(&args.file)?;
    let name = crate::check::name(&args.file);
    let found = crate::lint::configurations(&text, &name).map_err(|mistakes| Failure::new(Exit::Mistakes, mistakes))?;
    let mut out = String::new();
    for (index, configuration) in found.iter().enumerate() {
        if found.len() > 1 {
            out += &format!("{}{name}:{}\n", if index > 0 { "\n" } else { "" }, configuration.at);
        }
        out += &sentences(&configuration.config, configuration.tree.as_ref()).join("\n");
        out.push('\n');
        out += &routes(configuration);
    }
    term::print(&out)?;
    Ok(Exit::Done)
}

/// Whose metadata changes something.
fn routes(configuration: &Configuration) -> String {
    let Some(metadata) = &configuration.config.route_metadata else { return String::new() };
    let names: Vec<String> = configuration.routes.iter().map(|(name, _)| format!("{name:?}")).collect();
    match &names[..] {
        [] => format!("A route of the proxy may change some of this for its requests, by its metadata {metadata}.\n"),
        names => format!(
            "These routes change some of this for their requests, by their metadata {metadata}: {}.\n",
            names.join(", ")
        ),
    }
}

/// The sentences about a configuration, a line each. `tree` is the document that it was read from.
fn sentences(config: &Config, tree: Option<&Node>) -> Vec<String> {
    if let Some(control) = &config.control {
        return vec![
            "Nothing is judged: it answers operators.".into(),
            format!("May read: {}.", bearers(&control.read)),
            format!("May read and write: {}.", bearers(&control.write)),
        ];
    }
    let stream = if config.role == Role::Network { "connection" } else { "request" };
    let peer = if config.direction == Direction::Ingress { "client" } else { "destination" };
    let mut lines = vec![format!(
        "Each {stream} is judged by the address of its {peer} ({}).{}",
        config.direction.name(),
        if config.mode == Mode::Shadow {
            " SHADOW MODE: nothing is refused; logs and tags say what would have been."
        } else {
            ""
        }
    )];
    let mut number = 0;
    let mut step = |text: String| {
        number += 1;
        lines.push(format!("{number}. {text}"));
    };
    for (list, what) in
        [("allow", "passes, whatever is known about it"), ("deny", "is refused, whatever is known about it")]
    {
        if let Some(entries) = entries(tree, list) {
            step(format!("A {peer} on the {list} list {what}: {entries}."));
        }
    }
    step(format!(
        "A {peer} that is not public (private, loopback and the like) passes without being looked at.{}",
        scope(tree)
    ));
    if !config.lists.feeds.is_empty() {
        let feeds = config.lists.feeds.iter();
        let feeds = feeds.map(|feed| format!("{} ({}, every {})", feed.name(), verb(feed.then), span(feed.every)));
        step(format!(
            "A {peer} that a feed names is decided by the first that does: {}.",
            feeds.collect::<Vec<_>>().join("; ")
        ));
    }
    step(memory(config));
    step(lookup(config, stream));
    if let Some(selection) = tree.and_then(|tree| tree.get("select")).and_then(selection) {
        step(selection);
    }
    step(format!(
        "What is known is held against these rules; the first that fits decides, and where none does the {stream} passes:"
    ));
    for (index, rule) in config.policy.rules.iter().enumerate() {
        let when = tree.and_then(|tree| tree.at_path(&["policy", "rules"])?.items().get(index)?.get("when"));
        let time = when.and_then(|when| when.get("time"));
        lines.push(format!("   - {}: {} {}", rule.name, verb(rule.then), conditions(&rule.when, time)));
    }
    lines.extend(ending(config, stream));
    lines
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Tag => "tag",
        Action::Deny => "deny",
    }
}

/// The entries of a list with their owners, the first few of them.
fn entries(tree: Option<&Node>, list: &str) -> Option<String> {
    const SHOWN: usize = 5;
    let entries = tree?.at_path(&["lists", list])?.items();
    let shown = entries.iter().take(SHOWN).map(|entry| {
        let text = |key| entry.get(key).and_then(Node::text);
        let until = text("until").map(|until| format!("until {until}"));
        let remarks: Vec<_> =
            [text("owner").map(Into::into), text("reason").map(Into::into), until].into_iter().flatten().collect();
        let network = text("cidr").or(text("host")).unwrap_or_default();
        if remarks.is_empty() { network.to_owned() } else { format!("{network} ({})", remarks.join(", ")) }
    });
    let mut shown: Vec<String> = shown.collect();
    if entries.len() > SHOWN {
        shown.push(format!("and {} more", entries.len() - SHOWN));
    }
    (!shown.is_empty()).then(|| shown.join("; "))
}

fn scope(tree: Option<&Node>) -> String {
    let mut text = String::new();
    for (key, what) in [("skip", "So do"), ("treat_as_public", "But these are judged:")] {
        let networks = tree.and_then(|tree| tree.at_path(&["scope", key])).map(Node::items).unwrap_or_default();
        let networks: Vec<_> = networks.iter().filter_map(Node::text).collect();
        if !networks.is_empty() {
            text += &format!(" {what} {}.", networks.join(", "));
        }
    }
    text
}

fn memory(config: &Config) -> String {
    let ttl = config.cache.ttl;
    let lives = if ttl.clean == ttl.suspicious && ttl.suspicious == ttl.malicious {
        format!("for {}", span(ttl.clean))
    } else {
        format!(
            "for {} if clean, {} if suspicious, {} if malicious",
            span(ttl.clean),
            span(ttl.suspicious),
            span(ttl.malicious)
        )
    };
    let block = config.block;
    format!(
        "What Criminal IP said decides {lives}; a peer that is denied stays so for {}, {} times as long each time again, {} at most.",
        span(block.ttl),
        block.factor,
        span(block.max)
    )
}

fn lookup(config: &Config, stream: &str) -> String {
    let api = &config.api;
    let key = match &api.key {
        Key::Environment(name) => format!("with the key in {name}"),
        Key::Given(_) => "with the key in this file".into(),
        Key::Injected => "with the key that the proxy adds".into(),
    };
    let budget = match (api.budget.per_day, api.budget.per_hour) {
        (None, None) => "as often as it takes".into(),
        (Some(day), Some(hour)) => format!("at most {day} times a day and {hour} an hour"),
        (Some(day), None) => format!("at most {day} times a day"),
        (None, Some(hour)) => format!("at most {hour} times an hour"),
    };
    let then = |fallback: Fallback| if fallback == Fallback::Allow { "passes" } else { "is refused" };
    let wait = if config.first_look.hold.is_zero() {
        format!("Meanwhile the {stream} {}", then(config.first_look.then))
    } else {
        format!(
            "The {stream} waits for {} at most and then {}",
            span(config.first_look.hold),
            then(config.first_look.then)
        )
    };
    format!(
        "Otherwise Criminal IP is asked through the cluster \"{}\" {key}, {} at a time, {budget}; an answer may take {}. {wait}; \
         where the lookup fails it {}.",
        api.cluster,
        api.concurrency,
        span(api.timeout),
        then(config.on_error)
    )
}

/// What is worth a lookup, in words; `None` where that is everything.
fn selection(select: &Node) -> Option<String> {
    if let Some(mode) = select.get("mode").and_then(Node::text) {
        let events = "Traffic alone causes no lookup: only an event does. Where nothing is known, traffic passes.";
        return (mode == "events").then(|| events.into());
    }
    let mut any: Vec<String> =
        select.members().iter().filter_map(|member| criterion(&member.key, &member.value)).collect();
    for group in select.get("all_of").map(Node::items).unwrap_or_default() {
        let all = group.members().iter().filter_map(|member| criterion(&member.key, &member.value));
        any.push(all.collect::<Vec<_>>().join(", together with "));
    }
    (!any.is_empty())
        .then(|| format!("Only these are worth a lookup, and others pass where nothing is known: {}.", any.join("; ")))
}

/// One condition of a selection.
fn criterion(key: &str, value: &Node) -> Option<String> {
    let values = || join(value.items().iter().map(|item| item.text().map_or_else(|| item.to_json(), String::from)));
    let text = |key| value.get(key).and_then(Node::text).unwrap_or("?");
    Some(match key {
        "critical_ports" => format!("connections to port {}", values()),
        "ports_other_than" => format!("connections to ports other than {}", values()),
        "after_hours" => format!("connections outside of {} in {}", text("working"), text("time_zone")),
        "routes" => format!("requests of the route {}", values()),
        "hosts" => format!("connections to the host {}", values()),
        "sources" => format!("connections from {}", values()),
        "sample_percent" => format!("{} % of all peers", value.to_json()),
        _ => return None,
    })
}

/// When a rule fits, in words.
fn conditions(when: &Condition, time: Option<&Node>) -> String {
    let mut parts = Vec::new();
    if let Some(level) = when.score_at_least {
        parts.push(format!("the score is {} or more", level as u8));
    }
    let codes = |findings: Findings| findings.iter().map(|finding| finding.code()).collect::<Vec<_>>().join(", ");
    for (findings, one, several) in [
        (when.any, "was found", "was found, any of them"),
        (when.all, "was found", "were all found"),
        (when.none, "was not found", "were not found, none of them"),
    ] {
        if !findings.is_empty() {
            parts.push(format!("{} {}", codes(findings), if findings.iter().count() == 1 { one } else { several }));
        }
    }
    if let Some(direction) = when.direction {
        parts.push(format!("the direction is {}", direction.name()));
    }
    let numbers = |numbers: &[u16]| join(numbers.iter().map(u16::to_string));
    if !when.ports.is_empty() {
        parts.push(format!("the port is {}", numbers(&when.ports)));
    }
    if !when.ports_other_than.is_empty() {
        parts.push(format!("the port is other than {}", numbers(&when.ports_other_than)));
    }
    for (what, values) in
        [("the path starts with", &when.path_prefix), ("the method is", &when.method), ("the host is", &when.host)]
    {
        if !values.is_empty() {
            parts.push(format!("{what} {}", join(values.iter().map(|value| value.to_string()))));
        }
    }
    if !when.country.is_empty() {
        parts.push(format!("the country is {}", join(when.country.iter().map(|c| c.letters().iter().collect()))));
    }
    if !when.asn.is_empty() {
        parts.push(format!("the autonomous system is {}", join(when.asn.iter().map(u32::to_string))));
    }
    if when.time.is_some() {
        let text = |key| time.and_then(|time| time.get(key)).and_then(Node::text).unwrap_or("?");
        parts.push(format!("the time in {} is within {}", text("time_zone"), text("within")));
    }
    if parts.is_empty() { "always".into() } else { format!("where {}", parts.join(", and ")) }
}

fn join(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(" or ")
}

/// Who shows these credentials.
fn bearers(credentials: &Credentials) -> String {
    let mut all = Vec::new();
    all.extend(credentials.token_env.as_ref().map(|name| format!("who has the token in the variable {name}")));
    all.extend(
        credentials.token_header.as_ref().map(|name| format!("who has the token that the proxy writes into {name}")),
    );
    all.extend(credentials.certificates.iter().map(|name| format!("who has a certificate of {name}")));
    if all.is_empty() { "nobody else".into() } else { join(all.into_iter()) }
}

/// What becomes of the verdict.
fn ending(config: &Config, stream: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if config.role == Role::Http {
        let mut places = vec![format!("the request header {}", config.tag.request_header)];
        places.extend(config.tag.response_header.as_ref().map(|name| format!("the response header {name}")));
        places.extend(config.tag.filter_state.as_ref().map(|name| format!("the filter state {name}")));
        lines.push(format!("Of what passes, {} says the verdict.", places.join(" and ")));
        lines.push(format!("What is refused gets status {}: {:?}.", config.deny.status, config.deny.message));
    } else {
        lines.push("What is refused is closed.".into());
    }
    let logged = match config.log {
        LogLevel::None => "No decision is".to_owned(),
        LogLevel::Denials => "Refusals are".to_owned(),
        LogLevel::All => format!("Every {stream} is"),
    };
    lines.push(format!("{logged} logged."));
    if config.journal.entries > 0 {
        let minutes = config.journal.window.as_secs() / 60;
        let entries = config.journal.entries;
        lines.push(format!(
            "Up to {entries} entries a worker are kept of who connected where, to look {minutes} minutes back."
        ));
    }
    lines.extend(config.notify.as_ref().map(|to| {
        let score = to.min_score as u8;
        let signed = if to.secret_env.is_some() { "signed" } else { "unsigned" };
        format!(
            "{} is told, {signed}, of each peer that is found to have a score of {score} or more, through the cluster \"{}\".",
            to.authority, to.cluster
        )
    }));
    lines
}

/// A duration as configurations write it.
fn span(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if milliseconds >= length && milliseconds.is_multiple_of(length) && (unit != "d" || milliseconds >= 2 * length)
        {
            return format!("{}{unit}", milliseconds / length);
        }
    }
    format!("{milliseconds}ms")
}
