#!/bin/sh
# The last script of a first start: from here on entrypoint.sh takes the data in this folder for whole.
set -eu
: >"${PGDATA:?names the data folder}/taskmanager_first_start_done"
