//! Singer: taps as sources, targets as sinks.

mod catalog;
mod message;
mod source;
mod target;
mod verify;

pub(super) use source::SingerSource;
#[cfg(feature = "fuzz")]
pub(crate) use source::feed;
pub(super) use target::TargetSink;

use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Sink, Source};

use super::config::{SingerConfig, TargetConfig};
use super::reading::Pace;

/// The connector of taps.
#[derive(Debug)]
pub(super) struct Singer;

/// The connector of targets.
#[derive(Debug)]
pub(super) struct SingerTarget;

impl Connector for Singer {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "singer",
            title: "Singer tap",
            summary: "reads the streams of any Singer tap, run as a child process".into(),
            source_schema: Some(schemars::schema_for!(SingerConfig).to_value()),
            sink_schema: None,
            readme: include_str!("README.md"),
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(SingerSource::new(config.parse()?, cx, Pace::default())?))
    }
}

impl Connector for SingerTarget {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "singer_target",
            title: "Singer target",
            summary: "writes prospects through any Singer target, run as a child process, and checks what arrived".into(),
            source_schema: None,
            sink_schema: Some(schemars::schema_for!(TargetConfig).to_value()),
            readme: include_str!("README-target.md"),
        }
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(TargetSink::new(config.parse()?, cx)?))
    }
}
