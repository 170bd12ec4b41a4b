//! Common names of columns and form fields, by language, and how names are compared.
//!
//! One table for every kind of record: a name such as `date` may serve two fields that no kind of record has both of. It says what
//! a name *usually* means; what a vendor is known to mean, or a person said, goes before it.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization as _;

use crate::conform;
use crate::mapping::{FieldRule, Mapping, Role};

/// The language that a name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// English, and names of no language such as `utm_source`.
    English,
    /// French.
    French,
    /// German.
    German,
    /// Spanish.
    Spanish,
    /// Italian.
    Italian,
    /// Dutch.
    Dutch,
    /// Portuguese.
    Portuguese,
}

use Language::{Dutch, English, French, German, Italian, Portuguese, Spanish};

/// Our field, a language, and its names there as [`fold`] writes them, the most telling first.
const TABLE: &[(&str, Language, &str)] = &[
    ("external_id", English, "externalid extid contactid leadid personid customerid clientid recordid sourceid"),
    ("external_id", French, "numeroclient"),
    ("external_id", German, "kundennummer"),
    ("external_id", Spanish, "idcliente"),
    ("external_id", Italian, "codicecliente"),
    ("external_id", Dutch, "klantnummer"),
    ("external_id", Portuguese, "codigodocliente"),
    // The vaguest name of all comes after every other.
    ("external_id", English, "id"),
    ("email", English, "email emailaddress workemail businessemail emailadress mail youremail contactemail useremail emailwork"),
    ("email", French, "courriel adresseemail adressemail adresseelectronique adressedecourriel emailprofessionnel adresemail"),
    ("email", German, "emailadresse mailadresse emailgeschaeftlich"),
    ("email", Spanish, "correo correoelectronico direcciondecorreo"),
    ("email", Italian, "indirizzoemail postaelettronica"),
    ("email", Dutch, "emailadres"),
    ("email", Portuguese, "enderecodeemail correioeletronico"),
    ("given_name", English, "givenname firstname forename fname yourfirstname"),
    ("given_name", French, "prenom"),
    ("given_name", German, "vorname"),
    ("given_name", Spanish, "nombre nombredepila"),
    ("given_name", Italian, "nomedibattesimo"),
    ("given_name", Dutch, "voornaam"),
    ("given_name", Portuguese, "primeironome"),
    ("family_name", English, "familyname lastname surname lname yourlastname"),
    ("family_name", French, "nom nomdefamille"),
    ("family_name", German, "nachname familienname"),
    ("family_name", Spanish, "apellido apellidos"),
    ("family_name", Italian, "cognome"),
    ("family_name", Dutch, "achternaam familienaam"),
    ("family_name", Portuguese, "sobrenome apelido ultimonome"),
    ("full_name", English, "fullname name contactname yourname"),
    ("full_name", French, "nomcomplet nometprenom nomprenom prenomnom prenometnom"),
    ("full_name", German, "vollername vollstaendigername"),
    ("full_name", Spanish, "nombrecompleto nombreyapellidos"),
    ("full_name", Italian, "nomecompleto nomeecognome"),
    ("full_name", Dutch, "naam volledigenaam"),
    ("phone", English, "phone phonenumber telephone tel workphone businessphone directphone yourphone telephonenumber"),
    ("phone", French, "telephonefixe numerodetelephone"),
    ("phone", German, "telefon telefonnummer"),
    ("phone", Spanish, "telefono numerodetelefono"),
    ("phone", Dutch, "telefoon telefoonnummer"),
    ("phone", Portuguese, "telefone numerodetelefone"),
    ("mobile", English, "mobile mobilephone mobilenumber mobilephonenumber cellphone cell"),
    ("mobile", French, "portable telephoneportable telephonemobile"),
    ("mobile", German, "mobil mobiltelefon mobilnummer handy handynummer"),
    ("mobile", Spanish, "movil telefonomovil celular"),
    ("mobile", Italian, "cellulare"),
    ("mobile", Dutch, "mobiel mobielnummer"),
    ("mobile", Portuguese, "telemovel"),
    ("job_title", English, "jobtitle title position role"),
    ("job_title", French, "poste fonction intituledeposte intituleduposte titredeposte"),
    ("job_title", German, "berufsbezeichnung funktion stelle"),
    ("job_title", Spanish, "cargo puesto"),
    ("job_title", Italian, "qualifica ruolo"),
    ("job_title", Dutch, "functie functietitel"),
    ("seniority", English, "seniority senioritylevel managementlevel"),
    ("seniority", French, "niveauhierarchique"),
    ("seniority", German, "hierarchieebene"),
    ("seniority", Spanish, "antiguedad"),
    ("department", English, "department departments"),
    ("department", French, "service departement"),
    ("department", German, "abteilung"),
    ("department", Spanish, "departamento"),
    ("department", Italian, "reparto"),
    ("department", Dutch, "afdeling"),
    (
        "company_name",
        English,
        "companyname company organization organisation organizationname organisationname account accountname employer",
    ),
    ("company_name", French, "societe entreprise nomdelentreprise nomdelasociete raisonsociale denomination"),
    ("company_name", German, "firma firmenname unternehmen unternehmensname"),
    ("company_name", Spanish, "empresa nombredelaempresa compania razonsocial"),
    ("company_name", Italian, "azienda ragionesociale"),
    ("company_name", Dutch, "bedrijf bedrijfsnaam"),
    ("company_name", Portuguese, "nomedaempresa razaosocial"),
    ("company_domain", English, "companydomain domain domainname emaildomain"),
    ("company_domain", French, "domaine nomdedomaine"),
    ("company_domain", German, "domaene"),
    ("company_domain", Spanish, "dominio"),
    ("company_domain", Dutch, "domein"),
    (
        "company_number",
        English,
        "companynumber companyregistrationnumber companyregnumber companyregistration vatnumber vatid vatregistrationnumber \
         registrationnumber",
    ),
    ("company_number", French, "siren numerosiren numerodesiren numerotva numerodetva"),
    ("company_number", German, "handelsregisternummer ustid ustidnr"),
    ("company_number", Italian, "partitaiva"),
    ("company_number", Dutch, "kvknummer btwnummer"),
    ("company_number", Portuguese, "cnpj nipc"),
    ("website", English, "website companywebsite websiteurl web url"),
    ("website", French, "siteweb site siteinternet"),
    ("website", German, "webseite homepage"),
    ("website", Spanish, "sitioweb paginaweb"),
    ("website", Italian, "sitointernet"),
    ("linkedin_url", English, "linkedinurl linkedin linkedinprofile linkedinprofileurl personlinkedinurl contactlinkedinurl"),
    ("linkedin_url", French, "profillinkedin urllinkedin lienlinkedin"),
    ("linkedin_url", German, "linkedinprofil"),
    ("linkedin_url", Spanish, "perfillinkedin"),
    ("linkedin_url", Italian, "profilolinkedin"),
    ("street", English, "street streetaddress address address1 addressline1"),
    ("street", French, "adresse rue adressepostale"),
    ("street", German, "strasse anschrift strasseundhausnummer"),
    ("street", Spanish, "direccion calle"),
    ("street", Italian, "indirizzo via"),
    ("street", Dutch, "straat adres"),
    ("street", Portuguese, "endereco morada rua"),
    ("city", English, "city town"),
    ("city", French, "ville commune"),
    ("city", German, "stadt ort"),
    ("city", Spanish, "ciudad localidad"),
    ("city", Italian, "citta comune"),
    ("city", Dutch, "plaats woonplaats"),
    ("city", Portuguese, "cidade"),
    ("region", English, "region state province county"),
    ("region", German, "bundesland"),
    ("region", Spanish, "provincia"),
    ("region", Italian, "regione"),
    ("region", Dutch, "provincie"),
    ("region", Portuguese, "estado regiao"),
    ("postal_code", English, "postalcode zip zipcode postcode"),
    ("postal_code", French, "codepostal cp"),
    ("postal_code", German, "plz postleitzahl"),
    ("postal_code", Spanish, "codigopostal"),
    ("postal_code", Italian, "cap codicepostale"),
    ("postal_code", Portuguese, "cep"),
    ("country", English, "country countrycode"),
    ("country", French, "pays"),
    ("country", German, "land"),
    ("country", Spanish, "pais"),
    ("country", Italian, "paese nazione"),
    ("language", English, "language lang locale"),
    ("language", French, "langue"),
    ("language", German, "sprache"),
    ("language", Spanish, "idioma"),
    ("language", Italian, "lingua"),
    ("language", Dutch, "taal"),
    ("need", English, "need needs"),
    ("need", French, "besoin besoins"),
    ("need", German, "bedarf"),
    ("need", Spanish, "necesidad"),
    ("budget", English, "budget whatisyourbudget"),
    ("budget", Spanish, "presupuesto"),
    ("budget", Portuguese, "orcamento"),
    ("intended_use", English, "intendeduse usecase usage"),
    ("intended_use", French, "utilisation"),
    ("intended_use", German, "verwendungszweck"),
    ("intended_use", Spanish, "uso"),
    ("message", English, "message comment comments notes note yourmessage"),
    ("message", French, "commentaire commentaires"),
    ("message", German, "nachricht kommentar bemerkung"),
    ("message", Spanish, "mensaje comentario comentarios"),
    ("message", Italian, "messaggio commento"),
    ("message", Dutch, "bericht opmerking opmerkingen"),
    ("message", Portuguese, "mensagem"),
    ("tags", English, "tags tag labels lists"),
    ("tags", French, "etiquettes"),
    ("tags", German, "schlagworte"),
    ("tags", Spanish, "etiquetas"),
    ("email_status", English, "emailstatus emailverified emailverification"),
    ("email_status", French, "statutemail emailqualification"),
    ("observed_at", English, "observedat updatedat lastmodified modifiedat lastupdated"),
    ("observed_at", French, "datedemodification"),
    ("observed_at", German, "geaendertam"),
    ("observed_at", Spanish, "actualizado"),
    ("created_at", English, "createdat created createdate datecreated creationdate signup signupdate signedupat"),
    ("created_at", French, "datedecreation datedinscription"),
    ("created_at", German, "erstelltam"),
    ("created_at", Spanish, "fechadecreacion fechaderegistro"),
    ("consent", English, "consent optin marketingconsent"),
    ("consent", French, "consentement"),
    ("consent", German, "einwilligung"),
    ("consent", Spanish, "consentimiento"),
    ("consent", Italian, "consenso"),
    ("consent", Dutch, "toestemming"),
    ("consent", Portuguese, "consentimento"),
    ("notice_at", English, "noticeat noticeprovideddate noticedate"),
    ("is_test", English, "istest test"),
    ("utm_source", English, "utmsource"),
    ("utm_medium", English, "utmmedium"),
    ("utm_campaign", English, "utmcampaign"),
    ("utm_term", English, "utmterm"),
    ("utm_content", English, "utmcontent"),
    ("landing_url", English, "landingurl landingpage landingpageurl pageurl firstpage"),
    ("landing_url", French, "pagedatterrissage"),
    ("referrer", English, "referrer referer referrerurl referringurl"),
    ("gclid", English, "gclid"),
    ("gbraid", English, "gbraid"),
    ("wbraid", English, "wbraid"),
    ("dclid", English, "dclid"),
    ("msclkid", English, "msclkid"),
    ("li_fat_id", English, "lifatid"),
    ("ttclid", English, "ttclid"),
    ("twclid", English, "twclid"),
    ("fbclid", English, "fbclid"),
    ("kind", English, "kind type event eventtype costkind"),
    ("raw_kind", English, "rawkind"),
    ("kind", German, "art typ"),
    ("kind", Spanish, "tipo"),
    ("value", English, "value ordervalue dealvalue amount total totalamount price"),
    ("value", French, "montant valeur montantttc montantht"),
    ("value", German, "betrag wert"),
    ("value", Spanish, "importe valor monto"),
    ("amount", English, "amount cost spend costs adspend"),
    ("amount", French, "montant cout depense"),
    ("amount", German, "betrag kosten ausgaben"),
    ("amount", Spanish, "importe coste gasto monto"),
    ("currency", English, "currency currencycode"),
    ("currency", French, "devise monnaie"),
    ("currency", German, "waehrung wahrung"),
    ("currency", Spanish, "moneda divisa"),
    ("occurred_at", English, "occurredat timestamp eventtime eventdate orderdate closedate closedat paidat date datetime"),
    ("occurred_at", French, "datedecommande"),
    ("product", English, "product products productname item itemname sku"),
    ("product", French, "produit produits article"),
    ("product", German, "produkt produkte artikel"),
    ("product", Spanish, "producto productos articulo"),
    ("category", English, "category productcategory"),
    ("category", French, "categorie"),
    ("category", German, "kategorie warengruppe"),
    ("category", Spanish, "categoria"),
    ("rep", English, "rep salesrep salesrepresentative owner dealowner accountowner soldby"),
    ("rep", French, "commercial vendeur"),
    ("rep", German, "vertriebler verkaeufer"),
    ("rep", Spanish, "vendedor"),
    ("occurred_at", German, "datum bestelldatum"),
    ("occurred_at", Spanish, "fecha"),
    ("for_source", English, "forsource source"),
    ("for_source", French, "origine"),
    ("for_source", German, "quelle"),
    ("for_source", Spanish, "fuente"),
    ("channel", English, "channel"),
    ("channel", French, "canal"),
    ("channel", German, "kanal"),
    ("campaign", English, "campaign campaignname"),
    ("campaign", French, "campagne"),
    ("campaign", German, "kampagne"),
    ("campaign", Spanish, "campana"),
    ("day", English, "day date fromday startdate from"),
    ("day", French, "jour"),
    ("day", German, "tag datum"),
    ("day", Spanish, "dia fecha"),
    ("until_day", English, "untilday enddate until to"),
    ("until_day", French, "datedefin"),
    ("until_day", German, "enddatum"),
    ("until_day", Spanish, "fechafin"),
    ("impressions", English, "impressions impr"),
    ("impressions", German, "impressionen"),
    ("impressions", Spanish, "impresiones"),
    ("clicks", English, "clicks"),
    ("clicks", French, "clics"),
    ("clicks", German, "klicks"),
    ("url", English, "url clickedurl link"),
    ("message_id", English, "messageid"),
    ("machine", English, "machine bot isbot"),
];

/// Names that tell enough in a table of people and too little elsewhere: the `id` of a form's answer is the answer's, and its
/// `title` may be that of the form.
const VAGUE: &[&str] =
    &["id", "title", "account", "created", "test", "tag", "web", "site", "service", "source", "lists", "via", "cap"];

/// Names of digits that are not a number and that no field of ours holds, as parts of a folded name.
const CODES: &[&str] = &["phone", "telefon", "telephone", "siret", "siren", "vatnumber", "zip", "postcode", "companynumber"];

/// Every pair of our field and a folded name for it, by field, the most telling name first.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().flat_map(|(field, _, names)| names.split_ascii_whitespace().map(|name| (*field, name)))
}

/// As [`all`], of the fields that records of a role have.
pub fn of_role(role: Role) -> impl Iterator<Item = (&'static str, &'static str)> {
    let fields = conform::fields_of(role);
    all().filter(|(field, _)| fields.contains(field))
}

/// Each of our fields from the one of `names` that tells it best. Two columns never fill in for each other: two ids are ids of
/// different systems.
#[must_use]
pub fn mapping(names: &[String]) -> Mapping {
    let folded: BTreeMap<String, &String> = names.iter().rev().map(|name| (fold(name), name)).collect();
    let mut rules: BTreeMap<String, FieldRule> = BTreeMap::new();
    for (ours, alias) in all() {
        if let Some(name) = folded.get(alias) {
            rules.entry(ours.to_owned()).or_insert_with(|| FieldRule::from_field((*name).clone()));
        }
    }
    Mapping(rules)
}

/// The languages in which a folded name stands for this field.
pub fn languages(field: &str, folded: &str) -> impl Iterator<Item = Language> {
    let rows =
        TABLE.iter().filter(move |(ours, _, names)| *ours == field && names.split_ascii_whitespace().any(|name| name == folded));
    rows.map(|(_, language, _)| *language)
}

/// Whether a folded name tells too little outside a table of people, such as `id` and `title`.
#[must_use]
pub fn is_vague(folded: &str) -> bool {
    VAGUE.contains(&folded)
}

/// Whether a column of this name holds digits that are not a number: a phone, a code, an id.
#[must_use]
pub fn is_code(name: &str) -> bool {
    let folded = fold(name);
    all().any(|(field, name)| {
        matches!(field, "phone" | "mobile" | "postal_code" | "external_id" | "company_number") && name == folded
    }) || CODES.iter().any(|part| folded.contains(part))
}

/// A name as it is compared: small letters and digits, without accents, signs and spaces.
///
/// `E-mail Address` and `EMAIL_ADDRESS` are `emailaddress`, `Téléphone` is `telephone`, `Straße` is `strasse`. Letters of other
/// scripts stay. What is folded folds to itself.
#[must_use]
pub fn fold(name: &str) -> String {
    // A sign such as `#` tells `# Employees` from nothing else; only letters and digits count. What stood on both sides of one stands
    // together then, and may have another order.
    let counts = |character: &char| character.is_alphanumeric();
    let letters: String = name.nfc().flat_map(char::to_lowercase).filter(counts).collect();
    let mut folded = String::with_capacity(name.len());
    for character in letters.nfc() {
        let plain = match character {
            'à' | 'á' | 'â' | 'ã' | 'å' | 'ą' => "a",
            'ä' | 'æ' => "ae",
            'ç' | 'č' | 'ć' => "c",
            'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ě' => "e",
            'ì' | 'í' | 'î' | 'ï' => "i",
            'ł' => "l",
            'ñ' | 'ń' => "n",
            'ò' | 'ó' | 'ô' | 'õ' => "o",
            'ö' | 'œ' | 'ø' => "oe",
            'ù' | 'ú' | 'û' => "u",
            'ü' => "ue",
            'ß' => "ss",
            _ => {
                folded.push(character);
                continue;
            }
        };
        folded.push_str(plain);
    }
    folded
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ROLES: [Role; 5] = [Role::Leads, Role::Touches, Role::Engagements, Role::Conversions, Role::Costs];

    #[test]
    fn every_name_is_folded_and_leads_to_a_field_there_is() {
        let known: BTreeSet<&str> = ROLES.into_iter().flat_map(conform::fields_of).copied().collect();
        for (field, name) in all() {
            assert!(known.contains(field), "{field}");
            assert_eq!(fold(name), name, "{field}");
        }
        assert!(VAGUE.iter().all(|vague| all().any(|(_, name)| name == *vague)));
    }

    #[test]
    fn in_records_of_one_kind_a_name_leads_to_one_field_only() {
        // `tag` is German for day, and `url` is a site of a person and a link that was clicked.
        for role in ROLES {
            let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
            for (field, name) in of_role(role) {
                if let Some(other) = seen.insert(name, field) {
                    assert_eq!(other, field, "{role:?} {name}");
                }
            }
        }
    }

    #[test]
    fn every_field_is_known_by_its_own_name() {
        for field in ROLES.into_iter().flat_map(conform::fields_of) {
            assert!(all().any(|pair| pair == (*field, fold(field).as_str())), "{field}");
        }
    }

    #[test]
    fn accents_case_signs_and_spaces_do_not_count() {
        for (name, expected) in [
            ("E-mail Address", "emailaddress"),
            ("  TÉLÉPHONE : ", "telephone"),
            ("Straße", "strasse"),
            ("# Employees", "employees"),
            ("Wähltön", "waehltoen"),
            ("Име", "име"),
            // The same letter as one character and as two.
            ("Gru\u{308}\u{df}", "gruess"),
            ("", ""),
        ] {
            assert_eq!(fold(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_knows_its_languages() {
        assert_eq!(languages("given_name", "prenom").collect::<Vec<_>>(), [French]);
        assert_eq!(languages("family_name", "prenom").count(), 0);
    }

    #[test]
    fn digits_that_are_no_number_are_told_by_their_column() {
        for name in ["Mobile phone", "ZIP", "Code postal", "SIRET", "Company Number", "Kundennummer"] {
            assert!(is_code(name), "{name}");
        }
        assert!(!is_code("Employees"));
    }

    #[test]
    fn marks_that_a_space_kept_apart_stand_in_their_order() {
        assert_eq!(fold("\u{1e01b} \u{f7a}"), fold("\u{f7a}\u{1e01b}"));
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(name in "\\PC{0,40}") {
            let once = fold(&name);
            prop_assert_eq!(fold(&once), once);
        }
    }
}
