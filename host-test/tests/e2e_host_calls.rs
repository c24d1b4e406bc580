//! The budgets of a warm request and of a connection in calls across the VM's border, counted from Envoy's own trace: what
//! is not in these lists costs nothing.

use anyhow::Result;
use host_test::{
    client::{Ask, Http2, Reply},
    envoy::config::Place,
    fake::peer,
    lab::{Lab, MAIN},
    tcp::{Client, Server},
};
use serde_json::json;

/// The calls in these lines of Envoy's log, in their order, on the thread that makes the first such one: those into the VM with
/// `>`, those out of it with `<`. The memory that Envoy asks for to hand a value over is part of the call that gets it, and a
/// tick is no part of a request: they are left out, and so is what the VMs of other threads do meanwhile.
fn calls_beside(log: &[String], first: &str) -> Vec<String> {
    // Behind level and logger is the thread.
    let of_wasm = || log.iter().filter_map(|line| line.strip_prefix("trace wasm ")?.split_once(" ["));
    let mark = format!("host->vm] proxy_{first}(");
    let Some((own, _)) = of_wasm().find(|(_, line)| line.starts_with(&mark)) else { return Vec::new() };
    calls(of_wasm().filter(|(thread, _)| *thread == own).map(|(_, line)| line))
}

fn calls<'log>(lines: impl Iterator<Item = &'log str>) -> Vec<String> {
    const OTHERS: [&str; 2] = ["on_tick", "on_memory_allocate"];
    let mut calls = Vec::new();
    let mut within = None;
    for line in lines {
        let Some((border, call)) = line.split_once("] ") else { continue };
        let call = call.trim_start_matches("env.").trim_start_matches("proxy_");
        let name = call.split(['(', ' ']).next().unwrap_or(call);
        match border {
            "host->vm" if OTHERS.contains(&name) => within = within.or(Some(name.to_owned())),
            "host<-vm" if within.as_deref() == Some(name) => within = None,
            "host->vm" if within.is_none() => calls.push(format!("> {name}")),
            "vm->host" if within.is_none() => calls.push(format!("< {name}")),
            _ => {}
        }
    }
    calls
}

/// The calls for one request of a peer that is known, from its beginning to the end of its context.
async fn calls_for(lab: &Lab, ask: Ask) -> Result<(Reply, Vec<String>)> {
    let from = lab.envoy.log().len();
    lab.envoy.set_log_level("wasm", "trace").await?;
    let reply = ask.send().await?;
    Ok((reply, calls_of_a_context(lab, from).await?))
}

/// The calls from the creation of a context, after so many lines of the log, to its end.
async fn calls_of_a_context(lab: &Lab, from: usize) -> Result<Vec<String>> {
    let own = host_test::eventually(async || {
        let calls = calls_beside(&lab.envoy.log()[from..], "on_context_create");
        // The end of the context before may come late.
        let mut own: Vec<_> = calls.into_iter().skip_while(|call| call != "> on_context_create").collect();
        let Some(end) = own.iter().position(|call| call == "> on_done") else { anyhow::bail!("not over: {own:?}") };
        own.truncate(end + 1);
        Ok(own)
    })
    .await?;
    lab.envoy.set_log_level("wasm", "info").await?;
    Ok(own)
}

/// A peer that is known costs nothing for being selected or not, whatever the conditions ask for: only the port is read, on
/// ingress. A route's own policy costs one call.
#[tokio::test]
async fn selection_costs_a_warm_request_nothing_and_a_policy_of_its_route_one_call() -> Result<()> {
    let select = json!({"routes": ["admin"], "hosts": ["*.corp.example"], "sources": ["192.0.2.0/24"],
        "after_hours": {"time_zone": "Asia/Seoul", "working": "Mon-Fri 09:00-18:00"}, "sample_percent": 100});
    let own = json!({"name": "own", "match": {"prefix": "/"},
        "metadata": {"filter_metadata": {"criminalip": {"on_error": "deny", "first_look": {"hold": "2s"}}}}});
    for (changes, more) in [
        (json!({"select": select}), &[][..]),
        (json!({"select": {"critical_ports": [80], "sample_percent": 100}}), &["< get_property"]),
        (json!({"route_metadata": "criminalip"}), &["< get_property"]),
    ] {
        let mut changes = changes;
        changes["log"] = json!("none");
        let lab = Lab::with(changes.clone()).route(own.clone()).answering().start().await?;
        lab.ask(peer::CLEAN).send().await?;
        let (reply, calls) = calls_for(&lab, lab.ask(peer::CLEAN)).await?;
        assert_eq!(reply.status.as_u16(), 200);
        let own: Vec<_> = calls.iter().filter(|call| call.starts_with('<')).map(String::as_str).collect();
        let usual = ["< get_property", "< set_property", "< replace_header_map_value"];
        assert_eq!(own, [more, &usual].concat(), "{changes}");
    }
    Ok(())
}

#[tokio::test]
async fn a_warm_request_costs_these_calls_and_no_others() -> Result<()> {
    let lab = Lab::with(json!({"log": "none"})).answering().start().await?;
    let before = ["> on_context_create", "> on_request_headers"];
    let passed = ["< get_property", "< set_property", "< replace_header_map_value"];
    // The answer's form follows what the client accepts.
    let refused = [
        "< get_property",
        "< set_property",
        "< get_header_map_value",
        "< get_header_map_value",
        "< send_local_response",
    ];
    let after = ["> on_response_headers", "> on_done"];
    for (peer, status, decision, inside) in [
        (peer::CLEAN, 200, "allow", &passed[..]),
        (peer::TOR, 200, "tag", &passed[..]),
        (peer::C2, 403, "deny", &refused[..]),
    ] {
        lab.ask(peer).send().await?;
        let (reply, calls) = calls_for(&lab, lab.ask(peer)).await?;
        assert_eq!(reply.status.as_u16(), status, "{decision}");
        if status == 200 {
            let tag = reply.header("x-seen").unwrap_or_default();
            assert!(tag.starts_with(&format!("verdict={decision}")) && tag.ends_with("source=cache"), "{tag}");
        }
        assert_eq!(calls, [&before[..], inside, &after[..]].concat(), "{decision}");
    }
    Ok(())
}

#[tokio::test]
async fn a_journal_costs_a_warm_request_no_call_but_for_the_client_of_one_that_leaves() -> Result<()> {
    for (direction, more) in [("ingress", &[][..]), ("egress", &["< get_property"])] {
        let changes = json!({"direction": direction, "journal": {"entries": 100}, "log": "none"});
        let lab = Lab::with(changes).answering().start().await?;
        let ask = || match direction {
            "egress" => lab.ask([10, 20, 0, 7].into()).toward((peer::CLEAN, 443).into()),
            _ => lab.ask(peer::CLEAN),
        };
        ask().send().await?;
        let (reply, calls) = calls_for(&lab, ask()).await?;
        assert_eq!(reply.status.as_u16(), 200);
        let own: Vec<_> = calls.iter().filter(|call| call.starts_with('<')).map(String::as_str).collect();
        let usual = ["< set_property", "< replace_header_map_value"];
        assert_eq!(own, [&["< get_property"], more, &usual].concat(), "{direction}");
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_of_a_known_peer_costs_these_calls_and_no_others() -> Result<()> {
    let server = Server::start(b"")?;
    let lab =
        Lab::with(json!({"role": "network", "log": "none"})).place(Place::BeforeTcp(server.address())).start().await?;
    let before = ["> on_context_create", "> on_new_connection", "< get_property"];
    let passed = ["< get_current_time_nanoseconds", "< set_property"];
    let refused = [&passed[..], &["< close_stream"]].concat();
    let chunk = ["> on_downstream_data"; 3];
    for (peer, inside, chunks) in [(peer::CLEAN, &passed[..], 3), (peer::C2, &refused[..], 0)] {
        for known in [false, true] {
            let from = lab.envoy.log().len();
            lab.envoy.set_log_level("wasm", "trace").await?;
            let mut client = Client::from(peer, lab.address(MAIN)).await?;
            for _ in 0..chunks {
                // Answered before the next is sent, so that each is a chunk of its own.
                assert_eq!(client.exchange(b"chunk").await?, b"chunk");
            }
            if chunks == 0 {
                assert_eq!(client.closed().await?, b"");
            }
            drop(client);
            let calls = calls_of_a_context(&lab, from).await?;
            if known {
                // The end of the stream is a chunk without bytes.
                let end = if chunks > 0 { &["> on_downstream_data"][..] } else { &[] };
                let after = ["> on_done"];
                assert_eq!(calls, [&before[..], inside, &chunk[..chunks], end, &after].concat(), "{peer}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn once_per_connection_a_request_costs_no_call_but_that_which_brings_its_bytes() -> Result<()> {
    let lab = Lab::with(json!({"role": "network", "log": "none"})).place(Place::BeforeHttp).start().await?;
    let connection = Http2::connect(lab.address(MAIN), Some(peer::TOR)).await?;
    connection.send(lab.ask(peer::TOR)).await?;
    let from = lab.envoy.log().len();
    lab.envoy.set_log_level("wasm", "trace").await?;
    for _ in 0..5 {
        connection.send(lab.ask(peer::TOR)).await?;
    }
    drop(connection);
    let calls = host_test::eventually(async || {
        let calls = calls_beside(&lab.envoy.log()[from..], "on_done");
        anyhow::ensure!(!calls.is_empty(), "not over");
        Ok(calls)
    })
    .await?;
    let others: Vec<_> = calls.iter().filter(|call| *call != "> on_downstream_data").collect();
    assert_eq!(others, ["> on_done"]);
    Ok(())
}
