"""Generated from proto/twin/api; never edited by hand."""
