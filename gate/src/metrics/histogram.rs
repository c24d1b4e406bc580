//! How long things take.

/// One histogram, of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Histogram {
    /// `criminalip_held_milliseconds`: how long a stream waited until it was released.
    Held,
    /// `criminalip_lookup_milliseconds`: how long a lookup took from being sent to its answer, or to being given up.
    Lookup,
}

impl Histogram {
    pub(super) const ALL: [Histogram; 2] = [Histogram::Held, Histogram::Lookup];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Histogram::Held => "criminalip_held_milliseconds",
            Histogram::Lookup => "criminalip_lookup_milliseconds",
        }
    }
}
