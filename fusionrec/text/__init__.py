"""Reviews and comments: how a text becomes features, and the model that scores sentiment and topics."""
