//! `portcullis replay`: the verdicts are those of `check`, and the credits those of the filter.

use anyhow::Result;
use host_test::command::{Desk, Printed};
use serde_json::{Value, json};

const REPLAY: &str = "portcullis replay --format envoy-json --json --log";

fn side(printed: &Printed) -> Value {
    serde_json::from_str::<Value>(&printed.out).map(|object| object["sides"][0].clone()).unwrap_or_default()
}

/// Requests of one peer at these minutes.
fn log(desk: &Desk, peer: &str, minutes: &[u32]) -> Result<()> {
    let line = |minute: &u32| {
        let (day, hour, minute) = (1 + minute / 1440, minute / 60 % 24, minute % 60);
        format!("{{\"time\":\"2026-04-{day:02}T{hour:02}:{minute:02}:00Z\",\"peer\":\"{peer}\",\"path\":\"/a/b\"}}\n")
    };
    Ok(std::fs::write(desk.folder().join("log"), minutes.iter().map(line).collect::<String>())?)
}

#[test]
fn the_credits_follow_the_lifetimes_in_the_configuration() -> Result<()> {
    let desk = Desk::new()?;
    let hour = 60;
    // Clean facts count for 12 hours, those that deny for 24; stale ones decide while they are learned anew.
    for (peer, minutes, cached) in [
        ("192.0.2.10", &[0, 1, 11 * hour][..], 1),
        ("192.0.2.10", &[0, 13 * hour, 14 * hour], 2),
        ("192.0.2.40", &[0, 13 * hour, 23 * hour], 1),
        ("192.0.2.40", &[0, 25 * hour, 26 * hour], 2),
    ] {
        log(&desk, peer, minutes)?;
        std::fs::write(
            desk.folder().join("config.json"),
            r#"{"api":{"cluster":"c"},"scope":{"treat_as_public":["192.0.2.0/24"]}}"#,
        )?;
        let printed = desk.run(&format!("{REPLAY} log --config config.json"))?;
        let expected = json!({"without": 3, "cache": cached, "selection": 3, "both": cached});
        assert_eq!(side(&printed)["credits"], expected, "{peer} {minutes:?}: {printed:?}");
    }
    assert_eq!(desk.fake.calls().len(), 2);
    Ok(())
}

#[test]
fn what_is_remembered_decides_about_what_is_not_selected() -> Result<()> {
    let desk = Desk::new()?;
    std::fs::write(
        desk.folder().join("config.json"),
        r#"{"api":{"cluster":"c"},"scope":{"treat_as_public":["192.0.2.0/24"]},
            "select":{"after_hours":{"time_zone":"UTC","working":"Mon-Sun 09:00-18:00"}}}"#,
    )?;
    // In working hours; at night; the next morning, when what the night taught is remembered.
    log(&desk, "192.0.2.40", &[600, 1260, 1440 + 600])?;
    let printed = desk.run(&format!("{REPLAY} log --config config.json"))?;
    let side = side(&printed);
    assert_eq!((&side["requests"]["not_selected"], &side["requests"]["deny"]), (&json!(1), &json!(2)), "{printed:?}");
    assert_eq!(side["credits"], json!({"without": 3, "cache": 2, "selection": 1, "both": 1}), "{printed:?}");
    assert_eq!(side["routes"]["/a"]["deny"], 2);
    Ok(())
}

#[test]
fn without_calls_and_without_a_key_only_what_is_at_hand_counts() -> Result<()> {
    let desk = Desk::new()?;
    desk.run("portcullis check --ip 192.0.2.20 --treat-as-public 192.0.2.0/24")?;
    let line = format!("CRIMINALIP_API_KEY= {REPLAY} requests.json --config portcullis.json");
    let refused = desk.run(&line)?;
    assert_eq!((refused.code, refused.out.as_str()), (Some(3), ""), "{refused:?}");
    let printed = desk.run(&format!("{line} --offline"))?;
    let requests = &side(&printed)["requests"];
    assert_eq!((&requests["tag"], &requests["deny"], &requests["no_facts"]), (&json!(2), &json!(2), &json!(3)));
    assert_eq!((printed.code, desk.fake.calls().len()), (Some(0), 1));
    let limited = desk.run(&format!("{REPLAY} requests.json --config portcullis.json --credits 1"))?;
    assert_eq!((limited.code, desk.fake.calls().len()), (Some(4), 2), "{limited:?}");
    Ok(())
}

#[test]
fn requests_of_a_route_are_judged_by_what_its_metadata_says() -> Result<()> {
    let desk = Desk::new()?;
    let write = |name: &str, text: &str| std::fs::write(desk.folder().join(name), text);
    let route = |name: &str, own: &str| {
        let metadata = json!({"filter_metadata": {"criminalip": {"profile": own}}});
        json!({"name": name, "match": {"prefix": "/"}, "metadata": metadata})
    };
    let config = json!({
        "api": {"cluster": "criminalip"}, "route_metadata": "criminalip", "scope": {"treat_as_public": ["192.0.2.0/24"]},
        "policy": {"rules": [{"name": "kr", "when": {"country": ["KR"]}, "then": "tag"}]},
    });
    let kind = "type.googleapis.com/envoy.extensions.filters";
    let filter = json!({
        "@type": format!("{kind}.http.wasm.v3.Wasm"),
        "config": {"configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()}},
    });
    let routes = [route("admin", "pipeline"), route("wrong", "nobody's")];
    let manager = json!({
        "@type": format!("{kind}.network.http_connection_manager.v3.HttpConnectionManager"),
        "http_filters": [{"typed_config": filter}], "route_config": {"virtual_hosts": [{"routes": routes}]},
    });
    write("envoy.json", &json!({"static_resources": {"listeners": [manager]}}).to_string())?;
    write("bare.json", &config.to_string())?;
    // Tor: the profile for clients tags it, the pipeline denies it.
    let line =
        |route: &str| format!("{{\"time\":\"2026-04-01T00:00:00Z\",\"peer\":\"192.0.2.20\",\"path\":\"/\"{route}}}\n");
    let routed = |name: &str| line(&format!(",\"route\":\"{name}\""));
    write("log", &[routed("admin"), routed("shop"), routed("wrong"), line("")].concat())?;
    let printed = desk.run(&format!("{REPLAY} log --config envoy.json"))?;
    let side = side(&printed);
    assert_eq!((&side["requests"]["deny"], &side["requests"]["tag"]), (&json!(1), &json!(3)), "{printed:?}");
    assert_eq!(side["routes"]["admin"]["deny"], 1);
    assert_eq!(
        side["rules"],
        json!([
            {"rule": "anonymity", "action": "tag", "requests": 3}, {"rule": "anonymity", "action": "deny", "requests": 1},
        ]),
        "{printed:?}"
    );
    assert!(printed.err.contains("route \"wrong\": profile: \"nobody's\" is unknown here"), "{printed:?}");
    assert!(printed.err.contains("1 requests name no route"), "{printed:?}");
    let bare = desk.run(&format!("{REPLAY} log --config bare.json"))?;
    assert!(bare.err.contains("route_metadata is set, and there are no routes in the file"), "{bare:?}");
    Ok(())
}
