//! `lists.feeds`: lists that others keep, and that the proxy fetches.

use super::form::{Choice, Span};
use super::json::Json;
use super::keys::{Keys, Many, Section, set_of};
use super::mistake::MistakeKind;
use super::text::{AUTHORITY, CLUSTER, PATH, REMARK};
use crate::hash::hash;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::Action;

/// A list that somebody else keeps.
#[derive(Debug, PartialEq, Eq)]
pub struct Feed {
    /// The proxy's cluster that leads to it, 1 to 255 characters.
    pub cluster: Box<str>,
    /// The `:authority` of the requests.
    pub authority: Box<str>,
    /// The path, with its query.
    pub path: Box<str>,
    /// How it is written.
    pub format: FeedFormat,
    /// How often it is fetched, 1 s to 7 days.
    pub every: Duration,
    /// What happens to streams of peers that it names.
    pub then: Action,
    /// What tells it from all others, in all workers: made of everything but `every` and `then`.
    pub(crate) id: u64,
}

impl Feed {
    /// How many feeds one configuration may have.
    pub const MOST: usize = 16;

    /// The same with its `id`.
    pub(super) fn identified(self) -> Feed {
        let Feed { cluster, authority, path, format, .. } = &self;
        let id = hash((0, 0), &(cluster, authority, path, format)).h1;
        Feed { id, ..self }
    }

    /// How logs name it: host and path.
    pub fn name(&self) -> String {
        [&*self.authority, &self.path].concat()
    }
}

/// How a feed is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FeedFormat {
    /// An address or a network a line; comments start with `#` or `;`.
    Plain,
    /// CSV.
    Csv {
        /// The name of the column with the addresses; without one it is the first, and there is no line of names.
        column: Option<Box<str>>,
    },
    /// A STIX 2.1 bundle of indicators.
    Stix,
}

/// Feeds that are still to be [`Feed::identified`].
pub(super) fn feeds(keys: &mut Keys<'_>) -> Vec<Feed> {
    const FEEDS: Many<Section<Feed>> = set_of(Section(feed), Feed::MOST, identity);
    keys.or("feeds", &FEEDS, "[]")
}

fn feed(keys: &mut Keys<'_>) -> Feed {
    const FORMAT: Choice<Written> =
        Choice::of(&["plain", "csv", "stix"], &[Written::Plain, Written::Csv, Written::Stix]);
    const EVERY: Span = Span { least: Duration::from_secs(1), most: Duration::from_secs(7 * 86_400) };
    const THEN: Choice<Action> = Choice::of(&["allow", "tag", "deny"], &[Action::Allow, Action::Tag, Action::Deny]);
    let cluster = keys.required("cluster", &CLUSTER);
    let authority = keys.required("authority", &AUTHORITY);
    let path = keys.required("path", &PATH);
    let format = keys.optional("format", &FORMAT);
    let column = keys.optional("column", &REMARK);
    let every = keys.or("every", &EVERY, "1h");
    let then = keys.required("then", &THEN);
    if column.is_some() && !matches!(format, None | Some(Written::Csv)) && keys.is_right("format") {
        let message = "only the format \"csv\" has a \"column\"; leave one of them out".into();
        keys.note(MistakeKind::Conflict, message);
    }
    let format = match (format, &column) {
        (Some(Written::Csv), _) | (None, Some(_)) => FeedFormat::Csv { column },
        (Some(Written::Plain) | None, _) => FeedFormat::Plain,
        (Some(Written::Stix), _) => FeedFormat::Stix,
    };
    Feed { cluster, authority, path, format, every, then, id: 0 }
}

/// The name of a format.
#[derive(Clone, Copy)]
enum Written {
    Plain,
    Csv,
    Stix,
}

/// Where a feed comes from: one that is there twice would be asked twice.
fn identity(feed: &Json) -> Option<String> {
    let text = |name| feed.member(name).and_then(Json::text);
    Some([text("cluster")?, " ", text("authority")?, text("path")?, " ", text("column").unwrap_or_default()].concat())
}
