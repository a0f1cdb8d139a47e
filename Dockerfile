# The image of every job, on AWS Batch and on a GPU of your own: `python -m job …`. docs/container.md says how to
# run it, what it weighs and why.
#
# Its layers by how often they change: torch with CUDA (gigabytes), the other packages, this code (kilobytes). A
# machine that has an older image pulls only what changed.

# Any image with Python 3.11 and pip. To the bit: --build-arg BASE_IMAGE=python@sha256:…
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM ${BASE_IMAGE} AS build
# Read by pip itself: where else to find packages, as torch's CPU build.
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
# Byte code is made by compileall: without a time of its source in it, so that the same packages give the same files.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0
WORKDIR /build
RUN python3 -m venv --without-pip /opt/loosweep

COPY requirements.lock .
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip --python /opt/loosweep/bin/python install --no-compile -c requirements.lock torch \
    && rm -rf /opt/loosweep/lib/python3.11/site-packages/torch/bin/test_* \
    && python3 -m compileall -q -j 0 -x /py312_ --invalidation-mode unchecked-hash /opt/loosweep/lib \
    && find /opt/loosweep -exec touch -h -d @0 {} +

# The project's own dependencies; pip takes what is there already for installed.
COPY pyproject.toml .
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > dependencies.txt \
    && python3 -m pip --python /opt/loosweep/bin/python install --no-compile -c requirements.lock -r dependencies.txt \
        --prefix /opt/packages \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/packages/lib \
    && find /opt/packages -exec touch -h -d @0 {} +

COPY LICENSE .
COPY job job
COPY submit submit
RUN --mount=type=cache,target=/root/.cache/pip \
    touch README.md \
    && python3 -m pip --python /opt/loosweep/bin/python install --no-compile --no-deps --prefix /opt/code . \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/code/lib \
    && find /opt/code -exec touch -h -d @0 {} +

FROM ${BASE_IMAGE}
# Any other user may run it, too (docker run --user): the home is everybody's, and USER is for programs that ask for
# a name.
RUN groupadd --gid 1000 loosweep \
    && useradd --uid 1000 --gid 1000 --create-home loosweep \
    && chmod 1777 /home/loosweep
ENV HOME=/home/loosweep \
    USER=loosweep \
    PATH=/opt/loosweep/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build /opt/loosweep /opt/loosweep
COPY --from=build /opt/packages /opt/loosweep
COPY --from=build /opt/code /opt/loosweep
USER 1000:1000
WORKDIR /home/loosweep
# A fold answers it with a checkpoint, and ends with 143.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "job"]
CMD ["--help"]
