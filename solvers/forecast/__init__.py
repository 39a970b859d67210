"""Forecasts: seasonal profiles and their residual futures."""
