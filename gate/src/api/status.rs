//! `/v1/status`: how things stand.

use super::query::Query;
use super::reply::{Problem, Reply};
use crate::crew::{self, Pulse};
use crate::feed::FeedState;
use crate::writer::Writer;
use crate::{FeedOutcome, Gate, Halt, Moment, Proxy, Role, alert, ledger, overrides};
use alloc::string::String;
use alloc::vec::Vec;
use evaluator::{Profile, hexadecimal};

impl Gate {
    #[inline(never)]
    pub(super) fn control_status(&self, query: &Query<'_>, proxy: Proxy<'_>) -> Result<Reply, Problem> {
        query.end()?;
        let (store, now) = (proxy.store, proxy.now);
        let (budget, lanes) = self.budget();
        let lookups = ledger::status(store, budget, now);
        let (pulse, members) = (Pulse::read(store).unwrap_or_default(), crew::members(store, now));
        let feeds = self.feed_states(proxy);
        let why = why(lookups.halted.map(|(halt, _)| halt), &feeds, members.is_empty());
        let mut writer = Writer::default();
        writer.open('{');
        writer.text("version", env!("CARGO_PKG_VERSION"));
        writer.text("now", &now.timestamp().to_rfc3339());
        writer.flag("degraded", !why.is_empty());
        writer.list("why");
        why.iter().for_each(|why| writer.item(why));
        writer.close(']');
        writer.list("gates");
        for config in self.sites().iter().map(|site| &site.config).filter(|config| config.role != Role::Control) {
            writer.open('{');
            writer.text("direction", config.direction.name());
            writer.text("role", config.role.name());
            writer.text("mode", config.mode.name());
            writer.text_or_null("profile", config.profile.map(Profile::name));
            writer.number("journal", config.journal.entries.into());
            writer.close('}');
        }
        writer.close(']');
        writer.object("lookups");
        time_or_null(&mut writer, "last_success", lookups.last_success);
        writer.text_or_null("halted", lookups.halted.map(|(halt, _)| halt.code()));
        time_or_null(&mut writer, "until", lookups.halted.map(|(_, until)| until));
        writer.number("in_flight", u64::try_from(lookups.lanes).unwrap_or(u64::MAX));
        writer.number("lanes", lanes.into());
        writer.close('}');
        writer.object("budget");
        writer.number_or_null("per_day", budget.per_day.map(u64::from));
        writer.number_or_null("per_hour", budget.per_hour.map(u64::from));
        writer.number("spent_today", lookups.spent_today.into());
        writer.number("spent_this_hour", lookups.spent_this_hour.into());
        let left = budget.per_day.map(|per_day| per_day.saturating_sub(lookups.spent_today));
        writer.number_or_null("left_today", left.map(u64::from));
        writer.number("reserved", lookups.reserved.into());
        writer.number_or_null("lasts_seconds", budget.per_day.map(|per_day| lookups.lasts(per_day, now).as_secs()));
        writer.close('}');
        writer.list("feeds");
        for feed in &feeds {
            writer.open('{');
            writer.text("name", &feed.name);
            writer.number("entries", feed.entries.into());
            writer.number("age", feed.age.as_secs());
            writer.text_or_null("outcome", feed.outcome.map(FeedOutcome::code));
            writer.close('}');
        }
        writer.close(']');
        let sum = |figure: &dyn Fn(&crew::Figures) -> u64| members.iter().map(|member| figure(&member.figures)).sum();
        writer.object("journal");
        writer.number("entries", sum(&|figures| figures.journal.into()));
        writer.number("dropped", sum(&|figures| figures.lost));
        writer.close('}');
        writer.object("decisions");
        for (place, action) in ["allow", "tag", "deny"].into_iter().enumerate() {
            writer.number(action, sum(&|figures| figures.decisions.get(place).copied().unwrap_or(0)));
        }
        writer.close('}');
        writer.list("workers");
        for member in &members {
            let figures = &member.figures;
            writer.open('{');
            writer.text("id", &hexadecimal(member.worker.0));
            writer.text("seen", &member.seen.timestamp().to_rfc3339());
            writer.number("held", figures.held.into());
            writer.number("queued", figures.queued.into());
            writer.number("peers", figures.peers.into());
            writer.number("connections", figures.connections.into());
            writer.number("journal", figures.journal.into());
            writer.close('}');
        }
        writer.close(']');
        writer.number("overrides", u64::try_from(overrides::read(store).len()).unwrap_or(u64::MAX));
        let running = alert::newest(store, pulse.alert).filter(|alert| alert::is_running(store, alert, &members));
        writer.number("events", u64::try_from(running.count()).unwrap_or(u64::MAX));
        writer.close('}');
        Ok(Reply::json(200, writer))
    }
}

/// What is wrong, in words.
fn why(halted: Option<Halt>, feeds: &[FeedState], alone: bool) -> Vec<String> {
    let mut why = Vec::new();
    why.extend(halted.map(|halt| {
        let reason = match halt {
            Halt::NoCredit => "the API key has no credits left",
            Halt::BadKey => "the API key is not valid",
            Halt::RateLimited => "there were too many calls in a while",
            Halt::BreakerOpen => "too many lookups in a row failed",
            Halt::BudgetSpent => "the budget is spent",
        };
        ["Criminal IP is not asked: ", reason].concat()
    }));
    for feed in feeds {
        if let Some(FeedOutcome::Failed(error)) = feed.outcome {
            why.push(["the feed ", &feed.name, " could not be fetched: ", error.code()].concat());
        }
    }
    if alone {
        why.push("no worker has said yet that it is there".into());
    }
    why
}

fn time_or_null(writer: &mut Writer, name: &str, time: Option<Moment>) {
    writer.text_or_null(name, time.map(|time| time.timestamp().to_rfc3339()).as_deref());
}
