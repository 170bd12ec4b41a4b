//! What moves a person on, and what does not.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000_000;
const OPEN: FactKind<'static> = FactKind::Engagement { kind: EngagementKind::Open, human: true };
const CLICK: FactKind<'static> = FactKind::Engagement { kind: EngagementKind::Click, human: true };
const VISIT: FactKind<'static> = FactKind::Engagement { kind: EngagementKind::Visit, human: true };
const FORM: FactKind<'static> = FactKind::FormSubmission { states_need: false };
const ORDER: FactKind<'static> = money(ConversionKind::Order, 100);

const fn money(kind: ConversionKind, micros: i128) -> FactKind<'static> {
    FactKind::Conversion { kind, micros, currency: "EUR" }
}

/// Facts an hour apart.
fn story(kinds: &[FactKind<'static>]) -> Vec<Fact<'static>> {
    kinds.iter().zip(1_i64..).map(|(kind, hour)| Fact { at_us: hour * HOUR, kind: *kind, id: "f" }).collect()
}

fn stages(kinds: &[FactKind<'static>]) -> (Stage, BuyingStage) {
    let Lifecycle { stage, buying_stage, .. } = derive(&story(kinds));
    (stage, buying_stage)
}

#[test]
fn nothing_known_is_a_suspect_without_a_step() {
    assert_eq!(derive(&[]), Lifecycle::default());
}

#[test]
fn each_fact_brings_a_person_as_far_as_it_should() {
    use BuyingStage as B;
    use Stage as S;
    let reply = FactKind::Engagement { kind: EngagementKind::Reply, human: true };
    let pricing = FactKind::Engagement { kind: EngagementKind::PricingVisit, human: true };
    let bot = FactKind::Engagement { kind: EngagementKind::Click, human: false };
    let need = FactKind::FormSubmission { states_need: true };
    for (kinds, stage, buying) in [
        (&[FactKind::ListRow][..], S::Suspect, B::NeedRecognition),
        (&[FactKind::ListRow, OPEN], S::Suspect, B::NeedRecognition),
        (&[FactKind::ListRow, bot], S::Suspect, B::NeedRecognition),
        (&[FactKind::ListRow, VISIT], S::Suspect, B::InformationSearch),
        (&[FactKind::ListRow, VISIT, VISIT], S::Suspect, B::EvaluationOfAlternatives),
        (&[FactKind::ListRow, pricing], S::Suspect, B::EvaluationOfAlternatives),
        (&[FactKind::ListRow, CLICK], S::Prospect, B::InformationSearch),
        (&[FactKind::ListRow, reply], S::Prospect, B::EvaluationOfAlternatives),
        (&[FactKind::Subscription], S::Prospect, B::InformationSearch),
        (&[FactKind::Meeting], S::Prospect, B::InformationSearch),
        (&[FORM], S::Prospect, B::InformationSearch),
        (&[FORM, FORM], S::Prospect, B::EvaluationOfAlternatives),
        (&[need], S::Prospect, B::EvaluationOfAlternatives),
        (&[ORDER], S::Customer, B::Purchase),
        (&[ORDER, OPEN], S::Customer, B::Purchase),
        (&[ORDER, CLICK], S::Customer, B::PostPurchaseEvaluation),
        (&[ORDER, FactKind::Subscription], S::Customer, B::PostPurchaseEvaluation),
        (&[ORDER, FactKind::AfterSales], S::Customer, B::PostPurchaseEvaluation),
        (&[money(ConversionKind::Invoice, 1)], S::Customer, B::Purchase),
        (&[money(ConversionKind::Won, 1)], S::Customer, B::Purchase),
        (&[money(ConversionKind::Order, 0)], S::Suspect, B::NeedRecognition),
        (&[money(ConversionKind::Other, 5)], S::Suspect, B::NeedRecognition),
        (&[ORDER, money(ConversionKind::Refund, -100)], S::Prospect, B::EvaluationOfAlternatives),
        (&[ORDER, money(ConversionKind::Refund, 100)], S::Prospect, B::EvaluationOfAlternatives),
        (&[ORDER, money(ConversionKind::Order, -100)], S::Prospect, B::EvaluationOfAlternatives),
        (&[ORDER, money(ConversionKind::Refund, -99)], S::Customer, B::Purchase),
        (&[ORDER, ORDER, money(ConversionKind::Refund, -100)], S::Customer, B::Purchase),
        (&[ORDER, money(ConversionKind::Refund, -100), ORDER], S::Customer, B::Purchase),
    ] {
        assert_eq!(stages(kinds), (stage, buying), "{kinds:?}");
    }
}

#[test]
fn a_refund_in_another_currency_pays_nothing_back() {
    let refund = FactKind::Conversion { kind: ConversionKind::Refund, micros: 100, currency: "USD" };
    assert_eq!(stages(&[ORDER, refund]).0, Stage::Customer);
}

#[test]
fn two_clicks_on_one_page_within_a_session_are_one_visit() {
    let visit = |at_us, id| Fact { at_us, kind: VISIT, id };
    let at = |gap| derive(&[visit(0, "a"), visit(gap, "b")]).buying_stage;
    assert_eq!(at(REPEAT_VISIT_MICROS - 1), BuyingStage::InformationSearch);
    assert_eq!(at(REPEAT_VISIT_MICROS), BuyingStage::EvaluationOfAlternatives);
}

#[test]
fn steps_are_dated_and_say_why() {
    let lifecycle = derive(&story(&[FactKind::ListRow, OPEN, CLICK, OPEN, ORDER, money(ConversionKind::Refund, -100), OPEN]));
    let steps: Vec<_> =
        lifecycle.transitions.iter().map(|step| (step.from, step.to, step.at_us / HOUR, step.cause.as_str())).collect();
    use Stage::{Customer, Prospect, Suspect};
    assert_eq!(
        steps,
        [
            (None, Suspect, 1, "list_row"),
            (Some(Suspect), Prospect, 3, "click"),
            (Some(Prospect), Customer, 5, "order"),
            (Some(Customer), Prospect, 6, "refund"),
        ]
    );
    assert_eq!(lifecycle.became_prospect_at, Some(3 * HOUR));
    assert_eq!(lifecycle.became_customer_at, Some(5 * HOUR));
    assert_eq!(lifecycle.last_contact_from_person_at, Some(5 * HOUR));
}

#[test]
fn an_order_told_twice_is_one_order() {
    let facts = story(&[ORDER, money(ConversionKind::Refund, -100)]);
    let twice = [&facts[..], &facts[..1]].concat();
    assert_eq!(derive(&twice), derive(&facts));
}

#[test]
fn rows_of_the_lake_read_as_facts() {
    let engagement = |kind, machine, url| FactKind::from_engagement(kind, machine, url);
    assert_eq!(engagement("clicked", "unknown", None), CLICK);
    assert_eq!(engagement("clicked", "likely_machine", None), FactKind::Engagement { kind: EngagementKind::Click, human: false });
    assert_eq!(engagement("visited", "human", Some("https://example.com/?next=pricing")), VISIT);
    let pricing = FactKind::Engagement { kind: EngagementKind::PricingVisit, human: true };
    assert_eq!(engagement("visited", "human", Some("https://example.com/en/Pricing?x=1")), pricing);
    assert_eq!(FactKind::from_origin(Origin::Import, true), FactKind::ListRow);
    assert_eq!(FactKind::from_origin(Origin::EmailTool, false), FactKind::Subscription);
}

/// Every kind of engagement that the model knows, so that a renamed one is noticed here.
#[test]
fn the_kinds_that_count_are_kinds_of_the_model() {
    let counting: Vec<_> = headwater_model::engagement::KINDS
        .iter()
        .filter(|kind| EngagementKind::from_row(kind, None) != EngagementKind::Other)
        .collect();
    assert_eq!(counting, [&"opened", &"clicked", &"replied", &"resubscribed", &"subscribed", &"visited"]);
}

fn any_fact() -> impl Strategy<Value = Fact<'static>> {
    let engagement = proptest::sample::select(&[
        EngagementKind::Open,
        EngagementKind::Visit,
        EngagementKind::PricingVisit,
        EngagementKind::Click,
        EngagementKind::Reply,
        EngagementKind::Other,
    ]);
    let conversion = proptest::sample::select(&[ConversionKind::Order, ConversionKind::Refund, ConversionKind::Other]);
    let kind = prop_oneof![
        Just(FactKind::ListRow),
        Just(FactKind::Subscription),
        Just(FactKind::AfterSales),
        any::<bool>().prop_map(|states_need| FactKind::FormSubmission { states_need }),
        (engagement, any::<bool>()).prop_map(|(kind, human)| FactKind::Engagement { kind, human }),
        (conversion, -2_i128..3).prop_map(|(kind, micros)| money(kind, micros)),
    ];
    (0_i64..6, kind, proptest::sample::select(&["a", "b", "c"])).prop_map(|(hour, kind, id)| Fact {
        at_us: hour * HOUR,
        kind,
        id,
    })
}

fn check<S: Ord + Copy + std::fmt::Debug>(steps: &[Transition<'_, S>], facts: &[Fact<'_>], now: S) -> Result<(), TestCaseError> {
    prop_assert_eq!(steps.last().map(|step| step.to), Some(now));
    let mut before: Option<&Transition<'_, S>> = None;
    for step in steps {
        prop_assert_eq!(step.from, before.map(|before| before.to));
        prop_assert!(before.is_none_or(|before| before.at_us <= step.at_us));
        prop_assert!(step.cause == Cause::Refund || step.from.is_none_or(|from| from < step.to));
        prop_assert!(step.cause != Cause::Refund || step.from.is_some_and(|from| from > step.to));
        prop_assert!(facts.iter().any(|fact| fact.at_us == step.at_us && fact.id == step.cause_id));
        before = Some(step);
    }
    Ok(())
}

proptest! {
    #[test]
    fn order_of_the_facts_changes_nothing(
        (facts, other) in proptest::collection::vec(any_fact(), 0..16).prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle()))
    ) {
        prop_assert_eq!(derive(&facts), derive(&other));
    }

    #[test]
    fn steps_go_forward_but_for_refunds_and_each_has_a_cause(facts in proptest::collection::vec(any_fact(), 1..16)) {
        let lifecycle = derive(&facts);
        check(&lifecycle.transitions, &facts, lifecycle.stage)?;
        check(&lifecycle.buying_transitions, &facts, lifecycle.buying_stage)?;
    }

    #[test]
    fn opens_and_machines_never_count_as_contact(facts in proptest::collection::vec(any_fact(), 0..16), at_us in 0_i64..7 * HOUR) {
        let before = derive(&facts).last_contact_from_person_at;
        for kind in [OPEN, FactKind::Engagement { kind: EngagementKind::Reply, human: false }] {
            let more = [&facts[..], &[Fact { at_us, kind, id: "z" }]].concat();
            prop_assert_eq!(derive(&more).last_contact_from_person_at, before);
        }
    }
}
