"""How the parts become one ranking."""
