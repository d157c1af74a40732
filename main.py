"""`uvicorn main:app`: the service for servers that are given an import path."""

from taskmanager.app import create_app

app = create_app()
