//! How the parts of a model are held on a device: all of them, one at a time, or the layers of one as they are needed.

use serde::{Deserialize, Serialize};

use crate::model::{LowMemoryNeeds, ModelNeeds, ModelWork};

/// How the parts of a model are held on a device; what needs less memory and more time comes later.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Residency {
    /// All of them, for the next picture.
    #[default]
    Kept,
    /// One at a time, brought anew for each picture.
    OnDemand,
    /// One at a time, and of its weights a bounded share: the others are brought in every run.
    Streamed,
}

impl Residency {
    /// The one that needs less memory, if there is one.
    pub fn lower_memory(self) -> Option<Self> {
        match self {
            Self::Kept => Some(Self::OnDemand),
            Self::OnDemand => Some(Self::Streamed),
            Self::Streamed => None,
        }
    }
}

/// What a picture asks of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// What it must offer.
    pub needs: ModelNeeds,
    /// What is computed, where that was counted.
    pub work: Option<ModelWork>,
    /// Denoising steps.
    pub steps: u32,
}

impl Demand {
    /// Bytes that are brought to the device at each step where layers are streamed.
    pub fn step_bytes(&self) -> u64 {
        let streamed = self.needs.streamed.as_ref();
        streamed.map_or(0, |needs| needs.step_bytes)
    }

    /// Bytes that are brought to the device for a picture, beyond those that stay there for the next one.
    pub fn brought(&self, residency: Residency) -> u64 {
        self.needs.low_memory(residency).map_or(0, |needs| {
            needs.picture_bytes + u64::from(self.steps) * needs.step_bytes
        })
    }
}

/// The most that browsers used to tell of a device's memory; whoever reports it may have more.
const DEVICE_MEMORY_CAP: u64 = 8 << 30;

impl ModelNeeds {
    /// What the device needs for a residency, where that was counted.
    pub fn low_memory(&self, residency: Residency) -> Option<&LowMemoryNeeds> {
        match residency {
            Residency::Kept => None,
            Residency::OnDemand => self.one_at_a_time.as_ref(),
            Residency::Streamed => self.streamed.as_ref(),
        }
    }

    /// How the parts are held on a device with `offered` bytes of memory, as much at a time as fits; where nothing is known of
    /// the memory, all of them, until it turns out to be too small.
    ///
    /// # Errors
    /// The least memory that the model needs, where the device has less.
    pub fn residency(&self, offered: Option<u64>) -> Result<Residency, u64> {
        let Some(offered) = offered.filter(|offered| *offered < self.memory_bytes) else {
            return Ok(Residency::Kept);
        };
        let ways = [Residency::OnDemand, Residency::Streamed];
        let counted = ways.map(|way| (way, self.low_memory(way)));
        let mut known = counted
            .into_iter()
            .filter_map(|(way, needs)| Some((way, needs?.memory_bytes)));
        let fitting = known.clone().find(|(_, bytes)| *bytes <= offered);
        match (fitting, known.next()) {
            (Some((way, _)), _) if way == Residency::OnDemand || offered < DEVICE_MEMORY_CAP => {
                Ok(way)
            }
            // It may have more than it says: what is faster is tried first.
            (_, Some((way, _))) if offered >= DEVICE_MEMORY_CAP => Ok(way),
            (_, None) if offered >= DEVICE_MEMORY_CAP => Ok(Residency::Kept),
            _ => Err(counted
                .iter()
                .filter_map(|(_, needs)| Some((*needs)?.memory_bytes))
                .fold(self.memory_bytes, u64::min)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn low_memory(memory_bytes: u64) -> LowMemoryNeeds {
        LowMemoryNeeds {
            memory_bytes,
            picture_bytes: 3,
            step_bytes: 2,
        }
    }

    fn needs(all: u64, one: Option<u64>, streamed: Option<u64>) -> ModelNeeds {
        ModelNeeds {
            max_buffer_size: 0,
            max_storage_buffer_binding_size: 0,
            memory_bytes: all,
            one_at_a_time: one.map(low_memory),
            streamed: streamed.map(low_memory),
        }
    }

    #[test]
    fn a_device_holds_as_much_at_a_time_as_fits() {
        use Residency::{Kept, OnDemand, Streamed};
        let model = needs(5 * GIB, Some(3 * GIB), Some(GIB));
        for (offered, held) in [
            (None, Ok(Kept)),
            (Some(5 * GIB), Ok(Kept)),
            (Some(5 * GIB - 1), Ok(OnDemand)),
            (Some(3 * GIB), Ok(OnDemand)),
            (Some(3 * GIB - 1), Ok(Streamed)),
            (Some(GIB), Ok(Streamed)),
            (Some(GIB - 1), Err(GIB)),
        ] {
            assert_eq!(model.residency(offered), held, "{offered:?}");
        }
        // Small models and older packages: nothing but the whole was counted.
        let whole = needs(5 * GIB, None, None);
        assert_eq!(whole.residency(Some(5 * GIB)), Ok(Kept));
        assert_eq!(whole.residency(Some(4 * GIB)), Err(5 * GIB));
        let parts = needs(5 * GIB, Some(4 * GIB), None);
        assert_eq!(parts.residency(Some(2 * GIB)), Err(4 * GIB));
        let layers = needs(5 * GIB, None, Some(GIB));
        assert_eq!(layers.residency(Some(2 * GIB)), Ok(Streamed));
    }

    /// 8 GiB may stand for more, so that the faster way is tried; a fault leads to the slower one.
    #[test]
    fn the_largest_memory_that_is_told_may_be_larger() {
        use Residency::{Kept, OnDemand};
        let at = |needs: ModelNeeds| needs.residency(Some(8 * GIB));
        assert_eq!(at(needs(12 * GIB, None, None)), Ok(Kept));
        assert_eq!(at(needs(12 * GIB, Some(7 * GIB), None)), Ok(OnDemand));
        assert_eq!(at(needs(20 * GIB, Some(12 * GIB), Some(GIB))), Ok(OnDemand));
    }

    #[test]
    fn what_is_brought_is_counted_by_steps() {
        let demand = Demand {
            needs: needs(5, Some(4), Some(3)),
            work: None,
            steps: 10,
        };
        assert_eq!(demand.brought(Residency::Kept), 0);
        assert_eq!(demand.brought(Residency::OnDemand), 23);
        let older = Demand {
            needs: needs(5, None, None),
            ..demand
        };
        assert_eq!(older.brought(Residency::Streamed), 0);
    }
}
