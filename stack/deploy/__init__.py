"""Rolling deployments: N replicas in N+1 slots behind HAProxy, of which one after another gets a new release.

The algorithm (`rollout`) knows neither processes nor containers: it speaks to a `Road`, which starts and stops the
replica of a slot, and to a `Balancer`, which sends a slot requests or does not.
"""
