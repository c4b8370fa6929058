//! Loaded models within a memory budget.

/// What is loaded, by model; what was used longest ago goes first when memory is needed.
pub struct Warm<T> {
    budget: Option<u64>,
    /// Model, bytes and what was loaded; the one used last at the end.
    loaded: Vec<(String, u64, T)>,
}

impl<T> Warm<T> {
    /// Keeps models of at most `budget` bytes together; `None` keeps one model, whatever its size.
    pub fn new(budget: Option<u64>) -> Self {
        Self {
            budget,
            loaded: Vec::new(),
        }
    }

    /// The loaded model, which counts as used now.
    pub fn get(&mut self, model: &str) -> Option<&T> {
        let place = self.loaded.iter().position(|(id, _, _)| id == model)?;
        let used = self.loaded.remove(place);
        self.loaded.push(used);
        self.loaded.last().map(|(_, _, value)| value)
    }

    /// Drops models until another one of `bytes` fits; to be called before it is loaded.
    pub fn make_room(&mut self, bytes: u64) {
        let budget = self.budget.unwrap_or(0);
        while !self.loaded.is_empty() && self.bytes().saturating_add(bytes) > budget {
            let (model, _, _) = self.loaded.remove(0);
            tracing::info!(model, "package dropped to make room");
        }
    }

    /// Adds a model that was loaded.
    pub fn insert(&mut self, model: String, bytes: u64, value: T) {
        self.loaded.push((model, bytes, value));
    }

    /// Drops what does not hold.
    pub fn retain(&mut self, holds: impl Fn(&str, &T) -> bool) {
        self.loaded.retain(|(model, _, value)| {
            let kept = holds(model, value);
            if !kept {
                tracing::info!(model, "package dropped: it was changed or removed");
            }
            kept
        });
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.loaded.clear();
    }

    fn bytes(&self) -> u64 {
        self.loaded.iter().map(|(_, bytes, _)| bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(warm: &mut Warm<()>, model: &str, bytes: u64) {
        warm.make_room(bytes);
        warm.insert(model.to_owned(), bytes, ());
    }

    fn models(warm: &Warm<()>) -> Vec<&str> {
        warm.loaded.iter().map(|(id, _, _)| id.as_str()).collect()
    }

    #[test]
    fn the_one_used_longest_ago_goes_first() {
        let mut warm = Warm::new(Some(10));
        load(&mut warm, "a", 4);
        load(&mut warm, "b", 4);
        assert!(warm.get("a").is_some());
        load(&mut warm, "c", 5);
        assert_eq!(models(&warm), ["a", "c"]);
        load(&mut warm, "d", 10);
        assert_eq!(models(&warm), ["d"]);
        assert!(warm.get("a").is_none());
    }

    #[test]
    fn without_a_budget_one_model_is_kept() {
        let mut warm = Warm::new(None);
        load(&mut warm, "a", 1);
        load(&mut warm, "b", 1);
        assert_eq!(models(&warm), ["b"]);
    }
}
