//! Configurations of routes that have something of their own.

use super::Gate;
use crate::{Counter, Metadata, Mistake, RootId, RouteMetadata, Site, Sorted};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// How many different values of metadata one worker remembers what they say.
const LIMIT: usize = 256;

/// Metadata of routes that were read, by whose configuration it changes and its bytes; `None` where it was wrong.
#[derive(Default)]
pub(super) struct Routes(Sorted<Key, Option<Rc<Site>>>);

type Key = (RootId, Box<[u8]>);

impl Routes {
    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets what belongs to a root.
    pub(super) fn retire(&mut self, root: RootId) {
        self.0.retain(|(owner, _), _| *owner != root);
    }
}

impl Gate {
    /// The configuration for a route whose metadata has these bytes: what `read` makes of them, where that is not
    /// remembered. Metadata with a mistake, or which cannot be read, changes nothing.
    ///
    /// # Errors
    /// The mistakes, where they were found for the first time. The configuration is then the site's own.
    pub fn for_route(
        &mut self,
        site: &Rc<Site>,
        bytes: &[u8],
        read: impl FnOnce() -> Result<Metadata, Mistake>,
    ) -> Result<Rc<Site>, Vec<Mistake>> {
        let key = (site.root, Box::from(bytes));
        let known = self.routes.0.get(&key).cloned();
        let (own, mistakes) = match known {
            Some(known) => (known, None),
            None => {
                self.counters.add(Counter::RouteMetadata(RouteMetadata::Read));
                let read = read().map_err(|mistake| vec![mistake]);
                let (own, mistakes) = match read.and_then(|metadata| site.config.for_route(&metadata)) {
                    Ok(config) => (Some(Rc::new(Site::new(site.root, config))), None),
                    Err(mistakes) => (None, Some(mistakes)),
                };
                if self.routes.0.len() >= LIMIT {
                    self.routes = Routes::default();
                }
                self.routes.0.insert(key, own.clone());
                (own, mistakes)
            }
        };
        if own.is_none() {
            self.counters.add(Counter::RouteMetadata(RouteMetadata::Refused));
        }
        match mistakes {
            Some(mistakes) => Err(mistakes),
            None => Ok(own.unwrap_or_else(|| Rc::clone(site))),
        }
    }
}
