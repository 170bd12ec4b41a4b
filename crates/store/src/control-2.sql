CREATE TABLE hw_decision(one TEXT NOT NULL, two TEXT NOT NULL, verdict TEXT NOT NULL, at INTEGER NOT NULL, run_id TEXT NOT NULL, PRIMARY KEY(one, two)) STRICT;
CREATE TABLE hw_identity_model(version TEXT PRIMARY KEY, bytes BLOB NOT NULL, learned_at INTEGER NOT NULL, run_id TEXT NOT NULL) STRICT;
CREATE TABLE hw_review(review_id TEXT PRIMARY KEY, one TEXT NOT NULL, two TEXT NOT NULL, chance REAL NOT NULL, worth REAL NOT NULL) STRICT;
CREATE TABLE hw_merge(lead_id TEXT NOT NULL, prospect_id TEXT NOT NULL, at INTEGER NOT NULL, run_id TEXT NOT NULL, PRIMARY KEY(lead_id, prospect_id)) STRICT;
CREATE INDEX hw_merge_prospect ON hw_merge(prospect_id);
