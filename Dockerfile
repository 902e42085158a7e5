# The service with its models inside. Nothing is fetched when it runs, and it needs nothing writeable but
# /var/lib/maskgate and /tmp.
#
#   docker build -t maskgate .
#   docker run --rm -p 127.0.0.1:8000:8000 -e MASKGATE_TOKEN="$(openssl rand -hex 32)" --read-only --tmpfs /tmp maskgate
#
# compose.yaml runs it with PostgreSQL and Mosquitto. Every step is in scripts/container.
ARG PYTHON=python:3.13.7-slim-trixie

FROM ${PYTHON} AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY LICENSES LICENSES
COPY scripts/container scripts/container
COPY src src
RUN scripts/container wheel /wheels
RUN scripts/container install /opt/maskgate /wheels

FROM ${PYTHON}
COPY --from=build /opt/maskgate /opt/maskgate
COPY scripts/container /opt/maskgate/bin/maskgate-container
RUN /opt/maskgate/bin/maskgate-container folders && /opt/maskgate/bin/maskgate-container check /opt/maskgate
# ONNX Runtime would tell its makers of each session otherwise
ENV PATH=/opt/maskgate/bin:$PATH \
    HOME=/var/lib/maskgate \
    XDG_STATE_HOME=/var/lib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1
USER 10001:10001
WORKDIR /var/lib/maskgate
VOLUME /var/lib/maskgate
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["maskgate-container", "healthy"]
ENTRYPOINT ["maskgate"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
