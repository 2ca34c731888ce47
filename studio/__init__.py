"""Higgs Studio: conversations spoken by Higgs Audio V2, and a lab for neural codecs."""
