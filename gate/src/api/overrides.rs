//! `/v1/overrides`: what operators allow and deny.

use super::query::Query;
use super::reply::{Problem, Reply};
use super::{Call, Task};
use crate::audit::What;
use crate::config::{read_network, read_new_override};
use crate::core::audit;
use crate::overrides::{self, LIMIT, Override, Put};
use crate::writer::Writer;
use crate::{Effects, Gate, Moment, Proxy};
use evaluator::{Action, filled, how_many, network_text};
use ipnet::IpNet;

pub(super) fn list(query: &Query<'_>, proxy: Proxy<'_>) -> Result<Reply, Problem> {
    query.end()?;
    let mut writer = Writer::default();
    writer.open('{');
    writer.list("overrides");
    for one in overrides::read(proxy.store) {
        writer.open('{');
        write(&mut writer, &one);
        writer.close('}');
    }
    writer.close(']');
    writer.close('}');
    Ok(Reply::json(200, writer))
}

impl Gate {
    #[inline(never)]
    pub(super) fn put(&mut self, task: Task<'_>, effects: &mut Effects) -> Result<Reply, Problem> {
        let Task { call, body, proxy } = task;
        let net = network(&call.subject)?;
        let wanted = read_new_override(body).map_err(Problem::mistaken)?;
        if wanted.until.is_some_and(|until| Moment::from(until) <= proxy.now) {
            return Err(Problem::invalid("until", "out_of_range", "this moment has passed"));
        }
        let new = Override {
            owner: wanted.owner,
            reason: wanted.reason,
            until: wanted.until,
            by: call.by.clone(),
            ..Override::new(net, wanted.action == Action::Deny, proxy.now.timestamp())
        };
        let status = match self.put_override(&new, proxy, effects) {
            Put::Added => 201,
            Put::Replaced => 200,
            Put::Full => {
                let detail = filled("there are {} overrides already; take some back", &[&how_many(LIMIT)]);
                return Err(Problem::new(503, "full", &detail));
            }
            Put::Busy => return Err(Problem::busy()),
        };
        let mut writer = Writer::default();
        writer.open('{');
        write(&mut writer, &new);
        writer.close('}');
        Ok(Reply::json(status, writer))
    }

    #[inline(never)]
    pub(super) fn delete(
        &mut self,
        call: &Call,
        query: &mut Query<'_>,
        proxy: Proxy<'_>,
        effects: &mut Effects,
    ) -> Result<Reply, Problem> {
        let reason = query.text("reason");
        query.end()?;
        if reason.is_some_and(|reason| reason.chars().count() > 200 || reason.chars().any(char::is_control)) {
            return Err(Problem::invalid("reason", "out_of_range", "it is one line of at most 200 characters"));
        }
        let net = network(&call.subject)?;
        match overrides::take(proxy.store, net) {
            None => Err(Problem::busy()),
            Some(None) => Err(Problem::not_found()),
            Some(Some(_)) => {
                self.changed_overrides(proxy, effects);
                audit(What::OverrideDeleted, &network_text(net), &call.by, reason, proxy, effects);
                Ok(Reply::empty(204))
            }
        }
    }
}

/// The members of an override.
pub(super) fn write(writer: &mut Writer, one: &Override) {
    writer.text("cidr", &network_text(one.net()));
    writer.text("action", one.action().name());
    writer.text("owner", &one.owner);
    writer.text("reason", &one.reason);
    writer.text_or_null("until", one.until.map(|until| until.to_rfc3339()).as_deref());
    writer.text("created", &one.created.to_rfc3339());
    writer.text("by", &one.by);
}

fn network(text: &str) -> Result<IpNet, Problem> {
    read_network(text).map_err(|(kind, right)| Problem::invalid("cidr", kind.code(), &right))
}
