"""The only logger, metrics and tracer. At the bottom, so that every layer may use them."""

from __future__ import annotations

from aws_lambda_powertools import Logger, Metrics, Tracer

SERVICE = "fusionrec"

logger = Logger(service=SERVICE)
metrics = Metrics(namespace="Fusionrec", service=SERVICE)
tracer = Tracer(service=SERVICE)  # disables itself outside Lambda
