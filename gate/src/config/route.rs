//! What the metadata of a route may change.

use super::document::{FALLBACK, HOLD, MODE, read_as};
use super::json::Json;
use super::keys::{Keys, Section};
use super::rules::{PROFILE, complete};
use super::{Config, Fallback, Mistake, Mode};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::Profile;

/// Metadata as the proxy hands it over. Bytes may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// A string. What is none, such as a number, is a string that no key takes.
    Text(Vec<u8>),
    /// Values by their names.
    Map(Vec<(Vec<u8>, Metadata)>),
}

impl Config {
    /// The configuration with what a route's metadata changes in it: `mode`, `profile`, `first_look.hold`,
    /// `first_look.then` and `on_error`, each written as in the document.
    ///
    /// # Errors
    /// Every mistake in the metadata. Then none of it counts.
    pub fn for_route(&self, metadata: &Metadata) -> Result<Config, Vec<Mistake>> {
        read_as(&Section(own), &Json::from(metadata)).map(|own| own.over(self))
    }
}

/// What a route has of its own; `None` where the configuration counts.
struct Own {
    mode: Option<Mode>,
    profile: Option<Option<Profile>>,
    first_look: Option<OwnFirstLook>,
    on_error: Option<Fallback>,
}

struct OwnFirstLook {
    hold: Option<Duration>,
    then: Option<Fallback>,
}

impl Own {
    fn over(self, base: &Config) -> Config {
        let mut config = base.clone();
        config.mode = self.mode.unwrap_or(base.mode);
        config.on_error = self.on_error.unwrap_or(base.on_error);
        if let Some(first_look) = self.first_look {
            config.first_look.hold = first_look.hold.unwrap_or(base.first_look.hold);
            config.first_look.then = first_look.then.unwrap_or(base.first_look.then);
        }
        if let Some(profile) = self.profile {
            let mut rules = core::mem::take(&mut config.policy.rules);
            rules.truncate(rules.len().saturating_sub(complete(Vec::new(), base.profile).rules.len()));
            config.policy = complete(rules, profile);
            config.profile = profile;
        }
        config
    }
}

fn own(keys: &mut Keys<'_>) -> Own {
    Own {
        mode: keys.optional("mode", &MODE),
        profile: keys.optional("profile", &PROFILE),
        first_look: keys.optional("first_look", &Section(first_look)),
        on_error: keys.optional("on_error", &FALLBACK),
    }
}

fn first_look(keys: &mut Keys<'_>) -> OwnFirstLook {
    OwnFirstLook { hold: keys.optional("hold", &HOLD), then: keys.optional("then", &FALLBACK) }
}

impl From<&Metadata> for Json {
    fn from(metadata: &Metadata) -> Json {
        let text = |bytes: &[u8]| Box::from(&*String::from_utf8_lossy(bytes));
        match metadata {
            Metadata::Text(bytes) => Json::Text(text(bytes)),
            Metadata::Map(values) => {
                Json::Object(values.iter().map(|(name, value)| (text(name), Json::from(value))).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MistakeKind::{self, Malformed, OutOfRange, UnknownKey, UnknownValue, WrongType};

    fn config(extra: &str) -> Config {
        let document = format!(r#"{{"api": {{"cluster": "c"}} {extra}}}"#);
        Config::parse(document.as_bytes()).unwrap()
    }

    fn text(text: &str) -> Metadata {
        Metadata::Text(text.into())
    }

    fn map<const N: usize>(values: [(&str, Metadata); N]) -> Metadata {
        Metadata::Map(values.map(|(name, value)| (name.into(), value)).into())
    }

    #[test]
    fn a_route_changes_what_it_names_and_nothing_else() {
        let rules = r#"{"name": "mine", "when": {"country": ["KR"]}, "then": "tag"}"#;
        let base = config(&format!(r#", "policy": {{"rules": [{rules}]}}, "first_look": {{"max_held": 7}}"#));
        let names = |config: &Config| config.policy.rules.iter().map(|rule| rule.name.to_string()).collect::<Vec<_>>();

        let same = base.for_route(&map([])).unwrap();
        assert_eq!(format!("{same:?}"), format!("{base:?}"));

        let first_look = map([("hold", text("0s")), ("then", text("deny"))]);
        let route = base.for_route(&map([("mode", text("shadow")), ("first_look", first_look)])).unwrap();
        assert_eq!(
            (route.mode, route.on_error, route.profile),
            (Mode::Shadow, Fallback::Allow, Some(Profile::Ingress))
        );
        assert_eq!((route.first_look.hold, route.first_look.then), (Duration::ZERO, Fallback::Deny));
        assert_eq!((route.first_look.max_held, names(&route)), (7, names(&base)));

        let route = base.for_route(&map([("profile", text("pipeline")), ("on_error", text("deny"))])).unwrap();
        assert_eq!(
            (route.mode, route.on_error, route.profile),
            (Mode::Enforce, Fallback::Deny, Some(Profile::Pipeline))
        );
        assert_eq!(route.first_look, base.first_look);
        let expected = config(&format!(r#", "policy": {{"profile": "pipeline", "rules": [{rules}]}}"#));
        assert_eq!(route.policy, expected.policy);

        let none = base.for_route(&map([("profile", text("none"))])).unwrap();
        assert_eq!((none.profile, names(&none)), (None, vec!["mine".to_string()]));
        assert_eq!(none.for_route(&map([("profile", text("ingress"))])).unwrap().policy, base.policy);
    }

    #[test]
    fn every_mistake_in_metadata_is_named_and_then_none_of_it_counts() {
        let base = config("");
        let check = |metadata: Metadata, expected: &[(&str, MistakeKind)]| {
            let mistakes = base.for_route(&metadata).unwrap_err();
            let found: Vec<_> = mistakes.iter().map(|mistake| (&*mistake.path, mistake.kind)).collect();
            assert_eq!(found, expected, "{metadata:?}");
        };
        check(text("shadow"), &[("", WrongType)]);
        check(map([("mode", text("shadow")), ("profiel", text("none"))]), &[("profiel", UnknownKey)]);
        check(
            map([("mode", text("off")), ("on_error", text("Deny"))]),
            &[("mode", UnknownValue), ("on_error", UnknownValue)],
        );
        check(map([("mode", Metadata::Text(vec![0, 0, 0, 0, 0, 0x40, 0x79, 0x40]))]), &[("mode", UnknownValue)]);
        check(map([("mode", map([]))]), &[("mode", WrongType)]);
        check(map([("first_look", text("1s"))]), &[("first_look", WrongType)]);
        check(map([("first_look", map([("hold", text("1 s"))]))]), &[("first_look.hold", Malformed)]);
        check(map([("first_look", map([("hold", text("61s"))]))]), &[("first_look.hold", OutOfRange)]);
    }
}
