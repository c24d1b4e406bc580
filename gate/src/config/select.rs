//! `select`: what is looked up.

use super::Select;
use super::form::{Choice, Flag, Whole};
use super::keys::{Keys, Many, Section, any_number_of, one_or_more};
use super::rules::{HOSTS, PORTS};
use super::text::{NETWORK, ROUTE_NAME, TIME_ZONE, Text, WITHIN};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::swap;
use evaluator::{Criteria, Selection, TimeWindow};
use ipnet::IpNet;

/// `select` as it is written.
pub(super) struct WrittenSelect {
    pub(super) domains: bool,
    /// Whether all connections are selected or none.
    mode: Option<bool>,
    /// Each of which selects by itself.
    criteria: Criteria,
    groups: Vec<Criteria>,
}

pub(super) fn select(keys: &mut Keys<'_>) -> WrittenSelect {
    const MODE: Choice<bool> = Choice::of(&["all", "events"], &[true, false]);
    const GROUPS: Many<Section<Criteria>> = any_number_of(Section(criteria));
    WrittenSelect {
        mode: keys.optional("mode", &MODE),
        domains: keys.or("domains", &Flag, "false"),
        criteria: criteria(keys),
        groups: keys.or("all_of", &GROUPS, "[]"),
    }
}

impl WrittenSelect {
    pub(super) fn made(self) -> Select {
        // What says all or nothing leaves the conditions where they are, to be used again later.
        let connections = match self.mode {
            Some(true) => Selection::All,
            Some(false) => Selection::Events,
            None => matching(self.criteria, self.groups),
        };
        Select { domains: self.domains, connections }
    }
}

/// What each criterion selects by itself, and what the groups select. Without any, everything.
fn matching(mut all: Criteria, groups: Vec<Criteria>) -> Selection {
    const CONDITIONS: [fn(&mut Criteria, &mut Criteria); 7] = [
        |alone, all| swap(&mut alone.ports, &mut all.ports),
        |alone, all| swap(&mut alone.ports_other_than, &mut all.ports_other_than),
        |alone, all| swap(&mut alone.outside, &mut all.outside),
        |alone, all| swap(&mut alone.routes, &mut all.routes),
        |alone, all| swap(&mut alone.hosts, &mut all.hosts),
        |alone, all| swap(&mut alone.sources, &mut all.sources),
        |alone, all| swap(&mut alone.sample, &mut all.sample),
    ];
    let mut any = Vec::new();
    for take_one in CONDITIONS {
        let mut alone = Criteria::default();
        take_one(&mut alone, &mut all);
        if alone != Criteria::default() {
            any.push(alone);
        }
    }
    any.extend(groups);
    if any.is_empty() { Selection::All } else { Selection::Matching(any) }
}

fn criteria(keys: &mut Keys<'_>) -> Criteria {
    const ROUTES: Many<Text<Box<str>>> = one_or_more(ROUTE_NAME);
    const SOURCES: Many<Text<IpNet>> = one_or_more(NETWORK);
    Criteria {
        ports_other_than: keys.list("ports_other_than", &PORTS),
        ports: keys.list("critical_ports", &PORTS),
        outside: keys.optional("after_hours", &Section(after_hours)).flatten(),
        routes: keys.list("routes", &ROUTES),
        hosts: keys.list("hosts", &HOSTS),
        sources: keys.list("sources", &SOURCES),
        sample: keys.optional("sample_percent", &Whole { least: 1_u8, most: 100 }),
    }
}

fn after_hours(keys: &mut Keys<'_>) -> Option<TimeWindow> {
    let time_zone = keys.required("time_zone", &TIME_ZONE);
    let working = keys.required("working", &WITHIN);
    TimeWindow::parse(&time_zone, &working).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(select: &str) -> Selection {
        let document = format!(r#"{{"api": {{"cluster": "c"}}, "select": {select}}}"#);
        Config::parse(document.as_bytes()).unwrap().select.connections.clone()
    }

    #[test]
    fn each_condition_selects_by_itself_and_a_group_as_a_whole() {
        let none = Criteria::default;
        let outside = TimeWindow::parse("Asia/Seoul", "Mon-Fri 09:00-18:00").ok();
        let selection = read(
            r#"{"ports_other_than": [80, 443], "critical_ports": [22],
                "after_hours": {"time_zone": "Asia/Seoul", "working": "Mon-Fri 09:00-18:00"},
                "routes": ["admin"], "hosts": ["*.corp.example"], "sources": ["10.1.0.0/16"], "sample_percent": 5,
                "all_of": [{"critical_ports": [3389], "sample_percent": 50}, {}]}"#,
        );
        assert_eq!(
            selection,
            Selection::Matching(vec![
                Criteria { ports: vec![22], ..none() },
                Criteria { ports_other_than: vec![80, 443], ..none() },
                Criteria { outside, ..none() },
                Criteria { routes: vec!["admin".into()], ..none() },
                Criteria { hosts: vec!["*.corp.example".into()], ..none() },
                Criteria { sources: vec!["10.1.0.0/16".parse().unwrap()], ..none() },
                Criteria { sample: Some(5), ..none() },
                Criteria { ports: vec![3389], sample: Some(50), ..none() },
                none(),
            ])
        );
    }

    #[test]
    fn without_conditions_all_are_selected_and_the_mode_outweighs_conditions() {
        for (select, expected) in [
            ("{}", Selection::All),
            (r#"{"all_of": []}"#, Selection::All),
            (r#"{"mode": "all", "critical_ports": [22]}"#, Selection::All),
            (r#"{"mode": "events"}"#, Selection::Events),
            (r#"{"mode": "events", "critical_ports": [22]}"#, Selection::Events),
        ] {
            assert_eq!(read(select), expected, "{select}");
        }
    }
}
