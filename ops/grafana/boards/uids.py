"""The boards' addresses, /d/<uid>, which alerts and other boards point at; they never change."""

INCIDENT = ("taskmanager-incident", "Incident")
API = ("taskmanager-api", "API")
DATABASE = ("taskmanager-database", "Database")
SLO = ("taskmanager-slo", "Service level")
META = ("taskmanager-meta", "Monitoring itself")
