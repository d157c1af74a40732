"""What operates the service from outside: the configuration of the monitoring, and what writes its dashboards."""
