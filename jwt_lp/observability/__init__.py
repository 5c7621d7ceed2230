"""Observability: the audit log of decisions in ECS, and OpenTelemetry."""
