//! Which columns mean what.

use headwater_model::mapping::{Mapping, Origin, Role};
use serde_json::json;

use super::{fixtures, folder, keys, pages, spec};

async fn mapping(config: serde_json::Value) -> (Mapping, Option<String>, Origin) {
    let spec = spec(fixtures(), config).await.unwrap();
    assert_eq!((spec.name.as_str(), spec.role), ("records", Role::Leads));
    for rule in spec.mapping.0.values() {
        assert!(rule.from.iter().all(|field| spec.fields.contains(field)), "{rule:?}");
    }
    (spec.mapping, spec.vendor, spec.origin)
}

fn from(mapping: &Mapping, field: &str) -> Vec<String> {
    mapping.0.get(field).map(|rule| rule.from.clone()).unwrap_or_default()
}

#[tokio::test]
async fn zoominfo_is_told_by_its_columns() {
    let (mapping, vendor, origin) = mapping(json!({ "path": "list_headers/zoominfo_contact.csv" })).await;
    assert_eq!((vendor.as_deref(), origin), (Some("zoominfo"), Origin::List));
    assert_eq!(from(&mapping, "external_id"), ["ZoomInfo Contact ID"]);
    assert_eq!(from(&mapping, "email"), ["Email Address"]);
    assert_eq!(from(&mapping, "phone"), ["Direct Phone Number"]);
    assert_eq!(from(&mapping, "seniority"), ["Management Level", "Job Title Hierarchy Level"]);
    assert_eq!(from(&mapping, "linkedin_url"), ["LinkedIn Contact Profile URL"]);
    assert_eq!(from(&mapping, "notice_at"), ["Notice Provided Date"]);
    assert_eq!(from(&mapping, "budget"), [""; 0]);
    assert_eq!(mapping.0.len(), 19);
}

#[tokio::test]
async fn apollo_is_told_by_its_columns() {
    let (mapping, vendor, origin) = mapping(json!({ "path": "list_headers/apollo_contact.csv" })).await;
    assert_eq!((vendor.as_deref(), origin), (Some("apollo"), Origin::List));
    assert_eq!(from(&mapping, "external_id"), ["Apollo Contact Id"]);
    assert_eq!(from(&mapping, "email"), ["Email"]);
    assert_eq!(from(&mapping, "email_status"), ["Email Status"]);
    assert_eq!(from(&mapping, "phone"), ["Work Direct Phone", "Other Phone"]);
    assert_eq!(from(&mapping, "city"), ["City"]);
    assert_eq!(mapping.0.len(), 18);
}

#[tokio::test]
async fn lusha_maps_the_work_address_and_never_the_personal_one() {
    let (mapping, vendor, _) = mapping(json!({ "path": "list_headers/lusha.csv" })).await;
    assert_eq!(vendor.as_deref(), Some("lusha"));
    assert_eq!(from(&mapping, "email"), ["Work email"]);
    assert!(mapping.0.values().all(|rule| !rule.from.contains(&"Personal email".to_owned())));
}

#[tokio::test]
async fn a_scraped_list_is_a_list_without_a_vendor() {
    let (mapping, vendor, origin) = mapping(json!({ "path": "list_headers/sales_nav_phantom_style.csv" })).await;
    assert_eq!((vendor, origin), (None, Origin::List));
    assert_eq!(from(&mapping, "linkedin_url"), ["profileUrl"]);
}

#[tokio::test]
async fn a_vendor_is_told_without_its_id_column_and_with_columns_of_the_user() {
    let header = "First Name,Email,Person Linkedin Url,Company Name for Emails,# Employees,AI custom field 2656";
    let folder = folder("a.csv", header);
    let spec = spec(folder.path(), json!({ "path": "a.csv" })).await.unwrap();
    assert_eq!(spec.vendor.as_deref(), Some("apollo"));
    assert_eq!(spec.mapping.0.len(), 3);
}

#[tokio::test]
async fn common_names_in_four_languages_are_known() {
    for (header, expected) in [
        (
            "E-Mail,First name,Surname,Cell phone,utm_source,gclid,ZIP",
            "email,family_name,gclid,given_name,mobile,postal_code,utm_source",
        ),
        ("Société;Prénom;Nom;Courriel;Téléphone;Code postal", "company_name,email,family_name,given_name,phone,postal_code"),
        (
            "Firma;Vorname;Nachname;E-Mail-Adresse;Straße;PLZ;Währung",
            "company_name,currency,email,family_name,given_name,postal_code,street",
        ),
        ("Empresa;Nombre;Apellidos;Correo electrónico;Teléfono;País", "company_name,country,email,family_name,given_name,phone"),
        ("Email,Order ID,Amount,Currency,Order date", "amount,currency,email,occurred_at,value"),
        ("Day,Campaign,Spend,Currency,Clicks,Impressions", "amount,campaign,clicks,currency,day,impressions"),
    ] {
        let folder = folder("a.csv", header);
        let spec = spec(folder.path(), json!({ "path": "a.csv" })).await.unwrap();
        assert_eq!(spec.mapping.0.keys().cloned().collect::<Vec<_>>().join(","), expected, "{header}");
        assert_eq!((spec.vendor, spec.origin), (None, Origin::Import));
    }
}

#[tokio::test]
async fn one_id_column_never_fills_in_for_another() {
    let (mapping, _, _) = mapping(json!({ "path": "edge.csv" })).await;
    assert_eq!(from(&mapping, "external_id"), ["ext_id"]);
    let (mapping, _, _) = self::mapping(json!({ "path": "edge.csv", "preset": "none" })).await;
    assert!(mapping.0.is_empty());
}

#[tokio::test]
async fn keys_come_from_the_vendor_or_the_user_and_are_absent_where_empty() {
    let folder = folder("a.csv", "Apollo Contact Id,Email,Day\n7,ann@example.com,1\n,bob@example.com,2\n8,,3\n");
    let read = async |config| keys(&pages(folder.path(), config).await.unwrap());
    let some = |key: &str| Some(key.to_owned());
    assert_eq!(read(json!({ "path": "a.csv" })).await, [some("7"), None, some("8")]);
    assert_eq!(read(json!({ "path": "a.csv", "key": "Email" })).await, [some("ann@example.com"), some("bob@example.com"), None]);
    let both = read(json!({ "path": "a.csv", "key": ["Email", "Day"] })).await;
    assert_eq!(both, [some("ann@example.com\u{1f}1"), some("bob@example.com\u{1f}2"), None]);
    let error = pages(folder.path(), json!({ "path": "a.csv", "key": "Id" })).await.unwrap_err();
    assert_eq!(error.hint_text(), Some("its columns are: Apollo Contact Id, Email, Day"));
}
