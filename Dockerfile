# The service, its migrations, the incident receiver and backups: one image, a role by argument (start.sh).
#
#   docker build --tag taskmanager-api .
#
# Both base images must be of the same Debian release: PostgreSQL's programs bring their own libraries, and not the C library.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG POSTGRES_IMAGE=postgres:18-bookworm


# pg_dump, pg_restore and psql of the server's major version, with every library that they load.
FROM ${POSTGRES_IMAGE} AS postgres
ARG POSTGRES_MAJOR=18
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=SC2016
RUN folder=/client/usr/lib/postgresql/${POSTGRES_MAJOR} \
    && mkdir -p "$folder/bin" "$folder/lib" \
    && cp /usr/lib/postgresql/${POSTGRES_MAJOR}/bin/pg_dump \
          /usr/lib/postgresql/${POSTGRES_MAJOR}/bin/pg_restore \
          /usr/lib/postgresql/${POSTGRES_MAJOR}/bin/psql "$folder/bin" \
    && ldd "$folder"/bin/* | awk '$2 == "=>" { print $3 }' | sort -u | xargs -I '{}' cp -L '{}' "$folder/lib"


FROM ${PYTHON_IMAGE} AS build
ENV PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.txt .
# An environment without pip: nothing can be installed into it later.
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --require-hashes -r requirements.txt \
    && rm requirements.txt \
    && printf '/app\n' > "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/app.pth"
# Compiled once and for all, since the service may not write beside its code; a source never changes after that.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib

# What the image of Python has already is not brought a second time.
ARG POSTGRES_MAJOR=18
COPY --from=postgres /client /client
RUN ldconfig -p > /tmp/libraries \
    && for library in /client/usr/lib/postgresql/"${POSTGRES_MAJOR}"/lib/*; do \
        if grep -qF "	${library##*/} " /tmp/libraries; then rm "$library"; fi; \
    done

COPY alembic.ini main.py start.sh docker/healthcheck.py ./
COPY alembic alembic
COPY migration_gate migration_gate
COPY taskmanager taskmanager
COPY docker/bin /opt/venv/bin
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app \
    && chmod 0755 start.sh /opt/venv/bin/taskmanager /opt/venv/bin/migration-gate


FROM ${PYTHON_IMAGE}
ARG POSTGRES_MAJOR=18
ENV PATH=/opt/venv/bin:/usr/lib/postgresql/${POSTGRES_MAJOR}/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PSQL_HISTORY=/dev/null \
    TASKMANAGER_ENV=production \
    TASKMANAGER_MIGRATE=on_start \
    TASKMANAGER_ENV_FILE= \
    TASKMANAGER_BACKUP_FOLDER=/var/lib/taskmanager/backups
COPY --from=build /client /
RUN printf '/usr/lib/postgresql/%s/lib\n' "${POSTGRES_MAJOR}" > /etc/ld.so.conf.d/postgresql.conf && ldconfig \
    && groupadd --gid 10001 taskmanager \
    && useradd --uid 10001 --gid taskmanager --home-dir /app --no-create-home --shell /usr/sbin/nologin taskmanager \
    && install -d -o taskmanager -g taskmanager -m 0750 \
        /var/lib/taskmanager /var/lib/taskmanager/incidents /var/lib/taskmanager/backups
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY --from=build /app /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-S", "/app/healthcheck.py"]
ENTRYPOINT ["/app/start.sh"]
CMD ["serve"]

# Last, so that a new commit alone makes no layer anew.
ARG PYTHON_IMAGE
ARG COMMIT=
ENV TASKMANAGER_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="taskmanager-api" \
      org.opencontainers.image.description="A task API whose code and database schema cannot silently disagree" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.revision="${COMMIT}"
