"""Grafana's dashboards, their provisioning, and the boards that they are written from."""
