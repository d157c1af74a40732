"""A request's way through this process, from the server to the function that serves it."""
