//! Singer and Airbyte programs as child processes.
