//! A table of whose files some rows are deleted: the same scan as of any table, without those rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::internal_datafusion_err;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::path::Path;
use datafusion::physical_plan::ExecutionPlan;
use hashbrown::HashMap;
use parquet::arrow::arrow_reader::RowSelection;

/// Files, and for those with deleted rows which rows are left.
#[derive(Debug)]
pub(super) struct Worn {
    files: ListingTable,
    left: HashMap<Path, RowSelection>,
}

impl Worn {
    pub(super) fn new(files: ListingTable, left: HashMap<Path, RowSelection>) -> Self {
        Self { files, left }
    }

    /// The scan of what is left of each file. What is known of the files' columns still bounds what is left, and is no longer exact.
    fn without_deleted(&self, scan: &FileScanConfig, limit: Option<usize>) -> Result<FileScanConfig, DataFusionError> {
        let mut found = 0;
        let mut groups = Vec::with_capacity(scan.file_groups.len());
        for group in &scan.file_groups {
            let mut files = Vec::with_capacity(group.len());
            for mut file in group.iter().cloned() {
                if let Some(left) = self.left.get(&file.object_meta.location) {
                    found += 1;
                    file.statistics = file.statistics.map(|known| Arc::new(Arc::unwrap_or_clone(known).to_inexact()));
                    file = file.with_extension(ParquetRowSelection::new(left.clone()));
                }
                files.push(file);
            }
            groups.push(FileGroup::new(files));
        }
        if found != self.left.len() {
            return Err(internal_datafusion_err!("{found} of {} files with deleted rows are scanned", self.left.len()));
        }
        let statistics = scan.statistics().to_inexact();
        let scan = FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).with_statistics(statistics);
        Ok(scan.with_limit(limit).build())
    }
}

#[async_trait]
impl TableProvider for Worn {
    fn schema(&self) -> SchemaRef {
        self.files.schema()
    }

    fn table_type(&self) -> TableType {
        self.files.table_type()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        // Under a limit it would leave out files once those before have enough rows, and count the deleted ones.
        let plan = self.files.scan(state, projection, filters, None).await?;
        let exec = plan.downcast_ref::<DataSourceExec>();
        let scan = exec.and_then(|exec| exec.data_source().downcast_ref::<FileScanConfig>());
        let scan = scan.ok_or_else(|| internal_datafusion_err!("a table with deleted rows is scanned as {}", plan.name()))?;
        Ok(DataSourceExec::from_data_source(self.without_deleted(scan, limit)?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        self.files.supports_filters_pushdown(filters)
    }
}
