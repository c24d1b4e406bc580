//! What `portcullis backtrack --export` writes is taken by those it is for.
//!
//! The consumers are found on the path, in `target/tools/consumers` and in ENVOY. One that is missing is named and left out,
//! unless PORTCULLIS_CONSUMERS is `all`, as when `cargo xtask test` has installed them.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test outside the proxy: it speaks to people"
)]

use anyhow::{Context, Result, bail, ensure};
use host_test::command::Desk;
use serde_json::{Value, json};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const LOG: &str = r#"{"time":"2026-03-30T08:59:01Z","source":"10.0.0.5","destination":"192.0.2.40","port":443}
{"time":"2026-03-30T08:59:02Z","source":"10.0.0.5","destination":"2001:db8::40","port":443}
{"time":"2026-03-30T08:59:03Z","source":"10.0.0.6","destination":"192.0.2.20","port":22}
{"time":"2026-03-30T08:59:03Z","source":"10.0.0.6","destination":"2001:db8::71","port":8443}
{"time":"2026-03-30T08:59:04Z","source":"10.0.0.6","destination":"192.0.2.10","port":443}
"#;

/// A desk with three logs: addresses of both families, of one, and none to block.
fn desk() -> Result<Desk> {
    let desk = Desk::new()?;
    let only = |word: &str| LOG.lines().filter(|line| line.contains(word)).map(|line| format!("{line}\n")).collect();
    let none: String = only("192.0.2.10\"");
    for (name, text) in [("both.json", LOG.to_owned()), ("v6.json", only("2001:")), ("none.json", none)] {
        std::fs::write(desk.folder().join(name), text)?;
    }
    Ok(desk)
}

/// Writes an export of each log in each direction and hands its path to the consumer.
fn each_export(form: &str, mut consume: impl FnMut(&Path) -> Result<()>) -> Result<()> {
    let desk = desk()?;
    for log in ["both.json", "v6.json", "none.json"] {
        for profile in ["pipeline", "ingress --field source=destination --field destination=source"] {
            let line = format!(
                "portcullis backtrack --log {log} --format json --at 2026-03-30T09:00:00Z --profile {profile} --treat-as-public \
                 192.0.2.0/24 --treat-as-public 2001:db8::/32 --export {form}=out.txt"
            );
            let printed = desk.run(&line)?;
            ensure!(printed.code == Some(0), "{line}: {printed:?}");
            let path = desk.folder().join("out.txt");
            let text = std::fs::read_to_string(&path)?;
            consume(&path).with_context(|| format!("{line}\n{text}"))?;
        }
    }
    Ok(())
}

/// Where a consumer is; where it is missing that is said, or an error.
fn consumer(name: &str) -> Result<Option<PathBuf>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/consumers/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = std::iter::once(own).chain(env::split_paths(&path)).chain(system);
    let found = places.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()));
    absent(name, found)
}

fn absent<T>(name: &str, found: Option<T>) -> Result<Option<T>> {
    if found.is_none() {
        if env::var("PORTCULLIS_CONSUMERS").is_ok_and(|wanted| wanted == "all") {
            bail!("{name} is not installed");
        }
        eprintln!("ABSENT: {name} is not installed, so nothing is shown to it");
    }
    Ok(found)
}

/// Runs a program in a network of its own, where it can change nothing that anybody uses.
fn apart(program: &Path, arguments: &[&str], file: &Path) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]).arg(program).args(arguments).arg(file);
    succeed(command)
}

fn succeed(mut command: Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    Ok(())
}

#[test]
fn nft_takes_the_table() -> Result<()> {
    let Some(nft) = consumer("nft")? else { return Ok(()) };
    each_export("nftables", |file| apart(&nft, &["--check", "--file"], file))
}

#[test]
fn iptables_restore_takes_the_chain_for_either_family() -> Result<()> {
    for name in ["iptables-restore", "ip6tables-restore"] {
        let Some(restore) = consumer(name)? else { continue };
        each_export("iptables", |file| apart(&restore, &["--noflush", "--test"], file))?;
    }
    Ok(())
}

#[test]
fn ipset_takes_the_sets_again_and_again() -> Result<()> {
    let Some(ipset) = consumer("ipset")? else { return Ok(()) };
    each_export("ipset", |file| {
        let twice = r#""$0" restore -file "$1" && "$0" restore -file "$1" && "$0" list portcullis4 > /dev/null"#;
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", twice]).arg(&ipset).arg(file);
        succeed(command)
    })
}

#[test]
fn envoy_takes_the_filter() -> Result<()> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/envoy/bin/envoy");
    let found = env::var_os("ENVOY").map(PathBuf::from).or(Some(own).filter(|own| own.is_file()));
    let Some(envoy) = absent("envoy", found)? else { return Ok(()) };
    each_export("envoy-rbac", |file| {
        let filter: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        let kind = "type.googleapis.com/envoy.extensions.filters";
        let router = json!({"name": "router", "typed_config": {"@type": format!("{kind}.http.router.v3.Router")}});
        let manager = json!({
            "@type": format!("{kind}.network.http_connection_manager.v3.HttpConnectionManager"), "stat_prefix": "x",
            "route_config": {}, "http_filters": [filter, router],
        });
        let bootstrap = json!({"static_resources": {"listeners": [{
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }]}});
        let path = file.with_file_name("bootstrap.json");
        std::fs::write(&path, bootstrap.to_string())?;
        let mut command = Command::new(&envoy);
        command.args(["--mode", "validate", "--log-level", "error", "--config-path"]).arg(path);
        succeed(command)
    })
}

#[test]
fn the_filter_itself_takes_the_list() -> Result<()> {
    // `lint` reads a configuration as the filter does.
    let desk = desk()?;
    each_export("portcullis-list", |file| {
        let list: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        let configuration = json!({"api": {"cluster": "criminalip"}, "lists": {"deny": list}});
        std::fs::write(desk.folder().join("list.json"), configuration.to_string())?;
        let printed = desk.run("portcullis lint list.json")?;
        ensure!(printed.code == Some(0) && printed.out.is_empty(), "{printed:?}");
        Ok(())
    })
}

#[test]
fn the_interface_of_aws_takes_the_set() -> Result<()> {
    let Some(python) = consumer("python-with-botocore")? else { return Ok(()) };
    // The model of the service says what it takes; nothing is sent.
    let check = "
import json, sys
import botocore.loaders, botocore.model, botocore.validate
model = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model('wafv2', 'service-2'))
shape = model.operation_model('CreateIPSet').input_shape
report = botocore.validate.ParamValidator().validate(json.load(open(sys.argv[1])), shape)
sys.exit(report.generate_report() if report.has_errors() else 0)
";
    each_export("aws-wafv2-ipset", |file| {
        for part in ["out.txt", "out.2.txt"].map(|name| file.with_file_name(name)) {
            let mut command = Command::new(&python);
            succeed({
                command.args(["-c", check]).arg(&part);
                command
            })?;
            let set: Value = serde_json::from_str(&std::fs::read_to_string(&part)?)?;
            let v6 = set["IPAddressVersion"] == "IPV6";
            let addresses = set["Addresses"].as_array().context("addresses")?;
            ensure!(addresses.iter().all(|address| address.as_str().unwrap_or_default().contains(':') == v6));
        }
        Ok(())
    })
}

#[test]
fn a_validator_of_stix_takes_the_bundle() -> Result<()> {
    let Some(validator) = consumer("stix2_validator")? else { return Ok(()) };
    each_export("stix", |file| {
        let json = file.with_extension("json");
        std::fs::copy(file, &json)?;
        let mut command = Command::new(&validator);
        // 302 wants the hash of a web page that changes every day.
        command.args(["--version", "2.1", "--strict", "--disable", "302"]).arg(json);
        succeed(command)
    })
}

#[test]
fn the_csv_has_a_line_an_address() -> Result<()> {
    let mut counts = Vec::new();
    each_export("csv", |file| {
        let text = std::fs::read_to_string(file)?;
        let cells: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        ensure!(cells.iter().all(|count| *count == 11), "{cells:?}");
        counts.push(cells.len() - 1);
        Ok(())
    })?;
    assert_eq!(counts, [4, 2, 2, 1, 0, 0]);
    Ok(())
}
