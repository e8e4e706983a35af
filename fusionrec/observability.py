"""The only logger and metrics. At the bottom, so that every layer may use them.

Traces are those that Lambda and API Gateway write themselves (`Tracing: Active`): the X-Ray SDK, which would add calls
to stores, took a third of every cold start, and is given up by AWS.
"""

from __future__ import annotations

from aws_lambda_powertools import Logger, Metrics

SERVICE = "fusionrec"

logger = Logger(service=SERVICE)
metrics = Metrics(namespace="Fusionrec", service=SERVICE)
