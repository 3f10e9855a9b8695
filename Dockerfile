# The monitor's server, and its commands. What it keeps is in /var/lib/translation-monitor; nothing else is written,
# so the root can be read-only. Built for CPython's official slim image, by digest; for another one:
#   docker build --build-arg PYTHON_IMAGE=python:3.12-slim .
ARG PYTHON_IMAGE=python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY . .
# Wheels only: no compiler here either, and no code of a dependency is run to build it.
RUN python3 -m venv /opt/translation-monitor \
 && /opt/translation-monitor/bin/pip wheel --no-deps --wheel-dir /wheels . \
 && /opt/translation-monitor/bin/pip install --only-binary=:all: "$(echo /wheels/*.whl)[notify]" \
 && /opt/translation-monitor/bin/pip uninstall --yes pip \
 && install -d -m 0700 /state /keys

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/translation-monitor /opt/translation-monitor
# A new volume takes its owner from here.
COPY --from=build --chown=10001:10001 /state /var/lib/translation-monitor
COPY --from=build --chown=10001:10001 /keys /etc/translation-monitor/keys
# HOME and USER: a user by number has no entry in /etc/passwd, and SSH asks for both.
ENV PATH=/opt/translation-monitor/bin:$PATH \
    HOME=/var/lib/translation-monitor \
    USER=translation-monitor \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MONITOR_HOST=0.0.0.0 \
    MONITOR_LOG_FORMAT=json \
    MONITOR_EVENT_LOG=sqlite:////var/lib/translation-monitor/events.db
# By number: Kubernetes cannot tell whether a name is root.
USER 10001:10001
WORKDIR /var/lib/translation-monitor
VOLUME /var/lib/translation-monitor
EXPOSE 8090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python3", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('MONITOR_SERVER_PORT') or 8090), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["translation-monitor"]
CMD ["serve"]

# Last, as they change with every commit.
ARG MONITOR_REVISION=unknown
ENV MONITOR_REVISION=${MONITOR_REVISION}
LABEL org.opencontainers.image.title="Translation Monitor" \
      org.opencontainers.image.description="Live monitoring for long-running translations" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${MONITOR_REVISION}"
