"""The dashboards as code: `python -m ops.grafana.boards` writes ops/grafana/dashboards/*.json.

A builder of our own and not Grafana's: what is repeated in every panel (a description that says what is normal, limits
that are drawn and written, links to runbooks) is here said once, and its absence is an error of Python's. It stands
beside the rules that the boards speak of, and imports nothing of the product: it knows metrics by their names, as
Grafana does.
"""
