//! From facts to a verdict, with what people want to know about it.

use crate::exit::{Exit, Failure};
use evaluator::{
    Action, Assessment, Connection, Direction, Entry, Examination, Judgement, Policy, Profile, Selection, Timestamp,
};
use gate::Config;
use ipnet::IpNet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::path::Path;

pub(crate) use evaluator::report_link as link;

/// The rules to judge by, and which way the traffic goes.
pub(crate) struct Judge {
    pub(crate) policy: Policy,
    pub(crate) direction: Direction,
    pub(crate) profile: Option<Profile>,
}

impl Judge {
    /// The rules of a profile; the direction is the profile's own unless given.
    pub(crate) fn of_profile(profile: Profile, direction: Option<Direction>) -> Judge {
        let direction = direction.unwrap_or(match profile {
            Profile::Ingress => Direction::Ingress,
            Profile::Egress | Profile::Pipeline => Direction::Egress,
        });
        Judge { policy: profile.policy(), direction, profile: Some(profile) }
    }

    /// The rules of a configuration.
    fn of_config(config: &Config) -> Judge {
        Judge { policy: config.policy.clone(), direction: config.direction, profile: config.profile }
    }

    /// The name of the profile that the rules end with.
    pub(crate) fn profile_name(&self) -> &'static str {
        self.profile.map_or("none", Profile::name)
    }

    /// The verdict on a connection to a peer with this report.
    pub(crate) fn judge<'a>(
        &'a self,
        ip: IpAddr,
        examination: &'a Examination,
        connection: &Connection<'_>,
    ) -> Judged<'a> {
        let assessment = examination.reading.assessment;
        let profile = self.profile.map(Profile::name);
        Judged {
            judgement: Judgement::new(ip, Ok(examination), &self.policy, profile, connection),
            action: self.policy.evaluate(&assessment, connection).action,
            assessment,
            subject: examination.reading.subject,
        }
    }
}

/// A verdict with what it rests on.
pub(crate) struct Judged<'a> {
    pub(crate) judgement: Judgement<'a>,
    pub(crate) action: Action,
    pub(crate) assessment: Assessment,
    /// The address that the report names.
    pub(crate) subject: Option<IpAddr>,
}

impl Judged<'_> {
    /// The mark of a verdict: `OK` or `SUSPICIOUS`.
    pub(crate) fn mark(&self) -> &'static str {
        if self.action == Action::Allow { "OK" } else { "SUSPICIOUS" }
    }
}

/// A whole configuration to judge by: lists, scope and selection as well as rules.
pub(crate) struct Site {
    pub(crate) config: Config,
    pub(crate) judge: Judge,
    /// What routes change, by their names; or what is wrong with their metadata.
    pub(crate) routes: Vec<(String, Result<Judge, String>)>,
    /// Networks that count as public beyond the configuration.
    treat_as_public: Vec<IpNet>,
}

/// What is said about a peer before any evidence.
pub(crate) enum Before<'a> {
    Listed(Action, &'a Entry),
    NotPublic,
    /// Facts decide.
    Wanted,
}

impl Site {
    /// The configuration in a file.
    ///
    /// # Errors
    /// [`Exit::Mistakes`] where it has some.
    pub(crate) fn read(file: &Path, treat_as_public: &[IpNet]) -> anyhow::Result<Site> {
        let name = crate::check::name(file);
        let text = crate::lint::read(file)?;
        let mistakes = |text| Failure::new(Exit::Mistakes, text);
        let mut found = crate::lint::configurations(&text, &name).map_err(mistakes)?;
        if found.len() > 1 {
            let places: Vec<_> = found.iter().map(|found| found.at.to_string()).collect();
            return Err(Failure::new(
                Exit::Usage,
                format!("{name}: there is more than one configuration, at {}; put one into a file", places.join(", ")),
            )
            .into());
        }
        let found = found.remove(0);
        let routes = found.routes.into_iter().map(|(name, own)| (name, own.map(|config| Judge::of_config(&config))));
        Ok(Site { routes: routes.collect(), ..Site::new(found.config, treat_as_public) })
    }

    /// A profile with everything else as it is by default.
    pub(crate) fn of_profile(profile: Profile, direction: Option<Direction>, treat_as_public: &[IpNet]) -> Site {
        let judge = Judge::of_profile(profile, direction);
        let text = format!(
            r#"{{"api": {{"cluster": "criminalip"}}, "direction": "{}", "policy": {{"profile": "{}"}}}}"#,
            judge.direction.name(),
            profile.name()
        );
        let config = Config::parse(text.as_bytes());
        let config = config.unwrap_or_else(|mistakes| panic!("a profile alone is right, but: {mistakes:?}"));
        Site::new(config, treat_as_public)
    }

    fn new(config: Config, treat_as_public: &[IpNet]) -> Site {
        let judge = Judge::of_config(&config);
        Site { config, judge, routes: Vec::new(), treat_as_public: treat_as_public.to_vec() }
    }

    /// What lists and scope say, in the order in which the filter asks them.
    pub(crate) fn before(&self, ip: IpAddr, connection: &Connection<'_>) -> Before<'_> {
        if let Some((action, entry)) = self.listed(ip, connection.now) {
            return Before::Listed(action, entry);
        }
        if !self.config.scope.is_public(ip) && !self.treat_as_public.iter().any(|network| network.contains(&ip)) {
            return Before::NotPublic;
        }
        Before::Wanted
    }

    fn listed(&self, ip: IpAddr, now: Timestamp) -> Option<(Action, &Entry)> {
        let lists = &self.config.lists;
        let allowed = lists.allow.find(ip, now).map(|entry| (Action::Allow, entry));
        allowed.or_else(|| lists.deny.find(ip, now).map(|entry| (Action::Deny, entry)))
    }

    /// Whether traffic alone makes a lookup of this connection worth its credit.
    pub(crate) fn selects(&self, ip: IpAddr, connection: &Connection<'_>) -> bool {
        let selection = &self.config.select.connections;
        // A proxy draws lots of its own; here an address always has the same.
        let mut hasher = DefaultHasher::new();
        ip.hash(&mut hasher);
        let lot = u8::try_from(hasher.finish() % 100).unwrap_or_default();
        *selection == Selection::All || selection.selects(connection, lot)
    }

    /// The same where an event asks: then what only waits for events is selected too.
    pub(crate) fn selects_after_event(&self, ip: IpAddr, connection: &Connection<'_>) -> bool {
        self.config.select.connections == Selection::Events || self.selects(ip, connection)
    }
}
