//! The keys as `docs/configuration.md` lists them, and as the schema does.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a table says about a key: its value, its default and its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) value: String,
    pub(super) default: String,
    pub(super) meaning: String,
}

/// The text of a file of the workspace.
pub(super) fn workspace_file(path: &str) -> String {
    let path = workspace_path(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where a file of the workspace is.
pub(super) fn workspace_path(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The cells of each row of the tables whose first cell is code, from the first heading that starts so to the next of its
/// depth.
pub(super) fn table(markdown: &str, heading: &str) -> Vec<Vec<String>> {
    section(markdown, heading)
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn section<'m>(markdown: &'m str, heading: &str) -> &'m str {
    let (_, rest) = markdown.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// Every documented key, by its path. Objects that have a heading (`### `cache`: ...`) have an empty value there.
pub(super) fn documented(markdown: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    let mut add = |path: &str, row| assert!(rows.insert(path.into(), row).is_none(), "{path} is documented twice");
    for cells in table(markdown, "## Keys") {
        let [path, value, default, meaning] = &cells[..] else { panic!("four cells are wanted: {cells:?}") };
        let row = Row { value: value.clone(), default: default.clone(), meaning: meaning.clone() };
        add(path.trim_matches('`'), row);
    }
    for line in section(markdown, "## Keys").lines() {
        let Some((path, meaning)) = line.strip_prefix("### `").and_then(|rest| rest.split_once("`: ")) else {
            continue;
        };
        let (value, default) = ("object".into(), "—".into());
        add(path, Row { value, default, meaning: sentence(meaning) });
    }
    rows
}

/// Every key of the schema, by its path, as a table would list it. The meaning is empty.
pub(super) fn listed(schema: &Value) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    visit(schema, "", &mut |path, property, required| {
        let default = match property.get("default") {
            Some(default) => format!("`{default}`"),
            None if required && !is_section(path) => "required".into(),
            None => "—".into(),
        };
        let value = property["description"].as_str().unwrap().into();
        rows.insert(path.into(), Row { value, default, meaning: String::new() });
    });
    rows
}

/// The only object that must be there because of a key in it, but has a heading of its own.
fn is_section(path: &str) -> bool {
    path == "api"
}

/// Calls `see` with the path, the shape and the necessity of every key in the schema.
pub(super) fn visit(shape: &Value, at: &str, see: &mut impl FnMut(&str, &Value, bool)) {
    for (name, property) in shape["properties"].as_object().into_iter().flatten() {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let required = shape["required"].as_array().is_some_and(|required| required.contains(&json!(name)));
        see(&path, property, required);
        visit(property, &path, see);
        visit(&property["items"], &format!("{path}[]"), see);
    }
}

/// Adds to the descriptions of the schema what the document says that the keys do.
pub(super) fn describe(shape: &mut Value, at: &str, rows: &BTreeMap<String, Row>) {
    let Some(properties) = shape.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, property) in properties {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let meaning = rows[&path].meaning.replace('`', "");
        let value = property["description"].as_str().unwrap();
        let is_said_by_the_schema =
            value == "object" || property["type"] == "boolean" || property.get("enum").is_some();
        property["description"] =
            if is_said_by_the_schema { json!(meaning) } else { json!(format!("{meaning} Value: {value}.")) };
        describe(property, &path, rows);
        if let Some(items) = property.get_mut("items") {
            items.as_object_mut().unwrap().remove("description");
            describe(items, &format!("{path}[]"), rows);
        }
    }
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).chain(['.']).collect()).unwrap_or_default()
}
