"""Hyper-parameter search: better settings for one part, by NDCG@10 on validation requests."""
