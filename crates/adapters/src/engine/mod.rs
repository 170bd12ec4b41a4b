//! What a declarative connector compiles to, and what runs it.
