"""Leaks over months: a calibrated model, a filter over hours, and a bank of likelihood-ratio tests."""
