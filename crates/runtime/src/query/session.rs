//! The tables of one snapshot, registered for the query engine.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::ExprFunctionExt;
use datafusion::prelude::{SessionConfig, SessionContext, col, lit};
use hashbrown::HashMap;
use headwater_model::tables::{self, Table};
use headwater_store::{DataFile, Snapshot};
use url::Url;

use super::worn::Worn;
use crate::error::{Error, Result};

/// The view of what each lead says now: its last version, where that is not a delete.
pub const CURRENT_LEAD: &str = "current_lead";

/// The most memory that the sorts, joins and aggregates of one query hold before they spill.
const QUERY_MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// How many parts of a query run side by side; more would take cores from ingest and from the web forms.
const PARTITIONS: usize = 2;

/// The names a query may use.
pub fn table_names() -> impl Iterator<Item = &'static str> {
    tables::ALL.iter().map(|table| table.name).chain([CURRENT_LEAD])
}

/// A session that sees every table of the lake as the snapshot shows it.
///
/// # Errors
/// When somebody else changed a table in a way that its files do not show.
pub(crate) fn session(snapshot: &Snapshot) -> Result<SessionContext> {
    for table in tables::ALL {
        snapshot.check_readable(table)?;
    }
    over(|table| snapshot.files(table))
}

/// A session whose tables have no rows.
pub(super) fn empty() -> Result<SessionContext> {
    over(|_| &[])
}

fn over<'a>(files: impl Fn(&Table) -> &'a [DataFile]) -> Result<SessionContext> {
    let config = SessionConfig::new()
        .with_target_partitions(PARTITIONS)
        .with_information_schema(true)
        // Our columns are declared as plain text, and whoever takes the answer expects what is declared.
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(QUERY_MEMORY_BYTES)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory))
        .build_arc()
        .map_err(broken)?;
    let context = SessionContext::new_with_config_rt(config, runtime);
    for table in tables::ALL {
        context.register_table(table.name, provider(table, files(table))?).map_err(broken)?;
    }
    let lead = provider(&tables::LEAD, files(&tables::LEAD))?;
    context.register_table(CURRENT_LEAD, current_lead(&context, lead).map_err(broken)?).map_err(broken)?;
    Ok(context)
}

fn provider(table: &Table, files: &[DataFile]) -> Result<Arc<dyn TableProvider>> {
    if files.is_empty() {
        return Ok(Arc::new(MemTable::try_new(table.schema(), vec![vec![]]).map_err(broken)?));
    }
    // Through a URL and not as text: in a path's text the engine takes `*` and `[` for a pattern.
    let urls = files.iter().map(|file| {
        let path = std::path::absolute(&file.path).ok();
        let url = path.and_then(|path| Url::from_file_path(path).ok());
        let url = url.ok_or_else(|| Error::Internal("a file of the lake has no absolute path".to_owned()))?;
        ListingTableUrl::try_new(url, None).map_err(broken)
    });
    let urls = urls.collect::<Result<Vec<_>>>()?;
    let mut left = HashMap::new();
    for (file, url) in files.iter().zip(&urls).filter(|(file, _)| file.deleted > 0) {
        left.insert(url.prefix().clone(), file.live_rows()?);
    }
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(table.schema());
    let listing = ListingTable::try_new(config).map_err(broken)?;
    Ok(if left.is_empty() { Arc::new(listing) } else { Arc::new(Worn::new(listing, left)) })
}

/// The last version of each lead: run ids sort by time, and within a run the younger observation wins.
fn current_lead(context: &SessionContext, lead: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let age = row_number()
        .partition_by(vec![col("lead_id")])
        .order_by(vec![
            col("run_id").sort(false, false),
            col("observed_at").sort(false, false),
            col("record_id").sort(false, false),
        ])
        .build()?
        .alias("age");
    let columns: Vec<&str> = tables::LEAD.columns.iter().map(|column| column.name).collect();
    let latest = context
        .read_table(lead)?
        .window(vec![age])?
        .filter(col("age").eq(lit(1_u64)).and(col("op").not_eq(lit("delete"))))?
        .select_columns(&columns)?;
    Ok(latest.into_view())
}

fn broken(error: impl Into<DataFusionError>) -> Error {
    Error::Internal(error.into().strip_backtrace())
}
