use super::*;
use clap::ValueEnum;
use proptest::prelude::*;

/// What a line says, as text: time of day, source, destination and port; or why it says nothing.
fn said(format: Format, own: &[&str], lines: &str) -> Vec<String> {
    let clock = Clock::new(None);
    let own: Vec<_> = own.iter().map(|text| fields::parse(text).unwrap()).collect();
    let mut reader = Reader::new(format, &own, &clock);
    let mut said = Vec::new();
    for line in lines.lines() {
        said.push(match reader.read(line.as_bytes()) {
            Ok(None) => continue,
            Err(unknown) => unknown.text().to_owned(),
            Ok(Some(record)) => {
                let ip = |ip: Option<IpAddr>| ip.map_or("-".into(), |ip| ip.to_string());
                let mut parts =
                    vec![(record.time - 1_774_861_200).to_string(), ip(record.source), ip(record.destination)];
                parts.push(record.port.map_or("-".into(), |port| port.to_string()));
                let rest = [record.method, record.path, record.host, record.route];
                parts.extend(rest.into_iter().flatten().map(Cow::into_owned));
                parts.join(" ")
            }
        });
    }
    said
}

#[test]
fn the_json_of_envoy_and_istio_is_read() {
    let lines = r#"{"time":"2026-03-30T09:00:01.123Z","peer":"192.0.2.20","connection_from":"10.0.0.1:5","method":"GET","path":"/login?x=\"y\"","code":200}
{"start_time":"2026-03-30T09:00:02.000Z","downstream_remote_address":"192.0.2.30:4711","upstream_host":"10.0.0.2:8080","authority":"shop.example","route_name":"cart","bytes_sent":7}
{"start_time":"2026-03-30T09:00:03Z","downstream_remote_address":"[2001:db8::20]:99","upstream_host":"-","downstream_local_address":"192.0.2.40:443","requested_server_name":null}
{"peer":"192.0.2.20"}
{"time":"2026-03-30T09:00:01Z"
{"time":"2026-03-30T09:00:04Z","upstream_host":{"odd":[1]},"peer":"/run/socket"}
[1]"#;
    assert_eq!(
        said(Format::EnvoyJson, &[], lines),
        [
            "1 192.0.2.20 - - GET /login?x=\"y\"",
            "2 192.0.2.30 10.0.0.2 8080 shop.example cart",
            "3 2001:db8::20 192.0.2.40 443",
            "no time, or none that can be read",
            "not of this format",
            "4 - - -",
            "not of this format",
        ]
    );
}

#[test]
fn the_text_of_envoy_and_istio_is_read() {
    let lines = r#"[2026-03-30T09:00:01.000Z] "GET /login HTTP/1.1" 200 - 0 154 5 4 "10.9.9.9, 192.0.2.20" "curl/8" "id-1" "shop.example" "192.0.2.40:443"
[2026-03-30T09:00:02.000Z] "- - -" 0 - - - "-" 10 20 30 - "-" "-" "-" "-" "192.0.2.50:443" outbound|443||x 10.0.0.7:1 192.0.2.50:443 10.0.0.7:2 sni.example default
nonsense
[2026-03-30T09:00:02.000Z] "GET / HTTP/1.1" 200"#;
    assert_eq!(
        said(Format::EnvoyText, &[], lines),
        [
            "1 192.0.2.20 192.0.2.40 443 GET /login shop.example",
            "2 10.0.0.7 192.0.2.50 443 default",
            "not of this format",
            "not of this format",
        ]
    );
}

#[test]
fn csv_and_any_json_are_read_by_usual_and_by_given_names() {
    let csv = "Time,Src,\"Dst\",dport,note\n2026-03-30 09:00:01,10.0.0.5,192.0.2.40,443,\"a, b\"\n1774861202,10.0.0.5,\"192.0.2.50:80\",,\nshort\n";
    let expected = ["1 10.0.0.5 192.0.2.40 443", "2 10.0.0.5 192.0.2.50 80", "not of this format"];
    assert_eq!(said(Format::Csv, &[], csv), expected);
    let own = ["time=when", "destination=to"];
    assert_eq!(said(Format::Csv, &own, "when,to,dst\n1774861203,192.0.2.40,192.0.2.99\n"), ["3 - 192.0.2.40 -"]);
    let json = r#"{"@timestamp":"2026-03-30T09:00:01Z","source":{"ip":"10.0.0.5"},"destination":{"ip":"192.0.2.40","port":443}}
{"ts":1774861202.25,"src":"10.0.0.5","dst":"192.0.2.40","port":"22"}"#;
    assert_eq!(said(Format::Json, &[], json), ["1 10.0.0.5 192.0.2.40 443", "2 10.0.0.5 192.0.2.40 22"]);
    let own = ["destination=net.peer.addr"];
    let json = r#"{"time":1774861203000,"net":{"x":{"addr":"192.0.2.1"},"peer":{"addr":"192.0.2.40"}}}"#;
    assert_eq!(said(Format::Json, &own, json), ["3 - 192.0.2.40 -"]);
    assert!(fields::parse("colour=red").is_err() && fields::parse("time=").is_err());
}

#[test]
fn the_logs_of_sensors_and_firewalls_are_read() {
    let zeek = "1774861201.5\tC1\t10.0.0.5\n#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n#types\ttime\n1774861201.5\tC1\t10.0.0.5\t5555\t192.0.2.40\t443\ttcp\n{\"ts\":1774861202.5,\"id.orig_h\":\"10.0.0.5\",\"id.resp_h\":\"192.0.2.50\",\"id.resp_p\":22}\n";
    assert_eq!(
        said(Format::Zeek, &[], zeek),
        ["before the line that names the fields", "1 10.0.0.5 192.0.2.40 443", "2 10.0.0.5 192.0.2.50 22"]
    );
    let eve = r#"{"timestamp":"2026-03-30T18:00:01.123456+0900","event_type":"flow","src_ip":"10.0.0.5","src_port":1,"dest_ip":"192.0.2.40","dest_port":443,"tls":{"sni":"a.example"}}"#;
    assert_eq!(said(Format::SuricataEve, &[], eve), ["1 10.0.0.5 192.0.2.40 443 a.example"]);
    let fortinet = r#"<189>date=2026-03-30 time=09:00:01 devname="F G" tz="+0000" type="traffic" srcip=10.0.0.5 srcport=1 dstip=192.0.2.40 dstport=443 action="accept"
date=2026-03-30 time=18:00:01 eventtime=1774861202123456789 tz="+0900" srcip=10.0.0.5 dstip=192.0.2.50 dstport=22 msg="a=b c"
something else"#;
    assert_eq!(
        said(Format::Fortinet, &[], fortinet),
        ["1 10.0.0.5 192.0.2.40 443", "2 10.0.0.5 192.0.2.50 22", "not of this format"]
    );
    let palo = "<14>Mar 30 09:00:01 fw 1,2026/03/30 09:00:01,001,TRAFFIC,end,2305,2026/03/30 09:00:01,10.0.0.5,192.0.2.40,0.0.0.0,0.0.0.0,\"out, all\",,,ssl,vsys1,trust,untrust,e1,e2,log,2026/03/30 09:00:01,77,1,5555,443,0,0,0x1c,tcp,allow\n1,2026/03/30 09:00:01,001,THREAT,url\n1,2,3\n";
    assert_eq!(said(Format::Paloalto, &[], palo), ["1 10.0.0.5 192.0.2.40 443", "not of this format"]);
}

proptest! {
    #[test]
    fn any_line_is_read_or_counted(bytes: Vec<u8>, words in "[0-9a-z{}\":,.=\\[\\]\t -]{0,80}") {
        let clock = Clock::new(None);
        for format in Format::value_variants() {
            let mut reader = Reader::new(*format, &[], &clock);
            for line in [b"#fields\tts\tid.resp_h".as_slice(), &bytes, words.as_bytes(), b"time,dst"] {
                let _ = reader.read(line);
            }
        }
    }
}
