CREATE TABLE hw_sample_draw(only INTEGER PRIMARY KEY CHECK(only = 1), seed INTEGER NOT NULL, drawn_at INTEGER NOT NULL, model_version TEXT NOT NULL, merge_at REAL NOT NULL, layers TEXT NOT NULL) STRICT;
CREATE TABLE hw_sample(review_id TEXT PRIMARY KEY, one TEXT NOT NULL, two TEXT NOT NULL, layer INTEGER NOT NULL, verdict TEXT, answered_at INTEGER) STRICT;
CREATE TABLE hw_edit(lead_id TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, edited_at INTEGER NOT NULL, PRIMARY KEY(lead_id, field)) STRICT;
