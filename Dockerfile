# transfer-bench in a container: CPU by default, as a user without rights, with its cache as a volume. docs/how-to/install.md
#
#   docker build --build-arg TORCH_INDEX=ADDRESS --tag transfer-bench .
#
# ADDRESS is an index of torch's builds, such as the one without CUDA that torch's own page of installation names. Without it
# pip's usual builds are installed, with CUDA.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/bench
ENV PATH=/opt/bench/bin:$PATH
# Before the checkout is copied: torch stays as it is when a file of ours changes. pyproject.toml says which releases will do.
# hadolint ignore=DL3013
RUN if [ -n "$TORCH_INDEX" ]; then PIP_INDEX_URL="$TORCH_INDEX" pip install torch torchvision; fi
WORKDIR /source
COPY . .
RUN pip install .

FROM python:${PYTHON}-slim
RUN useradd --create-home --uid 1000 bench \
    && mkdir /cache /data \
    && chown bench:bench /cache /data
COPY --from=build /opt/bench /opt/bench
ENV PATH=/opt/bench/bin:$PATH BENCH_CACHE=/cache PYTHONUNBUFFERED=1
USER 1000
WORKDIR /data
VOLUME ["/cache"]
ENTRYPOINT ["bench"]
CMD ["--help"]
