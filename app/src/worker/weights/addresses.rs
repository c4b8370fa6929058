//! Which of a file's addresses is asked, and what a failure there leads to.

/// The addresses of a file while it is fetched. Its digest is known, so bytes of all of them may stand beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    addresses: Vec<String>,
    at: usize,
    /// Whether what is here came from elsewhere too: an earlier visit, or another address.
    mixed: bool,
}

impl Tried {
    /// Begins with the first one; `resumed` says whether bytes of an earlier visit are here.
    pub fn new(addresses: Vec<String>, resumed: bool) -> Self {
        Self {
            addresses,
            at: 0,
            mixed: resumed,
        }
    }

    /// The one to be asked.
    pub fn address(&self) -> &str {
        self.addresses.get(self.at).map_or("", String::as_str)
    }

    /// Whether there is no other behind it.
    pub fn is_last(&self) -> bool {
        self.at + 1 >= self.addresses.len()
    }

    /// The file cannot be had there. Whether there is another address to go on with, from where this one ended.
    pub fn failed(&mut self) -> bool {
        if self.is_last() {
            return false;
        }
        self.at += 1;
        self.mixed = true;
        true
    }

    /// All bytes are here, and are not those of the file; they are to be thrown away. Whether to begin anew: with the same address where
    /// others may have given what is wrong, else with the next one.
    pub fn wrong(&mut self) -> bool {
        if std::mem::take(&mut self.mixed) {
            return true;
        }
        let more = self.failed();
        self.mixed = false;
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(resumed: bool) -> Tried {
        let all = ["https://hub/w", "/models/m/w"].map(str::to_owned);
        Tried::new(all.to_vec(), resumed)
    }

    #[test]
    fn the_next_address_goes_on_where_one_ended() {
        let mut two = tried(false);
        assert_eq!((two.address(), two.is_last()), ("https://hub/w", false));
        assert!(two.failed());
        assert_eq!((two.address(), two.is_last()), ("/models/m/w", true));
        assert!(!two.failed());
        assert_eq!(two.address(), "/models/m/w");
    }

    #[test]
    fn wrong_bytes_of_one_address_lead_to_the_next() {
        let mut two = tried(false);
        assert!(two.wrong());
        assert_eq!(two.address(), "/models/m/w");
        assert!(!two.wrong());
    }

    #[test]
    fn wrong_bytes_of_several_are_the_fault_of_none_yet() {
        // What an earlier visit left may be damaged.
        let mut two = tried(true);
        assert!(two.wrong());
        assert_eq!(two.address(), "https://hub/w");
        assert!(two.wrong());
        assert_eq!(two.address(), "/models/m/w");
        // The hub gave a half, this host the other one: all of it is asked of this host.
        let mut two = tried(false);
        assert!(two.failed() && two.wrong());
        assert_eq!(two.address(), "/models/m/w");
        assert!(!two.wrong());
    }
}
