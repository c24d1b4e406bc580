//! Many known peers: what the control listener says of them is bounded, and traffic hardly waits for it.
//!
//! `PORTCULLIS_PEERS=100000` has as many as docs/performance.md tells of, which the stand-in takes some minutes to answer;
//! with `--nocapture` the times are shown.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "this program runs outside the proxy")]

use anyhow::{Result, ensure};
use host_test::{
    browser::{Browser, Screen},
    envoy::config::Peers,
    fake::{Options, peer},
    flood::{self, Flood, Times},
    lab::{CONTROL, Lab, MAIN, READ_TOKEN},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, env, net::SocketAddr, time::Duration};
use tokio::time::Instant;

/// Room for a hundred thousand peers, most of which do not have to share their place. It is looked through in any case.
const SLOTS: u32 = 400_000;
/// Connections of the flood: more than lanes, so that none of those is idle.
const LINES: u32 = 160;
/// How often the known peer asks.
const PACE: Duration = Duration::from_millis(5);
/// The longest answer, in bytes: 200 peers.
const LONGEST: usize = 128 << 10;
/// What half of the calls must not take longer than. All slots at once take several times as long.
const SOON: Duration = Duration::from_millis(50);

/// [`SOON`], or on a slow and busy machine longer: as long as so many times half of the calls that cost nothing there.
async fn soon(lab: &Lab) -> Result<Duration> {
    const CALLS: u32 = 25;
    let (known, times) = flood::beside(lab.address(MAIN), peer::TOR, PACE, async {
        let mut times = Vec::new();
        for _ in 0..50 {
            let start = Instant::now();
            let reply = lab.ask_at(CONTROL, None).path("/v1/peers").send().await?;
            times.push(start.elapsed());
            ensure!(reply.status == 401, "{}", reply.status);
        }
        Ok(Times::of(times))
    })
    .await?;
    show("without a token", &times, &known);
    Ok(SOON.max(times.percentile(50) * CALLS))
}

/// Asks for all pages while the known peer asks, and gives the names of all peers in them.
async fn all_pages(lab: &Lab, query: &str, soon: Duration) -> Result<BTreeSet<String>> {
    let (known, (peers, times)) = flood::beside(lab.address(MAIN), peer::TOR, PACE, async {
        let (mut peers, mut times, mut cursor) = (BTreeSet::new(), Vec::new(), String::new());
        loop {
            let start = Instant::now();
            let reply = lab.control(&format!("/v1/peers?limit=200{query}{cursor}")).send().await?;
            times.push(start.elapsed());
            ensure!(reply.status == 200 && reply.body.len() < LONGEST, "{} bytes", reply.body.len());
            let page: Value = serde_json::from_slice(&reply.body)?;
            for peer in page["peers"].as_array().into_iter().flatten().filter_map(|peer| peer["peer"].as_str()) {
                ensure!(peers.insert(peer.to_owned()), "{peer} comes twice");
            }
            let Some(next) = page["next"].as_str() else { return Ok((peers, Times::of(times))) };
            cursor = format!("&cursor={next}");
        }
    })
    .await?;
    show(&format!("/v1/peers?limit=200{query}, {} peers", peers.len()), &times, &known);
    ensure!(times.percentile(50) < soon, "half of the calls take longer than {:?}, {soon:?}", times.percentile(50));
    Ok(peers)
}

fn show(what: &str, calls: &Times, known: &Times) {
    let of = |times: &Times| {
        let [p50, p99, most] = [50, 99, 100].map(|percent| times.percentile(percent));
        format!("{} times, p50 {p50:.1?}, p99 {p99:.1?}, at most {most:.1?}", times.count())
    };
    println!("{what}: {}; meanwhile the known peer {}", of(calls), of(known));
}

async fn alone(to: SocketAddr) -> Result<()> {
    let (known, ()) = flood::beside(to, peer::TOR, PACE, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    })
    .await?;
    show("nothing", &Times::default(), &known);
    Ok(())
}

#[tokio::test]
async fn however_many_peers_are_known_the_api_and_the_page_stay_responsive_and_bounded() -> Result<()> {
    let wanted = env::var("PORTCULLIS_PEERS").ok();
    let peers: u32 = wanted.as_deref().map_or(Ok(3_000), str::parse)?;
    let lab = Lab::with(json!({
        "api": {"concurrency": 64, "budget": {"per_day": 1_000_000}}, "log": "none",
        "cache": {"entries": SLOTS, "shared_slots": SLOTS},
    }))
    .peers(Peers::Forwarded { use_remote_address: true, trusted_hops: 1 })
    .answering()
    .control()
    .fake(Options { concurrency: None, ..Options::default() })
    .workers(2)
    .start()
    .await?;
    let to = lab.address(MAIN);
    flood::make_known(to, peer::TOR).await?;
    println!("memory: {} MB", lab.envoy.resident_bytes()? / 1_000_000);
    Flood::new(to, 0..peers).send(LINES).await?;
    println!("with {peers} known peers: {} MB", lab.envoy.resident_bytes()? / 1_000_000);
    if wanted.is_some() {
        alone(to).await?;
    }

    let soon = soon(&lab).await?;
    let all = all_pages(&lab, "", soon).await?;
    // Some had to make room in their bucket.
    assert!(all.len() * 100 >= peers as usize * 99, "{} of {peers}", all.len());
    let worst = all_pages(&lab, "&min_score=100", soon).await?;
    assert!(worst.len() * 200 > all.len() && worst.is_subset(&all), "{} of {}", worst.len(), all.len());
    let denied = all_pages(&lab, "&verdict=deny", soon).await?;
    assert!(denied.is_superset(&worst));
    let name = flood::peer(peers - 1);
    for path in ["/v1/status".to_owned(), format!("/v1/peers/{name}")] {
        let (known, times) = flood::beside(to, peer::TOR, PACE, async {
            let mut times = Vec::new();
            for _ in 0..200 {
                let start = Instant::now();
                lab.operate("GET", &path, Value::Null, 200).await?;
                times.push(start.elapsed());
            }
            Ok(Times::of(times))
        })
        .await?;
        show(&path, &times, &known);
        ensure!(times.percentile(50) < soon, "{path}: half of the calls take longer than {soon:?}");
    }

    let Some(browser) = Browser::start().await? else { return Ok(()) };
    browser.look_as(Screen::DESKTOP).await?;
    browser.open(&format!("http://{}/", lab.address(CONTROL))).await?;
    let start = Instant::now();
    browser.type_into("#token", READ_TOKEN).await?;
    browser.press(&['\u{e007}']).await?;
    browser.find("#peer-rows tr").await?;
    println!("the page: {:.1?} from the token to the peers", start.elapsed());
    // Of all that are known it looks at the worst.
    let everybody = "const s = document.getElementById('threshold'); s.value = ''; s.dispatchEvent(new Event('change')); \
         document.getElementById('peers-note').textContent = ''";
    let start = Instant::now();
    browser.run(everybody, json!([])).await?;
    browser.until("return document.getElementById('peers-note').textContent.includes('Only the worst')").await?;
    println!("  {:.1?} for those of any score", start.elapsed());
    let scores = "return [...document.querySelectorAll('#peer-rows .score')].map(cell => cell.textContent)";
    let scores = browser.run(scores, json!([])).await?;
    let scores: Vec<_> = scores.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(scores.len(), 200);
    let hundreds = scores.iter().filter(|score| **score == "100").count();
    assert_eq!(hundreds, worst.len().min(200), "the worst first");
    let drawn =
        "const start = performance.now(); showPeers(); document.body.offsetHeight; return performance.now() - start";
    println!("  {} ms to draw them anew", browser.run(drawn, json!([])).await?);
    // Others are found by their names, and drawn.
    browser.type_into("#search", &name.to_string()).await?;
    browser.until("return document.querySelectorAll('#peer-rows tr').length === 1").await?;
    Ok(())
}
