//! Pages of keys, as `ListObjects` and `ListObjectsV2` have them.

use super::entry::Entry;
use super::error::Failure;

/// What a list asks for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Beginning of the keys.
    pub prefix: String,
    /// Only what comes after this key, or this group where it ends with the delimiter.
    pub after: Option<String>,
    /// Keys that go on after the prefix up to this text are shown as one group.
    pub delimiter: Option<String>,
    /// Most keys and groups.
    pub limit: usize,
}

/// Keys and groups in the order of their bytes.
#[derive(Debug, Default)]
pub struct Listing {
    pub objects: Vec<(String, Entry)>,
    pub groups: Vec<String>,
    /// The last key or group, where more follow.
    pub next: Option<String>,
}

impl Query {
    /// Fills a page from `objects_from`, which gives what is not before a key, in order.
    pub fn run<I>(
        &self,
        objects_from: impl Fn(&str) -> Result<I, Failure>,
    ) -> Result<Listing, Failure>
    where
        I: Iterator<Item = Result<(String, Entry), Failure>>,
    {
        let mut listing = Listing::default();
        let mut last = None;
        let after = self.after.as_deref().unwrap_or_default();
        let mut objects = objects_from(self.prefix.as_str().max(after))?;
        while let Some(object) = objects.next() {
            let (key, entry) = object?;
            if !key.starts_with(&self.prefix) {
                if key.as_str() < self.prefix.as_str() {
                    continue;
                }
                break;
            }
            let in_last = |group: &String| key.starts_with(group.as_str());
            if listing.groups.last().is_some_and(in_last) {
                continue;
            }
            if self.after.as_deref().is_some_and(|after| {
                key.as_str() <= after || (self.is_group(after) && key.starts_with(after))
            }) {
                continue;
            }
            if listing.objects.len() + listing.groups.len() == self.limit {
                listing.next = last;
                break;
            }
            match self.group_of(&key) {
                Some(group) => {
                    // Nothing of the group is looked at one by one, since it may be long.
                    objects = objects_from(&behind(&group))?;
                    last = Some(group.clone());
                    listing.groups.push(group);
                }
                None => {
                    last = Some(key.clone());
                    listing.objects.push((key, entry));
                }
            }
        }
        Ok(listing)
    }

    fn group_of(&self, key: &str) -> Option<String> {
        let delimiter = self.delimiter.as_deref().filter(|d| !d.is_empty())?;
        let rest = key.get(self.prefix.len()..)?;
        let end = rest.find(delimiter)? + delimiter.len();
        key.get(..self.prefix.len() + end).map(str::to_owned)
    }

    fn is_group(&self, after: &str) -> bool {
        after.starts_with(&self.prefix) && self.group_of(after).as_deref() == Some(after)
    }
}

/// A text that comes after all that begin with `group`, apart from a few that go on with the last of all characters.
fn behind(group: &str) -> String {
    let mut behind = group.to_owned();
    behind.push(char::MAX);
    behind.push(char::MAX);
    behind
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn page(keys: &BTreeMap<String, Entry>, query: &Query) -> Listing {
        let from = |from: &str| {
            let range = keys.range(from.to_owned()..);
            Ok(range.map(|(key, entry)| Ok((key.clone(), entry.clone()))))
        };
        query.run(from).unwrap()
    }

    /// All pages; keys and groups, in the order in which they came.
    fn all(keys: &BTreeMap<String, Entry>, query: Query) -> Vec<String> {
        let (mut query, mut all) = (query, Vec::new());
        loop {
            let page = page(keys, &query);
            let mut both: Vec<String> = page.objects.into_iter().map(|(key, _)| key).collect();
            both.extend(page.groups);
            both.sort();
            assert!(both.len() <= query.limit);
            all.extend(both);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }

    /// The definition in Amazon's API reference, without regard for speed.
    fn expected(keys: &BTreeMap<String, Entry>, prefix: &str, delimiter: &str) -> Vec<String> {
        let mut found = BTreeSet::new();
        for key in keys.keys().filter(|key| key.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            match (delimiter.is_empty(), rest.find(delimiter)) {
                (false, Some(at)) => {
                    found.insert(format!("{prefix}{}{delimiter}", &rest[..at]));
                }
                _ => {
                    found.insert(key.clone());
                }
            }
        }
        found.into_iter().collect()
    }

    #[test]
    fn pages_join_to_the_whole_list() {
        // `-` and `.` sort before `/`, `0` after it; UTF-8 order differs from that of UTF-16 code units.
        let names = [
            "a-b",
            "a.b",
            "a/b/c",
            "a/b-c",
            "a0",
            "a/z",
            "a//z",
            "b",
            "a/b/c0",
            "é",
            "\u{ff5e}",
            "\u{1f600}",
            "a/\u{10ffff}",
            "a/\u{10ffff}\u{10ffff}x",
            "a/",
            "/",
        ];
        let keys: BTreeMap<_, _> = names.map(|n| (n.to_owned(), Entry::default())).into();
        for delimiter in ["", "/", "b", "-b"] {
            for prefix in [
                "", "a", "a/", "a/b", "a/b/", "a/b/c", "b", "c", "../", "/", "é",
            ] {
                for limit in 1..=names.len() + 1 {
                    let query = Query {
                        prefix: prefix.to_owned(),
                        delimiter: Some(delimiter.to_owned()),
                        limit,
                        after: None,
                    };
                    let expected = expected(&keys, prefix, delimiter);
                    assert_eq!(
                        all(&keys, query),
                        expected,
                        "{prefix:?} {delimiter:?} {limit}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_list_starts_after_a_key_that_need_not_be_there() {
        let keys: BTreeMap<_, _> = ["a", "b", "c/d", "c/e"]
            .map(|n| (n.to_owned(), Entry::default()))
            .into();
        for (after, first) in [("", "a"), ("a", "b"), ("aa", "b"), ("c/d", "c/e")] {
            let query = Query {
                after: Some(after.to_owned()),
                limit: 1,
                ..Query::default()
            };
            assert_eq!(page(&keys, &query).objects[0].0, first, "{after:?}");
        }
    }
}
