//! Compresses the workbench, so that the module carries a third of it, and says by their hashes what in it may run.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "this runs while the crate is built, not in it"
)]

use base64ct::{Base64, Encoding};
use flate2::{Compression, GzBuilder};
use std::{env, error::Error, fs, io::Write, path::Path};

const PAGE: &str = "src/api/workbench.html";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PAGE}");
    let page = fs::read_to_string(PAGE)?;
    let folder = env::var("OUT_DIR")?;
    // Neither name nor time in it: the same source gives the same bytes.
    let mut packed = GzBuilder::new().write(Vec::new(), Compression::best());
    packed.write_all(page.as_bytes())?;
    fs::write(Path::new(&folder).join("workbench.html.gz"), packed.finish()?)?;
    // Nothing but this script and this style runs or counts, nothing but this listener is asked, and no other page shows it.
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'",
        hash(&page, "script")?,
        hash(&page, "style")?
    );
    fs::write(Path::new(&folder).join("workbench.policy"), policy)?;
    Ok(())
}

/// How a policy names what stands in this element.
fn hash(page: &str, element: &str) -> Result<String, String> {
    let (_, rest) = page.split_once(&format!("<{element}>")).ok_or(format!("{PAGE} has no {element}"))?;
    let (inside, _) = rest.split_once(&format!("</{element}>")).ok_or(format!("a {element} of {PAGE} has no end"))?;
    Ok(format!("sha256-{}", Base64::encode_string(&hmac_sha256::Hash::hash(inside.as_bytes()))))
}
