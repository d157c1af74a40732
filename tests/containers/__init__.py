"""Images, containers and the compose file, tried on a real engine: `make containers`."""
