//! Enums that are stored as one word of text.

/// Declares an enum, its word in the ledger, and both ways between them.
macro_rules! words {
    ($(#[$docs:meta])* $name:ident { $($(#[$variant_docs:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_docs])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every one of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::StoreError;

            fn from_str(word: &str) -> $crate::Result<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word).ok_or_else(|| $crate::StoreError::NotFound {
                    what: format!("a {} called `{word}`", stringify!($name)),
                })
            }
        }
    };
}
pub(crate) use words;
