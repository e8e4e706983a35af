"""Build recipes, the emulators' runners, seeding and the smoke test. Not part of the distribution."""
