"""The model that scores reviews: its labelled texts, how it is fitted, measured and exported."""
