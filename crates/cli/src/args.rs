//! The arguments: names, flags and help texts. A public contract.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// Pulls leads from where they arise, makes one prospect of the many records of a person, measures what each source is worth,
/// and pushes converted contacts into the CRM, once, with a reason for every field.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The folder of the project [default: the current folder]
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// The form of the answer
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more; twice for debugging
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Write logs as JSON lines
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
    /// Override a setting of `store` or `serve`, such as `store.ledger=sqlite://other.db`
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = crate::wiring::setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    Human,
    /// One JSON object, or JSON lines where it streams; versioned.
    Json,
    /// Comma-separated rows, where the answer is a table.
    Csv,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try everything on made-up data: a new project, a sync, the reports
    Demo {
        /// Where to make the project
        #[arg(default_value = "headwater-demo")]
        dir: PathBuf,
        /// Push into a stand-in of a CRM that runs along on loopback, and show plan and push: `fake`, or `fake:VENDOR` with hubspot
        /// (default), salesforce, pipedrive, zoho, odoo, bottlecrm, attio, close, dataverse, freshsales, brevo or mailchimp
        #[arg(long, value_name = "fake[:VENDOR]", value_parser = crate::commands::fake::choice)]
        crm: Option<headwater_fakes::Kind>,
    },
    /// Make a project that runs at once
    Init {
        /// Where to make it
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// What to start from
        #[arg(long, value_enum, default_value_t = TemplateName::Demo)]
        template: TemplateName,
    },
    /// Check the project: is the configuration valid, does each connection answer?
    Check {
        /// Check what can be checked without calling anybody
        #[arg(long)]
        offline: bool,
    },
    /// Show a source's streams and fields
    Discover {
        /// The source
        source: String,
    },
    /// Show a source's first records as they arrive and as they conform, side by side
    Preview {
        /// The source
        source: String,
        /// The stream [default: the first]
        #[arg(long)]
        stream: Option<String>,
        /// How many records
        #[arg(long, default_value_t = 5)]
        limit: usize,
        /// Only print the mapping, as a `map:` to put into the project and change
        #[arg(long)]
        map: bool,
    },
    /// Ingest, resolve, measure, deliver, once
    Sync(SyncArgs),
    /// Show what a delivery would create, update, skip and hold back, field by field
    Plan {
        /// Only this sink
        #[arg(long)]
        sink: Option<String>,
        /// The most rows to show per sink
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Save the plan to this file, for `sync --plan`; it holds people's data
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take back what a run wrote to the sinks, as far as nobody has changed it since
    Undo {
        /// The run, as `runs` lists it
        run: String,
    },
    /// Show what the remotes have otherwise than we wrote it last, field by field
    Drift {
        /// Only this sink
        #[arg(long)]
        sink: Option<String>,
        /// The most fields to show per sink
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Take web forms in and run syncs on schedule
    Serve {
        /// The address to listen on [default: the project's `serve.listen`, else 127.0.0.1:8088]
        #[arg(long)]
        listen: Option<String>,
    },
    /// Show where every source and sink stands
    Status,
    /// Show the last runs and what they counted
    Runs {
        #[command(subcommand)]
        command: Option<RunsCommand>,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Show the measures
    Report {
        /// Which
        #[arg(value_enum)]
        what: ReportName,
        /// The attribution model, for channels and spend
        #[arg(long, default_value = "last_non_direct")]
        model: String,
        /// Show every metric, not only the main ones
        #[arg(long)]
        all: bool,
        /// Show each source by the period in which it first named its people, for sources
        #[arg(long)]
        cohorts: bool,
        /// By what credits are added up, for channels
        #[arg(long, value_enum, default_value = "channel")]
        by: ReportLevel,
        /// Show the rules by which contacts are classed into channels, in their order, for channels
        #[arg(long)]
        rules: bool,
        /// Show which credits of the past were changed, from what to what and why, for channels
        #[arg(long)]
        changes: bool,
        /// Write all reports as one page with charts into this file; it needs no network
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// What moving budget between two sources would change, for spend: `FROM:TO:AMOUNT`
        #[arg(long, value_name = "FROM:TO:AMOUNT")]
        what_if: Option<String>,
    },
    /// Show where every field of a person came from, why these records are one person, which credits, what was pushed when
    Explain {
        /// An e-mail address, a prospect id or a remote id
        who: String,
    },
    /// Say which records are one person, where the program is in doubt
    Review {
        #[command(subcommand)]
        command: ReviewCommand,
    },
    /// Look after refused rows
    Quarantine {
        #[command(subcommand)]
        command: QuarantineCommand,
    },
    /// Keep a person out: a keyed hash of the address or number is checked at ingest and before every push
    Suppress(SuppressArgs),
    /// Erase a person: their rows leave the store for good, and they are kept out from then on
    Erase(EraseArgs),
    /// Write down everything that is held of a person, with where it came from, as JSON
    ExportPerson {
        /// An e-mail address or a prospect id
        who: String,
        /// Where to write it, readable by this user alone [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Ask the lake with SQL
    Query {
        /// The statement
        sql: String,
        /// The most rows to show
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Show the catalogue of connectors
    Connectors {
        #[command(subcommand)]
        command: ConnectorsCommand,
    },
    /// Print the JSON schema of the project file
    Schema,
    /// Print a completion script
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Read a source without a project, as Airbyte protocol messages
    Read(ReadArgs),
    /// Credit channels for the conversions in a file, without a project
    Attribute(AttributeArgs),
    /// Find out which records of a table are one person, without a project
    Resolve(ResolveArgs),
    /// Serve a stand-in of a CRM on loopback, to try a sink on, until it is stopped
    Fake(FakeArgs),
}

/// What to sync.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Only this source or sink; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Only this stage: ingest, resolve, measure or deliver; may be repeated
    #[arg(long, value_name = "STAGE")]
    pub(crate) stage: Vec<headwater_runtime::sync::StageName>,
    /// Read and decide, but write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Read every source from its beginning
    #[arg(long)]
    pub(crate) full_refresh: bool,
    /// Deliver exactly what this saved plan says, and nothing if the world moved since it was made
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "stage", "dry_run", "full_refresh"])]
    pub(crate) plan: Option<PathBuf>,
    /// Push again what this run pushed and `undo` took back; may be repeated
    #[arg(long, value_name = "RUN", conflicts_with_all = ["plan", "dry_run"])]
    pub(crate) push_again: Vec<String>,
    /// Abort at a step, to test recovery: `POINT` or `POINT:N`
    #[arg(long, hide = true, value_name = "POINT")]
    pub(crate) fault: Option<String>,
}

/// What to start a project from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TemplateName {
    /// Made-up data that show everything.
    Demo,
    /// An empty project.
    Blank,
}

/// What to show of past runs.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Show one run
    Show {
        /// Its id
        id: String,
    },
}

/// The measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportName {
    /// What each source is worth, and how sure we are.
    Sources,
    /// Which channel earned the conversions.
    Channels,
    /// How many people are how far.
    Funnel,
    /// What was spent where, and what came of it.
    Spend,
    /// Who is likely to convert soon, and why.
    Propensity,
    /// Who buys again, who is leaving, what customers are worth.
    Customers,
}

/// By what credits are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportLevel {
    /// The channel of the contact.
    Channel,
    /// Its campaign.
    Campaign,
    /// The source that it is from, such as a list.
    Source,
    /// Who sold or runs it.
    Vendor,
    /// The sales representative of the conversion.
    Rep,
    /// The category of what was bought.
    Category,
}

/// What to say of who is who. It holds in every later run.
#[derive(Debug, Subcommand)]
pub(crate) enum ReviewCommand {
    /// List the pairs in doubt, those first whose answer is worth most
    List {
        /// The most pairs to show
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show the joined pairs that were drawn to be checked, and which share of all joins is right by the answers
    Sample {
        /// Draw so many joined pairs anew first
        #[arg(long, value_name = "PAIRS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        size: Option<u32>,
        /// Another number draws other pairs
        #[arg(long, default_value_t = 1, requires = "size")]
        seed: i64,
        /// The most pairs to show
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// They are one person
    Accept {
        /// The pairs, as `list` or `sample` names them
        #[arg(required = true, value_name = "PAIR")]
        ids: Vec<String>,
    },
    /// They are two persons
    Reject {
        /// The pairs, as `list` or `sample` names them
        #[arg(required = true, value_name = "PAIR")]
        ids: Vec<String>,
    },
    /// Say what fields of a person are: above every source, in every later run
    Edit {
        /// An e-mail address or a prospect id
        who: String,
        /// A field and its value, as in `phone=+442079460101`; without a value, that there is none
        #[arg(required_unless_present = "forget", value_name = "FIELD=VALUE")]
        fields: Vec<String>,
        /// Take back what was said of a field
        #[arg(long, value_name = "FIELD")]
        forget: Vec<String>,
    },
    /// Part what was joined: these leads are somebody else
    Split {
        /// The prospect; or, without leads, the id that was merged into it, which it gets back
        prospect: String,
        /// The leads that leave it, as `explain` names them
        #[arg(value_name = "LEAD")]
        leads: Vec<String>,
    },
}

/// What to do with refused rows.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List them by reason
    List {
        /// Only of this source or sink
        #[arg(long)]
        source: Option<String>,
        /// The most rows to show
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one as it arrived
    Show {
        /// Its id
        id: String,
    },
    /// Offer them again: to ingest under the present rules, or to the sink
    Retry {
        /// Their ids; all of `--source` when none is given
        ids: Vec<String>,
        /// Only of this source or sink
        #[arg(long)]
        source: Option<String>,
    },
    /// Write them to a file, as they arrived, with their reasons
    Export {
        /// The file: CSV
        file: PathBuf,
        /// Only of this source or sink
        #[arg(long)]
        source: Option<String>,
    },
}

/// Whom to suppress.
#[derive(Debug, Args)]
pub(crate) struct SuppressArgs {
    /// E-mail addresses or international phone numbers
    pub(crate) values: Vec<String>,
    /// A file with one address or number per line
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Why
    #[arg(long, default_value = "objection")]
    pub(crate) reason: String,
    /// Show how many are suppressed
    #[arg(long)]
    pub(crate) list: bool,
    /// Take the suppression back
    #[arg(long)]
    pub(crate) remove: bool,
}

/// Whom to erase.
#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    /// An e-mail address or a prospect id
    pub(crate) who: String,
    /// Say what would go, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not keep the person out: whoever has the address may come again
    #[arg(long)]
    pub(crate) may_return: bool,
    /// Delete the person's records in the sinks too, where the sink can
    #[arg(long)]
    pub(crate) in_sinks: bool,
    /// Abort at a step, to test recovery: `POINT` or `POINT:N`
    #[arg(long, hide = true, value_name = "POINT")]
    pub(crate) fault: Option<String>,
}

/// What to show of the catalogue.
#[derive(Debug, Subcommand)]
pub(crate) enum ConnectorsCommand {
    /// List every connector
    List {
        /// As the table that stands in the README
        #[arg(long)]
        markdown: bool,
    },
    /// Show one with its settings
    Show {
        /// Its name, or the path of a connector file
        name: String,
    },
    /// Make a connector that works, to be filled in
    New {
        /// Its name: lower-case letters, digits and `_`
        name: String,
        /// What it is made of
        #[arg(long, value_enum, default_value_t = ConnectorKind::Http)]
        kind: ConnectorKind,
        /// The folder to make its folder in
        #[arg(long, value_name = "DIR", default_value = "connectors")]
        into: PathBuf,
    },
    /// Play connectors' recorded exchanges to them, and compare what they ask and give
    Test {
        /// Names of folders below `connectors`, or paths of folders or connector files [default: all below `connectors`]
        which: Vec<String>,
        /// Write the files of expected rows from what is given, instead of comparing
        #[arg(long)]
        write: bool,
    },
}

/// What a connector is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConnectorKind {
    /// A file that describes an HTTP API.
    Http,
    /// Rust.
    Native,
    /// A Singer or Airbyte program.
    Subprocess,
}

/// What to read.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// The connector
    #[arg(long, required_unless_present = "manifest", conflicts_with = "manifest")]
    pub(crate) connector: Option<String>,
    /// An Airbyte declarative manifest, in place of a connector
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Its settings, as YAML or JSON; a manifest's spec needs none
    #[arg(long, required_unless_present = "manifest")]
    pub(crate) config: Option<PathBuf>,
    /// The configured catalog of a manifest's read [default: every stream that runs]
    #[arg(long, value_name = "FILE", requires = "manifest")]
    pub(crate) catalog: Option<PathBuf>,
    /// Only this stream
    #[arg(long, conflicts_with = "manifest")]
    pub(crate) stream: Option<String>,
    /// Where to go on from: a STATE message, or a list of them
    #[arg(long)]
    pub(crate) state: Option<PathBuf>,
    /// What to do: read, spec, check, discover; of a manifest also capabilities, which says which streams run and why others do not
    #[arg(long, default_value = "read")]
    pub(crate) operation: String,
    /// Start a virtual clock there: waits advance it and do not sleep
    #[arg(long, hide = true, value_name = "RFC3339", requires = "manifest")]
    pub(crate) now: Option<jiff::Timestamp>,
    /// Let a manifest call this host too, wherever it is; may be repeated
    #[arg(long, hide = true, value_name = "HOST", requires = "manifest")]
    pub(crate) allow_host: Vec<String>,
}

/// What to attribute.
#[derive(Debug, Args)]
pub(crate) struct AttributeArgs {
    /// A CSV of paths: `path,total_conversions,total_conversion_value,total_null`; or of touches, with `--conversions`
    pub(crate) file: PathBuf,
    /// The conversions, when FILE holds touches
    #[arg(long)]
    pub(crate) conversions: Option<PathBuf>,
    /// The model
    #[arg(long)]
    pub(crate) model: String,
    /// How many days before a conversion a touch may lie
    #[arg(long)]
    pub(crate) lookback_days: Option<f64>,
    /// How many steps back a Markov chain looks
    #[arg(long, value_name = "K")]
    pub(crate) order: Option<std::num::NonZeroU32>,
    /// After how many days a touch counts half, for time_decay [default: 7]
    #[arg(long, value_name = "DAYS")]
    pub(crate) half_life_days: Option<std::num::NonZeroU32>,
    /// Where to write the CSV [default: standard output]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// What to resolve.
#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// A CSV or Parquet file, one row per record: `id`, and any of `first_name`, `last_name`, `full_name`, `email`, `phone`, `mobile`,
    /// `company`, `title`, `city`, `country`, `website`, `birth_date`, `personal_id`, `street`, `street_number`, `postcode`, `region`
    pub(crate) file: PathBuf,
    /// Where to write `id,prospect_id,confidence`
    #[arg(long, required_unless_present_any = ["pairs", "truth"])]
    pub(crate) out: Option<PathBuf>,
    /// What other columns mean (`id: COLUMN`, `map: { email: COLUMN }`), and the thresholds `merge_at` and `review_at`, as YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to write the scored pairs with what speaks for and against them: CSV, or JSON lines if the name ends in `.jsonl`
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: Option<PathBuf>,
    /// The column that tells who a record truly is: measure the answer by it
    #[arg(long, value_name = "COLUMN")]
    pub(crate) truth: Option<String>,
    /// How many threads may work; the answer does not depend on it [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
}

/// Which CRM to stand in for, and what goes wrong there.
#[derive(Debug, Args)]
pub(crate) struct FakeArgs {
    /// hubspot, salesforce, pipedrive, zoho, odoo, bottlecrm, attio, close, dataverse, freshsales, brevo or mailchimp
    pub(crate) vendor: headwater_fakes::Kind,
    /// The port on loopback [default: a free one]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) port: u16,
    /// Keep what it is told in this file, and begin with what stands there
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// How many calls it takes in any window [default: any number]
    #[arg(long, value_name = "N")]
    pub(crate) calls: Option<std::num::NonZeroU64>,
    /// The window of `--calls`, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, requires = "calls")]
    pub(crate) window_ms: u64,
    /// Lose the answer to every so many-th writing call, after it was done
    #[arg(long, value_name = "N")]
    pub(crate) lose_answer_every: Option<std::num::NonZeroU64>,
    /// Answer every so many-th call with 500, and do nothing
    #[arg(long, value_name = "N")]
    pub(crate) fail_every: Option<std::num::NonZeroU64>,
    /// How long what was written stays out of searches, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0, hide_default_value = true)]
    pub(crate) search_lag_ms: u64,
    /// Refuse values that hold this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) refuse: Option<String>,
    /// Refuse the whole batch for one refused row, where the vendor is known to do that
    #[arg(long)]
    pub(crate) whole_batch_fails: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// An argument of a command that has the name of a global one is read as that, and ends the program.
    #[test]
    fn no_argument_of_a_command_has_the_name_of_a_global_one() {
        fn walk(command: &clap::Command, globals: &[clap::Id]) {
            for argument in command.get_arguments().filter(|argument| !argument.is_global_set()) {
                assert!(!globals.contains(argument.get_id()), "{} of {}", argument.get_id(), command.get_name());
            }
            command.get_subcommands().for_each(|inner| walk(inner, globals));
        }
        let command = Cli::command();
        let globals: Vec<_> = command
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().clone())
            .collect();
        assert!(globals.len() > 4);
        walk(&command, &globals);
    }
}
