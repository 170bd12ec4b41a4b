//! Object stores: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.
//!
//! Two requests are needed, list and get, so they are made here through the one HTTP client, with its bounds and retries, and no
//! vendor's library is.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use headwater_sdk::http::header::{self, HeaderMap, HeaderValue};
use headwater_sdk::http::{HttpClient, HttpSettings, Method, RequestSpec, Url};
use headwater_sdk::{BuildContext, Clock, Error, ErrorKind, Result, Secret, SecretRef};

use super::super::paths::{self, MAX_FILES};
use super::super::position::Stamp;
use super::listing::{self, Object};
use super::{Storage, azure, changed, gone, s3, spool, too_many};

/// How much of a file one request takes.
const PART_BYTES: u64 = 8 * 1024 * 1024;
/// The most pages of a listing: a thousand files each.
const MAX_PAGES: usize = 1_000;

/// The files of one bucket or container.
#[derive(Clone)]
pub(in super::super) struct ObjectStore {
    client: HttpClient,
    /// `s3://bucket`, as names of files begin.
    root: String,
    /// The bucket's or container's own address.
    address: Url,
    pattern: String,
    access: Access,
    clock: Clock,
}

/// How requests prove who asks.
#[derive(Clone)]
pub(super) enum Access {
    /// S3's signature of every request; none for a public bucket.
    S3(Option<Arc<s3::Keys>>),
    /// Azure's signature in the query.
    Azure(Option<Arc<Secret>>),
}

impl ObjectStore {
    /// The object store that `path` names, such as `s3://bucket/folder/*.csv` or `az://account/container/*.csv`.
    pub(super) fn new(path: &str, storage: &Storage, cx: &BuildContext) -> Result<Self> {
        let wrong = |what: &str, hint: &str| Error::new(ErrorKind::Config, what).context("path", "path").hint(hint);
        let (scheme, rest) = path.split_once("://").unwrap_or_default();
        let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let secret = |reference: &Option<SecretRef>| reference.as_ref().map(|reference| cx.secret(reference)).transpose();
        let (base, bucket, pattern, access) = if scheme == "az" {
            let (container, pattern) = rest.split_once('/').unwrap_or((rest, ""));
            let own = format!("https://{first}.blob.core.windows.net");
            let sas = secret(&storage.sas)?.map(Arc::new);
            (storage.endpoint.clone().unwrap_or(own), container, pattern, Access::Azure(sas))
        } else {
            let region = storage.region.as_deref().unwrap_or(if scheme == "gs" { "auto" } else { "us-east-1" });
            let own = match scheme {
                "gs" => "https://storage.googleapis.com".to_owned(),
                _ => format!("https://s3.{region}.amazonaws.com"),
            };
            let keys = match (secret(&storage.access_key)?, secret(&storage.secret_key)?) {
                (Some(id), Some(secret_key)) => {
                    let token = secret(&storage.session_token)?;
                    Some(Arc::new(s3::Keys { id, secret: secret_key, token, region: region.to_owned() }))
                }
                (None, None) => None,
                _ => {
                    return Err(wrong(
                        "one half of the key is missing",
                        "set both `storage.access_key` and `storage.secret_key`",
                    ));
                }
            };
            (storage.endpoint.clone().unwrap_or(own), first, rest, Access::S3(keys))
        };
        if bucket.is_empty() || pattern.is_empty() || bucket.contains(['*', '?']) {
            let hint = "write s3://bucket/folder/*.csv, gs://bucket/*.csv or az://account/container/*.csv";
            return Err(wrong("the path names no bucket and files", hint));
        }
        let base = headwater_sdk::http::base_url(&base)?;
        let mut address = base.clone();
        address
            .path_segments_mut()
            .map_err(|()| wrong("the endpoint is no address", "write https://host"))?
            .pop_if_empty()
            .push(bucket);
        let root = if scheme == "az" { format!("az://{first}/{bucket}") } else { format!("{scheme}://{bucket}") };
        let client = HttpClient::new(HttpSettings::new(base, cx))?;
        Ok(Self { client, root, address, pattern: pattern.to_owned(), access, clock: cx.clock.clone() })
    }

    /// The files that the pattern names, sorted by name, with their stamps.
    pub(super) async fn find(&self) -> Result<Vec<(String, Stamp)>> {
        let literal = self.pattern.split(['*', '?']).next().unwrap_or_default();
        let prefix = literal.rsplit_once('/').map_or("", |(folders, _)| folders);
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut found: Vec<(String, Stamp)> = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let request = self.signed("list", self.listing(&prefix, next.as_deref()), None)?;
            let answer = self.client.send(&request).await.map_err(|error| self.explained(error))?;
            let page = listing::parse(answer.body())?;
            for Object { name, stamp } in page.objects {
                if paths::fits(&self.pattern, &name) && !name.ends_with('/') {
                    found.push((format!("{}/{name}", self.root), stamp));
                }
                if found.len() > MAX_FILES {
                    return Err(too_many());
                }
            }
            match page.next.filter(|next| !next.is_empty()) {
                Some(token) => next = Some(token),
                None => {
                    found.sort_by(|a, b| a.0.cmp(&b.0));
                    return Ok(found);
                }
            }
        }
        Err(Error::new(ErrorKind::Protocol, "the listing does not end").hint("narrow `path:` to one folder"))
    }

    /// Writes the first `wanted` bytes of a file, a part at a time.
    pub(super) async fn copy(&self, name: &str, stamp: &Stamp, wanted: u64, to: &mut File) -> Result<()> {
        let mut have = 0;
        while have < wanted {
            let end = wanted.min(have + PART_BYTES);
            let part = self.part(name, stamp, (have, end)).await?;
            if part.is_empty() || part.len() as u64 > end - have {
                return Err(Error::new(ErrorKind::Protocol, format!("{name}: the store gave another part than asked for")));
            }
            to.write_all(&part).map_err(spool)?;
            have += part.len() as u64;
        }
        Ok(())
    }

    /// The bytes from `start` to before `end`, of the version that was listed.
    async fn part(&self, name: &str, stamp: &Stamp, (start, end): (u64, u64)) -> Result<Vec<u8>> {
        let key = name.strip_prefix(&self.root).unwrap_or(name).trim_start_matches('/');
        let mut url = self.address.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(key.split('/'));
        }
        let mut request = self.signed("get", url, Some(format!("bytes={start}-{}", end - 1)))?;
        if let Some(tag) = stamp.etag.as_ref().and_then(|tag| HeaderValue::from_str(tag).ok()) {
            request = request.header(header::IF_MATCH, tag);
        }
        let answer = self.client.send(&request).await.map_err(|error| {
            let status = headwater_sdk::http::HttpError::of(&error).map(headwater_sdk::http::HttpError::status);
            match status.map(|status| status.as_u16()) {
                Some(412) => changed(name),
                Some(404) => gone(name),
                _ => self.explained(error),
            }
        })?;
        Ok(answer.body().to_vec())
    }

    fn listing(&self, prefix: &str, next: Option<&str>) -> Url {
        let mut url = self.address.clone();
        let pairs: Vec<(&str, &str)> = match (&self.access, next) {
            (Access::S3(_), None) => vec![("list-type", "2"), ("prefix", prefix)],
            (Access::S3(_), Some(next)) => vec![("continuation-token", next), ("list-type", "2"), ("prefix", prefix)],
            (Access::Azure(_), next) => {
                let more = next.map(|next| ("marker", next));
                [("restype", "container"), ("comp", "list"), ("prefix", prefix)].into_iter().chain(more).collect()
            }
        };
        url.query_pairs_mut().extend_pairs(pairs);
        url
    }

    fn signed(&self, template: &'static str, url: Url, range: Option<String>) -> Result<RequestSpec> {
        let mut headers = HeaderMap::new();
        let url = match &self.access {
            Access::S3(None) => url,
            Access::S3(Some(keys)) => s3::sign(keys, &Method::GET, url, self.clock.now(), &mut headers)?,
            Access::Azure(sas) => azure::sign(sas.as_deref(), url, &mut headers)?,
        };
        let mut request = RequestSpec::follow(template, url);
        for (name, value) in &headers {
            request = request.header(name.clone(), value.clone());
        }
        if let Some(range) = range.and_then(|range| HeaderValue::from_str(&range).ok()) {
            request = request.header(header::RANGE, range);
        }
        Ok(request)
    }

    fn explained(&self, error: Error) -> Error {
        let hint = match error.kind() {
            ErrorKind::Auth => "check the secrets under `storage`, and that they may list and read the bucket",
            ErrorKind::NotFound => "check the bucket in `path`, and `storage.region` or `storage.endpoint`",
            _ => return error,
        };
        error.context("bucket", self.root.clone()).hint(hint)
    }
}

impl std::fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectStore").field("root", &self.root).field("pattern", &self.pattern).finish_non_exhaustive()
    }
}
