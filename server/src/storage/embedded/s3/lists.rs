//! `ListObjects` and `ListObjectsV2`: the same pages, told apart by how the next one is asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass,
};
use s3s::{S3Result, s3_error};

use super::MAX_KEYS;
use super::answers::{e_tag, length, modified};
use crate::storage::embedded::list::Query;
use crate::storage::embedded::objects::Objects;

/// What is written in its percent form where a list is asked for that way.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// What both versions ask.
struct Asked {
    prefix: Option<String>,
    delimiter: Option<String>,
    /// The page begins after this key or group.
    after: Option<String>,
    max_keys: Option<i32>,
}

/// A page as both versions show it.
struct Page {
    contents: Vec<Object>,
    groups: Vec<CommonPrefix>,
    /// The last key or group, where more follow.
    next: Option<String>,
    max_keys: i32,
}

/// How names are written.
#[derive(Clone, Copy)]
struct Writing {
    as_url: bool,
}

impl Writing {
    fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self { as_url: false }),
            Some(EncodingType::URL) => Ok(Self { as_url: true }),
            Some(_) => Err(s3_error!(InvalidArgument, "the encoding type is not url")),
        }
    }

    fn write(self, text: String) -> String {
        if self.as_url {
            utf8_percent_encode(&text, ENCODED).to_string()
        } else {
            text
        }
    }
}

async fn page(objects: &Objects, asked: Asked, writing: Writing) -> S3Result<Page> {
    let limit = match asked.max_keys {
        Some(most) => usize::try_from(most)
            .map_err(|_| s3_error!(InvalidArgument, "max-keys is less than 0"))?
            .min(MAX_KEYS),
        None => MAX_KEYS,
    };
    let query = Query {
        prefix: asked.prefix.unwrap_or_default(),
        after: asked.after,
        delimiter: asked.delimiter,
        limit,
    };
    let listing = objects.list(query).await?;
    let contents = listing.objects.into_iter().map(|(key, entry)| Object {
        key: Some(writing.write(key)),
        size: length(entry.bytes),
        e_tag: Some(e_tag(&entry)),
        last_modified: Some(modified(&entry)),
        storage_class: Some(ObjectStorageClass::from_static(
            ObjectStorageClass::STANDARD,
        )),
        ..Default::default()
    });
    let groups = listing.groups.into_iter().map(|group| CommonPrefix {
        prefix: Some(writing.write(group)),
    });
    Ok(Page {
        contents: contents.collect(),
        groups: groups.collect(),
        next: listing.next,
        max_keys: i32::try_from(limit).unwrap_or(i32::MAX),
    })
}

/// `ListObjects`. The next page begins after `NextMarker`, which is there with a delimiter alone; without one it begins
/// after the last key.
pub async fn first_version(
    objects: &Objects,
    input: ListObjectsInput,
) -> S3Result<ListObjectsOutput> {
    let writing = Writing::of(input.encoding_type.as_ref())?;
    let asked = Asked {
        prefix: input.prefix.clone(),
        delimiter: input.delimiter.clone(),
        after: input.marker.clone().filter(|marker| !marker.is_empty()),
        max_keys: input.max_keys,
    };
    let page = page(objects, asked, writing).await?;
    let grouped = input.delimiter.as_ref().is_some_and(|d| !d.is_empty());
    Ok(ListObjectsOutput {
        is_truncated: Some(page.next.is_some()),
        next_marker: page
            .next
            .filter(|_| grouped)
            .map(|next| writing.write(next)),
        contents: Some(page.contents),
        common_prefixes: Some(page.groups),
        max_keys: Some(page.max_keys),
        name: Some(input.bucket),
        prefix: Some(writing.write(input.prefix.unwrap_or_default())),
        marker: Some(writing.write(input.marker.unwrap_or_default())),
        delimiter: input.delimiter.map(|delimiter| writing.write(delimiter)),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

/// `ListObjectsV2`. The next page is asked for by a token of this one.
pub async fn second_version(
    objects: &Objects,
    input: ListObjectsV2Input,
) -> S3Result<ListObjectsV2Output> {
    let writing = Writing::of(input.encoding_type.as_ref())?;
    let token = match &input.continuation_token {
        Some(token) => {
            let text = URL_SAFE_NO_PAD.decode(token).ok();
            let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
            Some(text.ok_or_else(|| {
                s3_error!(InvalidArgument, "the continuation token is not from here")
            })?)
        }
        None => None,
    };
    let asked = Asked {
        prefix: input.prefix.clone(),
        delimiter: input.delimiter.clone(),
        after: token.or_else(|| input.start_after.clone()),
        max_keys: input.max_keys,
    };
    let page = page(objects, asked, writing).await?;
    Ok(ListObjectsV2Output {
        key_count: i32::try_from(page.contents.len() + page.groups.len()).ok(),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
        contents: Some(page.contents),
        common_prefixes: Some(page.groups),
        max_keys: Some(page.max_keys),
        name: Some(input.bucket),
        prefix: input.prefix.map(|prefix| writing.write(prefix)),
        delimiter: input.delimiter.map(|delimiter| writing.write(delimiter)),
        start_after: input.start_after.map(|after| writing.write(after)),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}
