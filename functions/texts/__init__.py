"""The queue of texts: reviews become votes, surges become alarms."""
