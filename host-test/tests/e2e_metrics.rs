//! What operators read off Envoy's statistics: gauges that are right whichever worker reports, and histograms.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use host_test::{
    fake::{Rule, peer},
    lab::{Lab, plugin},
};
use serde_json::json;
use std::fs;

/// How many values a histogram has, and their sum.
async fn histogram(lab: &Lab, name: &str) -> Result<(u64, f64)> {
    let text = lab.envoy.admin("/stats/prometheus").await?;
    let value = |suffix: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name}_{suffix}{{")))?;
        line.rsplit_once(' ').map(|(_, value)| value.to_owned())
    };
    let [count, sum] = ["count", "sum"].map(value);
    Ok((count.context("no count")?.parse()?, sum.context("no sum")?.parse()?))
}

async fn wait_for(lab: &Lab, metrics: &[(&str, u64)]) -> Result<()> {
    for (metric, expected) in metrics {
        lab.wait_for_metric(metric, *expected).await?;
    }
    Ok(())
}

#[tokio::test]
async fn gauges_follow_what_two_workers_hold_queue_and_spend() -> Result<()> {
    let lab = Lab::with(json!({"api": {"budget": {"per_day": 50}}})).workers(2).start().await?;
    wait_for(&lab, &[("criminalip_credits_left_today", 50), ("criminalip_budget_lasts_seconds", 86_400)]).await?;
    lab.fake.tell(Rule::hold());
    let peers = [peer::CLEAN, peer::TOR, peer::SCANNER];
    let asks = try_join_all(peers.into_iter().flat_map(|peer| [peer; 4]).map(|peer| lab.ask(peer).send()));
    let (replies, watched) = tokio::join!(asks, async {
        lab.fake.wait_for_calls(1).await?;
        lab.wait_for_active(12).await?;
        wait_for(&lab, &[("criminalip_held", 12), ("criminalip_lanes_in_use", 1), ("criminalip_cache_entries", 0)])
            .await?;
        wait_for(&lab, &[("criminalip_credits_spent_today", 1), ("criminalip_credits_left_today", 49)]).await?;
        let queued = lab.metric("criminalip_queued").await?;
        // Each worker has what its own requests wait for in its queue.
        ensure!((2..=5).contains(&queued), "{queued} in the queues");
        lab.fake.forget_rules();
        lab.fake.release();
        anyhow::Ok(())
    });
    watched?;
    assert!(replies?.iter().all(|reply| reply.status.is_success()));
    wait_for(
        &lab,
        &[
            ("criminalip_held", 0),
            ("criminalip_queued", 0),
            ("criminalip_lanes_in_use", 0),
            ("criminalip_credits_spent_today", 3),
            ("criminalip_credits_left_today", 47),
            ("criminalip_cache_total;result=miss", 12),
            ("criminalip_halted", 0),
        ],
    )
    .await?;
    let entries = lab.metric("criminalip_cache_entries").await?;
    assert!((3..=6).contains(&entries), "{entries} remembered by two workers");
    host_test::eventually(async || {
        let (held, lookups) = (
            histogram(&lab, "criminalip_held_milliseconds").await?,
            histogram(&lab, "criminalip_lookup_milliseconds").await?,
        );
        ensure!(held.0 == 12 && lookups.0 == 3, "{held:?} {lookups:?}");
        ensure!(lookups.1 <= held.1 + 1.0, "a request waits at least as long as its lookup: {held:?} {lookups:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn evictions_and_halts_show() -> Result<()> {
    let lab =
        Lab::with(json!({"cache": {"entries": 2}, "api": {"budget": {"per_day": 4, "per_hour": 4}}})).start().await?;
    for peer in [peer::CLEAN, peer::TOR, peer::SCANNER, peer::RESOLVER] {
        lab.ask(peer).send().await?;
    }
    wait_for(
        &lab,
        &[
            ("criminalip_cache_entries", 2),
            ("criminalip_cache_evictions_total", 2),
            ("criminalip_halted;reason=budget_spent", 1),
            ("criminalip_halted", 1),
            ("criminalip_credits_left_today", 0),
            ("criminalip_budget_lasts_seconds", 0),
        ],
    )
    .await
}

#[tokio::test]
async fn a_worker_that_ends_in_order_takes_its_part_out_of_the_sums() -> Result<()> {
    let mut lab = Lab::with(json!({})).following().workers(2).start().await?;
    lab.ask(peer::TOR).send().await?;
    lab.wait_for_metric("criminalip_cache_entries", 1).await?;
    // The VM outlives its configuration, and so does what it remembers.
    lab.update(plugin(json!({"deny": {"status": 451}})).to_string())?;
    lab.envoy.wait_for_stat("listener_manager.lds.update_success", 2).await?;
    lab.envoy.wait_for_stat("listener_manager.total_listeners_draining", 0).await?;
    lab.refresh().await?;
    lab.ask(peer::C2).send().await?;
    lab.wait_for_metric("criminalip_cache_entries", 2).await?;

    let [place, beside] = ["listeners.json", "listeners.other.json"].map(|name| lab.envoy.folder().join(name));
    let text = fs::read_to_string(&place)?;
    let vm_id = json!({"vm_id": "portcullis"}).to_string();
    let vm_id = vm_id.trim_matches(['{', '}']);
    ensure!(text.contains(vm_id), "no {vm_id} in {text}");
    fs::write(&beside, text.replace(vm_id, r#""vm_id":"another""#))?;
    fs::rename(beside, place)?;
    lab.envoy.wait_for_stat("listener_manager.lds.update_success", 3).await?;
    lab.envoy.wait_for_stat("listener_manager.total_listeners_draining", 0).await?;
    lab.refresh().await?;
    lab.ask(peer::CLEAN).send().await?;
    lab.wait_for_metric("criminalip_cache_entries", 1).await
}
