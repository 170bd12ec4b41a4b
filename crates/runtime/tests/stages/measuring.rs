//! Credits and scorecards, on examples small enough to count by hand.

use headwater_runtime::privacy::suppress;
use headwater_runtime::sync::SyncOptions;

use crate::rig::Rig;

const PROJECT: &str = "\
sources:
  list: { connector: script, origin: list, channel: { group: list }, cost: { amount: '100', currency: EUR }, basis: { lawful_basis: legitimate_interest, obtained_at: '2025-01-01' } }
  forms: { connector: script, origin: form, channel: { group: search } }
  orders: { connector: script, role: conversions, currency: EUR }
measures: { required_fields: [email, given_name], maturity_days: 30 }
";
const COLUMNS: &[&str] = &["email", "given_name", "created_at"];
const ORDER: &[&str] = &["email", "value", "kind", "occurred_at"];

async fn example() -> Rig {
    let rig = Rig::new(PROJECT).await;
    suppress(&rig.engine, &["eve@example.com".to_owned()], "objected", "test").await.unwrap();
    rig.scripts.say(
        "list",
        COLUMNS,
        &[
            ("1", &["ann@alder.example.com", "Ann", "2025-08-01"]),
            ("2", &["bob@alder.example.com", "", "2025-08-01"]),
            ("3", &["not an address", "", "2025-08-01"]),
            ("4", &["ann@alder.example.com", "Ann", "2025-08-02"]),
            ("5", &["eve@example.com", "Eve", "2025-08-01"]),
        ],
    );
    rig.scripts.say(
        "forms",
        COLUMNS,
        &[("1", &["ann@alder.example.com", "Ann", "2025-08-20"]), ("2", &["cat@example.com", "Cat", "2025-08-21"])],
    );
    rig.scripts.say(
        "orders",
        ORDER,
        &[
            ("1", &["ann@alder.example.com", "90", "order", "2025-09-01"]),
            ("2", &["cat@example.com", "60", "order", "2025-09-02"]),
            ("3", &["stranger@example.com", "5", "order", "2025-09-03"]),
        ],
    );
    rig
}

#[tokio::test]
async fn every_model_gives_every_conversion_away_whole() {
    let rig = example().await;
    let report = rig.sync().await;
    assert_eq!((report.measure.conversions, report.measure.unattributed), (3, 1));
    let sums =
        "SELECT model, count(DISTINCT conversion_id), round(sum(share), 9), sum(value) FROM credit GROUP BY model ORDER BY model";
    let models = ["first", "last", "last_non_direct", "linear", "position"];
    assert_eq!(rig.table(sums).await, models.map(|model| format!("{model} | 3 | 3.0 | 155.000000")));
    let split = "SELECT channel, sum(value) FROM credit WHERE model = '{}' GROUP BY channel ORDER BY channel";
    assert_eq!(
        rig.table(&split.replace("{}", "first")).await,
        ["list | 90.000000", "search | 60.000000", "unattributed | 5.000000"]
    );
    assert_eq!(rig.table(&split.replace("{}", "last")).await, ["search | 150.000000", "unattributed | 5.000000"]);
    assert_eq!(
        rig.table(&split.replace("{}", "linear")).await,
        ["list | 60.000000", "search | 90.000000", "unattributed | 5.000000"]
    );
}

#[tokio::test]
async fn a_rule_of_the_project_stands_before_those_of_the_program() {
    let channels =
        "channels: { rules: [{ channel: partner, utm_source: 'partner-*' }], ignored_referrers: [login.example.org] }\n";
    let rig =
        Rig::new(&PROJECT.replace(", channel: { group: search }", "").replace("measures:", &format!("{channels}measures:")))
            .await;
    rig.scripts.say(
        "forms",
        &["email", "created_at", "utm_source", "referrer"],
        &[
            ("1", &["ann@example.com", "2025-08-20", "Partner-Acme", ""]),
            ("2", &["bob@example.com", "2025-08-20", "", "https://eu.login.example.org/done"]),
            ("3", &["cat@example.com", "2025-08-20", "", "https://example.org/"]),
        ],
    );
    rig.sync().await;
    assert_eq!(
        rig.table("SELECT channel, rule_id, rules_version LIKE '%+%' FROM touch ORDER BY channel").await,
        ["direct | direct.ignored_referrer | true", "partner | project.1.partner | true", "referral | referral.referrer | true"]
    );
}

#[tokio::test]
async fn customers_stand_in_a_table_that_audiences_can_ask() {
    let rig = example().await;
    rig.sync().await;
    let customers = "SELECT p.email, c.currency, purchases, CAST(spent AS INT), segment, churn_risk IS NULL, last_purchase_day FROM customer c \
                     JOIN prospect p USING (prospect_id) ORDER BY p.email";
    let rows = rig.table(customers).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows[0].starts_with("ann@alder.example.com | EUR | 1 | 90 | ") && rows[0].contains(" | true | 2025-09-01"),
        "{rows:?}"
    );
    assert!(rows[1].starts_with("cat@example.com | EUR | 1 | 60 | "), "{rows:?}");
}

#[tokio::test]
async fn people_of_one_company_stand_together_in_a_table() {
    let rig = Rig::new(PROJECT).await;
    let columns = ["email", "full_name", "company_name", "company_domain", "country"];
    rig.scripts.say(
        "list",
        &columns,
        &[
            ("1", &["ann@alder.example.com", "Ann Reed", "Alder GmbH", "alder.example.com", "DE"]),
            ("2", &["bob@alder.example.com", "Bob Stone", "ALDER", "", ""]),
            ("3", &["", "Cat Field", "alder gmbh", "", ""]),
            ("4", &["", "Dan Brook", "Oak", "", ""]),
            ("5", &["", "Eve Hill", "", "", ""]),
        ],
    );
    rig.sync().await;
    let companies = "SELECT max(company_name), max(company_domain), max(country), max(people), count(*) FROM company \
                     GROUP BY company_id ORDER BY 1";
    assert_eq!(rig.table(companies).await, ["ALDER | alder.example.com | DE | 3 | 3", "Oak | - | - | 1 | 1"]);
}

#[tokio::test]
async fn a_cohort_holds_the_people_first_named_in_it_and_what_was_spent_then() {
    let rig = Rig::new(&PROJECT.replace("maturity_days: 30", "maturity_days: 30, cohort: quarter")).await;
    rig.scripts.say(
        "list",
        COLUMNS,
        &[
            ("1", &["ann@alder.example.com", "Ann", "2025-06-30T23:59:59Z"]),
            ("2", &["ann@alder.example.com", "Ann", "2025-07-01"]),
            ("3", &["bob@alder.example.com", "Bob", "2025-07-01"]),
            ("4", &["not an address", "", "2025-07-01"]),
        ],
    );
    rig.scripts.say("orders", ORDER, &[("1", &["ann@alder.example.com", "90", "order", "2025-09-01"])]);
    rig.sync().await;
    let cards = "SELECT cohort, metric, value, numerator, n FROM scorecard_cohort WHERE source = 'list' \
                 AND n > 0 AND metric IN ('distinct_persons', 'duplicate_in', 'conversion_rate') ORDER BY cohort, metric";
    assert_eq!(
        rig.table(cards).await,
        [
            "2025-Q2 | conversion_rate | 1.0 | 1.0 | 1",
            "2025-Q2 | distinct_persons | 1.0 | 1.0 | 1",
            "2025-Q2 | duplicate_in | 0.0 | 0.0 | 1",
            "2025-Q3 | conversion_rate | 0.0 | 0.0 | 1",
            "2025-Q3 | distinct_persons | 1.0 | 1.0 | 2",
            "2025-Q3 | duplicate_in | 0.5 | 1.0 | 2",
        ]
    );
    // What was counted of a source is divided among its cohorts, and nothing is lost between them: what was refused and what was
    // spent stand in the quarter in which that was.
    let sums = |table: &str| {
        format!(
            "SELECT metric, sum(numerator) FROM {table} WHERE source = 'list' \
             AND metric IN ('volume', 'accepted', 'quarantined', 'distinct_persons', 'net_new', 'cac', 'conversion_rate') \
             GROUP BY metric ORDER BY metric"
        )
    };
    assert_eq!(rig.table(&sums("scorecard_cohort")).await, rig.table(&sums("scorecard")).await);
}

#[tokio::test]
async fn a_scorecard_counts_what_was_counted_by_hand() {
    let rig = example().await;
    rig.sync().await;
    let card = |source: &str, metrics: &[&str]| {
        let metrics = metrics.join("', '");
        format!(
            "SELECT metric, value, numerator, n FROM scorecard WHERE source = '{source}' AND metric IN ('{metrics}') ORDER BY metric"
        )
    };
    // Five rows came: one refused for naming nobody, one of a suppressed person; of the other three, Ann's are two.
    let metrics = ["volume", "accepted", "quarantined", "suppressed", "duplicate_in", "distinct_persons", "net_new", "validity"];
    assert_eq!(
        rig.table(&card("list", &metrics)).await,
        [
            "accepted | 3.0 | 3.0 | 5",
            "distinct_persons | 2.0 | 2.0 | 3",
            "duplicate_in | 0.3333333333333333 | 1.0 | 3",
            "net_new | 0.6666666666666666 | 2.0 | 3",
            "quarantined | 0.2 | 1.0 | 5",
            "suppressed | 0.2 | 1.0 | 5",
            "validity | 1.0 | 3.0 | 3",
            "volume | 5.0 | 5.0 | 5",
        ]
    );
    // Of its two people Ann bought, 31 days after the list first named her, for 90 of the 100 that the list cost.
    let metrics = [
        "conversion_rate",
        "conversion_by_30d",
        "conversion_by_60d",
        "cac",
        "roas",
        "revenue_per_lead",
        "completeness",
        "basis_coverage",
    ];
    assert_eq!(
        rig.table(&card("list", &metrics)).await,
        [
            "basis_coverage | 1.0 | 3.0 | 3",
            "cac | 100.0 | 100.0 | 1",
            "completeness | 0.6666666666666666 | 2.0 | 3",
            "conversion_by_30d | 0.0 | - | 2",
            "conversion_by_60d | 0.5 | - | 2",
            "conversion_rate | 0.5 | 1.0 | 2",
            "revenue_per_lead | 45.0 | 90.0 | 2",
            "roas | 0.9 | 90.0 | 1",
        ]
    );
    // Ann was known before; Cat is new, and both bought.
    assert_eq!(
        rig.table(&card("forms", &["conversion_rate", "net_new", "basis_coverage"])).await,
        ["basis_coverage | 0.0 | 0.0 | 2", "conversion_rate | 1.0 | 2.0 | 2", "net_new | 0.5 | 1.0 | 2"]
    );
}

#[tokio::test]
async fn a_dry_run_and_reading_again_count_nobody_twice() {
    let rig = example().await;
    rig.try_sync(&SyncOptions { dry_run: true, ..SyncOptions::default() }).await.unwrap();
    rig.sync().await;
    let received = "SELECT value FROM scorecard WHERE source = 'list' AND metric = 'volume'";
    assert_eq!(rig.cell(received).await, "5.0");
}

#[tokio::test]
async fn an_order_of_somebody_who_becomes_known_later_is_theirs() {
    let rig = example().await;
    rig.sync().await;
    rig.scripts.say("forms", COLUMNS, &[("9", &["stranger@example.com", "Sam", "2025-08-30"])]);
    let report = rig.sync().await;
    assert_eq!(report.measure.unattributed, 0);
    assert_eq!(rig.table("SELECT DISTINCT channel FROM credit WHERE value = 5").await, ["search"]);
}

#[tokio::test]
async fn a_touch_after_the_order_or_long_before_it_earns_nothing() {
    let rig = Rig::new(&format!("{PROJECT}attribution: {{ models: [linear], lookback_days: 30 }}\n")).await;
    rig.scripts.say(
        "forms",
        COLUMNS,
        &[
            ("1", &["ann@example.com", "Ann", "2025-07-01"]),
            ("2", &["ann@example.com", "Ann", "2025-08-20"]),
            ("3", &["ann@example.com", "Ann", "2025-09-02"]),
        ],
    );
    rig.scripts.say("orders", ORDER, &[("1", &["ann@example.com", "90", "order", "2025-09-01"])]);
    rig.sync().await;
    let credits = "SELECT share, CAST(CAST(touch.occurred_at AS DATE) AS VARCHAR) FROM credit JOIN touch USING (touch_id)";
    assert_eq!(rig.table(credits).await, ["1.0 | 2025-08-20"]);
}
