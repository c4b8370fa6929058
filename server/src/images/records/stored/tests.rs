#![allow(clippy::unwrap_used, clippy::panic)]
use serde_json::json;

use super::*;

fn newer() -> Value {
    json!({
        "format": 9, "state": "listed", "id": "7", "sha256": "ab", "bytes": 1, "width": 64, "height": 64,
        "created_at": 5, "palette": ["red"], "expires_at": 77,
        "recipe": {"request": {"model": "a/b", "prompt": "p", "negative_prompt": "", "seed": 1, "later": {"x": 1}},
            "weights_digest": "", "scheduler": "", "backend": "", "adapter": "", "place": "server", "duration_ms": 1,
            "later": "u"},
        "thumbnail": {"url": "/t", "width": 1, "height": 2, "blurhash": "L"},
    })
}

fn picture(json: &Value) -> Stored {
    match Kept::read(json).unwrap() {
        Kept::Picture(stored) => *stored,
        Kept::Removed(_) => panic!("removed"),
    }
}

#[test]
fn a_change_keeps_what_a_newer_version_wrote() {
    let found = newer();
    let mut stored = picture(&found);
    assert_eq!(stored.state, State::Listed);
    stored.state = State::Private;
    stored.expires_at = None;
    let written = Kept::Picture(Box::new(stored)).write(&found).unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    let mut expected = found;
    expected["state"] = "private".into();
    expected.as_object_mut().unwrap().remove("expires_at");
    // Defaults that the newer version left out are written.
    for (name, value) in [
        ("num_inference_steps", Value::Null),
        ("guidance_scale", Value::Null),
    ] {
        assert_eq!(written["recipe"]["request"][name], value);
    }
    assert_eq!(written, expected);
}

#[test]
fn a_tombstone_tells_nothing_of_the_picture() {
    let id = ImageId::new().unwrap();
    let tombstone = Tombstone::new(&id, "ab", None, BY_OPERATOR);
    let written = Kept::Removed(tombstone.clone()).write(&newer()).unwrap();
    let text = String::from_utf8(written.clone()).unwrap();
    for told in ["palette", "prompt", "recipe"] {
        assert!(!text.contains(told), "{text}");
    }
    let read = Kept::read(&serde_json::from_slice(&written).unwrap()).unwrap();
    assert_eq!(read, Kept::Removed(tombstone));
}

#[test]
fn a_state_of_a_newer_version_is_its_owners() {
    let mut json = newer();
    json["state"] = "archived".into();
    let owner = OwnerId::of("a");
    json["owner"] = serde_json::to_value(&owner).unwrap();
    let stored = picture(&json);
    assert!(stored.is_shown_to(Some(&owner)));
    assert!(!stored.is_shown_to(None) && !stored.is_shown_to(Some(&OwnerId::of("b"))));
    let written = Kept::Picture(Box::new(stored)).write(&json).unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(written["state"], "archived");
}

#[test]
fn records_of_the_first_format_are_listed_or_not() {
    let old = |unlisted: bool| {
        let mut json = newer();
        let members = json.as_object_mut().unwrap();
        for name in ["format", "state", "expires_at"] {
            members.remove(name);
        }
        members.insert("unlisted".into(), unlisted.into());
        members.insert("mine".into(), false.into());
        members.insert("url".into(), "/images/ab.png".into());
        json
    };
    for (unlisted_key, member, state) in [
        (false, false, State::Listed),
        (false, true, State::Unlisted),
        (true, false, State::Unlisted),
        (true, true, State::Unlisted),
    ] {
        let json = from_first_format(old(member), unlisted_key);
        let stored = picture(&json);
        assert_eq!(stored.state, state);
        assert_eq!(stored.format, FORMAT);
        assert_eq!(json["palette"], newer()["palette"]);
    }
}

#[test]
fn who_sees_what() {
    let (owner, other) = (OwnerId::of("a"), OwnerId::of("b"));
    let mut stored = picture(&newer());
    stored.owner = Some(owner.clone());
    for (state, owners, others) in [
        (State::Listed, true, true),
        (State::Unlisted, true, true),
        (State::Private, true, false),
        (State::Hidden, false, false),
    ] {
        stored.state = state;
        assert_eq!(
            stored.is_shown_to(Some(&owner)),
            owners,
            "{:?}",
            stored.state
        );
        assert_eq!(
            stored.is_shown_to(Some(&other)),
            others,
            "{:?}",
            stored.state
        );
        assert_eq!(stored.is_shown_to(None), others, "{:?}", stored.state);
    }
    // Nobody is not the owner of what has none.
    stored.owner = None;
    stored.state = State::Private;
    assert!(!stored.is_shown_to(None));
}
