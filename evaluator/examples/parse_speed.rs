//! How fast reports are read: MB/s for a report of about 700 kB, half of it certificates.
//!
//! Natively: `cargo run --release -p evaluator --example parse_speed`.
//!
//! As Wasm in V8, which is what Envoy runs (any Node.js will do):
//! ```sh
//! cargo build --profile wasm -p evaluator --example parse_speed --target wasm32-wasip1
//! node --no-warnings -e 'const { WASI } = require("wasi"), wasi = new WASI({ version: "preview1" });
//!   WebAssembly.instantiate(require("fs").readFileSync(process.argv[1]), wasi.getImportObject())
//!     .then(({ instance }) => wasi.start(instance))' target/wasm32-wasip1/wasm/examples/parse_speed.wasm
//! ```
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "it measures, and says what it measured")]

use evaluator::{Finding, Timestamp, read_answer};
use std::fmt::Write;
use std::time::{Duration, Instant};

fn main() {
    let body = report(90, 80, 60, 400);
    let now = Timestamp::parse("2024-03-25").expect("a date");
    let mut best = Duration::MAX;
    // The best of many short rounds: whatever else the machine does only ever adds.
    for round in 0..600 {
        let start = Instant::now();
        let reading = std::hint::black_box(read_answer(200, std::hint::black_box(body.as_bytes()), now));
        let took = start.elapsed();
        assert!(reading.is_ok_and(|reading| reading.assessment.findings.contains(Finding::Openssh)));
        // The first rounds run code that V8 has not optimised yet.
        best = if round < 200 { best } else { best.min(took) };
    }
    let speed = body.len() as f64 / best.as_secs_f64() / 1e6;
    println!("{} bytes in {} microseconds: {speed:.0} MB/s", body.len(), best.as_micros());
}

/// A report with this many TLS ports, plain ports, vulnerabilities and domains.
fn report(tls: usize, plain: usize, vulnerabilities: usize, domains: usize) -> String {
    let ports = (0..tls).map(|n| port(n, true)).chain((0..plain).map(|n| port(n, false)));
    let vulnerabilities = (0..vulnerabilities).map(|n| {
        let text = "A flaw lets whoever can forge answers of the name server overwrite one byte. ".repeat(1 + n % 6);
        format!(
            r#"{{"cve_id":"CVE-2021-{n}","cve_description":"{text}","cvssv2_score":6.8,"cvssv3_score":9.4,"list_cwe":[{{"cwe_id":193,"cwe_name":"Off-by-one"}}],"open_port_no_list":{{"TCP":[80,443],"UDP":[]}},"open_port_no":[{{"port":80,"socket":"tcp"}}],"is_vuln":"True"}}"#
        )
    });
    let domains = (0..domains).map(|n| {
        format!(
            r#"{{"domain":"host{n}.example","ip_type":"Unknown","registrar":"Example, Inc.","create_date":"2023-10-18 00:00:00","confirmed_time":"2023-10-26 17:05:52","email":"hostmaster@example.org"}}"#
        )
    });
    format!(
        r#"{{"ip":"192.0.2.1","issues":{{"is_tor":false,"is_hosting":true}},"score":{{"inbound":"Low","outbound":"Low"}},"domain":{},"port":{},"vulnerability":{},"status":200}}"#,
        block(domains),
        block(ports),
        block(vulnerabilities)
    )
}

fn block(records: impl Iterator<Item = String>) -> String {
    let records: Vec<String> = records.collect();
    format!(r#"{{"count":{},"data":[{}]}}"#, records.len(), records.join(","))
}

fn port(n: usize, tls: bool) -> String {
    let page = r#"<html>\n<head>\n<title>Welcome</title>\n</head>\n<body>\n<p class=\"a\">It works, and there is more to read.</p>\n</body>\n</html>\n"#;
    let banner = format!(r#"HTTP/1.1\nStatus: 200 OK\nServer: nginx\n\n{}"#, page.repeat(3 + n % 8));
    let certificate = if tls { certificate(n) } else { String::new() };
    let text = if tls { format!(r#""{certificate}""#) } else { "null".into() };
    let (port, day) = (if tls { 443 } else { 22 } + n % 3, 1 + n % 20);
    format!(
        r#"{{"app_name":"OpenSSH","banner":"{banner}{certificate}","app_version":"7.4","open_port_no":{port},"port_status":"open","protocol":"","socket":"tcp","tags":[],"dns_names":null,"sdn_common_name":null,"jarm_hash":null,"ssl_info_raw":{text},"technologies":[{{"tech_name":"Nginx","tech_version":"1.18.0","tech_logo_url":"https://logo.example/n.png"}}],"is_vulnerability":false,"confirmed_time":"2024-03-{day:02} 09:32:02"}}"#
    )
}

/// A certificate text as JSON writes it, of the length and with the letters of a real one.
fn certificate(n: usize) -> String {
    let mut seed = n as u32 + 1;
    let mut letters = |alphabet: &str, length: usize| {
        (0..length).fold(String::new(), |mut text, _| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let place = (seed >> 16) as usize % alphabet.len();
            text.push(char::from(alphabet.as_bytes()[place]));
            text
        })
    };
    let base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!(
        r#"\n\nTLS Certificate\nVersion: 3\nIssuer Dn: C=US, O=Example, CN=CA\nValidity: \n\tStart: 2024-01-31T00:00:00Z\n\tEnd: 2025-01-31T23:59:59Z\n\tLength: 32227199\nSubject Dn: C=US, CN=host{n}.example\nSubject Key Info: \n\tModulus: {}\nExtensions: \n\tSubject Alt Name: \n\t\tDns Names: www.host{n}.example,host{n}.example\n"#,
        letters(base64, 344)
    );
    for name in
        ["Authority Key Id", "Subject Key Id", "Log Id", "Fingerprint Md5", "Fingerprint Sha1", "Fingerprint Sha256"]
    {
        write!(text, r#"{name}: {}\n\tValid: False\n"#, letters("0123456789abcdef", 64)).expect("a string takes all");
    }
    write!(text, r#"Signature: \n\tValue: {}\n\tSelf Signed: False\n"#, letters(base64, 344))
        .expect("a string takes all");
    text + &r#"Certificate Policies: \n\tId: 2.23.140.1.2.2\n"#.repeat(10)
}
