use async_trait::async_trait;
use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::http::Pause;
use headwater_sdk::{BuildContext, Clock, Error, ErrorKind, EventStream, Result, Source, StreamSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::Client;
use super::config::Config;
use super::{activity, members};

const VERSION: u16 = 1;

#[derive(Debug)]
pub(super) struct MailchimpSource {
    client: Client,
    settings: Settings,
    clock: Clock,
}

/// What the streams need of the settings.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) list_ids: Vec<String>,
    pub(super) merge_fields: Vec<String>,
    pub(super) page_size: usize,
    pub(super) activity_days: u16,
}

impl Settings {
    /// Whether records of that audience are wanted.
    pub(super) fn wants(&self, list: Option<&str>) -> bool {
        self.list_ids.is_empty() || list.is_some_and(|list| self.list_ids.iter().any(|wanted| wanted == list))
    }
}

impl MailchimpSource {
    pub(super) fn new(config: Config, cx: &BuildContext, pause: Pause) -> Result<Self> {
        let config = config.checked()?;
        let client = Client::new(&config, cx, pause)?;
        let Config { api_key: _, server_url: _, list_ids, merge_fields, page_size, activity_days } = config;
        if let Some(tag) = merge_fields.iter().find(|tag| members::is_field(tag)) {
            return Err(
                Error::new(ErrorKind::Config, format!("merge field {tag} is read anyway")).context("path", "merge_fields")
            );
        }
        let settings = Settings { list_ids, merge_fields, page_size, activity_days };
        Ok(Self { client, settings, clock: cx.clock.clone() })
    }
}

#[async_trait]
impl Source for MailchimpSource {
    async fn check(&self) -> Result<()> {
        self.client.check().await
    }

    /// Both: they share the account's connections.
    fn streams_at_once(&self) -> usize {
        2
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        Ok(vec![members::spec(&self.settings), activity::spec()])
    }

    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let (client, settings) = (self.client.clone(), self.settings.clone());
        match stream.name.as_str() {
            members::NAME => members::read(client, settings, from),
            activity::NAME => activity::read(client, settings, self.clock.clone(), from),
            other => Err(Error::new(ErrorKind::Config, format!("mailchimp has no stream {other}"))),
        }
    }
}

/// The position that a checkpoint holds, or the beginning.
pub(super) fn position<P: DeserializeOwned + Default>(checkpoint: Option<Checkpoint>) -> Result<P> {
    let Some(Checkpoint { version, state }) = checkpoint else { return Ok(P::default()) };
    let wrong = || Error::new(ErrorKind::Config, "the stored position is not one of this stream");
    if version != VERSION {
        return Err(wrong().context("version", version.to_string()));
    }
    serde_json::from_value(state).map_err(|error| wrong().source(error))
}

pub(super) fn checkpoint(position: &impl Serialize) -> Result<Checkpoint> {
    let state = serde_json::to_value(position)
        .map_err(|error| Error::new(ErrorKind::Internal, "a position cannot be written").source(error))?;
    Ok(Checkpoint::new(VERSION, state))
}
