//! Raw data in.
