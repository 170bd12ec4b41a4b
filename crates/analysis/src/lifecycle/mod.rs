//! Lifecycle: how far a person has come, from suspect to customer, and how far a buyer has come in the five-stage buying
//! process (Engel, Kollat and Blackwell), each step dated and with its cause.
//!
//! A pure fold over what happened to one prospect. The same facts in any order, or with repeats, give the same steps.
//! Invariants: steps never go back in time; they never go back in stage but by a refund that leaves nothing paid; each names the
//! fact that caused it; an open is never contact, since mail clients open by themselves.

use std::collections::BTreeMap;

use headwater_model::mapping::Origin;

/// The version of these rules; it stands beside every transition.
pub const RULE_VERSION: &str = "lifecycle-1";

/// A second visit this much later is a new one (30 minutes, the session of web analytics).
const REPEAT_VISIT_MICROS: i64 = 30 * 60 * 1_000_000;

/// How far a person has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Known, but has not been in contact.
    #[default]
    Suspect,
    /// Has been in contact.
    Prospect,
    /// Has bought.
    Customer,
}

impl Stage {
    /// Its name in the lake.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspect => "suspect",
            Self::Prospect => "prospect",
            Self::Customer => "customer",
        }
    }
}

/// How far a buyer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuyingStage {
    /// In our target, without contact.
    #[default]
    NeedRecognition,
    /// Looks around: a visit, a click, a first form, a newsletter.
    InformationSearch,
    /// Compares: comes back, asks for prices or a demonstration, replies, states a need.
    EvaluationOfAlternatives,
    /// Has ordered.
    Purchase,
    /// Uses, asks, reads on after the order.
    PostPurchaseEvaluation,
}

impl BuyingStage {
    /// Its name in the lake.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeedRecognition => "need_recognition",
            Self::InformationSearch => "information_search",
            Self::EvaluationOfAlternatives => "evaluation_of_alternatives",
            Self::Purchase => "purchase",
            Self::PostPurchaseEvaluation => "post_purchase_evaluation",
        }
    }
}

/// What kind of engagement it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngagementKind {
    /// An email was opened, as far as a pixel can tell.
    Open,
    /// A page was visited.
    Visit,
    /// A page about prices or trials was visited.
    PricingVisit,
    /// A link was clicked.
    Click,
    /// A newsletter was subscribed to.
    Subscribed,
    /// A demonstration, a trial or a meeting was asked for.
    Demo,
    /// An email was answered.
    Reply,
    /// Sent, delivered, bounced, unsubscribed: nothing that brings a buyer on.
    Other,
}

impl EngagementKind {
    /// Reads the `kind` and `url` of an engagement row. What is not known counts for nothing.
    #[must_use]
    pub fn from_row(kind: &str, url: Option<&str>) -> Self {
        match kind {
            "opened" => Self::Open,
            "visited" if url.is_some_and(is_comparing) => Self::PricingVisit,
            "visited" => Self::Visit,
            "clicked" => Self::Click,
            "subscribed" | "resubscribed" => Self::Subscribed,
            "replied" => Self::Reply,
            _ => Self::Other,
        }
    }
}

/// Path segments of pages that only someone who compares reads.
const COMPARING_PAGES: &[&str] =
    &["pricing", "prices", "plans", "tarif", "tarifs", "preise", "precios", "prezzi", "demo", "trial", "free-trial"];

fn is_comparing(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default().to_lowercase();
    path.split('/').any(|segment| COMPARING_PAGES.contains(&segment))
}

/// What kind of conversion it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConversionKind {
    /// An order.
    Order,
    /// An invoice.
    Invoice,
    /// A won deal.
    Won,
    /// Money given back.
    Refund,
    /// A step that brings no money, such as a qualified lead.
    Other,
}

impl ConversionKind {
    /// Reads the `kind` of a conversion row. What is not known brings no one to a new stage.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "order" | "purchase" | "sale" => Self::Order,
            "invoice" => Self::Invoice,
            "won" | "closed_won" => Self::Won,
            "refund" | "credit_note" => Self::Refund,
            _ => Self::Other,
        }
    }
}

/// What happened. At one instant, the order below is the order of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind<'a> {
    /// A purchased list or an import named the person.
    ListRow,
    /// The person signed up with an email tool.
    Subscription,
    /// The person was met: a badge scan, a call.
    Meeting,
    /// The person sent a form.
    FormSubmission {
        /// Whether it states a need, a budget or an intended use.
        states_need: bool,
    },
    /// The person, or a machine in their name, reacted.
    Engagement {
        /// How.
        kind: EngagementKind,
        /// Whether it was the person.
        human: bool,
    },
    /// Money came or went.
    Conversion {
        /// What it was.
        kind: ConversionKind,
        /// The amount in millionths. A refund counts as negative whatever its sign.
        micros: i128,
        /// The currency of the amount.
        currency: &'a str,
    },
    /// The person used a service after the sale: support, onboarding, a return.
    AfterSales,
}

impl FactKind<'_> {
    /// What a lead row tells of the person, by the way it came.
    #[must_use]
    pub fn from_origin(origin: Origin, states_need: bool) -> Self {
        match origin {
            Origin::Form => Self::FormSubmission { states_need },
            Origin::List | Origin::Import => Self::ListRow,
            Origin::EmailTool => Self::Subscription,
            Origin::Web => Self::Engagement { kind: EngagementKind::Visit, human: true },
            Origin::Offline => Self::Meeting,
        }
    }

    /// What an engagement row tells, by its columns `kind`, `machine` and `url`. Who acted counts as the person unless the row
    /// says or suspects a machine.
    #[must_use]
    pub fn from_engagement(kind: &str, machine: &str, url: Option<&str>) -> Self {
        let human = !matches!(machine, "machine" | "likely_machine");
        Self::Engagement { kind: EngagementKind::from_row(kind, url), human }
    }
}

/// One thing that happened to a prospect. Two equal facts are one fact, told twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fact<'a> {
    /// When, in microseconds.
    pub at_us: i64,
    /// What.
    pub kind: FactKind<'a>,
    /// The row that says so.
    pub id: &'a str,
}

/// Why a stage changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A purchased list or an import.
    ListRow,
    /// A sign-up with an email tool.
    Subscription,
    /// A badge scan, a call.
    Meeting,
    /// A form.
    FormSubmission,
    /// A reaction of the person.
    Engagement(EngagementKind),
    /// A sign of life that need not be the person's: an open, a machine's click.
    Observed,
    /// An order, an invoice, a won deal.
    Conversion(ConversionKind),
    /// A refund that left nothing paid.
    Refund,
    /// A service after the sale.
    AfterSales,
}

impl Cause {
    /// Its name in the lake.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListRow => "list_row",
            Self::Subscription => "subscription",
            Self::Meeting => "meeting",
            Self::FormSubmission => "form_submission",
            Self::Engagement(EngagementKind::Subscribed) => "subscribed",
            Self::Engagement(EngagementKind::Visit) => "visit",
            Self::Engagement(EngagementKind::PricingVisit) => "pricing_visit",
            Self::Engagement(EngagementKind::Click) => "click",
            Self::Engagement(EngagementKind::Demo) => "demo",
            Self::Engagement(EngagementKind::Reply) => "reply",
            Self::Engagement(EngagementKind::Open | EngagementKind::Other) | Self::Observed => "observed",
            Self::Conversion(ConversionKind::Order) => "order",
            Self::Conversion(ConversionKind::Invoice) => "invoice",
            Self::Conversion(ConversionKind::Won) => "won",
            Self::Conversion(ConversionKind::Refund | ConversionKind::Other) => "conversion",
            Self::Refund => "refund",
            Self::AfterSales => "after_sales",
        }
    }

    fn of(kind: FactKind<'_>) -> Self {
        match kind {
            FactKind::ListRow => Self::ListRow,
            FactKind::Subscription => Self::Subscription,
            FactKind::Meeting => Self::Meeting,
            FactKind::FormSubmission { states_need: _ } => Self::FormSubmission,
            FactKind::Engagement { kind, human: true } => Self::Engagement(kind),
            FactKind::Engagement { kind: _, human: false } => Self::Observed,
            FactKind::Conversion { kind, micros: _, currency: _ } => Self::Conversion(kind),
            FactKind::AfterSales => Self::AfterSales,
        }
    }
}

/// A step from one stage to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition<'a, S> {
    /// The stage before; nothing for the first.
    pub from: Option<S>,
    /// The stage after.
    pub to: S,
    /// When, in microseconds.
    pub at_us: i64,
    /// Why.
    pub cause: Cause,
    /// The id of the fact that caused it.
    pub cause_id: &'a str,
}

/// Where a prospect stands, and how they came there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifecycle<'a> {
    /// How far they are.
    pub stage: Stage,
    /// How far they are in buying.
    pub buying_stage: BuyingStage,
    /// The steps of `stage`, oldest first.
    pub transitions: Vec<Transition<'a, Stage>>,
    /// The steps of `buying_stage`, oldest first. The names of the two kinds of stages do not overlap.
    pub buying_transitions: Vec<Transition<'a, BuyingStage>>,
    /// The last time the person did something: a form, a sign-up, a click, a visit, a reply, an order. Never an open.
    pub last_contact_from_person_at: Option<i64>,
    /// When they first were a prospect or more.
    pub became_prospect_at: Option<i64>,
    /// When they first were a customer.
    pub became_customer_at: Option<i64>,
}

/// Derives the lifecycle of one prospect from everything known of them, in any order.
#[must_use]
pub fn derive<'a>(facts: &[Fact<'a>]) -> Lifecycle<'a> {
    let mut facts = facts.to_vec();
    facts.sort_unstable();
    facts.dedup();
    let mut fold = Fold::default();
    for fact in &facts {
        fold.apply(fact);
    }
    fold.lifecycle
}

#[derive(Default)]
struct Fold<'a> {
    lifecycle: Lifecycle<'a>,
    paid: BTreeMap<&'a str, i128>,
    forms: usize,
    last_visit_at: Option<i64>,
}

impl<'a> Fold<'a> {
    fn apply(&mut self, fact: &Fact<'a>) {
        let is_sale = self.book(fact.kind);
        if is_contact(fact.kind, is_sale) {
            self.lifecycle.last_contact_from_person_at = Some(fact.at_us);
        }
        let reached = match fact.kind {
            _ if is_sale => Stage::Customer,
            _ if makes_prospect(fact.kind) => Stage::Prospect,
            _ => Stage::Suspect,
        };
        if self.is_paid_back(fact.kind) {
            self.step(fact, Stage::Prospect, Cause::Refund);
            self.step_buying(fact, BuyingStage::EvaluationOfAlternatives, Cause::Refund);
            return;
        }
        if self.lifecycle.transitions.is_empty() || reached > self.lifecycle.stage {
            self.step(fact, reached, Cause::of(fact.kind));
        }
        let reached = self.buying(fact, is_sale);
        if self.lifecycle.buying_transitions.is_empty() || reached > self.lifecycle.buying_stage {
            self.step_buying(fact, reached, Cause::of(fact.kind));
        }
    }

    /// Keeps the balance of each currency, and says whether this is a sale.
    fn book(&mut self, kind: FactKind<'a>) -> bool {
        let FactKind::Conversion { kind, micros, currency } = kind else { return false };
        let (amount, is_sale) = match kind {
            ConversionKind::Order | ConversionKind::Invoice | ConversionKind::Won => (micros, micros > 0),
            ConversionKind::Refund => (micros.saturating_abs().saturating_neg(), false),
            ConversionKind::Other => return false,
        };
        let balance = self.paid.entry(currency).or_insert(0);
        *balance = balance.saturating_add(amount);
        is_sale
    }

    /// Whether this fact takes a customer's last payment back.
    fn is_paid_back(&self, kind: FactKind<'_>) -> bool {
        let FactKind::Conversion { kind, micros, currency: _ } = kind else { return false };
        let gives_back = match kind {
            ConversionKind::Refund => true,
            ConversionKind::Order | ConversionKind::Invoice | ConversionKind::Won => micros < 0,
            ConversionKind::Other => false,
        };
        gives_back && self.lifecycle.stage == Stage::Customer && self.paid.values().all(|balance| *balance <= 0)
    }

    /// The buying stage that this fact by itself stands for.
    fn buying(&mut self, fact: &Fact<'a>, is_sale: bool) -> BuyingStage {
        let has_bought = self.lifecycle.buying_stage >= BuyingStage::Purchase;
        match fact.kind {
            FactKind::ListRow | FactKind::Engagement { kind: _, human: false } => BuyingStage::NeedRecognition,
            FactKind::Conversion { kind: _, micros: _, currency: _ } if is_sale => BuyingStage::Purchase,
            FactKind::Conversion { kind: _, micros: _, currency: _ } => BuyingStage::NeedRecognition,
            FactKind::AfterSales | FactKind::Subscription | FactKind::Meeting if has_bought => {
                BuyingStage::PostPurchaseEvaluation
            }
            FactKind::AfterSales | FactKind::Subscription | FactKind::Meeting => BuyingStage::InformationSearch,
            FactKind::FormSubmission { states_need } => {
                self.forms += 1;
                if has_bought {
                    BuyingStage::PostPurchaseEvaluation
                } else if states_need || self.forms > 1 {
                    BuyingStage::EvaluationOfAlternatives
                } else {
                    BuyingStage::InformationSearch
                }
            }
            FactKind::Engagement { kind, human: true } => self.buying_by_engagement(kind, fact.at_us, has_bought),
        }
    }

    fn buying_by_engagement(&mut self, kind: EngagementKind, at_us: i64, has_bought: bool) -> BuyingStage {
        let stage = match kind {
            EngagementKind::Open | EngagementKind::Other => return BuyingStage::NeedRecognition,
            EngagementKind::Click | EngagementKind::Subscribed => BuyingStage::InformationSearch,
            EngagementKind::PricingVisit | EngagementKind::Demo | EngagementKind::Reply => BuyingStage::EvaluationOfAlternatives,
            EngagementKind::Visit => {
                let before = self.last_visit_at.replace(at_us);
                match before {
                    Some(before) if at_us.saturating_sub(before) >= REPEAT_VISIT_MICROS => BuyingStage::EvaluationOfAlternatives,
                    Some(_) | None => BuyingStage::InformationSearch,
                }
            }
        };
        if has_bought { BuyingStage::PostPurchaseEvaluation } else { stage }
    }

    fn step(&mut self, fact: &Fact<'a>, to: Stage, cause: Cause) {
        let from = self.lifecycle.transitions.last().map(|last| last.to);
        self.lifecycle.transitions.push(Transition { from, to, at_us: fact.at_us, cause, cause_id: fact.id });
        self.lifecycle.stage = to;
        if to >= Stage::Prospect {
            self.lifecycle.became_prospect_at.get_or_insert(fact.at_us);
        }
        if to == Stage::Customer {
            self.lifecycle.became_customer_at.get_or_insert(fact.at_us);
        }
    }

    fn step_buying(&mut self, fact: &Fact<'a>, to: BuyingStage, cause: Cause) {
        let from = self.lifecycle.buying_transitions.last().map(|last| last.to);
        self.lifecycle.buying_transitions.push(Transition { from, to, at_us: fact.at_us, cause, cause_id: fact.id });
        self.lifecycle.buying_stage = to;
    }
}

/// Whether the person themselves did it: what restarts the clock of how long their data may be kept.
fn is_contact(kind: FactKind<'_>, is_sale: bool) -> bool {
    match kind {
        FactKind::Subscription | FactKind::Meeting | FactKind::FormSubmission { states_need: _ } | FactKind::AfterSales => true,
        FactKind::Engagement { kind, human } => human && !matches!(kind, EngagementKind::Open | EngagementKind::Other),
        FactKind::Conversion { kind: _, micros: _, currency: _ } => is_sale,
        FactKind::ListRow => false,
    }
}

/// Whether it makes a suspect a prospect. A visit does not: it looks, and leaves no word.
fn makes_prospect(kind: FactKind<'_>) -> bool {
    is_contact(kind, false)
        && !matches!(kind, FactKind::Engagement { kind: EngagementKind::Visit | EngagementKind::PricingVisit, human: true })
}

#[cfg(test)]
mod tests;
