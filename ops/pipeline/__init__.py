"""The pipeline: one list of steps that a terminal (`make ci`) and the workflows run alike, and the quick checks.

python -m ops.pipeline check     what `make check` runs: offline, side by side, in seconds
python -m ops.pipeline ci        what `make ci` and the workflows run: build, test, scan; push, deploy, monitor by name
python -m ops.pipeline watch     what follows a deployment: healthy, in use, and no alert, for some minutes
"""
