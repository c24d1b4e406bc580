//! `/v1/peers`: what is known.

use super::query::Query;
use super::reply::{Problem, Reply};
use super::{Call, overrides as api_overrides};
use crate::audit::What;
use crate::cache::Fact;
use crate::core::audit;
use crate::overrides::{self, Override};
use crate::table::Spot;
use crate::writer::Writer;
use crate::{Effects, Gate, Moment, Priority, Proxy, Remote, Role, Site, Subject, SubjectId};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use evaluator::{
    Action, Assessment, Connection, Finding, Host, Level, Network, Profile, Verdict, parse_host, parse_ip,
};

/// How many shared values one request looks through: about a millisecond, for which all traffic of the worker waits.
const BUCKETS: u64 = 512;

/// Which peers are wanted.
struct Filter {
    min_score: Option<u32>,
    finding: Option<Finding>,
    verdict: Option<Action>,
}

impl Gate {
    #[inline(never)]
    pub(super) fn list_peers(&self, query: &mut Query<'_>, proxy: Proxy<'_>) -> Result<Reply, Problem> {
        let limit = query.limit()?;
        let levels = [("20", 20), ("40", 40), ("60", 60), ("80", 80), ("100", 100)];
        let filter = Filter {
            min_score: query.choice("min_score", levels.into_iter())?,
            finding: query.choice("finding", Finding::ALL.iter().map(|finding| (finding.code(), *finding)))?,
            verdict: query
                .choice("verdict", [Action::Allow, Action::Tag, Action::Deny].map(|a| (a.name(), a)).into_iter())?,
        };
        let cursor = query.text("cursor").map(|cursor| {
            Spot::parse(cursor).ok_or_else(|| Problem::invalid("cursor", "malformed", "take it from the page before"))
        });
        let cursor = cursor.transpose()?.unwrap_or_default();
        query.end()?;
        let overrides = overrides::read(proxy.store);
        let mut writer = Writer::default();
        writer.open('{');
        writer.list("peers");
        let mut found: usize = 0;
        let next = self.table().walk(proxy.store, cursor, BUCKETS, &mut |peer, fact| {
            let Some(address) = peer.address() else { return true };
            let verdicts = self.verdicts(&fact, proxy.now);
            if filter.wants(&fact, &verdicts) {
                if found >= limit {
                    return false;
                }
                found = found.saturating_add(1);
                write(&mut writer, &Subject::Address(address), &fact, &verdicts, &overrides, proxy.now);
            }
            true
        });
        writer.close(']');
        writer.text_or_null("next", next.map(|next| next.text()).as_deref());
        writer.close('}');
        Ok(Reply::json(200, writer))
    }

    #[inline(never)]
    pub(super) fn peer(&self, call: &Call, query: &Query<'_>, proxy: Proxy<'_>) -> Result<Reply, Problem> {
        query.end()?;
        let (subject, id) = self.subject(&call.subject)?;
        let fact = self.newest(id, proxy).ok_or_else(Problem::not_found)?;
        let mut writer = Writer::default();
        let verdicts = self.verdicts(&fact, proxy.now);
        write(&mut writer, &subject, &fact, &verdicts, &overrides::read(proxy.store), proxy.now);
        Ok(Reply::json(200, writer))
    }

    #[inline(never)]
    pub(super) fn look_up_peer(
        &mut self,
        call: &Call,
        query: &Query<'_>,
        proxy: Proxy<'_>,
        effects: &mut Effects,
    ) -> Result<Reply, Problem> {
        query.end()?;
        let (subject, id) = self.subject(&call.subject)?;
        let remote = match &subject {
            Subject::Address(address) => Remote::from(*address),
            Subject::Domain(name) => Remote::from(&**name),
        };
        let asks = |site: &&Rc<Site>| self.judged(&site.config, &remote, proxy.now.timestamp()).contains(&Some(id));
        // The gates know best how Criminal IP is asked.
        let (control, gates): (Vec<_>, Vec<_>) =
            self.sites().iter().rev().partition(|site| site.config.role == Role::Control);
        let site = gates.iter().chain(&control).copied().find(asks).cloned();
        let Some(site) = site else {
            return Err(Problem::invalid("peer", "not_public", "no configuration here would look it up"));
        };
        if !self.want(&site, id, &remote, Priority::Event, proxy.now) {
            return Err(Problem::new(503, "full", "too many lookups wait already"));
        }
        effects.wake.push(site.root);
        audit(What::Lookup, &subject.text(), &call.by, None, proxy, effects);
        let mut writer = Writer::default();
        writer.open('{');
        writer.text("peer", &subject.text());
        writer.flag("queued", true);
        writer.close('}');
        Ok(Reply::json(202, writer))
    }

    fn subject(&self, text: &str) -> Result<(Subject, SubjectId), Problem> {
        if let Some(address) = parse_ip(text) {
            let address = address.to_canonical();
            return Ok((address.into(), address.into()));
        }
        match parse_host(text.as_bytes()) {
            Ok(Host::Name { name, port: None }) => {
                let id = SubjectId::of_domain(&name, self.seed());
                Ok((Subject::Domain(Rc::from(name)), id))
            }
            _ => Err(Problem::invalid("peer", "malformed", "write an address or the name of a domain")),
        }
    }

    /// What each policy says about a peer of whom no more is known, each once.
    #[inline(never)]
    fn verdicts<'s>(&'s self, fact: &Fact, now: Moment) -> Vec<(&'s Site, Verdict)> {
        let Fact::Known { assessment, .. } = fact else { return Vec::new() };
        let mut verdicts: Vec<(&Site, Verdict)> = Vec::new();
        for site in self.sites().iter().filter(|site| site.config.role != Role::Control) {
            let config = &site.config;
            let verdict = config.policy.evaluate(assessment, &Connection::new(config.direction, now.timestamp()));
            let same = |(other, says): &(&Site, Verdict)| kind(other) == kind(site) && *says == verdict;
            if !verdicts.iter().any(same) {
                verdicts.push((site, verdict));
            }
        }
        verdicts
    }
}

/// What tells the policies of configurations apart for those who read.
fn kind(site: &Site) -> (&'static str, Role, &'static str, Option<&'static str>) {
    let config = &site.config;
    (config.direction.name(), config.role, config.mode.name(), config.profile.map(Profile::name))
}

impl Filter {
    fn wants(&self, fact: &Fact, verdicts: &[(&Site, Verdict)]) -> bool {
        let known = match fact {
            Fact::Known { assessment, .. } => Some(assessment),
            Fact::Failed { .. } => None,
        };
        let holds = |wanted: bool, has: &dyn Fn(&Assessment) -> bool| !wanted || known.is_some_and(has);
        let score = self.min_score.unwrap_or(0);
        holds(score > 0, &|known| known.score.highest().is_some_and(|level| level as u32 >= score))
            && holds(self.finding.is_some(), &|known| {
                self.finding.is_some_and(|finding| known.findings.contains(finding))
            })
            && self.verdict.is_none_or(|wanted| verdicts.iter().any(|(_, verdict)| verdict.action == wanted))
    }
}

fn write(
    writer: &mut Writer,
    peer: &Subject,
    fact: &Fact,
    verdicts: &[(&Site, Verdict)],
    overrides: &[Override],
    now: Moment,
) {
    let (address, kind_of) = match peer {
        Subject::Address(address) => (Some(*address), "address"),
        Subject::Domain(_) => (None, "domain"),
    };
    let (known, error) = match fact {
        Fact::Known { assessment, .. } => (Some(assessment), None),
        Fact::Failed { error, .. } => (None, Some(error.code())),
    };
    writer.open('{');
    writer.text("peer", &peer.text());
    writer.text("kind", kind_of);
    writer.text("learned", &fact.learned().to_rfc3339());
    writer.number("age", fact.age(now.timestamp()).into());
    writer.text_or_null("error", error);
    writer.text_or_null("class", known.map(|known| known.class().name()));
    writer.object("score");
    let level = |level: Option<Level>| level.map(|level| u64::from(level as u8));
    writer.number_or_null("inbound", known.and_then(|known| level(known.score.inbound)));
    writer.number_or_null("outbound", known.and_then(|known| level(known.score.outbound)));
    writer.close('}');
    writer.findings(known.map(|known| known.findings).unwrap_or_default());
    writer.number_or_null("asn", known.and_then(|known| known.asn).map(|asn| asn.get().into()));
    let country = known.and_then(|known| known.country).map(|country| country.letters().iter().collect::<String>());
    writer.text_or_null("country", country.as_deref());
    writer.list("verdicts");
    for (site, verdict) in verdicts {
        let (direction, role, mode, profile) = kind(site);
        writer.open('{');
        writer.text("direction", direction);
        writer.text("role", role.name());
        writer.text("mode", mode);
        writer.text_or_null("profile", profile);
        writer.text("verdict", verdict.action.name());
        writer.text_or_null("rule", site.config.policy.rule_name(verdict));
        writer.close('}');
    }
    writer.close(']');
    let around = |one: &&Override| address.is_some_and(|ip| Network::from(one.net()).holds(Network::host(ip)));
    match overrides.iter().filter(around).max_by_key(|one| one.net().prefix_len()) {
        Some(one) => {
            writer.object("override");
            api_overrides::write(writer, one);
            writer.close('}');
        }
        None => writer.null("override"),
    }
    writer.report(address);
    writer.close('}');
}
