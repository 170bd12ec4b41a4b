//! The tables of the lake: names, columns, types, and which columns hold a person's data.
//!
//! Every type is one that DuckLake, Parquet and DataFusion agree on without a codec: text, whole numbers, floats, booleans,
//! `decimal(18,6)` for money, microseconds in UTC for instants, days for dates. Ids are text, so that an analyst can read,
//! join and paste them.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The type of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// A signed 64-bit whole number.
    Int,
    /// A 64-bit float.
    Float,
    /// True or false.
    Bool,
    /// An instant: microseconds since 1970 in UTC.
    Instant,
    /// A calendar day.
    Day,
    /// An exact amount with six decimals; its currency stands in a column beside it.
    Money,
}

impl ColumnType {
    /// The Arrow type that holds it.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Day => DataType::Date32,
            Self::Money => DataType::Decimal128(18, 6),
        }
    }
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ColumnType,
    /// Whether every row has a value.
    pub required: bool,
    /// Whether it holds a person's data: then the catalog keeps no statistics of it.
    pub personal: bool,
}

/// One table of the lake.
#[derive(Debug)]
pub struct Table {
    /// Its name in the catalog and in SQL.
    pub name: &'static str,
    /// The question it answers.
    pub purpose: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
    schema: LazyLock<SchemaRef>,
}

impl Table {
    /// The Arrow schema of the table.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The names of the columns that hold a person's data.
    pub fn personal(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().filter(|column| column.personal).map(|column| column.name)
    }
}

fn arrow_schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(
        columns.iter().map(|column| Field::new(column.name, column.kind.arrow(), !column.required)).collect::<Vec<_>>(),
    ))
}

macro_rules! column {
    ($name:ident $kind:ident) => {
        Column { name: stringify!($name), kind: ColumnType::$kind, required: false, personal: false }
    };
    ($name:ident $kind:ident required) => {
        Column { name: stringify!($name), kind: ColumnType::$kind, required: true, personal: false }
    };
    ($name:ident $kind:ident personal) => {
        Column { name: stringify!($name), kind: ColumnType::$kind, required: false, personal: true }
    };
    ($name:ident $kind:ident required personal) => {
        Column { name: stringify!($name), kind: ColumnType::$kind, required: true, personal: true }
    };
}

macro_rules! tables {
    ($($(#[doc = $purpose:literal])+ $constant:ident = $name:literal { $($column:ident: $kind:ident $($flag:ident)*,)* })*) => {
        $(
            $(#[doc = $purpose])+
            pub static $constant: Table = {
                const COLUMNS: &[Column] = &[$(column!($column $kind $($flag)*)),*];
                Table { name: $name, purpose: concat!($($purpose),+), columns: COLUMNS, schema: LazyLock::new(|| arrow_schema(COLUMNS)) }
            };
        )*
        /// Every table of the lake.
        pub static ALL: &[&Table] = &[$(&$constant),*];
    };
}

tables! {
    /// Where exactly did this value come from? One row per version of a record, as it arrived.
    SOURCE_RECORD = "source_record" {
        record_id: Text required,
        source: Text required,
        stream: Text required,
        source_pk: Text required personal,
        identity_hash: Int required,
        content_hash: Int required,
        op: Text required,
        raw: Text required personal,
        raw_format: Text required,
        place: Text,
        received_at: Instant required,
        signature_status: Text,
        run_id: Text required,
    }
    /// What did this source say about a person? One conformed row per accepted version of a record.
    LEAD = "lead" {
        lead_id: Text required,
        record_id: Text required,
        source: Text required,
        stream: Text required,
        origin: Text required,
        op: Text required,
        external_id: Text personal,
        email: Text personal,
        email_kind: Text,
        given_name: Text personal,
        family_name: Text personal,
        full_name: Text personal,
        phone: Text personal,
        phone_raw: Text personal,
        mobile: Text personal,
        job_title: Text personal,
        seniority: Text,
        department: Text,
        company_name: Text personal,
        company_domain: Text personal,
        website: Text personal,
        linkedin_url: Text personal,
        street: Text personal,
        city: Text personal,
        region: Text,
        postal_code: Text personal,
        country: Text,
        language: Text,
        need: Text personal,
        budget: Text personal,
        intended_use: Text personal,
        message: Text personal,
        tags: Text,
        email_status: Text,
        observed_at: Instant required,
        created_at: Instant,
        lawful_basis: Text,
        basis_obtained_at: Instant,
        notice_at: Instant,
        consent: Text,
        is_test: Bool required,
        run_id: Text required,
        company_number: Text personal,
    }
    /// Which channel brought them? One row per dated contact through a channel; never rewritten.
    TOUCH = "touch" {
        touch_id: Text required,
        lead_id: Text required,
        record_id: Text required,
        source: Text required,
        occurred_at: Instant required,
        channel: Text required,
        rule_id: Text required,
        rules_version: Text required,
        utm_source: Text,
        utm_medium: Text,
        utm_campaign: Text,
        utm_term: Text,
        utm_content: Text,
        click_id_kind: Text,
        click_id: Text personal,
        landing_url: Text personal,
        referrer: Text personal,
        vendor: Text,
        campaign: Text,
        run_id: Text required,
    }
    /// Who is warming up? Opens, clicks, replies, bounces and the like.
    ENGAGEMENT = "engagement" {
        engagement_id: Text required,
        record_id: Text required,
        source: Text required,
        email: Text personal,
        external_id: Text personal,
        kind: Text required,
        raw_kind: Text,
        machine: Text required,
        campaign: Text,
        url: Text personal,
        message_id: Text,
        occurred_at: Instant required,
        run_id: Text required,
    }
    /// What did that source earn? Orders, invoices, won deals; refunds are negative.
    CONVERSION = "conversion" {
        conversion_id: Text required,
        record_id: Text required,
        source: Text required,
        external_id: Text personal,
        email: Text personal,
        phone: Text personal,
        kind: Text required,
        value: Money,
        currency: Text,
        occurred_at: Instant required,
        run_id: Text required,
        product: Text,
        category: Text,
        rep: Text personal,
    }
    /// What did a lead from there cost?
    COST = "cost" {
        cost_id: Text required,
        record_id: Text,
        source: Text required,
        for_source: Text,
        channel: Text,
        campaign: Text,
        kind: Text required,
        day: Day required,
        until_day: Day,
        amount: Money required,
        currency: Text required,
        impressions: Int,
        clicks: Int,
        run_id: Text required,
        per: Text,
    }
    /// May I hold and use this record, and can I prove it? Append-only; the current state is the fold.
    CONSENT = "consent" {
        consent_id: Text required,
        lead_id: Text required,
        record_id: Text required,
        source: Text required,
        basis: Text required,
        status: Text required,
        purpose: Text,
        wording: Text,
        obtained_at: Instant,
        notice_at: Instant,
        run_id: Text required,
    }
    /// What was lost, why, and can I fix it? Rows refused at ingest, as they arrived.
    QUARANTINE = "quarantine" {
        quarantine_id: Text required,
        source: Text required,
        stream: Text required,
        place: Text,
        stage: Text required,
        code: Text required,
        field: Text,
        reason: Text required,
        raw: Text personal,
        refused_at: Instant required,
        run_id: Text required,
    }
    /// What do we believe about this person now? Rewritten by resolve; one row per live or merged prospect.
    PROSPECT = "prospect" {
        prospect_id: Text required,
        merged_into: Text,
        lead_count: Int required,
        source_count: Int required,
        email: Text personal,
        email_kind: Text,
        given_name: Text personal,
        family_name: Text personal,
        full_name: Text personal,
        phone: Text personal,
        mobile: Text personal,
        job_title: Text personal,
        seniority: Text,
        department: Text,
        company_name: Text personal,
        company_domain: Text personal,
        website: Text personal,
        linkedin_url: Text personal,
        street: Text personal,
        city: Text personal,
        region: Text,
        postal_code: Text personal,
        country: Text,
        language: Text,
        need: Text personal,
        budget: Text personal,
        intended_use: Text personal,
        lifecycle: Text required,
        buying_stage: Text required,
        lawful_basis: Text,
        consent: Text,
        may_contact: Bool required,
        hold_reason: Text,
        first_source: Text,
        first_channel: Text,
        last_channel: Text,
        first_seen_at: Instant required,
        last_seen_at: Instant required,
        last_contact_at: Instant,
        became_prospect_at: Instant,
        became_customer_at: Instant,
        conversion_count: Int required,
        revenue: Money,
        currency: Text,
        company_number: Text personal,
    }
    /// Why does it say this and not that? Every candidate value of every field, the winner marked.
    PROSPECT_FIELD = "prospect_field" {
        prospect_id: Text required,
        field: Text required,
        value: Text required personal,
        is_winner: Bool required,
        rule: Text required,
        lead_id: Text required,
        record_id: Text required,
        source: Text required,
        observed_at: Instant required,
    }
    /// Why are these records one person? One row per lead, with the evidence that placed it.
    IDENTITY_LINK = "identity_link" {
        lead_id: Text required,
        prospect_id: Text required,
        joined_to: Text,
        method: Text required,
        evidence: Text,
        score: Float required,
        model_version: Text required,
        decided_at: Instant required,
    }
    /// Whose is this order or click? One row per conversion and engagement that belongs to somebody we know.
    FACT_LINK = "fact_link" {
        fact_id: Text required,
        kind: Text required,
        prospect_id: Text required,
        matched_on: Text required,
    }
    /// What happened to a prospect's identity, and when? Mints, merges and splits; append-only.
    IDENTITY_EVENT = "identity_event" {
        prospect_id: Text required,
        kind: Text required,
        other_prospect_id: Text,
        evidence: Text,
        model_version: Text required,
        at: Instant required,
        run_id: Text required,
    }
    /// How long from suspect to customer, and what moved them? Dated and caused.
    LIFECYCLE_TRANSITION = "lifecycle_transition" {
        prospect_id: Text required,
        from_stage: Text,
        to_stage: Text required,
        at: Instant required,
        cause: Text required,
        cause_id: Text,
        rule_version: Text required,
    }
    /// Which touch earned which share of a conversion? One row per conversion, model and touch.
    CREDIT = "credit" {
        model: Text required,
        model_version: Text required,
        conversion_id: Text required,
        prospect_id: Text,
        touch_id: Text,
        channel: Text required,
        source: Text,
        campaign: Text,
        share: Float required,
        value: Money,
        currency: Text,
        occurred_at: Instant required,
        kind: Text,
        vendor: Text,
        category: Text,
        rep: Text personal,
        converted: Money,
        revision: Int,
    }
    /// Which credits of the past were changed, from what to what, and why? Append-only.
    CREDIT_CHANGE = "credit_change" {
        model: Text required,
        from_version: Text required,
        to_version: Text required,
        conversion_id: Text,
        channel: Text,
        revision: Int,
        before: Text required,
        after: Text required,
        cause: Text required,
        at: Instant required,
        run_id: Text required,
    }
    /// What was spent on whom, and when? The costs as the rules divide them; rewritten by measure.
    SPEND = "spend" {
        cost_id: Text required,
        source: Text,
        channel: Text,
        campaign: Text,
        kind: Text required,
        day: Day required,
        amount: Money required,
        currency: Text required,
        converted: Money,
        rule: Text required,
        impressions: Int,
        clicks: Int,
    }
    /// What is a source worth, and how sure are we? One row per source and metric.
    SCORECARD = "scorecard" {
        source: Text required,
        channel: Text required,
        metric: Text required,
        value: Float,
        n: Int required,
        numerator: Float,
        low: Float,
        high: Float,
        state: Text required,
        unit: Text,
        as_of: Instant required,
    }
    /// What were the people worth whom a source first named in one period? One row per source, cohort and metric.
    SCORECARD_COHORT = "scorecard_cohort" {
        source: Text required,
        channel: Text required,
        cohort: Text required,
        metric: Text required,
        value: Float,
        n: Int required,
        numerator: Float,
        low: Float,
        high: Float,
        state: Text required,
        unit: Text,
        as_of: Instant required,
    }
    /// Which source has changed, and could that be chance? One row per figure that stands out; rewritten by measure.
    DRIFT = "drift" {
        source: Text required,
        figure: Text required,
        before: Float required,
        now: Float required,
        probability: Float required,
        base_from: Day required,
        now_from: Day required,
        as_of: Instant required,
    }
    /// Who is likely to convert soon, and why? One row per person who is no customer yet; rewritten by measure.
    PROPENSITY = "propensity" {
        prospect_id: Text required,
        probability: Float required,
        reasons: Text required,
        horizon_days: Int required,
        model_version: Text required,
        as_of: Instant required,
    }
    /// Who bought what for how much, who is leaving, who is worth what? One row per customer and currency; rewritten by measure.
    CUSTOMER = "customer" {
        prospect_id: Text required,
        currency: Text required,
        purchases: Int required,
        first_purchase_day: Day required,
        last_purchase_day: Day required,
        spent: Float required,
        segment: Text required,
        churn_risk: Float,
        expected_value: Float,
        as_of: Instant required,
    }
    /// Of which company is somebody, and what do its people say of it? One row per person who names one; rewritten by measure.
    COMPANY = "company" {
        prospect_id: Text required,
        company_id: Text required,
        company_name: Text personal,
        company_domain: Text personal,
        company_number: Text personal,
        country: Text,
        people: Int required,
        as_of: Instant required,
    }
    /// What were those scores made by, and what are they worth? The model with its report, or why there is none.
    PROPENSITY_MODEL = "propensity_model" {
        model_version: Text,
        method: Text,
        horizon_days: Int required,
        parameters: Text,
        report: Text,
        refusal: Text,
        as_of: Instant required,
    }
    /// What was pushed where, and what did the remote say? Append-only.
    DELIVERY = "delivery" {
        run_id: Text required,
        sink: Text required,
        prospect_id: Text required,
        delivery_key: Text required,
        op: Text required,
        outcome: Text required,
        remote_id: Text,
        fields: Text personal,
        before: Text personal,
        reason: Text,
        at: Instant required,
    }
}

/// The table of that name, if there is one.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Table> {
    ALL.iter().copied().find(|table| table.name == name)
}
