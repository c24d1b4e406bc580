//! `select`: what is looked up.

use super::Select;
use super::form::{Choice, Flag, Whole};
use super::json::Json;
use super::keys::{Keys, Section, any_number_of, one_or_more};
use super::text::{HOST, NETWORK, ROUTE_NAME, TIME_ZONE, WITHIN};
use evaluator::{Criteria, Selection, TimeWindow};

pub(super) fn select(keys: &mut Keys<'_>) -> Option<Select> {
    // What says all or nothing leaves the conditions where they are, to be used again later.
    const MODE: Choice<bool> = Choice(&[("all", true), ("events", false)]);
    let mode = keys.optional("mode", MODE);
    let domains = keys.or("domains", Flag, false);
    let conditions = conditions(keys);
    let connections = match mode {
        Some(true) => Selection::All,
        Some(false) => Selection::Events,
        None => conditions?,
    };
    Some(Select { domains: domains?, connections })
}

/// What each condition selects by itself, and what the groups of `all_of` select. Without any, everything.
fn conditions(keys: &mut Keys<'_>) -> Option<Selection> {
    let Criteria { ports, ports_other_than, outside, routes, hosts, sources, sample } = criteria(keys)?;
    let groups = keys.or("all_of", any_number_of(Section(criteria)), Json::Array(Vec::new()))?;
    let none = Criteria::default;
    let alone = [
        Criteria { ports, ..none() },
        Criteria { ports_other_than, ..none() },
        Criteria { outside, ..none() },
        Criteria { routes, ..none() },
        Criteria { hosts, ..none() },
        Criteria { sources, ..none() },
        Criteria { sample, ..none() },
    ];
    let any: Vec<_> = alone.into_iter().filter(|criteria| *criteria != none()).chain(groups).collect();
    Some(if any.is_empty() { Selection::All } else { Selection::Matching(any) })
}

fn criteria(keys: &mut Keys<'_>) -> Option<Criteria> {
    const PORT: Whole<u16> = Whole { least: 1, most: u16::MAX };
    Some(Criteria {
        ports_other_than: keys.optional("ports_other_than", one_or_more(PORT)).unwrap_or_default(),
        ports: keys.optional("critical_ports", one_or_more(PORT)).unwrap_or_default(),
        outside: keys.optional("after_hours", Section(after_hours)),
        routes: keys.optional("routes", one_or_more(ROUTE_NAME)).unwrap_or_default(),
        hosts: keys.optional("hosts", one_or_more(HOST)).unwrap_or_default(),
        sources: keys.optional("sources", one_or_more(NETWORK)).unwrap_or_default(),
        sample: keys.optional("sample_percent", Whole { least: 1_u8, most: 100 }),
    })
}

fn after_hours(keys: &mut Keys<'_>) -> Option<TimeWindow> {
    let time_zone = keys.required("time_zone", TIME_ZONE);
    let working = keys.required("working", WITHIN);
    TimeWindow::parse(&time_zone?, &working?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(select: &str) -> Selection {
        let document = format!(r#"{{"api": {{"cluster": "c"}}, "select": {select}}}"#);
        Config::parse(document.as_bytes()).unwrap().select.connections
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
