"""Thin Lambda handlers: parse, call one use case, answer."""
