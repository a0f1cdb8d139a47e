"""Figures, montages and pages made from the statistics."""
