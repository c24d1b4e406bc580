//! `/v1/audit`: who changed what, and when.

use super::query::Query;
use super::reply::{Problem, Reply};
use crate::crew::Pulse;
use crate::writer::Writer;
use crate::{Proxy, audit};

pub(super) fn list(query: &mut Query<'_>, proxy: Proxy<'_>) -> Result<Reply, Problem> {
    let (limit, before) = (query.limit()?, query.number("before", 0..=u32::MAX)?);
    query.end()?;
    let newest = Pulse::read(proxy.store).unwrap_or_default().audit;
    let mut writer = Writer::default();
    writer.open('{');
    writer.list("entries");
    for act in audit::before(proxy.store, newest, before).take(limit) {
        writer.open('{');
        writer.number("seq", act.seq.into());
        writer.text("at", &act.at.timestamp().to_rfc3339());
        writer.text("by", &act.by);
        writer.text("what", act.what.name());
        writer.text("object", &act.object);
        writer.text_or_null("detail", act.detail.as_deref());
        writer.close('}');
    }
    writer.close(']');
    writer.close('}');
    Ok(Reply::json(200, writer))
}
