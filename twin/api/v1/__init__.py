"""Generated from proto/twin/api/v1; never edited by hand."""
