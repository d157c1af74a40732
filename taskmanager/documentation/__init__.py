"""How the API is described: as OpenAPI, and as pages made of that."""
