//! Which model's jobs a worker asks for first.

/// Jobs of one model in a row after which those of other models go first.
const STREAK: u32 = 8;

/// The models of a worker in the order in which it asks for their jobs: the one that it has loaded goes first, so
/// that jobs of one model are made together, but not for ever.
#[derive(Default)]
pub struct Turns {
    models: Vec<String>,
    in_a_row: u32,
}

impl Turns {
    /// Takes up these models, and no others. Those that are known stay in their order.
    pub fn follow(&mut self, models: Vec<String>) {
        if self
            .models
            .first()
            .is_some_and(|first| !models.contains(first))
        {
            self.in_a_row = 0;
        }
        self.models.retain(|known| models.contains(known));
        for model in models {
            if !self.models.contains(&model) {
                self.models.push(model);
            }
        }
    }

    /// The models, the one to be asked for first at the front.
    pub fn order(&self) -> &[String] {
        &self.models
    }

    /// Notes that a job of `model` was taken.
    pub fn took(&mut self, model: &str) {
        let Some(place) = self.models.iter().position(|known| known == model) else {
            return;
        };
        if place > 0 {
            self.models[..=place].rotate_right(1);
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        if self.in_a_row == STREAK {
            self.models.rotate_left(1);
            self.in_a_row = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use super::*;

    /// Serves jobs of `waiting` models until none is left; the models in the order of their jobs.
    fn serve(turns: &mut Turns, mut waiting: HashMap<&str, u32>) -> Vec<String> {
        let mut served = Vec::new();
        while waiting.values().any(|jobs| *jobs > 0) {
            let has_jobs = |model: &&String| waiting.get(model.as_str()).is_some_and(|n| *n > 0);
            let model = turns.order().iter().find(has_jobs).unwrap().clone();
            *waiting.get_mut(model.as_str()).unwrap() -= 1;
            turns.took(&model);
            served.push(model);
        }
        served
    }

    fn turns() -> Turns {
        of(&["a", "b", "c"])
    }

    fn of(models: &[&str]) -> Turns {
        let mut turns = Turns::default();
        turns.follow(names(models));
        turns
    }

    fn names(models: &[&str]) -> Vec<String> {
        models.iter().map(|&model| model.to_owned()).collect()
    }

    #[test]
    fn models_come_and_go_and_the_others_keep_their_order() {
        let mut turns = turns();
        turns.took("c");
        turns.follow(names(&["a", "c", "d"]));
        assert_eq!(turns.order(), ["c", "a", "d"]);
        turns.follow(names(&["d", "a"]));
        assert_eq!(turns.order(), ["a", "d"]);
        turns.follow(Vec::new());
        assert!(turns.order().is_empty());
    }

    #[test]
    fn jobs_of_one_model_are_made_together() {
        let served = serve(&mut turns(), HashMap::from([("a", 5), ("b", 5), ("c", 5)]));
        let changes = served.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 2, "{served:?}");
        // A model that was loaded goes first however the models are listed.
        let mut turns = turns();
        turns.took("c");
        assert_eq!(
            serve(&mut turns, HashMap::from([("a", 1), ("c", 1)])),
            ["c", "a"]
        );
    }

    #[test]
    fn no_model_waits_for_ever() {
        let served = serve(
            &mut turns(),
            HashMap::from([("a", 900), ("b", 900), ("c", 1)]),
        );
        let place = served.iter().position(|model| model == "c").unwrap();
        assert!(place <= 2 * STREAK as usize, "{place}");
        let longest = served[..1_700]
            .chunk_by(|one, next| one == next)
            .map(<[String]>::len)
            .max();
        assert_eq!(longest, Some(STREAK as usize));
    }

    #[test]
    fn a_single_model_stays() {
        let mut turns = of(&["a"]);
        for _ in 0..20 {
            turns.took("a");
            turns.took("unknown");
        }
        assert_eq!(turns.order(), ["a"]);
    }
}
