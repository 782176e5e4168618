# mpidl for processors, with MPICH and parallel HDF5; docs/containers.md says more.
#
#   docker build -t mpidl .
#   docker run --rm --shm-size=1g -v "$PWD:/work" mpidl mpiexec -n 4 mpidl run ring.toml

ARG BASE=debian:12-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
WORKDIR /opt/mpidl

# What mpidl stands on, which takes minutes, is a layer that a change of mpidl leaves as it is.
ARG MPIDL_TORCH=torch==2.13.0
ARG PIP_EXTRA_INDEX_URL
COPY launch/local launch/h5py launch/
RUN --mount=type=cache,target=/root/.cache ./launch/local environment

ARG VERSION=0.1.0.dev0
COPY CMakeLists.txt LICENSE README.md pyproject.toml ./
COPY launch launch
COPY topologies topologies
COPY mpidl mpidl
RUN --mount=type=cache,target=/root/.cache \
    SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MPIDL=${VERSION} .venv/bin/pip install ".[ensemble,export,report]"

# hadolint ignore=DL3006
FROM ${BASE}

# What Debian's HDF5 is linked to, and an init that hands mpiexec the signals of "docker stop".
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libcurl4 libsz2 python3 tini \
    && rm -rf /var/lib/apt/lists/*

# Any user may run it, such as the owner of a mounted folder by --user.
RUN useradd --create-home --uid 1000 mpidl \
    && install -d -m 1777 /work /home/mpidl
COPY --from=build /opt/mpidl/.venv /opt/mpidl/.venv

ENV PATH=/opt/mpidl/.venv/bin:$PATH HOME=/home/mpidl USER=mpidl
USER 1000
WORKDIR /work
ENTRYPOINT ["tini", "--"]
CMD ["mpidl", "--help"]

# Last, as it differs from build to build.
ARG VERSION=0.1.0.dev0
LABEL org.opencontainers.image.title="mpidl" \
    org.opencontainers.image.description="Decentralized learning on graphs over MPI" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}"
