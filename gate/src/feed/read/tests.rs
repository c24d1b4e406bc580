use super::*;
use proptest::prelude::*;
use serde_json::json;

static NOW: std::sync::LazyLock<Timestamp> = std::sync::LazyLock::new(|| Timestamp::parse("2026-01-01").unwrap());

/// Reads to the end, and sees that no step reads much more than it may.
fn read(format: &FeedFormat, body: &[u8]) -> Result<Found, FeedError> {
    let mut reader = Reader::new(format, body.to_vec(), *NOW);
    loop {
        let before = reader.at;
        let done = reader.step()?;
        assert!(reader.at - before <= STEP && (done || reader.at > before), "{} of {}", reader.at, body.len());
        if done {
            return reader.finish();
        }
    }
}

fn csv(column: &str) -> FeedFormat {
    FeedFormat::Csv { column: Some(column.into()) }
}

/// The networks, the second until which they count where there is one, and how many were left out for each reason.
#[track_caller]
fn check(format: &FeedFormat, body: &str, expected: &[&str], refused: [u32; 4]) {
    let found = read(format, body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {body}"));
    let entries: Vec<String> = found
        .entries
        .iter()
        .map(|(network, until)| match *until {
            FOR_EVER => network.to_ip_net().to_string(),
            until => format!("{} {until}", network.to_ip_net()),
        })
        .collect();
    assert_eq!(entries, expected, "{body}");
    assert_eq!(found.refused, refused, "{body}");
    assert_eq!(found.v4, found.entries.iter().filter(|(network, _)| !network.is_v6()).count());
}

#[track_caller]
fn check_error(format: &FeedFormat, body: &str, expected: FeedError) {
    assert_eq!(read(format, body.as_bytes()).err(), Some(expected), "{body}");
}

const ERROR_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>503 Service Unavailable</title></head>\n\
    <body>\n<h1>Service Unavailable</h1>\n<p>Try again.</p>\n</body></html>\n";

#[test]
fn plain_text_has_an_address_or_a_network_a_line() {
    let plain = FeedFormat::Plain;
    check(&plain, "9.9.9.9\n8.8.8.0/24\r\n 2a00::1 \n", &["8.8.8.0/24", "9.9.9.9/32", "2a00::1/128"], [0; 4]);
    check(&plain, "# names\n; more\n\n1.10.16.0/20 ; SBL256894\n8.8.8.8#x", &["1.10.16.0/20", "8.8.8.8/32"], [0; 4]);
    check(&plain, "\u{feff}8.8.8.8\n8.8.8.8\n", &["8.8.8.8/32"], [0; 4]);
    check(
        &plain,
        "0.0.0.0/0\n10.0.0.0/8\n192.168.1.1\nlocalhost\n9.9.9.9\n8.8.8.8\n",
        &["8.8.8.8/32", "9.9.9.9/32"],
        [1, 2, 1, 0],
    );
}

#[test]
fn a_line_longer_than_any_step_is_left_out() {
    let long = "1".repeat(3 * STEP);
    check(
        &FeedFormat::Plain,
        &format!("8.8.8.8\n9.9.9.9\n{long}\n1.1.1.1\n"),
        &["1.1.1.1/32", "8.8.8.8/32", "9.9.9.9/32"],
        [1, 0, 0, 0],
    );
    check(&FeedFormat::Plain, &format!("8.8.8.8\n{long}"), &["8.8.8.8/32"], [1, 0, 0, 0]);
}

#[test]
fn the_daily_feed_of_command_and_control_servers_is_read_as_it_is() {
    let body = "IP,Target C2,OpenPorts,Score(Inbound/Outbound),Country,Scan Time\n\
        9.9.9.1,c2_covenant,7443,Low/Critical,US,2024-07-30 06:49:45\n\
        9.9.9.2,c2_sliver,\"8443,31337\",Critical/Critical,KR,2024-07-30 06:49:45\n\
        9.9.9.3,c2_mythic,7443,Safe/Dangerous,,2024-07-30 06:49:46";
    check(&csv("IP"), body, &["9.9.9.1/32", "9.9.9.2/32", "9.9.9.3/32"], [0; 4]);
}

#[test]
fn a_column_of_csv_is_found_by_its_name() {
    let body = "# made today\nid,\"the, address\",note\n1,8.8.8.8,\"a\n\"\"b\"\"\"\n2, 9.9.9.0/24 ,\n3\n4,n/a,x\n5,1.1.1.1,y\n";
    check(&csv("the, address"), body, &["1.1.1.1/32", "8.8.8.8/32", "9.9.9.0/24"], [2, 0, 0, 0]);
    check(&csv("ip"), "\u{feff}ip,ip\n8.8.8.8,9.9.9.9\n", &["8.8.8.8/32"], [0; 4]);
    check(&FeedFormat::Csv { column: None }, "8.8.8.8,x\n9.9.9.9\n", &["8.8.8.8/32", "9.9.9.9/32"], [0; 4]);
    check_error(&csv("address"), "ip,Address\n8.8.8.8,9.9.9.9\n", FeedError::NoPlace);
    let long = "x".repeat(2 * STEP);
    check(&csv("ip"), &format!("{long},ip\n\"{long}\",8.8.8.8\n1,{long}\n"), &["8.8.8.8/32"], [1, 0, 0, 0]);
}

fn indicator(pattern: &str) -> serde_json::Value {
    json!({"type": "indicator", "spec_version": "2.1", "id": "indicator--1", "pattern": pattern, "pattern_type": "stix",
           "valid_from": "2025-01-01T00:00:00Z"})
}

fn bundle(objects: &[serde_json::Value]) -> String {
    json!({"type": "bundle", "id": "bundle--1", "objects": objects}).to_string()
}

#[test]
fn indicators_count_while_they_are_valid() {
    let changed = |changes: serde_json::Value| {
        let mut indicator = indicator("[ipv4-addr:value = '8.8.8.8']");
        indicator.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        indicator
    };
    let good = indicator("[ipv4-addr:value = '9.9.9.9' OR ipv6-addr:value ISSUBSET '2a00::/32']");
    for (changes, entry, refused) in [
        (json!({}), Some("8.8.8.8/32"), [0; 4]),
        (json!({"valid_until": "2026-01-01T00:00:10.5Z"}), Some("8.8.8.8/32 1767225610"), [0; 4]),
        (json!({"valid_until": "2026-01-01T00:00:00Z"}), None, [0, 0, 0, 1]),
        (json!({"valid_until": "soon"}), None, [1, 0, 0, 0]),
        (json!({"valid_from": "2026-01-02T00:00:00Z"}), None, [0, 0, 0, 1]),
        (json!({"revoked": true}), None, [0, 0, 0, 1]),
        (json!({"revoked": false}), Some("8.8.8.8/32"), [0; 4]),
        (json!({"pattern_type": "sigma"}), None, [0; 4]),
        (json!({"type": "malware"}), None, [0; 4]),
        (json!({"pattern": null}), None, [1, 0, 0, 0]),
        (json!({"pattern": "[domain-name:value = 'a.example']"}), None, [0; 4]),
        (json!({"pattern": "[ipv4-addr:value = '10.0.0.0/8']"}), None, [0, 1, 0, 0]),
        (json!({"description": "a \"]}\" b \\"}), Some("8.8.8.8/32"), [0; 4]),
    ] {
        let mut expected: Vec<&str> = entry.into_iter().collect();
        expected.extend(["9.9.9.9/32", "2a00::/32"]);
        let objects =
            [json!({"type": "identity", "name": "x"}), changed(changes), good.clone(), json!([[1, {}]]), json!(5)];
        check(&FeedFormat::Stix, &bundle(&objects), &expected, refused);
    }
    let taxii = format!("{{\"more\": false, \"objects\" : [ {good} ] , \"x\": [{good}]}}\n");
    check(&FeedFormat::Stix, &taxii, &["9.9.9.9/32", "2a00::/32"], [0; 4]);
    let pretty = format!("\u{feff}{:#}", serde_json::from_str::<serde_json::Value>(&bundle(&[good])).unwrap());
    check(&FeedFormat::Stix, &pretty, &["9.9.9.9/32", "2a00::/32"], [0; 4]);
}

#[test]
fn an_indicator_of_thousands_of_addresses_is_read_and_a_longer_one_left_out() {
    let of = |count: u32| {
        let parts = (0..count).map(|n| format!("ipv4-addr:value = '{}'", std::net::Ipv4Addr::from(0x0800_0000 + n)));
        indicator(&format!("[{}]", parts.collect::<Vec<_>>().join(" OR ")))
    };
    let found = read(&FeedFormat::Stix, bundle(&[of(3_000), of(4_000)]).as_bytes()).unwrap();
    assert_eq!((found.entries.len(), found.refused), (3_000, [1, 0, 0, 0]));
}

#[test]
fn error_pages_empty_files_and_halves_are_no_feeds() {
    let whole = bundle(&[indicator("[ipv4-addr:value = '9.9.9.9']")]);
    for format in [FeedFormat::Plain, csv("IP"), FeedFormat::Stix] {
        for body in
            [ERROR_PAGE, "", " \n\n", "# nothing\n", "{\"error\": \"quota\"}", "Service Unavailable\n", "\0\0\0\0"]
        {
            assert!(read(&format, body.as_bytes()).is_err(), "{format:?}: {body:?}");
        }
    }
    check_error(&FeedFormat::Plain, ERROR_PAGE, FeedError::Malformed);
    check_error(&csv("IP"), ERROR_PAGE, FeedError::NoPlace);
    check_error(&FeedFormat::Stix, ERROR_PAGE, FeedError::Malformed);
    check_error(&FeedFormat::Plain, "", FeedError::Empty);
    check_error(&FeedFormat::Plain, "10.0.0.1\n10.0.0.2\n", FeedError::Empty);
    check_error(&csv("IP"), "IP,Country\n", FeedError::Empty);
    check_error(&FeedFormat::Stix, &bundle(&[]), FeedError::Empty);
    check_error(&FeedFormat::Stix, "{\"type\": \"bundle\"}", FeedError::NoPlace);
    for end in 1..whole.len() {
        assert!(read(&FeedFormat::Stix, &whole.as_bytes()[..end]).is_err(), "{}", &whole[..end]);
    }
    assert!(read(&FeedFormat::Stix, format!("{whole}{whole}").as_bytes()).is_err());
}

#[test]
fn a_feed_with_more_entries_than_may_be_is_none() {
    let line = |n: usize| format!("{}\n", std::net::Ipv4Addr::from(0x0800_0000 + n as u32));
    let most: String = (0..MAX_ENTRIES).map(line).collect();
    assert_eq!(read(&FeedFormat::Plain, most.as_bytes()).unwrap().entries.len(), MAX_ENTRIES);
    check_error(&FeedFormat::Plain, &format!("{most}9.9.9.9\n"), FeedError::TooLarge);
}

#[test]
fn a_hundred_thousand_lines_take_steps_of_a_thousand_or_so() {
    let body: String =
        (0..100_000_u32).map(|n| format!("{}\n", std::net::Ipv4Addr::from(0x0800_0000 + n * 7))).collect();
    let mut reader = Reader::new(&FeedFormat::Plain, body.into_bytes(), *NOW);
    let mut most = 0;
    loop {
        let before = reader.found.entries.len();
        let done = reader.step().unwrap();
        most = most.max(reader.found.entries.len() - before);
        if done {
            break;
        }
    }
    assert_eq!(reader.found.entries.len(), 100_000);
    // The shortest line is "8.0.0.0": what a step reads is at most so many of them.
    assert!(most <= STEP / "8.0.0.0\n".len(), "{most} entries in one step");
}

proptest! {
    #[test]
    fn any_bytes_are_a_feed_or_none(bytes: Vec<u8>) {
        for format in [FeedFormat::Plain, csv("IP"), FeedFormat::Csv { column: None }, FeedFormat::Stix] {
            let _ = read(&format, &bytes);
        }
    }

    #[test]
    fn what_looks_like_a_feed_is_one_or_none(
        lines in prop::collection::vec(r#"([0-9.]{1,9}(/[0-9]{1,2})?|IP|"[0-9.,\n]*"|,|#[a-z]*|[ \r\t;])*"#, 0..20),
        json in r#"\{"objects":\[(\{"type":"indicator","pattern":"[ipv4adr:vlue='8.]*"\}|[\[\]{},:"a\\]){0,8}\]\}"#,
    ) {
        let text = lines.join("\n");
        for format in [FeedFormat::Plain, csv("IP"), FeedFormat::Csv { column: None }] {
            let _ = read(&format, text.as_bytes());
        }
        let _ = read(&FeedFormat::Stix, json.as_bytes());
    }

    #[test]
    fn all_formats_read_the_same_from_the_same_addresses(
        addresses in prop::collection::btree_set(any::<u32>(), 1..200),
        blank in 0..2 * STEP,
    ) {
        let addresses: Vec<String> = addresses.into_iter().map(|bits| std::net::Ipv4Addr::from(bits).to_string()).collect();
        // So that something lies across the border between two steps.
        let blank = " ".repeat(blank);
        let all = |found: Found| (found.entries.into_iter().collect::<Vec<_>>(), found.refused);
        let plain = format!("#{blank}\n{}", addresses.join("\n"));
        let column = format!("\"{blank}\",IP\n,{}\n", addresses.join("\n,"));
        let objects: Vec<_> = addresses.iter().map(|ip| indicator(&format!("[ipv4-addr:value = '{ip}']"))).collect();
        let stix = format!("{blank}{}", bundle(&objects));
        let one = read(&FeedFormat::Plain, plain.as_bytes()).map(all);
        let two = read(&csv("IP"), column.as_bytes()).map(all);
        let three = read(&FeedFormat::Stix, stix.as_bytes()).map(all);
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(&one, &three);
    }
}
