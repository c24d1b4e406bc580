//! The hash by which something is known to other workers, or outside.

use core::hash::Hash;
use siphasher::sip128::{Hash128, Hasher128, SipHasher13};

/// The hash of this under these keys. Who does not know them can neither foresee it nor find two things with the same.
pub(crate) fn hash(keys: (u64, u64), of: &impl Hash) -> Hash128 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    of.hash(&mut hasher);
    hasher.finish128()
}
