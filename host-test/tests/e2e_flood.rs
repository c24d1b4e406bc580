//! Twenty thousand new peers: what waits, what is asked about and what is dropped has its limits, and whoever is known is
//! none the worse for it. `cargo xtask flood` does the same with a million, and looks at memory and time.

use anyhow::{Result, ensure};
use host_test::{
    envoy::config::Peers,
    fake::{Rule, peer},
    flood::{self, Flood, Line},
    lab::{Builder, Lab, MAIN},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::watch;

const PEERS: u32 = 20_000;
/// Connections of the flood.
const LINES: u32 = 48;
const WORKERS: u16 = 2;
/// Addresses that may wait for a lane in one worker.
const QUEUE_LIMIT: usize = 1024;

fn lab(changes: Value) -> Builder {
    Lab::with(changes)
        .peers(Peers::Forwarded { use_remote_address: true, trusted_hops: 1 })
        .answering()
        .workers(WORKERS)
}

/// Sends the flood while a known peer asks, whose every answer has to come from the cache.
async fn flood_beside_a_known_peer(lab: &Lab, while_flooding: impl Future<Output = Result<()>>) -> Result<()> {
    let to = lab.address(MAIN);
    flood::make_known(to, peer::TOR).await?;
    let (stop, stopped) = watch::channel(false);
    let flood = Flood::new(to, 0..PEERS);
    let (known, sources, watched) =
        tokio::join!(flood::ask_steadily(to, peer::TOR, Duration::from_millis(5), stopped), flood.send(LINES), async {
            let result = while_flooding.await;
            stop.send(true)?;
            result
        });
    watched?;
    assert!(known?.count() > 10, "the known peer asked all the while");
    assert_eq!(sources?.values().sum::<u32>(), PEERS, "every stream was answered");
    Ok(())
}

#[tokio::test]
async fn while_criminal_ip_hangs_a_flood_holds_as_many_streams_and_queues_as_many_peers_as_it_may() -> Result<()> {
    const MAX_HELD: u32 = 4;
    let lab = lab(json!({"first_look": {"max_held": MAX_HELD}})).start().await?;
    // What the known peer costs comes first.
    flood::make_known(lab.address(MAIN), peer::TOR).await?;
    lab.fake.tell(Rule::hold());
    let held = u64::from(MAX_HELD) * u64::from(WORKERS);
    flood_beside_a_known_peer(&lab, async {
        // Whoever is not held is answered, so at the end only the held and, now and then, the known peer are left.
        lab.wait_for_metric("criminalip_decisions_total;source=first_look", u64::from(PEERS) - held).await?;
        host_test::eventually(async || {
            let active = lab.envoy.stat(&format!("http.{MAIN}.downstream_rq_active")).await?;
            ensure!(active == held || active == held + 1, "{active} active");
            Ok(())
        })
        .await?;
        assert_eq!(lab.fake.calls().len(), 2, "one about the known peer, one that hangs");
        lab.fake.forget_rules();
        lab.fake.release();
        Ok(())
    })
    .await?;
    lab.wait_for_metric("criminalip_failed_open_total;reason=held_full", u64::from(PEERS) - held).await?;

    // What was in the queue is asked about, one at a time; everything else was dropped and is counted.
    let mut calls = 0;
    host_test::eventually(async || {
        calls = lab.fake.calls().len();
        let dropped = usize::try_from(lab.metric("criminalip_dropped_total").await?)?;
        let learned = calls - 1;
        ensure!(dropped + learned == PEERS as usize, "{dropped} dropped, {learned} learned");
        Ok(())
    })
    .await?;
    let most = QUEUE_LIMIT * usize::from(WORKERS) + 1;
    assert!(calls - 1 <= most && calls > QUEUE_LIMIT, "{calls} lookups");
    let calls = lab.fake.calls();
    assert_eq!(calls.iter().map(|call| call.ip).collect::<BTreeSet<_>>().len(), calls.len(), "none about the same");
    assert!(calls.iter().all(|call| !call.overlapped));
    // The newest peers were kept.
    let mut line = Line::connect(lab.address(MAIN)).await?;
    for number in PEERS - 100..PEERS {
        ensure!(lab.fake.calls_about(flood::peer(number)).len() == 1, "{number} was dropped");
        let source = line.ask(flood::peer(number)).await?;
        ensure!(["cache", "shared", "refused"].contains(&source.as_str()), "{number}: {source}");
    }
    Ok(())
}

#[tokio::test]
async fn a_flood_spends_the_budget_and_no_credit_more() -> Result<()> {
    const BUDGET: u32 = 300;
    let lab = lab(json!({
        "api": {"budget": {"per_day": BUDGET, "per_hour": BUDGET}}, "on_error": "deny",
        "first_look": {"hold": "100ms", "max_held": 4},
    }))
    .start()
    .await?;
    flood_beside_a_known_peer(&lab, async {
        lab.fake.wait_for_calls(BUDGET as usize).await?;
        lab.wait_for_active(0).await
    })
    .await?;
    let mut line = Line::connect(lab.address(MAIN)).await?;
    assert_eq!(line.ask(flood::peer(PEERS)).await?, "refused", "the budget is spent");
    host_test::eventually(async || {
        let refused = lab.metric("criminalip_failed_closed_total;reason=budget_spent").await?;
        ensure!(refused > 0, "nobody was refused for it");
        Ok(())
    })
    .await?;
    lab.fake.wait_until_idle().await?;
    let calls = lab.fake.calls();
    assert_eq!(calls.len(), BUDGET as usize);
    let odd: Vec<_> = calls.iter().filter(|call| call.overlapped || call.outcome != Some("report")).collect();
    assert!(odd.is_empty(), "{odd:?}");
    Ok(())
}
