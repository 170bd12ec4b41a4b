//! What text carries that nobody sees.

/// Whether a character shows nothing and means nothing in a name, an address or a number: soft hyphens, joiners, byte order marks
/// and marks of direction, which spreadsheets and address books leave in what is copied from them.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}
