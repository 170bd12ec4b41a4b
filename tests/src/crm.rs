//! A CRM on loopback that behaves as BottleCRM does where it matters for delivery, and worse where a test wants that.
//!
//! It answers as documented and measured: contacts and accounts by page, by address and by our id in a custom field; a second contact of an
//! address is refused; a contact without an address is made as often as one asks. Told to, it commits and then drops the connection
//! instead of answering, and it refuses values that look poisoned, naming the field.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Map, Value, json};

/// The custom field in which our id stands.
const OUR_ID: &str = "headwater_id";
/// The largest request that is read.
const MAX_BODY: usize = 1024 * 1024;
/// A value that begins so is refused.
pub const POISON: &str = "poison";

/// A contact, as its fields.
type Contact = Map<String, Value>;

/// A CRM that runs until it is dropped.
#[derive(Debug)]
pub struct Crm {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    contacts: Mutex<BTreeMap<String, Contact>>,
    accounts: Mutex<BTreeMap<String, Contact>>,
    made: AtomicU32,
    writes: AtomicU32,
    /// Every so many writes the answer is dropped; never when it is 0.
    drop_every: AtomicU32,
    stopped: AtomicBool,
}

impl Crm {
    /// Starts one without contacts.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, state) = (listener.local_addr()?, Arc::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopped.load(Ordering::Relaxed) {
                    break;
                }
                let state = Arc::clone(&shared);
                // A client that was killed leaves a broken connection, which is nobody's error.
                thread::spawn(move || drop(state.serve(&stream)));
            }
        });
        Ok(Self { address, state })
    }

    /// Its address, for a project.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Drops the answer of every so many writes, after they are done; of none when 0.
    pub fn drop_every(&self, writes: u32) {
        self.state.drop_every.store(writes, Ordering::Relaxed);
    }

    /// Puts a contact there, as somebody by hand.
    pub fn put(&self, id: &str, contact: &Value) {
        self.state.records(Kind::Contacts).insert(id.to_owned(), contact.as_object().cloned().unwrap_or_default());
    }

    /// Every contact by id, without what is empty.
    #[must_use]
    pub fn contacts(&self) -> BTreeMap<String, Value> {
        full(&self.state.records(Kind::Contacts))
    }

    /// Every account by id, without what is empty.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<String, Value> {
        full(&self.state.records(Kind::Accounts))
    }

    /// How many requests wrote.
    #[must_use]
    pub fn writes(&self) -> u32 {
        self.state.writes.load(Ordering::Relaxed)
    }
}

impl Drop for Crm {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is to stop.
        drop(TcpStream::connect(self.address));
    }
}

/// Records without what is empty.
fn full(records: &BTreeMap<String, Contact>) -> BTreeMap<String, Value> {
    let full = |record: &Contact| Value::Object(record.clone().into_iter().filter(|(_, value)| !is_empty(value)).collect());
    records.iter().map(|(id, record)| (id.clone(), full(record))).collect()
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Contacts,
    Accounts,
}

impl Kind {
    /// The kind and the id that a path names.
    fn of(path: &str) -> Option<(Self, &str)> {
        let rest = path.strip_prefix("/api/")?;
        let (kind, id) = rest.split_once('/')?;
        let kind = match kind {
            "contacts" => Self::Contacts,
            "accounts" => Self::Accounts,
            _ => return None,
        };
        Some((kind, id.trim_end_matches('/')))
    }

    /// The field of which no two records have the same value, whatever its case.
    fn unique(self) -> &'static str {
        match self {
            Self::Contacts => "email",
            Self::Accounts => "name",
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(object) => object.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

/// A request as far as it matters here.
struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    body: Contact,
}

impl State {
    fn records(&self, kind: Kind) -> MutexGuard<'_, BTreeMap<String, Contact>> {
        let records = match kind {
            Kind::Contacts => &self.contacts,
            Kind::Accounts => &self.accounts,
        };
        records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader)? {
            let (status, answer) = self.answer(&request);
            if request.method != "GET" {
                let write = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
                let every = self.drop_every.load(Ordering::Relaxed);
                if every > 0 && write.is_multiple_of(every) {
                    return Ok(());
                }
            }
            let body = answer.to_string();
            let mut out = stream;
            write!(out, "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        if request.path.starts_with("/api/custom-fields/") {
            let model = request.query.get("target_model").cloned().unwrap_or_default();
            let field =
                json!({ "target_model": model, "is_active": true, "key": OUR_ID, "label": "Headwater", "field_type": "text" });
            return (200, json!({ "definitions": [field] }));
        }
        let Some((kind, id)) = Kind::of(&request.path) else { return missing() };
        match (request.method.as_str(), id) {
            ("GET", "") => self.list(kind, request),
            ("POST", "") => self.make(kind, request),
            ("GET", id) => match (self.records(kind).get(id), kind) {
                (Some(contact), Kind::Contacts) => (200, json!({ "contact_obj": contact })),
                (Some(account), Kind::Accounts) => (200, json!({ "account_obj": account })),
                (None, _) => missing(),
            },
            ("PATCH", id) => self.change(kind, id, request),
            ("DELETE", id) => match self.records(kind).remove(id) {
                Some(_) => (200, json!({ "error": false })),
                None => missing(),
            },
            _ => missing(),
        }
    }

    fn list(&self, kind: Kind, request: &Request) -> (u16, Value) {
        let number = |key: &str, otherwise| request.query.get(key).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
        let records = self.records(kind);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let wanted = |record: &&Contact| {
            let field = kind.unique();
            // As the real one: a part of a name is enough, whatever its case.
            let by_unique = request.query.get(field).is_none_or(|value| {
                let held = text(record.get(field)).to_lowercase();
                if kind == Kind::Contacts { held == value.to_lowercase() } else { held.contains(&value.to_lowercase()) }
            });
            let ours = || text(record.get("custom_fields").and_then(|custom| custom.get(OUR_ID)));
            by_unique && request.query.get(&format!("cf_{OUR_ID}")).is_none_or(|id| ours() == *id)
        };
        let found: Vec<&Contact> = records.values().filter(wanted).collect();
        let page: Vec<&Contact> = found.iter().skip(number("offset", 0)).take(number("limit", 10)).copied().collect();
        match kind {
            Kind::Contacts => (200, json!({ "results": page, "count": found.len() })),
            Kind::Accounts => {
                let active = json!({ "open_accounts": page, "open_accounts_count": found.len() });
                let closed = json!({ "close_accounts": [], "close_accounts_count": 0 });
                (200, json!({ "active_accounts": active, "closed_accounts": closed }))
            }
        }
    }

    fn make(&self, kind: Kind, request: &Request) -> (u16, Value) {
        let mut contacts = self.records(kind);
        let field = kind.unique();
        let unique = request.body.get(field).and_then(Value::as_str).unwrap_or_default();
        let has =
            |record: &Contact| record.get(field).and_then(Value::as_str).is_some_and(|held| held.eq_ignore_ascii_case(unique));
        if !unique.is_empty() && contacts.values().any(has) {
            return refused(field, "a record with this value already exists.");
        }
        if let Some(field) = poisoned(&request.body) {
            return refused(&field, "is not a valid choice.");
        }
        let id = format!("00000000-0000-0000-0000-{:012}", self.made.fetch_add(1, Ordering::Relaxed) + 1);
        let mut contact = request.body.clone();
        contact.insert("id".to_owned(), id.clone().into());
        contacts.insert(id.clone(), contact);
        (200, json!({ "error": false, "id": id }))
    }

    fn change(&self, kind: Kind, id: &str, request: &Request) -> (u16, Value) {
        let mut contacts = self.records(kind);
        let Some(contact) = contacts.get_mut(id) else { return missing() };
        if let Some(field) = poisoned(&request.body) {
            return refused(&field, "is not a valid choice.");
        }
        for (field, value) in &request.body {
            match (field.as_str(), contact.get_mut("custom_fields"), value) {
                ("custom_fields", Some(Value::Object(held)), Value::Object(new)) => held.extend(new.clone()),
                _ => drop(contact.insert(field.clone(), value.clone())),
            }
        }
        (200, json!({ "error": false }))
    }
}

fn poisoned(body: &Contact) -> Option<String> {
    let bad = |value: &Value| value.as_str().is_some_and(|text| text.starts_with(POISON));
    body.iter().find(|(_, value)| bad(value)).map(|(field, _)| field.clone())
}

fn missing() -> (u16, Value) {
    (404, json!({ "detail": "Not found." }))
}

fn refused(field: &str, message: &str) -> (u16, Value) {
    let errors = Map::from_iter([(field.to_owned(), json!([message]))]);
    (400, json!({ "error": true, "errors": errors }))
}

/// Reads one request; nothing at the end of the connection.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; usize::min(length, MAX_BODY)];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (plain(key), plain(value)));
    let query = query.split('&').filter_map(pair).collect();
    Ok(Some(Request { method, path: path.to_owned(), query, body }))
}

/// What a part of a URL says.
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
