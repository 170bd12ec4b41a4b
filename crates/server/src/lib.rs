//! Web form intake, health and metrics over HTTP
