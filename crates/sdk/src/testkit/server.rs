//! The server that stands in for the vendor's: it knows the recorded exchanges and nothing else. It serves sources and sinks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::http::Pause;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The largest request that is read: ours are small.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// After so many answers the pages that do not end do: parts that are the same each time give no page any more.
const END: usize = 120;
/// The answer to a request that no exchange is for.
const UNEXPECTED: u16 = 418;

/// An exchange, ready to be played.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The request as it was recorded, for messages.
    pub shown: String,
    /// The method, in capitals.
    pub method: String,
    /// The path, as it is sent.
    pub path: String,
    /// The parameters, decoded and sorted.
    pub query: Vec<(String, String)>,
    /// Headers that the request must have.
    pub headers: BTreeMap<String, String>,
    /// The JSON body that it must have.
    pub json: Option<Json>,
    /// The form body that it must have, decoded and sorted; empty for any.
    pub form: Vec<(String, String)>,
    /// The text that it must carry.
    pub text: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// Its headers.
    pub answer_headers: BTreeMap<String, String>,
    /// Its body.
    pub answer: Vec<u8>,
}

/// Whether exchanges are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each happens once: what a read asks for is what is recorded.
    Once,
    /// Each happens once, one after the other as recorded.
    InOrder,
    /// The last that fits answers, as often as it is asked: the remote does not change.
    Always,
    /// The first of the same path answers, whatever else is asked for: pages do not end.
    Endless,
    /// The one that fits answers, else the next of the same path: times in requests are others than those recorded.
    Shifted,
}

/// What a remote does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It answers with a status, an empty object and perhaps a header.
    Status(u16, Option<(&'static str, String)>),
    /// Its answer breaks off.
    Cut,
    /// It closes the connection without an answer.
    Silence,
    /// It takes the request and never answers.
    Hang,
    /// It answers with a page for people: a proxy, a page to sign in.
    WebPage,
    /// It answers with nothing.
    Empty,
    /// Its records have a member that nobody knows.
    NewMember,
    /// Its last record was removed.
    Removed,
    /// All its records have the times of the first.
    OneTime,
}

/// When it does so.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The exchange that goes wrong; every one where it is none.
    pub exchange: Option<usize>,
    /// How often.
    pub times: usize,
    /// What happens.
    pub fault: Fault,
}

#[derive(Debug, Default)]
struct Play {
    exchanges: Vec<Prepared>,
    /// What is answered beside them, as often as it is asked.
    standing: Vec<Prepared>,
    used: Vec<usize>,
    /// The exchanges in the order in which they were asked for first.
    order: Vec<usize>,
    unexpected: Vec<String>,
    mode: Option<Mode>,
    trouble: Option<Trouble>,
    /// The first time that stood at each place of a record, where all records have one time.
    times: BTreeMap<String, Json>,
}

/// What goes back.
enum Reply {
    Whole(u16, BTreeMap<String, String>, Vec<u8>),
    Cut(BTreeMap<String, String>, Vec<u8>),
    Silence,
    Hang,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    /// The time of whoever asks: only it passes while nobody answers.
    pause: Pause,
    play: Mutex<Play>,
}

/// What was asked.
struct Asked {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Server {
    /// A server on a free port of loopback; `pause` keeps the time of whoever asks.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(pause: &Pause) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(Self { listener, pause: pause.clone(), play: Mutex::default() })
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn origin(&self) -> std::io::Result<String> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Plays these exchanges from now on.
    pub fn play(&self, exchanges: Vec<Prepared>, mode: Mode) {
        let used = vec![0; exchanges.len()];
        *self.lock() = Play { exchanges, used, mode: Some(mode), ..Play::default() };
    }

    /// Answers these beside the exchanges, as often as they are asked.
    pub fn stand_by(&self, standing: Vec<Prepared>) {
        self.lock().standing = standing;
    }

    /// Goes wrong from now on; nothing ends that.
    pub fn misbehave(&self, trouble: Option<Trouble>) {
        let mut play = self.lock();
        play.unexpected.clear();
        play.trouble = trouble;
    }

    /// The exchanges that were asked for, each once, in the order of the first time.
    pub fn order(&self) -> Vec<usize> {
        self.lock().order.clone()
    }

    /// What went otherwise than recorded.
    pub fn problems(&self) -> Vec<String> {
        let play = self.lock();
        let mut out = play.unexpected.clone();
        if matches!(play.mode, Some(Mode::Once | Mode::InOrder)) {
            let unused = play.exchanges.iter().zip(&play.used).filter(|(_, used)| **used == 0);
            out.extend(unused.map(|(exchange, _)| format!("never asked: {}", exchange.shown)));
        }
        out
    }

    /// How many requests were answered.
    pub fn answered(&self) -> usize {
        self.lock().used.iter().sum()
    }

    /// Serves until the work is done.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let serve = async {
            let mut connections = FuturesUnordered::new();
            loop {
                tokio::select! {
                    accepted = self.listener.accept() => if let Ok((stream, _)) = accepted {
                        connections.push(self.connection(stream));
                    },
                    Some(()) = connections.next(), if !connections.is_empty() => {}
                }
            }
        };
        tokio::select! {
            done = work => done,
            () = serve => unreachable!("the server serves until it is dropped"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Play> {
        self.play.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request and its answer. What is broken about a connection, its other end sees.
    async fn connection(&self, mut stream: TcpStream) {
        let Some(asked) = read(&mut stream).await else { return };
        let (status, headers, body, missing) = match self.answer(&asked) {
            Reply::Whole(status, headers, body) => (status, headers, body, 0),
            Reply::Cut(headers, body) => (200, headers, body, 10),
            Reply::Silence => return,
            Reply::Hang => {
                self.pause.hang();
                return std::future::pending().await;
            }
        };
        let mut head = format!("HTTP/1.1 {status} {}\r\n", if status < 400 { "OK" } else { "Refused" });
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            head.push_str("content-type: application/json\r\n");
        }
        head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len() + missing));
        if stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok() {
            drop(stream.shutdown().await);
        }
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let mut play = self.lock();
        let those = |fits: &dyn Fn(&Prepared) -> bool| -> Vec<usize> {
            play.exchanges.iter().enumerate().filter(|(_, exchange)| fits(exchange)).map(|(index, _)| index).collect()
        };
        let fitting = match play.mode {
            Some(Mode::Endless | Mode::Shifted) => {
                those(&|exchange| (&exchange.method, &exchange.path) == (&asked.method, &asked.path))
            }
            Some(Mode::Once | Mode::InOrder | Mode::Always) | None => those(&|exchange| exchange.fits(asked)),
        };
        let unused = |index: &usize| play.used.get(*index) == Some(&0);
        let chosen = match play.mode {
            Some(Mode::Always) => fitting.last().copied(),
            Some(Mode::Endless) => fitting.first().copied(),
            Some(Mode::Shifted) => {
                let exact = those(&|exchange| exchange.fits(asked));
                exact.into_iter().chain(fitting.iter().copied()).find(unused).or(fitting.last().copied())
            }
            Some(Mode::InOrder) => {
                let next = play.used.iter().position(|used| *used == 0);
                next.filter(|next| fitting.contains(next))
            }
            Some(Mode::Once) | None => fitting.iter().copied().find(unused),
        };
        let ended = play.mode == Some(Mode::Endless) && play.used.iter().sum::<usize>() >= END;
        let found = chosen.filter(|_| !ended).and_then(|index| {
            let first = play.used.get_mut(index).is_some_and(|used| {
                *used += 1;
                *used == 1
            });
            if first {
                play.order.push(index);
            }
            play.exchanges.get(index).cloned().map(|exchange| (exchange, play.fault(index)))
        });
        let standing = || play.standing.iter().find(|exchange| exchange.fits(asked)).cloned();
        match found.or_else(|| Some((standing()?, None))) {
            Some((exchange, Some(Fault::OneTime))) => {
                let answer = with_one_time(exchange.answer, &mut play.times);
                Prepared { answer, ..exchange }.reply(None)
            }
            Some((exchange, fault)) => exchange.reply(fault),
            None => {
                let unused = fitting.iter().any(|index| play.used.get(*index) == Some(&0));
                let again = match fitting.is_empty() {
                    true => "asked, but not recorded",
                    false if unused => "asked before its turn",
                    false => "asked more often than recorded",
                };
                let near = play.exchanges.iter().find(|exchange| exchange.path == asked.path && fitting.is_empty());
                let body = || match String::from_utf8_lossy(&asked.body) {
                    body if body.is_empty() => String::new(),
                    body => format!(" with {body}"),
                };
                let why = near.map(|near| format!("; {}", near.difference(asked))).unwrap_or_else(body);
                let shown = asked.shown();
                play.unexpected.push(format!("{again}: {shown}{why}"));
                Reply::Whole(UNEXPECTED, BTreeMap::new(), b"{}".to_vec())
            }
        }
    }
}

impl Play {
    /// What goes wrong about this answer.
    fn fault(&mut self, exchange: usize) -> Option<Fault> {
        let trouble = self.trouble.as_mut()?;
        if trouble.times == 0 || trouble.exchange.is_some_and(|at| at != exchange) {
            return None;
        }
        trouble.times -= 1;
        Some(trouble.fault.clone())
    }
}

/// The body with a member more in each object of a list; as it is where it is no JSON.
fn with_new_member(body: Vec<u8>) -> Vec<u8> {
    fn add(value: &mut Json, in_list: bool) {
        match value {
            Json::Array(items) => items.iter_mut().for_each(|item| add(item, true)),
            Json::Object(members) => {
                members.values_mut().for_each(|member| add(member, false));
                if in_list {
                    members.insert("zz_new".to_owned(), Json::from("x"));
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    match serde_json::from_slice::<Json>(&body) {
        Ok(mut value) => {
            add(&mut value, false);
            value.to_string().into_bytes()
        }
        Err(_) => body,
    }
}

/// The body with the first time that stood at each place of a record in all of them; as it is where it is no JSON.
fn with_one_time(body: Vec<u8>, times: &mut BTreeMap<String, Json>) -> Vec<u8> {
    fn is_time(value: &Json) -> bool {
        match value {
            Json::String(text) => {
                let shape: String = text.chars().take(10).map(|one| if one.is_ascii_digit() { '0' } else { one }).collect();
                text.len() > 10 && shape == "0000-00-00"
            }
            // Seconds or milliseconds of this century.
            Json::Number(number) => number
                .as_u64()
                .is_some_and(|at| (978_307_200..4_102_444_800).contains(&(if at > 1 << 33 { at / 1000 } else { at }))),
            _ => false,
        }
    }
    fn set(value: &mut Json, place: &str, in_record: bool, times: &mut BTreeMap<String, Json>) {
        match value {
            Json::Array(items) => items.iter_mut().for_each(|item| set(item, place, true, times)),
            Json::Object(members) => {
                for (name, member) in members {
                    let place = format!("{place}.{name}");
                    if in_record && is_time(member) {
                        *member = times.entry(place).or_insert_with(|| member.clone()).clone();
                    } else {
                        set(member, &place, in_record, times);
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    match serde_json::from_slice::<Json>(&body) {
        Ok(mut value) => {
            set(&mut value, "", false, times);
            value.to_string().into_bytes()
        }
        Err(_) => body,
    }
}

/// The body without the last object of each of its outermost lists of objects, or maps of objects by number, or without its last line
/// where it is no JSON.
fn without_the_last(body: &[u8]) -> Vec<u8> {
    let by_number = |members: &serde_json::Map<String, Json>| {
        !members.is_empty() && members.iter().all(|(name, member)| member.is_object() && name.parse::<u64>().is_ok())
    };
    fn pop(values: Vec<&mut Json>, by_number: &dyn Fn(&serde_json::Map<String, Json>) -> bool) {
        let (mut inside, mut found) = (Vec::new(), false);
        for value in values {
            match value {
                Json::Array(items) if items.first().is_some_and(Json::is_object) => {
                    items.pop();
                    found = true;
                }
                Json::Array(items) => inside.extend(items),
                Json::Object(members) if by_number(members) => {
                    let last = members.keys().filter_map(|name| name.parse::<u64>().ok()).max();
                    members.retain(|name, _| name.parse().ok() != last);
                    found = true;
                }
                Json::Object(members) => inside.extend(members.values_mut()),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
            }
        }
        if !found && !inside.is_empty() {
            pop(inside, by_number);
        }
    }
    if let Ok(mut value) = serde_json::from_slice::<Json>(body) {
        pop(vec![&mut value], &by_number);
        return value.to_string().into_bytes();
    }
    let end = body.trim_ascii_end();
    let cut = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    body.get(..cut).unwrap_or_default().to_vec()
}

impl Asked {
    fn shown(&self) -> String {
        let query: Vec<String> = self.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        format!("{} {}{query}", self.method, self.path)
    }

    fn form(&self) -> Vec<(String, String)> {
        sorted(url::form_urlencoded::parse(&self.body).into_owned())
    }
}

impl Prepared {
    fn reply(self, fault: Option<Fault>) -> Reply {
        let json = BTreeMap::new;
        match fault {
            None => Reply::Whole(self.status, self.answer_headers, self.answer),
            Some(Fault::Status(status, header)) => {
                let headers = header.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                Reply::Whole(status, headers, b"{}".to_vec())
            }
            Some(Fault::Cut) => Reply::Cut(self.answer_headers, self.answer),
            Some(Fault::Silence) => Reply::Silence,
            Some(Fault::Hang) => Reply::Hang,
            Some(Fault::WebPage) => {
                let headers = [("content-type".to_owned(), "text/html; charset=utf-8".to_owned())].into();
                Reply::Whole(200, headers, b"<html><body>Please sign in</body></html>".to_vec())
            }
            Some(Fault::Empty) => Reply::Whole(200, json(), Vec::new()),
            Some(Fault::NewMember) => Reply::Whole(self.status, self.answer_headers, with_new_member(self.answer)),
            Some(Fault::OneTime) => Reply::Whole(self.status, self.answer_headers, self.answer),
            Some(Fault::Removed) => Reply::Whole(self.status, self.answer_headers, without_the_last(&self.answer)),
        }
    }

    fn fits(&self, asked: &Asked) -> bool {
        self.method == asked.method
            && self.path == asked.path
            && self.query == asked.query
            && self.headers.iter().all(|(name, value)| asked.headers.get(&name.to_ascii_lowercase()) == Some(value))
            && self.json.as_ref().is_none_or(|json| serde_json::from_slice::<Json>(&asked.body).ok().as_ref() == Some(json))
            && (self.form.is_empty() || self.form == asked.form())
            && self.text.as_ref().is_none_or(|text| text.as_bytes() == asked.body)
    }

    /// What tells a request from this exchange, for a message.
    fn difference(&self, asked: &Asked) -> String {
        if self.method != asked.method || self.query != asked.query {
            return format!("recorded is {}", self.shown);
        }
        if let Some((name, value)) =
            self.headers.iter().find(|(name, value)| asked.headers.get(&name.to_ascii_lowercase()) != Some(*value))
        {
            let found = asked.headers.get(&name.to_ascii_lowercase()).map_or("absent", String::as_str);
            return format!("the header {name} is `{found}`, recorded is `{value}`");
        }
        format!("its body is `{}`", String::from_utf8_lossy(&asked.body))
    }
}

impl Prepared {
    /// What a server at this origin answers to a `GET` of this target: from then on it can be played without that server.
    ///
    /// # Errors
    /// When it cannot be reached, or answers with what is no HTTP.
    pub async fn recorded(origin: &str, asked: &str) -> std::io::Result<Self> {
        let wrong = || std::io::Error::from(std::io::ErrorKind::InvalidData);
        let host = origin.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await?;
        let request = format!("GET {asked} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(wrong)?;
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
        let (path, query) = target(asked);
        Ok(Self {
            shown: format!("GET {asked}"),
            method: "GET".to_owned(),
            path,
            query,
            headers: BTreeMap::new(),
            json: None,
            form: Vec::new(),
            text: None,
            status,
            answer_headers: BTreeMap::new(),
            answer: bytes.get(end + 4..).unwrap_or_default().to_vec(),
        })
    }
}

/// A request line's target as path and parameters.
pub fn target(text: &str) -> (String, Vec<(String, String)>) {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    (path.to_owned(), sorted(url::form_urlencoded::parse(query.as_bytes()).into_owned()))
}

/// Parameters in the order in which they are compared.
pub fn sorted(pairs: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    pairs
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8 * 1024];
    let (head, begin) = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break (String::from_utf8_lossy(bytes.get(..end)?).into_owned(), end + 4);
        }
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(chunk.get(..read)?);
        if bytes.len() > MAX_REQUEST_BYTES {
            return None;
        }
    };
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, (path, query)) = (first.next()?.to_owned(), target(first.next()?));
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    while bytes.len() < begin + length.min(MAX_REQUEST_BYTES) {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(chunk.get(..read)?);
    }
    Some(Asked { method, path, query, headers, body: bytes.get(begin..)?.to_vec() })
}
