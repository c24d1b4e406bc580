//! Turns a Criminal IP report into an [`Assessment`], and an assessment into a [`Verdict`].
//!
//! Everything here is a pure function of its arguments: no clock, no input or output, no randomness, no globals. The
//! crate is `no_std`, so that the compiler keeps it that way, and it runs the same inside a proxy, in an edge runtime
//! and on a command line.
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::disallowed_macros
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod assessment;
mod certificate;
mod finding;
mod host;
mod json;
mod judgement;
mod list;
mod network;
mod octets;
mod policy;
mod profile;
mod report;
mod runs;
mod scope;
mod selection;
mod tag;
mod text;
mod time;
mod unit;
mod window;
mod zone;

pub use address::{AddressError, Peer, ip_text, parse_ip, parse_peer};
pub use assessment::{Assessment, Class, Country, Level, Score};
pub use finding::{Finding, Findings};
pub use host::{Host, HostEntry, HostError, HostList, HostScope, RepeatedHost, is_internal, parse_host};
pub use json::{JsonError, JsonReader, unescaped};
pub use judgement::{Found, Judgement, Levels, REPORT_PAGES, found_in, report_link};
pub use list::{Duplicate, Entry, List};
pub use network::{Network, network_text, parse_network};
pub use policy::{Action, Condition, Connection, Direction, Evidence, Needs, Policy, Rule, Verdict};
pub use profile::Profile;
pub use report::{
    AnswerError, Detail, DomainReading, EVIDENCE_MAX_AGE, Examination, Reading, examine, read_answer,
    read_domain_answer,
};
pub use runs::Runs;
pub use scope::{Scope, SpecialPurpose, special_purpose};
pub use selection::{Criteria, Selection};
pub use tag::{Source, write_tag};
pub use text::{decimal, filled, hexadecimal, how_many, push_number, signed_decimal};
pub use time::Timestamp;
pub use unit::{UnitError, parse_duration, parse_number, parse_size};
pub use window::{TimeWindow, WindowError};
pub use zone::TimeZone;
