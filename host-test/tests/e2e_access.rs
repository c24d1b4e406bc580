//! Who is let in at a control listener, by what Envoy itself knows of them: certificates, and tokens that it hands over.

use anyhow::{Context, Result, ensure};
use host_test::{
    client::Ask,
    envoy,
    lab::{CONTROL, Lab, WRITE_TOKEN},
};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Makes one request with a certificate, and writes its status.
const CLIENT: &str = r#"
import ssl, sys, urllib.error, urllib.request
url, method, authority, *own = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
if own:
    context.load_cert_chain(*own)
body = b'{"action": "deny", "owner": "soc", "reason": "r"}' if method == "PUT" else None
request = urllib.request.Request(url, body, {"content-type": "application/json"}, method=method)
try:
    print(urllib.request.urlopen(request, context=context).status)
except urllib.error.HTTPError as error:
    print(error.code)
"#;

fn certificate(name: &str) -> PathBuf {
    envoy::workspace().join("host-test/tests/certificates").join(name)
}

/// The shipped control listener, let be changed.
async fn lab(credentials: Value, change: impl FnOnce(&mut Value)) -> Result<Lab> {
    let mut done = Err(anyhow::anyhow!("the control listener was not found"));
    let lab = Lab::shipped("control.yaml", json!({}), |bootstrap| {
        let listeners = bootstrap["static_resources"]["listeners"].as_array_mut();
        let control = listeners.into_iter().flatten().find(|listener| listener["name"] == CONTROL);
        let Some(control) = control else { return };
        let chain = &mut control["filter_chains"][0];
        let filters = &mut chain["filters"][0]["typed_config"]["http_filters"];
        let plugin = json!({"role": "control", "api": {"cluster": "criminalip"}, "control": credentials});
        filters[0]["typed_config"]["config"]["configuration"]["value"] = json!(plugin.to_string());
        change(chain);
        done = Ok(());
    })
    .await?;
    done.map(|()| lab)
}

/// The status that a client with this certificate, or with none, gets.
async fn status(lab: &Lab, method: &str, path: &str, own: Option<&str>) -> Result<u16> {
    let mut command = Command::new("python3");
    command.args(["-c", CLIENT, &format!("https://{}{path}", lab.address(CONTROL)), method]);
    command.arg(certificate("ca.pem"));
    if let Some(name) = own {
        command.args([certificate(&format!("{name}.pem")), certificate(&format!("{name}.key"))]);
    }
    let child = command.stdout(Stdio::piped()).spawn()?;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
    ensure!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)?.trim().parse().context("no status")
}

#[tokio::test]
async fn a_name_in_a_client_certificate_gives_its_right_and_other_names_none() -> Result<()> {
    let credentials = json!({"write_certificates": ["spiffe://example.org/soc"],
        "read_certificates": ["reader.example.org"]});
    let lab = lab(credentials, |chain| {
        chain["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_certificates": [{
                        "certificate_chain": {"filename": certificate("server.pem")},
                        "private_key": {"filename": certificate("server.key")},
                    }],
                    "validation_context": {"trusted_ca": {"filename": certificate("ca.pem")}},
                },
            },
        });
    })
    .await?;
    for (own, read, write) in
        [(Some("writer"), 200, 201), (Some("reader"), 200, 403), (Some("stranger"), 401, 401), (None, 401, 401)]
    {
        assert_eq!(status(&lab, "GET", "/v1/overrides", own).await?, read, "{own:?}");
        assert_eq!(status(&lab, "PUT", "/v1/overrides/203.0.113.0/24", own).await?, write, "{own:?}");
    }
    lab.envoy.wait_for_log(r#""by":"spiffe://example.org/soc","what":"override_put""#).await?;
    Ok(())
}

#[tokio::test]
async fn a_token_that_envoy_hands_over_counts_and_none_that_a_client_brings() -> Result<()> {
    let lab = lab(json!({"write_token_header": "x-write-token"}), |chain| {
        let filters = chain["filters"][0]["typed_config"]["http_filters"].as_array_mut();
        if let Some(filters) = filters {
            filters.insert(
                0,
                json!({
                    "name": "token",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                        "mutations": {"request_mutations": [{"append": {
                            "header": {"key": "x-write-token", "value": "%ENVIRONMENT(PORTCULLIS_WRITE_TOKEN)%"},
                            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                        }}]},
                    },
                }),
            );
        }
    })
    .await?;
    let ask = |token: &str| -> Ask {
        let own = "mine-0123456789abcdef";
        let ask = lab.ask_at(CONTROL, None).path("/v1/audit").header("x-write-token", own);
        ask.header("authorization", format!("Bearer {token}"))
    };
    assert_eq!(ask(WRITE_TOKEN).send().await?.status, 200);
    assert_eq!(ask("mine-0123456789abcdef").send().await?.status, 401);
    Ok(())
}
