//! Envoy accepts every configuration that is shipped.

use anyhow::{Context, Result, ensure};
use host_test::{
    client::Ask,
    envoy::{
        self, Envoy, Start,
        demo::{self, Api},
    },
    fake::{Fake, KEY, Options, peer},
    upstream::Upstream,
};
use std::{fs, net::SocketAddr};

/// Where the shipped configurations expect the module.
const MODULE: &str = "/etc/envoy/portcullis.wasm";

#[test]
fn envoy_accepts_every_configuration_that_is_shipped() -> Result<()> {
    let (envoy, module) = (envoy::find()?, envoy::module()?);
    let folder = tempfile::TempDir::new()?;
    let mut checked = 0;
    for entry in fs::read_dir(envoy::workspace().join("envoy"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().context("a file has a name")?.to_owned();
        let somewhere = ([127, 0, 0, 1], 8000).into();
        let texts = if name == "demo.yaml" {
            vec![
                demo::bootstrap(&module, somewhere, Api::Real)?,
                demo::bootstrap(&module, somewhere, Api::StandIn(somewhere))?,
            ]
        } else {
            let text = fs::read_to_string(&path)?;
            ensure!(text.contains(MODULE), "{} does not load the module", path.display());
            vec![text.replace(MODULE, &module.display().to_string())]
        };
        for text in texts {
            let copy = folder.path().join(&name);
            fs::write(&copy, text)?;
            let token = "0123456789abcdef";
            let environment = [
                ("CRIMINALIP_API_KEY", KEY),
                ("PORTCULLIS_READ_TOKEN", token),
                ("PORTCULLIS_WRITE_TOKEN", token),
                ("PORTCULLIS_WEBHOOK_PATH", "/hook"),
            ];
            Envoy::validate(&envoy, &copy, &environment)?;
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked} configurations");
    Ok(())
}

/// An Envoy with the demo's configuration, and where it listens.
async fn demo_envoy(fake: &Fake, upstream: &Upstream) -> Result<(Envoy, SocketAddr)> {
    let start = Start {
        envoy: envoy::find()?,
        bootstrap: demo::bootstrap(&envoy::module()?, upstream.address(), Api::StandIn(fake.address()))?,
        json: false,
        concurrency: 1,
        drain_seconds: 1,
        environment: vec![("CRIMINALIP_API_KEY".into(), KEY.into())],
        folder: tempfile::TempDir::new()?,
    };
    let envoy = Envoy::start(start).await?;
    let listener = *envoy.listeners().await?.get("demo").context("no listener")?;
    Ok((envoy, listener))
}

#[tokio::test]
async fn with_the_shipped_cluster_a_lookup_carries_the_key_and_nothing_of_the_proxys() -> Result<()> {
    let (fake, upstream) = (Fake::start(Options::default())?, Upstream::start()?);
    let (envoy, listener) = demo_envoy(&fake, &upstream).await?;
    let reply = Ask::new(listener, None).header("x-forwarded-for", peer::C2.to_string()).send().await?;
    assert_eq!(reply.status.as_u16(), 403);
    let call = fake.wait_for_call_about(peer::C2).await?;
    assert_eq!(call.header("x-api-key"), Some(KEY));
    let revealing: Vec<_> = call.headers.iter().filter(|(name, _)| name.starts_with("x-envoy")).collect();
    assert!(revealing.is_empty(), "{revealing:?}");
    assert!(!envoy.admin("/config_dump").await?.contains(KEY), "the key is in the dump");
    let prometheus = envoy.admin("/stats/prometheus").await?;
    assert!(!prometheus.contains(KEY), "the key is in the metrics");
    Ok(())
}

#[tokio::test]
async fn with_the_shipped_rules_metrics_have_labels() -> Result<()> {
    let (fake, upstream) = (Fake::start(Options::default())?, Upstream::start()?);
    let (envoy, listener) = demo_envoy(&fake, &upstream).await?;
    Ask::new(listener, None).header("x-forwarded-for", peer::C2.to_string()).send().await?;
    host_test::eventually(async || {
        let text = envoy.admin("/stats/prometheus").await?;
        for metric in [
            "criminalip_decisions_total{action=\"deny\",source=\"api\",mode=\"enforce\"} 1",
            "criminalip_lookups_total{outcome=\"assessed\"} 1",
            "criminalip_cache_total{result=\"miss\"} 1",
            "criminalip_halted{reason=\"breaker_open\"} 0",
        ] {
            let own: Vec<_> = text.lines().filter(|line| line.contains("criminalip_")).collect();
            ensure!(text.contains(metric), "{metric} is not in {own:#?}");
        }
        Ok(())
    })
    .await
}
