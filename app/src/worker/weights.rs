//! What the weights store decides, as plain data: seals, ranges, back-off, speed, eviction.

pub mod addresses;
pub mod backoff;
pub mod evict;
pub mod range;
pub mod seal;
pub mod speed;
