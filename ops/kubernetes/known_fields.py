"""The fields of operators' kinds that the manifests use, as the operators' definitions name them.

Looked up by hand, in CloudNativePG 1.30, its Barman Cloud plugin 0.14 and the Prometheus operator 0.93: a field that is
not here may be a slip of the pen. `custom_resources` judges values too, where the definitions are at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# A field with other fields below it ends with a dot; what stands below `…*` is free.
_KNOWN: Mapping[tuple[str, str], str] = {
    ("postgresql.cnpg.io/v1", "Cluster"): """
        instances imageCatalogRef. imageCatalogRef.apiGroup imageCatalogRef.kind imageCatalogRef.name
        imageCatalogRef.major primaryUpdateStrategy primaryUpdateMethod
        bootstrap. bootstrap.initdb. bootstrap.initdb.database bootstrap.initdb.owner bootstrap.initdb.secret.
        bootstrap.initdb.secret.name bootstrap.initdb.dataChecksums bootstrap.initdb.encoding
        bootstrap.initdb.localeProvider bootstrap.initdb.builtinLocale bootstrap.initdb.locale
        bootstrap.initdb.postInitSQL bootstrap.initdb.postInitApplicationSQL
        managed. managed.roles. managed.roles.name managed.roles.ensure managed.roles.login managed.roles.createdb
        managed.roles.inRoles managed.roles.passwordSecret. managed.roles.passwordSecret.name
        postgresql. postgresql.parameters.* postgresql.synchronous. postgresql.synchronous.method
        postgresql.synchronous.number postgresql.synchronous.dataDurability
        affinity. affinity.enablePodAntiAffinity affinity.topologyKey affinity.podAntiAffinityType
        resources. resources.requests.* resources.limits.* storage. storage.size walStorage. walStorage.size
        plugins. plugins.name plugins.isWALArchiver plugins.parameters.*
    """,
    ("postgresql.cnpg.io/v1", "ScheduledBackup"): """
        schedule immediate backupOwnerReference cluster. cluster.name method pluginConfiguration.
        pluginConfiguration.name
    """,
    ("barmancloud.cnpg.io/v1", "ObjectStore"): """
        retentionPolicy configuration. configuration.destinationPath configuration.endpointURL
        configuration.s3Credentials. configuration.s3Credentials.accessKeyId.
        configuration.s3Credentials.accessKeyId.name configuration.s3Credentials.accessKeyId.key
        configuration.s3Credentials.secretAccessKey. configuration.s3Credentials.secretAccessKey.name
        configuration.s3Credentials.secretAccessKey.key configuration.wal. configuration.wal.compression
        configuration.data. configuration.data.compression
    """,
    ("monitoring.coreos.com/v1", "PodMonitor"): """
        selector. selector.matchLabels.* namespaceSelector. namespaceSelector.matchNames
        podMetricsEndpoints. podMetricsEndpoints.port podMetricsEndpoints.path podMetricsEndpoints.interval
        podMetricsEndpoints.scrapeTimeout podMetricsEndpoints.authorization. podMetricsEndpoints.authorization.type
        podMetricsEndpoints.authorization.credentials. podMetricsEndpoints.authorization.credentials.name
        podMetricsEndpoints.authorization.credentials.key podMetricsEndpoints.relabelings.
        podMetricsEndpoints.relabelings.sourceLabels podMetricsEndpoints.relabelings.targetLabel
        podMetricsEndpoints.relabelings.replacement
    """,
    ("monitoring.coreos.com/v1", "PrometheusRule"): """
        groups. groups.name groups.interval groups.rules. groups.rules.alert groups.rules.record groups.rules.expr
        groups.rules.for groups.rules.keep_firing_for groups.rules.labels.* groups.rules.annotations.*
    """,
}


def faults(content: dict[str, Any]) -> Iterator[str]:
    """Fields that are not on the list, and kinds."""
    listed = _KNOWN.get((content["apiVersion"], content["kind"]))
    if listed is None:
        yield f"{content['kind']} of {content['apiVersion']} is no kind that is known here"
        return
    known = set(listed.split())
    for path in sorted(set(_paths(content.get("spec", {}), "", known))):
        if path not in known:
            yield f"spec.{path.removesuffix('.')} is no field that is known here"


def _paths(value: Any, path: str, known: set[str]) -> Iterator[str]:
    """Of every field its path; lists stand for what is in them."""
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for each in value:
            yield from _paths(each, path, known)
    elif isinstance(value, dict):
        if path and f"{path}.*" in known:
            yield f"{path}.*"
            return
        if path:
            yield f"{path}."
        for name, each in value.items():
            yield from _paths(each, f"{path}.{name}" if path else name, known)
    else:
        yield path
