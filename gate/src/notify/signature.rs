//! Signatures of messages, by the Standard Webhooks specification: <https://www.standardwebhooks.com>.

use alloc::boxed::Box;
use alloc::string::String;
use base64ct::{Base64, Encoding};
use evaluator::{Timestamp, decimal};
use hmac_sha256::HMAC;

/// The secret that sender and receiver share. Its `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Box<[u8]>);

/// What the written form of a secret starts with.
const PREFIX: &str = "whsec_";

impl WebhookSecret {
    /// Reads a secret as the specification writes it: `whsec_` and 24 to 64 bytes in Base64. `None` for anything else.
    pub fn parse(text: &str) -> Option<WebhookSecret> {
        let bytes = Base64::decode_vec(text.strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&bytes.len()).then(|| WebhookSecret(bytes.into()))
    }
}

impl core::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("***")
    }
}

/// The value of `webhook-signature` for this message at this time: `v1,` and HMAC-SHA256 in Base64, over name, time and text.
///
/// ```
/// use evaluator::Timestamp;
/// use gate::{WebhookSecret, sign_webhook};
///
/// let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
/// let at = Timestamp::from_unix(1_614_265_330);
/// let signature = sign_webhook(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, r#"{"test": 2432232314}"#);
/// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
/// ```
pub fn sign_webhook(secret: &WebhookSecret, message_id: &str, at: Timestamp, body: &str) -> String {
    let mut mac = HMAC::new(&secret.0);
    for part in [message_id, ".", &decimal(at.unix().into()), ".", body] {
        mac.update(part);
    }
    let mut signature = String::from("v1,");
    signature.push_str(&Base64::encode_string(&mac.finalize()));
    signature
}
