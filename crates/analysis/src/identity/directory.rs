//! Finds the cluster that an order, an invoice or a click belongs to, by the keys it carries.
//!
//! A key that several clusters have finds nobody: a desk's address, or a placeholder that was too generic to join. To credit
//! the wrong person is worse than to credit none.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::cluster::Clusters;
use super::keys::{match_key, phone_key};
use super::leads::{Field, Leads};

/// An index of the leads' keys.
#[derive(Debug)]
pub struct Directory {
    /// Sorted by key; a key stands once, with its only cluster or with none where it is ambiguous.
    keys: Vec<(u128, Option<u32>)>,
    vendors: BTreeMap<String, String>,
}

impl Directory {
    /// An index over these clusters. `vendors` is the map that the resolver was given.
    #[must_use]
    pub fn new(leads: &Leads, clusters: &Clusters, vendors: BTreeMap<String, String>) -> Self {
        let mut keys = Vec::with_capacity(leads.len() * 2);
        for (members, cluster) in clusters.iter().zip(0..) {
            for row in members {
                let text = |field| leads.text(field, *row);
                let email = text(Field::Email).and_then(email_hash);
                let phones = [text(Field::Phone), text(Field::Mobile)].map(|phone| phone.and_then(phone_hash));
                let id = text(Field::ExternalId).and_then(|id| id_hash(&vendors, text(Field::Source).unwrap_or_default(), id));
                keys.extend([email, id].into_iter().chain(phones).flatten().map(|key| (key, Some(cluster))));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys.dedup_by(|next, first| {
            let is_same = next.0 == first.0;
            if is_same {
                first.1 = None;
            }
            is_same
        });
        keys.shrink_to_fit();
        Self { keys, vendors }
    }

    /// The only cluster with this email address.
    #[must_use]
    pub fn by_email(&self, email: &str) -> Option<usize> {
        self.find(email_hash(email)?)
    }

    /// The only cluster with this phone number.
    #[must_use]
    pub fn by_phone(&self, phone: &str) -> Option<usize> {
        self.find(phone_hash(phone)?)
    }

    /// The only cluster with this id at the vendor of `source`.
    #[must_use]
    pub fn by_external_id(&self, source: &str, id: &str) -> Option<usize> {
        self.find(id_hash(&self.vendors, source, id)?)
    }

    fn find(&self, key: u128) -> Option<usize> {
        let at = self.keys.binary_search_by_key(&key, |(known, _)| *known).ok()?;
        self.keys.get(at)?.1.map(|cluster| cluster as usize)
    }
}

/// Keys of one kind are hashed by one seed, so that an address is no number.
const EMAIL: u64 = 1;
const PHONE: u64 = 2;

fn email_hash(email: &str) -> Option<u128> {
    match_key(email).map(|key| xxh3_128_with_seed(key.as_bytes(), EMAIL))
}

fn phone_hash(phone: &str) -> Option<u128> {
    phone_key(phone).map(|key| xxh3_128_with_seed(key.as_bytes(), PHONE))
}

fn id_hash(vendors: &BTreeMap<String, String>, source: &str, id: &str) -> Option<u128> {
    let id = id.trim();
    let vendor = vendors.get(source).map_or(source, String::as_str);
    (!id.is_empty()).then(|| xxh3_128_with_seed(id.as_bytes(), xxh3_64(vendor.as_bytes())))
}
