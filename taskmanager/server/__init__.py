"""uvicorn, with what it lacks towards strangers.

It leans on names inside uvicorn, whose version is pinned; a test compares what both write.
"""
