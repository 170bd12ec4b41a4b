//! Files that are not on the project's disk: in object stores, and on servers that speak SFTP.
//!
//! A file is taken to a temporary file, only while it stays the same, and read from there as a local one is: formats such as XLSX and
//! Parquet jump about in it. The temporary file is this user's alone and goes when it is read.

mod azure;
mod listing;
mod s3;
mod sftp;
mod store;

use std::io::Write as _;

use headwater_sdk::{BuildContext, Error, ErrorKind, Result, SecretRef};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::NamedTempFile;

use self::sftp::Sftp;
use self::store::ObjectStore;
use super::paths::MAX_FILES;
use super::position::Stamp;

/// How much of a file its column names are looked for in.
pub(super) const HEAD_BYTES: u64 = 512 * 1024;

/// Where files of another machine are and who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storage {
    /// The address of the service, where it is not the vendor's own: `https://minio.example.com`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The region of an S3 bucket; `us-east-1` when left out.
    #[serde(default)]
    pub region: Option<String>,
    /// The id of an S3 access key, or of an HMAC key of Google Cloud Storage. Without one requests are not signed.
    #[serde(default)]
    pub access_key: Option<SecretRef>,
    /// The secret that belongs to it.
    #[serde(default)]
    pub secret_key: Option<SecretRef>,
    /// The token of temporary S3 credentials.
    #[serde(default)]
    pub session_token: Option<SecretRef>,
    /// A shared access signature (SAS) for an Azure container, with the rights to list and read.
    #[serde(default)]
    pub sas: Option<SecretRef>,
    /// The private key for SFTP, in OpenSSH's form or PEM; without it and `password`, the keys and the agent of this user.
    #[serde(default)]
    pub private_key: Option<SecretRef>,
    /// The password for SFTP; beside `private_key`, the passphrase of that key.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// The public key of the SFTP server, such as `ssh-ed25519 AAAA…`, as its owner states it; without it, the known hosts of this user.
    #[serde(default)]
    pub host_key: Option<String>,
}

/// The files of one place.
#[derive(Debug)]
pub(super) enum Remote {
    Store(ObjectStore),
    Sftp(Sftp),
}

/// Whether a path names another place than the project's disk.
pub(super) fn is_remote(path: &str) -> bool {
    ["s3://", "gs://", "az://", sftp::SCHEME].iter().any(|scheme| path.starts_with(scheme))
}

impl Remote {
    /// The place that `path` names, such as `s3://bucket/folder/*.csv` or `sftp://user@host/folder/*.csv`.
    pub(super) fn new(path: &str, storage: &Storage, cx: &BuildContext) -> Result<Self> {
        if path.starts_with(sftp::SCHEME) {
            return Ok(Self::Sftp(Sftp::new(path, storage, cx)?));
        }
        Ok(Self::Store(ObjectStore::new(path, storage, cx)?))
    }

    /// The files that the pattern names, sorted by name, with their stamps.
    pub(super) async fn find(&self) -> Result<Vec<(String, Stamp)>> {
        match self {
            Self::Store(store) => store.find().await,
            Self::Sftp(sftp) => sftp.find().await,
        }
    }

    /// The file's content, or its first `most` bytes, as a local file.
    pub(super) async fn fetch(&self, name: &str, stamp: &Stamp, most: u64) -> Result<NamedTempFile> {
        let mut file = NamedTempFile::new().map_err(spool)?;
        let wanted = stamp.size.min(most);
        match self {
            Self::Store(store) => store.copy(name, stamp, wanted, file.as_file_mut()).await?,
            Self::Sftp(sftp) => sftp.copy(name, stamp, wanted, file.as_file_mut()).await?,
        }
        file.flush().map_err(spool)?;
        Ok(file)
    }
}

/// What is wrong with the temporary folder.
fn spool(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the temporary folder cannot be written").hint("make room in it").source(error)
}

fn too_many() -> Error {
    Error::new(ErrorKind::Config, format!("the pattern covers more than {MAX_FILES} files"))
        .context("path", "path")
        .hint("narrow it, for example to one folder")
}

fn changed(name: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{name} changed while it was read")).hint("run again")
}

fn gone(name: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{name} is gone since it was listed")).hint("run again")
}
