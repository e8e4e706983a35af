"""Data preparation: sources → cleaning → sessions → splits → graph → features."""
