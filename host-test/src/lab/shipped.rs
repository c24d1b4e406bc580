//! A lab with one of the configurations that are shipped in `envoy/`.

use super::{Lab, READ_TOKEN, WRITE_TOKEN, merge};
use crate::{
    envoy::{self, Envoy, Start},
    fake::{Fake, KEY, Options},
    upstream::Upstream,
};
use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};
use std::{fs, net::SocketAddr};
use tempfile::TempDir;

/// Where the shipped configurations expect the module.
pub const SHIPPED_MODULE: &str = "/etc/envoy/portcullis.wasm";

/// Where the webhook of a shipped configuration is.
pub const WEBHOOK_PATH: &str = "/hook";

impl Lab {
    /// A lab that runs this file of `envoy/` as it is, but for its surroundings: the module's path, ports that the kernel
    /// picks, the stand-in for Criminal IP and the upstream behind the clusters `criminalip` and `upstream`. `changes` are
    /// merged into every configuration of the filter, and `patch` has the last word.
    ///
    /// # Errors
    /// When the file cannot be read, or Envoy does not come up with it.
    pub async fn shipped(file: &str, changes: Value, patch: impl FnOnce(&mut Value)) -> Result<Lab> {
        let module = envoy::module()?;
        let (fake, upstream) = (Fake::start(Options::default())?, Upstream::start()?);
        let mut bootstrap = read(file)?;
        bootstrap["admin"]["address"] = any_port();
        let resources = &mut bootstrap["static_resources"];
        for listener in resources["listeners"].as_array_mut().context("no listeners")? {
            listener["address"] = any_port();
        }
        lead(&mut bootstrap, "criminalip", fake.address());
        lead(&mut bootstrap, "upstream", upstream.address());
        let module_path = module.display().to_string();
        fill_in(&mut bootstrap, &module_path, &changes)?;
        patch(&mut bootstrap);
        let start = Start {
            envoy: envoy::find()?,
            bootstrap: bootstrap.to_string(),
            json: true,
            concurrency: 1,
            drain_seconds: 1,
            environment: vec![
                ("CRIMINALIP_API_KEY".into(), KEY.into()),
                ("PORTCULLIS_READ_TOKEN".into(), READ_TOKEN.into()),
                ("PORTCULLIS_WRITE_TOKEN".into(), WRITE_TOKEN.into()),
                ("PORTCULLIS_WEBHOOK_PATH".into(), WEBHOOK_PATH.into()),
            ],
            folder: TempDir::new()?,
        };
        let envoy = Envoy::start(start).await?;
        let listeners = envoy.listeners().await?;
        Ok(Lab { envoy, fake, upstream, listeners, made: Vec::new(), module, environment: Vec::new() })
    }
}

/// Has this cluster, if there is one, lead to this address, without TLS.
pub fn lead(bootstrap: &mut Value, cluster: &str, address: SocketAddr) {
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut();
    for found in clusters.into_iter().flatten().filter(|found| found["name"] == cluster) {
        let led = envoy::config::cluster(cluster, address);
        if let Some(members) = found.as_object_mut() {
            members.remove("transport_socket");
        }
        merge(found, led);
    }
}

/// The file of this name in `envoy/`, as JSON.
///
/// # Errors
/// When it cannot be read, or is more than JSON can say.
pub fn read(file: &str) -> Result<Value> {
    let text = fs::read_to_string(envoy::workspace().join("envoy").join(file)).with_context(|| file.to_owned())?;
    yaml(&text).with_context(|| file.to_owned())
}

/// One document of YAML, as JSON.
///
/// # Errors
/// When it is none, or more than JSON can say.
pub fn yaml(text: &str) -> Result<Value> {
    let documents = Yaml::load_from_str(text)?;
    let [document] = documents.as_slice() else { bail!("there are {} documents", documents.len()) };
    json_of(document)
}

fn json_of(yaml: &Yaml) -> Result<Value> {
    Ok(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => json!(flag),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        Yaml::Value(Scalar::FloatingPoint(number)) => json!(number.into_inner()),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Sequence(items) => items.iter().map(json_of).collect::<Result<_>>()?,
        Yaml::Mapping(members) => {
            let mut object = Map::new();
            for (key, value) in members {
                let key = key.as_str().with_context(|| format!("a key is no text: {key:?}"))?;
                object.insert(key.to_owned(), json_of(value)?);
            }
            Value::Object(object)
        }
        other => bail!("JSON cannot say {other:?}"),
    })
}

/// Puts the module where the file expects it, and the changes into every configuration of the filter.
fn fill_in(value: &mut Value, module: &str, changes: &Value) -> Result<()> {
    match value {
        Value::String(text) if text == SHIPPED_MODULE => *text = module.to_owned(),
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill_in(item, module, changes))?,
        Value::Object(members) => {
            let is_plugin = members.get("@type") == Some(&json!("type.googleapis.com/google.protobuf.StringValue"));
            if let (true, Some(Value::String(text))) = (is_plugin, members.get_mut("value")) {
                let mut plugin: Value = serde_json::from_str(text).with_context(|| text.clone())?;
                merge(&mut plugin, changes.clone());
                *text = plugin.to_string();
            }
            members.values_mut().try_for_each(|member| fill_in(member, module, changes))?;
        }
        _ => {}
    }
    Ok(())
}

fn any_port() -> Value {
    envoy::config::socket_address(([127, 0, 0, 1], 0).into())
}
