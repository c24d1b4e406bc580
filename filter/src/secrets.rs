//! The secrets that a configuration names, from the environment of the VM.

use crate::control::Tokens;
use crate::vm;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use evaluator::{filled, how_many};
use gate::{Config, Key, SHORTEST_TOKEN, Secret, WebhookPath, WebhookSecret, webhook_path};

/// All of them.
pub(crate) struct Secrets {
    /// What Criminal IP is asked with, unless the proxy adds it.
    pub(crate) key: Option<String>,
    /// What notifications are signed with.
    pub(crate) webhook: Option<WebhookSecret>,
    /// Where they are sent to.
    pub(crate) webhook_path: Option<Secret>,
    /// What lets operators in.
    pub(crate) tokens: Tokens,
}

impl Secrets {
    /// Finds what the configuration names, or says of each that is not there what would be right.
    pub(crate) fn of(config: &Config) -> Result<Secrets, Vec<String>> {
        let mut mistakes = Vec::new();
        let key = match &config.api.key {
            Key::Injected => None,
            Key::Given(key) => Some(key.expose().to_owned()),
            Key::Environment(name) => read(&mut mistakes, "api.key_env", name, Some, ""),
        };
        let notify = config.notify.as_deref();
        let webhook = notify.and_then(|notify| notify.secret_env.as_deref()).and_then(|name| {
            let right = "holds no secret; right would be whsec_ and 24 to 64 random bytes in Base64, as \
                         echo whsec_$(openssl rand -base64 32) makes one";
            read(&mut mistakes, "notify.secret_env", name, |text| WebhookSecret::parse(&text), right)
        });
        let webhook_path = match notify.map(|notify| &notify.path) {
            Some(WebhookPath::Environment(name)) => {
                let right = "holds no path; right would be one that starts with / and is percent-encoded, such as \
                             /services/T.../B.../...";
                read(&mut mistakes, "notify.path_env", name, |text| webhook_path(&text), right)
            }
            _ => None,
        };
        let mut token = |path, name: Option<&str>| {
            let long = |text: String| Some(text.into_bytes()).filter(|token| token.len() >= SHORTEST_TOKEN);
            let right = filled("is too short to be a token: {} characters at least", &[&how_many(SHORTEST_TOKEN)]);
            name.and_then(|name| read(&mut mistakes, path, name, long, &right))
        };
        let tokens = config.control.as_ref().map_or_else(Tokens::default, |access| Tokens {
            read: token("control.read_token_env", access.read.token_env.as_deref()),
            write: token("control.write_token_env", access.write.token_env.as_deref()),
        });
        if mistakes.is_empty() { Ok(Secrets { key, webhook, webhook_path, tokens }) } else { Err(mistakes) }
    }
}

/// Reads the secret in the variable of this name, and makes of it what it is for. Where that cannot be, it is noted under the key
/// of the configuration that names the variable.
fn read<T>(mistakes: &mut Vec<String>, key: &str, name: &str, make: fn(String) -> Option<T>, right: &str) -> Option<T> {
    let made = plain(name).and_then(|text| make(text).ok_or_else(|| ["the variable ", name, " ", right].concat()));
    made.map_err(|mistake| mistakes.push([key, ": ", &mistake].concat())).ok()
}

fn plain(name: &str) -> Result<String, String> {
    let advice = "give the proxy that variable and list it in vm_config.environment_variables.host_env_keys";
    let value =
        vm::environment(name).ok_or_else(|| filled("there is no variable {} in the VM; {}", &[name, advice]))?;
    let is_plain = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let text = String::from_utf8(value).ok().filter(is_plain);
    text.ok_or_else(|| filled("the variable {} is empty or not plain ASCII, so it cannot be a secret", &[name]))
}
