//! What is to be kept with a picture beside its recipe, and for how long.

use std::time::Duration;

use protocol::{RunsOn, Visibility};
use serde::{Deserialize, Serialize};

use super::OwnerId;
use super::references::now;

/// Whose a picture is, and who is to see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Keeping {
    /// Who may change and delete it.
    pub owner: Option<OwnerId>,
    /// As its maker asked; absent: as is the rule where it was made, [`Expiries`].
    pub visibility: Option<Visibility>,
}

/// As it is stored and queued.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerId>,
    /// All that hubs of the first format know; they would list what says `false`.
    #[serde(default)]
    unlisted: bool,
    /// Absent in the first format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    visibility: Option<Asked>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Asked {
    Private,
    Unlisted,
    Listed,
    /// Nothing, or what only a newer version knows.
    #[serde(other)]
    Nothing,
}

impl From<Kept> for Keeping {
    fn from(kept: Kept) -> Self {
        let visibility = match kept.visibility {
            Some(Asked::Private) => Some(Visibility::Private),
            Some(Asked::Unlisted) => Some(Visibility::Unlisted),
            Some(Asked::Listed) => Some(Visibility::Listed),
            Some(Asked::Nothing) => None,
            None => kept.unlisted.then_some(Visibility::Unlisted),
        };
        Self {
            owner: kept.owner,
            visibility,
        }
    }
}

impl From<Keeping> for Kept {
    fn from(keeping: Keeping) -> Self {
        Self {
            owner: keeping.owner,
            unlisted: keeping.visibility != Some(Visibility::Listed),
            visibility: Some(match keeping.visibility {
                Some(Visibility::Private) => Asked::Private,
                Some(Visibility::Unlisted) => Asked::Unlisted,
                Some(Visibility::Listed) => Asked::Listed,
                None => Asked::Nothing,
            }),
        }
    }
}

/// How long pictures stay that nobody saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiries {
    /// Of a picture that the server made for an owner, who has neither saved nor published it.
    pub unsaved: Duration,
    /// Of a picture that the server made for nobody, whom nobody could save it for.
    pub ownerless: Duration,
}

impl Default for Expiries {
    fn default() -> Self {
        Self {
            unsaved: Duration::from_secs(24 * 3600),
            ownerless: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl Expiries {
    /// Who sees a new picture, and until when it stays unless it is saved (milliseconds since the Unix epoch).
    ///
    /// A picture made in a browser is saved because its maker said so, and is seen as asked. One that the server made
    /// is its owner's alone until that is asked for; without an owner, it is for those who have the link, and never
    /// listed.
    pub fn of(self, keeping: &Keeping, source: RunsOn) -> (Visibility, Option<u64>) {
        let after = |wait: Duration| {
            now().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
        };
        match (source, &keeping.owner, keeping.visibility) {
            (RunsOn::Browser, _, asked) => (asked.unwrap_or(Visibility::Listed), None),
            (RunsOn::Server, Some(_), Some(asked)) => (asked, None),
            (RunsOn::Server, Some(_), None) => (Visibility::Private, Some(after(self.unsaved))),
            (RunsOn::Server, None, _) => (Visibility::Unlisted, Some(after(self.ownerless))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn keeping(owner: bool, visibility: Option<Visibility>) -> Keeping {
        Keeping {
            owner: owner.then(|| OwnerId::of("a")),
            visibility,
        }
    }

    #[test]
    fn what_was_queued_by_the_first_format_still_reads() {
        let read = |json: &str| serde_json::from_str::<Keeping>(json).unwrap().visibility;
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"unlisted":false}"#), None);
        assert_eq!(read(r#"{"unlisted":true}"#), Some(Visibility::Unlisted));
        for asked in [
            None,
            Some(Visibility::Private),
            Some(Visibility::Unlisted),
            Some(Visibility::Listed),
        ] {
            let kept = keeping(true, asked);
            let json = serde_json::to_value(&kept).unwrap();
            // A worker of the first format lists what does not say `unlisted`.
            let listed_by_old = json["unlisted"] == false;
            assert_eq!(listed_by_old, asked == Some(Visibility::Listed), "{json}");
            assert_eq!(serde_json::from_value::<Keeping>(json).unwrap(), kept);
        }
        assert_eq!(read(r#"{"unlisted":false,"visibility":"shared"}"#), None);
    }

    #[test]
    fn the_server_lists_nothing_unasked() {
        let expiries = Expiries {
            unsaved: Duration::from_secs(60),
            ownerless: Duration::from_secs(600),
        };
        let of = |source, owner, asked| {
            let (visibility, expires_at) = expiries.of(&keeping(owner, asked), source);
            (
                visibility,
                expires_at.map(|at| at.saturating_sub(now()).div_ceil(60_000)),
            )
        };
        use Visibility::{Listed, Private, Unlisted};
        for (source, owner, asked, expected) in [
            (RunsOn::Server, true, None, (Private, Some(1))),
            (RunsOn::Server, true, Some(Private), (Private, None)),
            (RunsOn::Server, true, Some(Unlisted), (Unlisted, None)),
            (RunsOn::Server, true, Some(Listed), (Listed, None)),
            (RunsOn::Server, false, None, (Unlisted, Some(10))),
            (RunsOn::Server, false, Some(Listed), (Unlisted, Some(10))),
            (RunsOn::Browser, true, None, (Listed, None)),
            (RunsOn::Browser, true, Some(Private), (Private, None)),
        ] {
            assert_eq!(
                of(source, owner, asked),
                expected,
                "{source:?} {owner} {asked:?}"
            );
        }
    }
}
