"""The ids of Grafana's units (Grafana 11, the list "Unit" of a panel), as far as a service can need them."""

from __future__ import annotations

MISCELLANEOUS = {"none", "string", "short", "percent", "percentunit", "locale", "sci"}
DATA = {"bits", "bytes", "kbytes", "mbytes", "gbytes", "decbits", "decbytes", "deckbytes", "decmbytes", "decgbytes"}
DATA_RATE = {"bps", "Bps", "KBs", "MBs", "GBs", "pps"}
TIME = {"hertz", "ns", "µs", "ms", "s", "m", "h", "d", "dtdurationms", "dtdurations", "dthms", "dtdhms"}
DATE = {"dateTimeAsIso", "dateTimeAsIsoNoDateIfToday", "dateTimeAsUS", "dateTimeFromNow"}
THROUGHPUT = {"cps", "ops", "reqps", "rps", "wps", "iops", "cpm", "opm", "rpm", "wpm"}

UNITS = MISCELLANEOUS | DATA | DATA_RATE | TIME | DATE | THROUGHPUT
