//! The API key: from a file or the environment, and shown to nobody.

use crate::exit::{Exit, Failure};
use serde::Deserialize;
use std::fmt;
use std::path::Path;

/// The variable that holds the key where no file does.
pub(crate) const VARIABLE: &str = "CRIMINALIP_API_KEY";

/// The API key. Its `Debug` shows `***`.
pub(super) struct ApiKey(Box<str>);

impl ApiKey {
    /// Reads the key from the file, a JSON object with `api_key`, or else from the environment.
    ///
    /// # Errors
    /// [`Exit::NoKey`], never with anything that was in the file.
    pub(super) fn find(file: Option<&Path>) -> Result<ApiKey, Failure> {
        let no_key = |message| Failure::new(Exit::NoKey, message);
        let (text, place) = match file {
            Some(path) => (read(path).map_err(no_key)?, path.display().to_string()),
            None => match std::env::var(VARIABLE) {
                Ok(text) if !text.is_empty() => (text, VARIABLE.to_owned()),
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(no_key(format!("{VARIABLE}: not text; it holds the API key")));
                }
                _ => {
                    return Err(no_key(format!(
                        "there is no API key: set {VARIABLE}, or give --keyfile a file with {{\"api_key\": \"...\"}}"
                    )));
                }
            },
        };
        let text = text.trim();
        if text.is_empty() || text.len() > 512 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(no_key(format!("{place}: a key is 1 to 512 visible ASCII characters without spaces")));
        }
        Ok(ApiKey(text.into()))
    }

    /// The key itself, for the one place that sends it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn read(path: &Path) -> Result<String, String> {
    #[derive(Deserialize)]
    struct File {
        api_key: String,
    }
    let name = path.display();
    let text = std::fs::read(path).map_err(|error| format!("{name}: {error}; it should hold the API key"))?;
    match serde_json::from_slice::<File>(&text) {
        Ok(file) => Ok(file.api_key),
        // The error of the parser could quote the key.
        Err(error) => Err(format!(
            "{name}: line {} column {}: a key file is a JSON object such as {{\"api_key\": \"...\"}}",
            error.line(),
            error.column()
        )),
    }
}
