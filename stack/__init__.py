"""Starts and stops what TaskManager API needs around it, as an operator would: commands, files and HTTP.

Nothing here imports the service or its migration gate.
"""
