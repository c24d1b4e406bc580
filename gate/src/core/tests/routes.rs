//! Routes with a configuration of their own.

use super::*;
use crate::Metadata;

fn map(key: &str, value: &str) -> Metadata {
    Metadata::Map(vec![(key.into(), Metadata::Text(value.into()))])
}

/// What the gate makes of this metadata, whose bytes are its value here.
fn route(world: &mut World, key: &str, value: &str) -> Result<Rc<Site>, Vec<crate::Mistake>> {
    world.gate.for_route(&world.site, format!("{key} {value}").as_bytes(), || Ok(map(key, value)))
}

#[test]
fn metadata_is_read_once_and_a_mistake_in_it_told_once_and_counted_each_time() {
    let mut world = World::new("");
    let shadow = route(&mut world, "mode", "shadow").unwrap();
    assert_eq!((shadow.config.mode, shadow.root), (Mode::Shadow, world.site.root));
    assert!(std::sync::Arc::ptr_eq(&shadow.config.lists, &world.site.config.lists), "large lists are there but once");
    let again = world.gate.for_route(&world.site, b"mode shadow", || panic!("read again")).unwrap();
    assert!(Rc::ptr_eq(&again, &shadow));

    let mistakes = route(&mut world, "mode", "off").unwrap_err();
    assert_eq!(mistakes[0].path, "mode");
    for _ in 0..2 {
        assert!(Rc::ptr_eq(&route(&mut world, "mode", "off").unwrap(), &world.site), "the site's own counts");
    }
    let unreadable = world.gate.for_route(&world.site, b"", || Err(crate::Mistake::unreadable())).unwrap_err();
    assert_eq!(unreadable, [crate::Mistake::unreadable()]);
    let counted = counted(&mut world.gate);
    assert_eq!(counted["criminalip_route_metadata_total;result=read"], 3);
    assert_eq!(counted["criminalip_route_metadata_total;result=refused"], 4);
}

#[test]
fn a_configuration_that_goes_takes_what_its_routes_changed_with_it() {
    let mut world = World::new("");
    route(&mut world, "mode", "shadow").unwrap();
    let other = site(2, "");
    world.gate.for_route(&other, b"mode shadow", || Ok(map("mode", "shadow"))).unwrap();
    world.gate.retire(RootId(1));
    world.gate.for_route(&other, b"mode shadow", || panic!("read again")).unwrap();
    assert!(world.gate.for_route(&world.site, b"mode shadow", || Err(crate::Mistake::unreadable())).is_err());
}

#[test]
fn invariant_6_remembered_metadata_is_bounded() {
    let mut world = World::new("");
    for hold in 0..1_000 {
        let value = Metadata::Map(vec![(b"hold".into(), Metadata::Text(format!("{hold}ms").into()))]);
        let value = Metadata::Map(vec![(b"first_look".into(), value)]);
        let own = world.gate.for_route(&world.site, format!("{hold}").as_bytes(), || Ok(value)).unwrap();
        assert_eq!(own.config.first_look.hold, Duration::from_millis(hold));
        assert!(world.gate.routes.len() <= 256);
    }
    assert_eq!(counted(&mut world.gate)["criminalip_route_metadata_total;result=read"], 1_000);
}

#[test]
fn streams_of_two_routes_share_a_lookup_and_are_judged_each_by_its_own() {
    let mut world = World::new(r#", "first_look": {"hold": "60s"}"#);
    let shadow = route(&mut world, "mode", "shadow").unwrap();
    let none = route(&mut world, "profile", "none").unwrap();
    assert_eq!((world.admit(1, TOR), world.admit_under(&shadow, 2, TOR)), (Admitted::Held, Admitted::Held));
    assert_eq!(world.admit_under(&none, 3, TOR), Admitted::Held);
    let lookup = world.next().unwrap();
    assert!(world.next().is_none());
    let bad = world.assessment(Level::Critical, &[Finding::C2]);
    let released = world.answer(&lookup, Ok(bad));
    let outcome =
        |release: &Release| (release.decision.verdict.action, release.decision.refuses(release.site.config.mode));
    let outcomes: Vec<_> = released.iter().map(outcome).collect();
    assert_eq!(outcomes, [(Action::Deny, true), (Action::Deny, false), (Action::Allow, false)]);
}
