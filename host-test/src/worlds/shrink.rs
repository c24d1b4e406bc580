//! Making a world that finds something smaller.

use super::World;
use crate::{host::Module, trace::Level};
use anyhow::Result;
use std::collections::BTreeSet;

/// How many smaller worlds are tried.
const TRIES: usize = 400;

impl World {
    /// The smallest world that was found in which the same rule is broken first: steps are left out, many at once, then fewer.
    ///
    /// # Errors
    /// When the world makes no sense.
    pub fn shrunk(&self, module: &Module) -> Result<World> {
        let kind = |world: &World| -> Result<Option<&'static str>> {
            Ok(world.live(module, Level::Events)?.mistakes.first().map(|mistake| mistake.kind))
        };
        let wanted = kind(self)?;
        let mut best = self.clone();
        let (mut piece, mut tries) = (best.steps.len().div_ceil(2), 0);
        while wanted.is_some() && piece > 0 && tries < TRIES {
            let mut smaller = None;
            for start in (0..best.steps.len()).step_by(piece) {
                tries += 1;
                let places: BTreeSet<usize> = best.places();
                let without = places.iter().skip(start).take(piece).copied().collect();
                let world = best.only(&places.difference(&without).copied().collect());
                if kind(&world)? == wanted {
                    smaller = Some(world);
                    break;
                }
            }
            match smaller {
                Some(world) => best = world,
                None => piece /= 2,
            }
            piece = piece.min(best.steps.len());
        }
        Ok(best)
    }
}
