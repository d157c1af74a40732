"""What a Kubernetes cluster is told, and what holds it against the schemas."""
