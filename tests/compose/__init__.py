"""The compose files as files, without an engine; tests/containers brings them up."""
