//! `portcullis lint`: every mistake of a configuration with its line, and what is legal but unwise.

mod advice;
mod plugin;
mod route;

pub(crate) use plugin::Plugin;

use crate::document::{Node, Place, Unreadable};
use crate::exit::Exit;
use crate::term::{self, BAD, ODD, plain, styled};
use anyhow::Context;
use gate::{Config, Mistake};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What to look at.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plugin configurations: JSON, or an Envoy or Istio file that has one in it; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Something to say about a place in a file.
#[derive(Debug)]
pub(crate) struct Remark {
    pub(crate) at: Place,
    severity: Severity,
    code: &'static str,
    path: String,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

/// Prints what there is to say, in the form of compilers: file, line, column.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let (mut errors, mut warnings, mut plugins) = (0, 0, 0);
    for file in &args.files {
        let text = read(file)?;
        let (remarks, found) = look(&text);
        plugins += found;
        for remark in remarks {
            *(if remark.severity == Severity::Error { &mut errors } else { &mut warnings }) += 1;
            term::print(&shown(&remark, &crate::check::name(file)))?;
        }
    }
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    crate::term::say!(
        "{}, {} in {}",
        count(errors, "mistake"),
        count(warnings, "warning"),
        count(plugins, "configuration")
    );
    Ok(if errors > 0 { Exit::Mistakes } else { Exit::Done })
}

/// Reads a file that may be anything.
///
/// # Errors
/// It cannot be read, is no text, or is far too large for a configuration.
pub(crate) fn read(file: &Path) -> anyhow::Result<String> {
    const LARGEST: u64 = 64 << 20;
    let name = crate::check::name(file);
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| name.clone())?)
    };
    let mut bytes = Vec::new();
    input.take(LARGEST + 1).read_to_end(&mut bytes).with_context(|| name.clone())?;
    anyhow::ensure!(bytes.len() as u64 <= LARGEST, "{name}: larger than 64 MiB; that is no configuration");
    let text = String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{name}: not text in UTF-8"))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// The documents in a text: JSON where it begins so, else YAML.
fn documents(text: &str) -> Result<Vec<Node>, Unreadable> {
    if text.trim_start().starts_with(['{', '[']) {
        return Node::from_json(text).map(|node| vec![node]);
    }
    Node::from_yaml(text)
}

/// Everything there is to say about a text, in the order of its lines, and how many configurations are in it.
fn look(text: &str) -> (Vec<Remark>, usize) {
    let error = |at, code, message| Remark { at, severity: Severity::Error, code, path: String::new(), message };
    let documents = match documents(text) {
        Ok(documents) => documents,
        Err(Unreadable { at, message }) => return (vec![error(at, "not_json", message)], 0),
    };
    let plugins = plugin::find(&documents, text);
    if plugins.is_empty() {
        let message = "there is no configuration of the filter in here: neither an object of its own, nor an Envoy filter of \
                       type envoy.extensions.filters.http.wasm.v3.Wasm or network.wasm.v3.Wasm, nor a WasmPlugin or \
                       TrafficExtension";
        return (vec![error(Place::START, "nothing_found", message.into())], 0);
    }
    let count = plugins.len();
    let mut remarks: Vec<Remark> = plugins.into_iter().flat_map(judge).collect();
    remarks.sort_by_key(|remark| remark.at);
    (remarks, count)
}

fn judge(mut plugin: Plugin<'_>) -> Vec<Remark> {
    let mut remarks = std::mem::take(&mut plugin.remarks);
    match Config::parse(plugin.json.as_bytes()) {
        Ok(config) => {
            remarks.extend(advice::advise(&plugin, &config, crate::check::now()));
            remarks.extend(
                route::find(&plugin, &config).iter().filter_map(|route| route.configuration(&config).err()).flatten(),
            );
        }
        Err(mistakes) => remarks.extend(mistakes.into_iter().map(|mistake| remark(&plugin, mistake))),
    }
    remarks
}

/// A mistake with its place.
pub(crate) fn remark(plugin: &Plugin<'_>, mistake: Mistake) -> Remark {
    let at = plugin.tree.as_ref().map_or(plugin.at, |tree| tree.locate(&mistake.path));
    Remark { at, severity: Severity::Error, code: mistake.kind.code(), path: mistake.path, message: mistake.message }
}

/// One line, as compilers write it.
pub(crate) fn shown(remark: &Remark, file: &str) -> String {
    let label = match remark.severity {
        Severity::Error => styled(BAD, "error"),
        Severity::Warning => styled(ODD, "warning"),
    };
    let path = if remark.path.is_empty() { String::new() } else { format!("{}: ", plain(&remark.path)) };
    format!("{file}:{}: {label}: {path}{} [{}]\n", remark.at, plain(&remark.message), remark.code)
}

/// A configuration without mistakes, and where it is.
pub(crate) struct Configuration {
    pub(crate) at: Place,
    pub(crate) config: Config,
    /// The document that it was read from.
    pub(crate) tree: Option<Node>,
    /// What the metadata of the routes around it makes of it, by their names; or what is wrong with the metadata.
    pub(crate) routes: Vec<(String, Result<Config, String>)>,
}

/// The configurations in a text; or every mistake of the first that has some.
pub(crate) fn configurations(text: &str, file: &str) -> Result<Vec<Configuration>, String> {
    let documents = documents(text).map_err(|error| format!("{file}:{}: {}", error.at, error.message))?;
    let plugins = plugin::find(&documents, text);
    if plugins.is_empty() {
        return Err(format!("{file}: there is no configuration of the filter in here"));
    }
    plugins
        .into_iter()
        .map(|plugin| match Config::parse(plugin.json.as_bytes()) {
            Ok(config) => {
                let lines = |remarks: Vec<Remark>| remarks.iter().map(|remark| shown(remark, file)).collect::<String>();
                let routes = route::find(&plugin, &config)
                    .into_iter()
                    .map(|route| (route.name.to_owned(), route.configuration(&config).map_err(lines)));
                Ok(Configuration { at: plugin.at, routes: routes.collect(), config, tree: plugin.tree })
            }
            Err(mistakes) => {
                let lines = mistakes.into_iter().map(|mistake| shown(&remark(&plugin, mistake), file));
                Err(lines.collect::<String>().trim_end().to_owned())
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
