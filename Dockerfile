# syntax=docker/dockerfile:1
# One recipe, one image per service; tests/images runs its commands, and says what nobody has run.
#
#   docker buildx build --build-arg SERVICE=order --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" \
#       --build-arg SOURCE="$(git remote get-url origin)" --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" --output type=image,rewrite-timestamp=true \
#       --sbom=true --provenance=mode=max --tag ghcr.io/tieout/order:0.1.0 .
#
# A release names the base by digest: --build-arg PYTHON=docker.io/library/python:3.11-slim-trixie@sha256:…
# Python 3.11 is what the tests run with.
ARG PYTHON=docker.io/library/python:3.11-slim-trixie

FROM ${PYTHON} AS build
# An SBOM that is asked for also lists what was there while building.
ARG BUILDKIT_SBOM_SCAN_STAGE=true
ARG SERVICE
ARG SOURCE_DATE_EPOCH=0
# Compiled files carry a hash of their source instead of its time, so the same sources give the same bytes.
ENV VIRTUAL_ENV=/opt/tieout \
    WHEELS=/wheels \
    PYC_INVALIDATION_MODE=CHECKED_HASH \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
SHELL ["/bin/sh", "-eu", "-c"]
WORKDIR /src
# uv itself comes by the lock as well.
COPY requirements.lock ./
RUN awk '/^[^ ]/ { uv = /^uv==/ } uv' requirements.lock >uv.txt && \
    python -m pip install --no-cache-dir --require-hashes --requirement uv.txt
COPY libs/contracts libs/contracts
COPY libs/servicekit libs/servicekit
COPY services/${SERVICE} services/${SERVICE}
# Our wheels, each with its hash. Offline: uv builds them by itself, and nothing unlocked can come in.
RUN for package in libs/contracts libs/servicekit "services/$SERVICE"; do \
        uv build --quiet --wheel --offline --out-dir "$WHEELS" "$package"; \
    done && \
    for wheel in "$WHEELS"/*.whl; do \
        name=${wheel##*/} && sum=$(sha256sum "$wheel") && \
        echo "${name%%-*} @ file://$wheel --hash=sha256:${sum%% *}"; \
    done >"$WHEELS/ours.txt"
# What these need and nothing else. Versions and hashes are the lock's: what it does not hold is refused.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv --quiet "$VIRTUAL_ENV" && \
    uv pip install --quiet --require-hashes --constraints requirements.lock --requirements "$WHEELS/ours.txt" && \
    printf '#!/bin/sh\nexec "%s/bin/python" -m "tieout.%s" "$@"\n' "$VIRTUAL_ENV" "$SERVICE" >"$VIRTUAL_ENV/bin/service" && \
    chmod 0755 "$VIRTUAL_ENV/bin/service"

FROM ${PYTHON} AS service
# Nobody installs anything here any more. The user has a name only so that messages are readable.
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore pip && \
    rm -rf /usr/local/lib/python3*/ensurepip /root/.cache && \
    groupadd --gid 65532 tieout && \
    useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tieout
COPY --from=build /opt/tieout /opt/tieout
# Nothing is written but to /tmp, so the root may be read-only.
ENV PATH=/opt/tieout/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
# No HEALTHCHECK: Kubernetes ignores it, and asks /livez, /readyz and /startupz on TIEOUT_HEALTH_PORT.
# The charts name the same in full: python -m tieout.<service> serve.
ENTRYPOINT ["/opt/tieout/bin/service"]
CMD ["serve"]
# Last, as they change with every build.
ARG SERVICE
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="tieout-${SERVICE}" \
    org.opencontainers.image.description="Tieout's ${SERVICE} service" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
