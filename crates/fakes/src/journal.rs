//! A fake that is as it was when it is started again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::{Answer, Call, Conditions, Vendor};

/// What stands last in the path of a call that only reads, although its method says otherwise.
const READS: [&str; 5] = ["read", "search", "search_read", "search_count", "fields_get"];

/// A vendor with a file in which stands what it was asked to change, one call a line, with what it refused then. It is asked the same
/// again when it starts: a vendor is a machine of calls, of the time and of what it refuses, so it comes to the same records.
#[derive(Debug)]
pub struct Journalled<V> {
    vendor: V,
    file: File,
}

impl<V: Vendor> Journalled<V> {
    /// Asks the vendor what stands in the file, which is made when it is not there, and goes on writing to it.
    ///
    /// # Errors
    /// When the file cannot be read or written, or a line of it is no call.
    pub fn open(mut vendor: V, path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        for (number, line) in BufReader::new(&file).lines().enumerate() {
            let (call, conditions, at) = read(&line?).ok_or_else(|| {
                let place = format!("{}:{}: this is no call", path.display(), number + 1);
                io::Error::new(io::ErrorKind::InvalidData, place)
            })?;
            vendor.answer(&call, &conditions, at);
        }
        Ok(Self { vendor, file })
    }
}

impl<V: Vendor> Vendor for Journalled<V> {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let answer = self.vendor.answer(call, conditions, now_us);
        let reads = call.method == "GET" || call.path.last().is_some_and(|last| READS.contains(&last.as_str()));
        let line = format!("{}\n", written(call, conditions, now_us));
        if !reads && answer.status < 300 && self.file.write_all(line.as_bytes()).is_err() {
            // It did the call and cannot keep it; a caller that hears of a failure looks again.
            return Answer::empty(500);
        }
        answer
    }

    fn limited(&self, wait_ms: u64, now_us: i64) -> Answer {
        self.vendor.limited(wait_ms, now_us)
    }

    fn state(&self) -> Value {
        self.vendor.state()
    }
}

fn written(call: &Call, conditions: &Conditions, at: i64) -> Value {
    let Call { method, path, query, headers, body } = call;
    let body = String::from_utf8_lossy(body);
    let mut line = json!({ "at": at, "method": method, "path": path, "query": query, "headers": headers, "body": body });
    if let (Some(text), Some(line)) = (&conditions.refuse, line.as_object_mut()) {
        line.insert("refuse".to_owned(), json!(text));
        line.insert("whole_batch_fails".to_owned(), json!(conditions.whole_batch_fails));
    }
    line
}

fn read(line: &str) -> Option<(Call, Conditions, i64)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let member = |name: &str| line.get(name).cloned();
    let call = Call {
        method: member("method")?.as_str()?.to_owned(),
        path: serde_json::from_value(member("path")?).ok()?,
        query: serde_json::from_value(member("query")?).ok()?,
        headers: serde_json::from_value(member("headers")?).ok()?,
        body: member("body")?.as_str()?.as_bytes().to_vec(),
    };
    let conditions = Conditions {
        refuse: member("refuse").and_then(|text| Some(text.as_str()?.to_owned())),
        whole_batch_fails: member("whole_batch_fails").is_some_and(|flag| flag == true),
        ..Conditions::default()
    };
    Some((call, conditions, member("at")?.as_i64()?))
}
