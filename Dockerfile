# docker build -t mlip .
# docker run --rm --gpus all --user "$(id -u):$(id -g)" -e HOME=/work -v "$PWD":/work mlip train config.yaml
# On a cluster: apptainer build mlip.sif docker-daemon://mlip:latest; apptainer exec --nv mlip.sif mlip train config.yaml
ARG BASE=nvidia/cuda:12.8.1-base-ubuntu24.04

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY mlip mlip
# torch's own wheel brings the CUDA libraries; the driver comes from the host.
RUN python3 -m venv /opt/mlip && /opt/mlip/bin/pip install --no-cache-dir -c constraints.txt .

FROM ${BASE}
# Triton compiles a small C extension for Python when a kernel first runs.
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-dev gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* && useradd --create-home user
COPY --from=build /opt/mlip /opt/mlip
ENV PATH=/opt/mlip/bin:$PATH
USER user
WORKDIR /work
ENTRYPOINT ["mlip"]
CMD ["--help"]
