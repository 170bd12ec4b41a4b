//! Countries: ISO 3166 alpha-2 codes from what people write.

use std::sync::LazyLock;

use hashbrown::HashMap;

/// Code, alpha-3 code, and names in English and, where they differ, in the language of the country or of its neighbours.
const COUNTRIES: &str = "AE ARE united arab emirates|uae;AR ARG argentina;AT AUT austria|österreich|autriche;AU AUS australia;\
BE BEL belgium|belgique|belgië|belgien;BG BGR bulgaria;BR BRA brazil|brasil|brésil;CA CAN canada|kanada;\
CH CHE switzerland|schweiz|suisse|svizzera;CL CHL chile;CN CHN china|people's republic of china;CO COL colombia;CY CYP cyprus;\
CZ CZE czech republic|czechia|tschechien|česko;DE DEU germany|deutschland|allemagne|alemania;DK DNK denmark|danmark;DZ DZA algeria|algérie;\
EE EST estonia;EG EGY egypt;ES ESP spain|españa|espagne|spanien;FI FIN finland|suomi;FR FRA france|frankreich|francia;\
GB GBR united kingdom|uk|great britain|england|scotland|wales|northern ireland|royaume-uni|vereinigtes königreich;GR GRC greece;\
HK HKG hong kong;HR HRV croatia|hrvatska;HU HUN hungary|magyarország;ID IDN indonesia;IE IRL ireland;IL ISR israel;IN IND india;\
IS ISL iceland;IT ITA italy|italia|italie|italien;JP JPN japan|japon;KE KEN kenya;KR KOR south korea|republic of korea|korea, republic of;\
LT LTU lithuania;LU LUX luxembourg|luxemburg;LV LVA latvia;MA MAR morocco|maroc;MC MCO monaco;MT MLT malta;MX MEX mexico|méxico|mexique;\
MY MYS malaysia;NG NGA nigeria;NL NLD netherlands|the netherlands|holland|nederland|pays-bas|niederlande;NO NOR norway|norge;\
NZ NZL new zealand;PE PER peru;PH PHL philippines;PK PAK pakistan;PL POL poland|polska|pologne|polen;PT PRT portugal;RO ROU romania|românia;\
RS SRB serbia;RU RUS russia|russian federation;SA SAU saudi arabia;SE SWE sweden|sverige|suède|schweden;SG SGP singapore;\
SI SVN slovenia;SK SVK slovakia|slovensko;TH THA thailand;TN TUN tunisia|tunisie;TR TUR turkey|türkiye;TW TWN taiwan;UA UKR ukraine;\
US USA united states|united states of america|u.s.a.|u.s.|usa|états-unis|vereinigte staaten;UY URY uruguay;VN VNM vietnam|viet nam;ZA ZAF south africa";

static BY_NAME: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    COUNTRIES
        .split(';')
        .filter_map(|entry| {
            let (code, rest) = entry.split_once(' ')?;
            let (_, names) = rest.split_once(' ')?;
            Some((code, names))
        })
        .flat_map(|(code, names)| names.split('|').map(move |name| (name, code)))
        .collect()
});

static BY_ALPHA3: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    COUNTRIES
        .split(';')
        .filter_map(|entry| {
            let mut words = entry.splitn(3, ' ');
            let code = words.next()?;
            Some((words.next()?, code))
        })
        .collect()
});

/// The alpha-2 code of a country given as a code or a name; nothing when it is not known to us.
#[must_use]
pub fn code(raw: &str) -> Option<&'static str> {
    let text = raw.trim();
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        let upper = text.to_ascii_uppercase();
        return COUNTRIES
            .split(';')
            .filter_map(|entry| entry.get(..2))
            .find(|known| *known == upper)
            .or_else(|| BY_NAME.get(text.to_lowercase().as_str()).copied());
    }
    if text.len() == 3
        && let Some(code) = BY_ALPHA3.get(text.to_ascii_uppercase().as_str())
    {
        return Some(code);
    }
    BY_NAME.get(text.to_lowercase().as_str()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_in_several_languages() {
        for (raw, expected) in [
            ("de", Some("DE")),
            (" Deutschland ", Some("DE")),
            ("FRA", Some("FR")),
            ("uk", Some("GB")),
            ("The Netherlands", Some("NL")),
            ("Suisse", Some("CH")),
            ("", None),
            ("Atlantis", None),
        ] {
            assert_eq!(code(raw), expected, "{raw:?}");
        }
    }
}
